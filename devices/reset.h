/*
 * Ports by which software resets a PC: the reset control register CF9h, the keyboard controller's
 * reset line at 64h, and fast reset at 92h. With them the system board's other ports of one byte:
 * 61h, and 80h, which takes POST codes.
 */
#ifndef DEVICES_RESET_H
#define DEVICES_RESET_H

#include <stdbool.h>
#include <stdint.h>

struct vm;
struct reset_ports;
struct reset_port_ops;

/* One of the ports of one byte, as the bus knows it. */
struct reset_port {
	struct reset_ports *all;
	const struct reset_port_ops *ops;
};

#define RESET_PORTS 5

struct reset_ports {
	struct vm *vm;
	struct reset_port port[RESET_PORTS];
	uint8_t control;  /* CF9h */
	uint8_t a20;	  /* 92h, bit 1 */
	uint8_t port_b;	  /* 61h */
	uint8_t post;	  /* 80h */
	bool output_port; /* 64h got command D1h: the next byte to 60h is the output port */
};

/*
 * Puts the ports on VM's bus; those of the keyboard controller and 61h only with ALL, for VMs that
 * have no 8042 and no 8254. 0 or bus errors.
 */
int reset_init(struct reset_ports *r, struct vm *vm, bool all);
/* State after power-up. dev_lock held, or no vCPU runs. */
void reset_reset(struct reset_ports *r);

#endif
