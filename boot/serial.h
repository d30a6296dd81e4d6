/* The serial ports that boot_serial_init() found, for whoever drives them from now on, and those
 * that VMs have for themselves. */
#ifndef BOOT_SERIAL_H
#define BOOT_SERIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "arch/x86/uart.h"
#include "config/config.h"

#define SERIAL_MAX 4

/* How many there are; *PORTS becomes their array, the one to type at first. */
size_t serial_ports(struct uart **ports);

/* The port that VM's console has for itself, not yet initialised. False: it has none. */
bool serial_of_vm(const struct config_vm *vm, struct uart *u);

#endif
