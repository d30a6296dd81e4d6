/*
 * Ports by which software resets a PC: the reset control register CF9h, the keyboard controller's pulse of the reset line
 * at 64h and fast reset at 92h. And port 80h, which takes POST codes.
 */
#ifndef DEVICES_RESET_H
#define DEVICES_RESET_H

#include <stdint.h>

struct vm;

struct reset_ports {
	struct vm *vm;
	uint8_t control;  /* CF9h */
	uint8_t system;   /* 92h */
	uint8_t post;     /* 80h */
};

/* Puts the ports on VM's bus. 0 or bus errors. */
int reset_init(struct reset_ports *r, struct vm *vm);
/* State after power-up. dev_lock held, or no vCPU runs. */
void reset_reset(struct reset_ports *r);

#endif
