/*
 * The machine's serial ports and its screen as core/'s console sees them: output to all, input from
 * all ports; and the ports that VMs have for themselves.
 */
#ifndef BOOT_PHYSICAL_CONSOLE_H
#define BOOT_PHYSICAL_CONSOLE_H

#include "boot/handover.h"

struct console_port;

/* Maps and opens the screen, if the console is to be shown on it. After host_map_init(). */
void physical_console_map(const struct handover *h);
/* From now on log lines go through core/'s console. After host_map_load(), which must map MMIO
 * ports. */
void physical_console_init(void);
/* Opens the port that VM's console has for itself, and keeps it. NULL: it has none. Before
 * physical_console_use_irq(). */
const struct console_port *physical_console_own(const struct config_vm *vm);
/* Interrupts instead of polling, on the boot core, and the screen is drawn by the clock. After the
 * I/O APICs are known. */
void physical_console_use_irq(const struct handover *h);
/* All that waits is sent and drawn. Any core, at the end, on page tables that map the console. */
void physical_console_flush(void);
/*
 * For panic(): LEN bytes of TEXT past all locks, at once; the screen shows them with
 * physical_console_redraw().
 */
void physical_console_panic(const char *text, size_t len);
void physical_console_redraw(void);

#endif
