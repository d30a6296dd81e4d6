/* Which ports a VM's devices have, known before there is a VM. */
#ifndef DEVICES_PC_PORTS_H
#define DEVICES_PC_PORTS_H

#include <stdint.h>

#include "devices/pc.h"

/* The device of a VM, COM2 being one or not, that has one of COUNT ports from PORT on, in words;
 * NULL: none. */
const char *pc_port_owner(uint16_t port, uint32_t count, bool com2);

#endif
