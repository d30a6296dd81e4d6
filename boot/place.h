/* Which core each vCPU is for: boot/vms.c's part that only decides. */
#ifndef BOOT_PLACE_H
#define BOOT_PLACE_H

#include "boot/handover.h"

struct vm;

/*
 * Places the vCPUs of VMS, built from H's, by sched_place(): on cores that they may use, one to a
 * core while there are enough, and a core's threads for one VM as long as that can be; where it
 * cannot, warns. On the boot core, when all others have started or failed.
 */
void place_vms(const struct handover *h, struct vm *const *vms);

#endif
