/* The memory map of a VM: what is not in it is no RAM, or the video hole of a PC. */
#include "guest/e820.h"

unsigned int e820_build(struct e820_entry map[E820_COUNT_MAX], const struct guest_ram *ram)
{
	unsigned int n = 0;

	map[n++] = (struct e820_entry){0, LAYOUT_LOW_RAM_END, E820_RAM};
	map[n++] = (struct e820_entry){LAYOUT_LOW_RAM_END, LAYOUT_VIDEO - LAYOUT_LOW_RAM_END,
				       E820_RESERVED};
	map[n++] = (struct e820_entry){LAYOUT_ACPI, LAYOUT_HIGH_RAM - LAYOUT_ACPI, E820_RESERVED};
	map[n++] = (struct e820_entry){LAYOUT_HIGH_RAM, ram->low_end - LAYOUT_HIGH_RAM, E820_RAM};
	if (ram->high_end > GIB(4))
		map[n++] = (struct e820_entry){GIB(4), ram->high_end - GIB(4), E820_RAM};
	return n;
}
