/* The machine's serial ports as core/'s console sees them: output to all, input from all. */
#ifndef BOOT_PHYSICAL_CONSOLE_H
#define BOOT_PHYSICAL_CONSOLE_H

#include "boot/handover.h"

/* From now on log lines go through core/'s console. After host_map_load(), which must map MMIO
 * ports. */
void physical_console_init(void);
/* Interrupts instead of polling, on the boot core. After the I/O APICs are known. */
void physical_console_use_irq(const struct handover *h);

#endif
