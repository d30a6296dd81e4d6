/* What else than processors reaches memory and interrupts: devices, and the IOMMUs before them. */
#ifndef BOOT_DMA_H
#define BOOT_DMA_H

#include "arch/x86/acpi.h"

/* Maps the IOMMUs' registers. After host_map_init(), before host_map_clone(). */
void dma_map(const struct acpi_info *acpi);

/*
 * No device reads or writes memory by itself from here on; says what firmware has left on of
 * IOMMUs. Once, on the boot core, after host_map_load().
 */
void dma_stop(const struct acpi_info *acpi);

#endif
