/*
 * What lies where in a guest's memory when it starts. Below 1 MiB:
 *
 *	0	interrupt vectors, and the BIOS data area at 400h
 *	1000h	GDT				protected-mode entries
 *	2000h	boot_params			Linux
 *	2000h	information, up to 80000h	multiboot, PVH
 *	7c00h	the image			flat16, up to the reserved part
 *	10000h	page tables, 6 pages		64-bit entries
 *	20000h	command line			Linux
 *	80000h	stack, growing down from 90000h	protected-mode entries
 *	2000h	the kernel, up to 9fc00h	multiboot, PVH where it is linked there: the
 *						information is behind the modules then
 *	9fc00h	reserved up to A0000h: the extended BIOS data area
 *	e0000h	ACPI tables; code of the vectors at fff53h; reserved up to 100000h
 */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/gmem.h"
#include "lib/util.h"

#define LAYOUT_GDT	   0x1000u
#define LAYOUT_BOOT_PARAMS 0x2000u
#define LAYOUT_INFO	   0x2000u
#define LAYOUT_FLAT16	   0x7c00u
#define LAYOUT_PAGE_TABLES 0x10000u
#define LAYOUT_CMDLINE	   0x20000u
#define LAYOUT_CMDLINE_END 0x80000u
#define LAYOUT_INFO_END	   0x80000u
#define LAYOUT_STACK_TOP   0x90000u
#define LAYOUT_LOW_RAM_END 0x9fc00u
#define LAYOUT_VIDEO	   0xa0000u
#define LAYOUT_ACPI	   0xe0000u
#define LAYOUT_HIGH_RAM	   0x100000u
#define LAYOUT_FLAT32	   0x100000u
#define LAYOUT_FLAT64	   0x200000u

/* Where a kernel may be below 1 MiB. */
#define LAYOUT_LOW_KERNEL LAYOUT_INFO

/* What of memory an ELF or multiboot kernel has. */
struct kernel_extent {
	uint64_t end; /* behind all that is from 1 MiB on; 1 MiB: nothing is */
	bool low;     /* part of it is below 1 MiB */
};

/* The least memory that a VM has (config/ counts in pieces of 2 MiB): all of the above fits. */
#define LAYOUT_MIN_MEMORY MIB(2)

/* Where a VM's memory ends, below 4 GiB and above (4 GiB: there is none above). */
struct guest_ram {
	uint64_t low_end, high_end;
};

/* Adds START to END, which is not less, to X. False: it is not where a kernel may be. */
static inline bool kernel_extend(struct kernel_extent *x, uint64_t start, uint64_t end)
{
	if (start >= LAYOUT_HIGH_RAM)
		x->end = MAX(x->end, end);
	else if (start >= LAYOUT_LOW_KERNEL && end <= LAYOUT_LOW_RAM_END)
		x->low = true;
	else
		return false;
	return true;
}

/* That of a VM with MEMORY bytes, which are less than 2^63. */
static inline struct guest_ram guest_ram_of(uint64_t memory)
{
	uint64_t low = MIN(memory, (uint64_t)GMEM_LOW_END);

	return (struct guest_ram){.low_end = low, .high_end = GIB(4) + memory - low};
}

#endif
