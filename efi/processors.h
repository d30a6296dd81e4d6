/* The machine's processors, asked of the firmware's MP services (UEFI PI vol. 2 13.4). */
#ifndef EFI_PROCESSORS_H
#define EFI_PROCESSORS_H

#include "boot/handover.h"
#include "efi/report.h"

/*
 * Fills in h->cpus: the boot processor first, then by APIC ID, each probed by boot_probe_cpu() on
 * itself. Processors that the firmware has disabled are left out, with a warning. Where there are
 * no MP services the others come from ACPI and are not probed.
 */
void processors_find(struct handover *h, struct report *r);

#endif
