/*
 * Do all cores of the hypervisor still answer? The boot core asks every second. One that does not
 * look at what it is asked is reached by NMI, and where that finds it is reported.
 */
#ifndef BOOT_WATCH_H
#define BOOT_WATCH_H

#include <stdint.h>

/* Takes the NMI hook. On the boot core, after idt_init(). */
void watch_init(void);
/* On the boot core. Returns the host TSC at which to call again. */
uint64_t watch_tick(void);

#endif
