/* Switching the machine off (core/lifecycle.h: machine_off()). */
#ifndef BOOT_POWER_H
#define BOOT_POWER_H

#include "boot/handover.h"

/*
 * Keeps what is needed for it, and builds the tables in which firmware's runtime services run. At
 * boot, after pages_init(). -ENOMEM.
 */
int power_init(const struct handover *h);

#endif
