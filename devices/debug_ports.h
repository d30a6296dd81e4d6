/*
 * Two ports that no PC has and that test programs are written for, as other virtual machines have
 * them: one that ends the VM with a status, and one that prints.
 */
#ifndef DEVICES_DEBUG_PORTS_H
#define DEVICES_DEBUG_PORTS_H

#include <stdint.h>

struct vm;

struct debug_ports {
	struct vm *vm;
};

/* As many ports from debug_exit on belong to it, so that a status can have 32 bits. */
#define DEBUG_EXIT_PORTS 4

/* What debug_console reads as, for programs that ask whether it is there. */
#define DEBUG_CONSOLE_ID 0xe9

/*
 * Puts the ports on VM's bus; 0: none of the kind. A write to EXIT ends VM with what was written, a
 * byte written to CONSOLE goes to VM's console. 0 or bus errors.
 */
int debug_ports_init(struct debug_ports *d, struct vm *vm, uint16_t exit, uint16_t console);

#endif
