/* The memory map that a guest is given (ACPI 15.1). */
#ifndef GUEST_E820_H
#define GUEST_E820_H

#include <stdint.h>

#include "guest/layout.h"

enum e820_type { E820_RAM = 1, E820_RESERVED = 2 };

struct e820_entry {
	uint64_t base, size;
	uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct e820_entry) == 20, "ACPI 15.1");

#define E820_COUNT_MAX 5

/* Writes the map, ascending and without overlaps; returns the number of entries. */
unsigned int e820_build(struct e820_entry map[E820_COUNT_MAX], const struct guest_ram *ram);

#endif
