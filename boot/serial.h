/* The serial ports that boot_serial_init() found, for whoever drives them from now on. */
#ifndef BOOT_SERIAL_H
#define BOOT_SERIAL_H

#include <stddef.h>

#include "arch/x86/uart.h"

#define SERIAL_MAX 4

/* How many there are; *PORTS becomes their array, the one to type at first. */
size_t serial_ports(struct uart **ports);

#endif
