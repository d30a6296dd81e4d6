/*
 * The hypervisor's page allocator: one pool of memory that the EFI side reserved, identity-mapped
 * (a pointer is the physical address too). May be called on any core, interrupts off, not from NMI
 * and machine-check handlers.
 */
#ifndef ARCH_X86_PAGES_H
#define ARCH_X86_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/util.h"

/*
 * BASE..BASE+SIZE is the pool, both multiples of PAGE_SIZE; its first pages are taken for the
 * bitmap. Called once, before any other function here. -EINVAL: not aligned, or too small to hold
 * its own bitmap.
 */
int pages_init(uint64_t base, uint64_t size);

/* COUNT contiguous pages, zeroed, 4 KiB-aligned; NULL when there is no such run (or COUNT is 0). */
void *pages_alloc(size_t count) __attribute__((warn_unused_result));

/*
 * PAGES as a pages_alloc call returned it, or any part of such a run. NULL is allowed. A page that
 * is already free is a broken invariant.
 */
void pages_free(void *pages, size_t count);

/* In pages, the bitmap's own included. pages_peak() is the most that was ever used at once. */
size_t pages_used(void);
size_t pages_peak(void);
size_t pages_total(void);

#endif
