/*
 * Do all cores of the hypervisor still answer? Each second the boot core asks those of which it is
 * not known that they are in a guest, each minute all, and the core with the fewest vCPUs asks the
 * boot core. One that does not look at what it is asked is reached by NMI, and where that finds it
 * is reported.
 */
#ifndef BOOT_WATCH_H
#define BOOT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct int_frame;

/* In an NMI's handler: whether it was for the watch, which has noted where the core was. */
bool watch_on_nmi(struct int_frame *frame);
/* Has another core watch this one. On the boot core, when the others are online and the vCPUs
 * placed. */
void watch_init(void);
/* On the boot core: looks at the others. Returns the host TSC at which to call again. */
uint64_t watch_tick(void);

#endif
