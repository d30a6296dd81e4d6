/* The ACPI tables of a VM (ACPI 6.4 chapter 5), written into its memory from LAYOUT_ACPI on. */
#ifndef GUEST_ACPI_H
#define GUEST_ACPI_H

#include <stdint.h>

#include "guest/guest.h"
#include "guest/writer.h"

/* VCPUS have the APIC IDs from 0 on, at most VM_MAX_VCPUS. Returns the RSDP's address. */
uint64_t guest_acpi_write(struct writer *w, const struct guest_platform *p, unsigned int vcpus);

#endif
