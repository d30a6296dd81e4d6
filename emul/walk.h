/*
 * The guest's own page tables, walked as the processor would (SDM vol. 3A chapter 4): no paging,
 * 32-bit, PAE, 4-level and 5-level. Everything is by callback: the walker knows neither how guest-
 * physical memory is kept nor who asks.
 */
#ifndef EMUL_WALK_H
#define EMUL_WALK_H

#include <stdbool.h>
#include <stdint.h>

enum walk_access { WALK_READ, WALK_WRITE, WALK_FETCH };

/* Error code of a page fault, SDM vol. 3A 4.7. */
enum {
	PF_PRESENT = 1 << 0,
	PF_WRITE = 1 << 1,
	PF_USER = 1 << 2,
	PF_RESERVED = 1 << 3,
	PF_FETCH = 1 << 4,
	PF_KEY = 1 << 5,
};

/* The registers that decide over a translation, as the guest sees them. */
struct walk_regs {
	uint64_t cr0, cr3, cr4, efer, rflags;
	const uint64_t *pdpte; /* the PDPTE registers, SDM vol. 3A 4.4.1; NULL: read at CR3 */
	uint32_t pkru;
	uint8_t cpl;
	bool implicit;	    /* a supervisor access whatever the CPL: descriptor tables, TSS */
	bool gib_pages;	    /* CPUID 80000001h EDX bit 26 of the guest */
	uint8_t phys_width; /* MAXPHYADDR of the guest, 32 to 52 */
};

struct walk_ops {
	/*
	 * One single access of SIZE (4 or 8) bytes, aligned. 0, or <0: no memory of the guest is
	 * there.
	 */
	int (*read)(void *ctx, uint64_t gpa, unsigned int size, uint64_t *value);
	/*
	 * Writes WANTED in one locked access when the entry still is OLD. 0 done, -EAGAIN when it
	 * was not OLD, another error otherwise. A NULL pointer leaves accessed and dirty bits as
	 * they are.
	 */
	int (*replace)(void *ctx, uint64_t gpa, unsigned int size, uint64_t old, uint64_t wanted);
};

struct walk_result {
	uint64_t gpa;	    /* of the byte at LINEAR */
	uint64_t page_size; /* bytes around it that translate alike: 4 KiB, 2 MiB, 4 MiB, 1 GiB */
	bool writable;	    /* a write would have succeeded too */
	uint32_t error;	    /* with -EFAULT: the page fault's error code */
};

/*
 * Translates LINEAR, which must be canonical, for an access of the given kind. Returns 0, or
 *   -EFAULT  #PF, R->error is its error code (CR2 is LINEAR)
 *   -EIO     a table lies where ops->read() found no memory
 *   -EAGAIN  the guest kept changing the entries; let it run and try again
 */
int walk_translate(const struct walk_regs *regs, const struct walk_ops *ops, void *ctx,
		   uint64_t linear, enum walk_access access, struct walk_result *r);

/* Whether LINEAR is canonical under the width that CR4.LA57 selects (SDM vol. 1 3.3.7.1). */
bool walk_canonical(uint64_t linear, uint64_t cr4);

#endif
