/*
 * Reading memory through the page tables that the firmware left, which map it one to one (UEFI 2.10
 * 2.3.4). Until the hypervisor has loaded its own.
 */
#ifndef BOOT_FIRMWARE_H
#define BOOT_FIRMWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/acpi.h"

/* Whether LEN bytes at PA are mapped at their own address. */
bool firmware_maps(uint64_t pa, size_t len);

/* For other readers of ACPI tables: an address that would fault is not there. */
extern const struct acpi_reader firmware_acpi;

/* The tables below RSDP, parsed once. NULL: there are none. Valid for ever. */
const struct acpi_info *firmware_tables(uint64_t rsdp);

#endif
