/*
 * Which memory a virtual machine gets: arithmetic over a list of free memory. Pure, no firmware:
 * also compiled for the build machine.
 *
 * Guests get pieces of 2 MiB, in as few extents as can be, above 4 GiB where there is room (memory
 * below is what devices and others need), and those of 1 GiB and more on a boundary of 1 GiB, so
 * that the nested tables can use pages of that size.
 */
#ifndef EFI_CARVE_H
#define EFI_CARVE_H

#include <stddef.h>
#include <stdint.h>

#include "boot/handover.h"
#include "lib/util.h"

#define CARVE_PAGE MIB(2)

/* The most extents a VM may get. */
#define CARVE_EXTENTS 64

struct carve {
	struct boot_extent *free; /* the caller's; ascending, neither overlapping nor touching */
	size_t count, max;
};

/* FREE has room for MAX extents: one for each carve_add() and one for each extent taken. */
void carve_init(struct carve *c, struct boot_extent *free, size_t max);

/*
 * Adds free memory, in any order; what overlaps or touches becomes one. An extent that wraps around
 * is left out. -ENOSPC: the list is full.
 */
int carve_add(struct carve *c, struct boot_extent e);

/* Takes everything off that is not whole pages of ALIGN bytes. Nothing is added after this. */
void carve_align(struct carve *c, uint64_t align);

/* Bytes in the list. */
uint64_t carve_total(const struct carve *c);

/*
 * Takes SIZE bytes in one piece at a multiple of ALIGN that ends at or below LIMIT, from the
 * smallest extent that has them, as high as possible. -ENOMEM: there is none; -ENOSPC: the list is
 * full.
 */
int carve_one(struct carve *c, uint64_t size, uint64_t align, uint64_t limit,
	      struct boot_extent *out);

/*
 * Takes SIZE bytes for a VM, a multiple of CARVE_PAGE, out of a list that carve_align() has seen.
 * OUT has room for CARVE_EXTENTS and gets them ascending. Returns how many, or -ENOMEM: there are
 * not as many bytes; -E2BIG: they are there, but in more pieces. The list is then as it was.
 */
int carve_vm(struct carve *c, uint64_t size, struct boot_extent *out);

#endif
