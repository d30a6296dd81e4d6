/* From the configuration to virtual machines: memory, devices, guest image, cores. */
#ifndef BOOT_VMS_H
#define BOOT_VMS_H

#include "boot/handover.h"

/*
 * Builds every VM of H and places its vCPUs on cores. After the cores have been started, before any
 * runs a guest. Ends in panic() where memory runs out, which boot_pool_size() has counted.
 */
void vms_build(const struct handover *h);
/* Asks the cores to start the VMs that have autostart; where none has, the monitor opens. */
void vms_start(void);

#endif
