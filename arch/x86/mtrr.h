/*
 * Memory types by the MTRRs (SDM vol. 3A 12.11, APM vol. 2 7.7). EPT ignores the MTRRs, so its
 * entries must repeat them.
 */
#ifndef ARCH_X86_MTRR_H
#define ARCH_X86_MTRR_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/paging.h"

#define MTRR_FIXED_COUNT  11 /* registers of eight ranges each: 64K, 2 x 16K, 8 x 4K */
#define MTRR_VARIABLE_MAX 32

/* The registers of one core, as read. */
struct mtrr {
	uint64_t def_type; /* IA32_MTRR_DEF_TYPE */
	uint64_t cap;	   /* IA32_MTRRCAP */
	uint64_t fixed[MTRR_FIXED_COUNT];
	struct {
		uint64_t base, mask; /* IA32_MTRR_PHYSBASEn, IA32_MTRR_PHYSMASKn */
	} variable[MTRR_VARIABLE_MAX];
	unsigned int variable_count;
	/* AMD: memory from 4 GiB to here is write-back where no variable range says other; or 0. */
	uint64_t top2;
	unsigned int phys_bits; /* MAXPHYADDR */
};

/* This core's registers. A processor without MTRRs reads as "enabled, all write-back". */
void mtrr_read(struct mtrr *m);

/*
 * The type of the memory at PA, and in *RUN (if not NULL) for how many bytes from PA on it stays
 * the same, as far as a single look at the registers tells: the next run may have the same type
 * again. At least 1 byte, in practice up to a 4 KiB boundary or more.
 */
enum memtype mtrr_type_at(const struct mtrr *m, uint64_t pa, uint64_t *run);

/*
 * The type of PA..PA+SIZE (SIZE > 0). *UNIFORM: whether all of it has that type; if not, the type
 * is that of PA, and the range must not be mapped by one page.
 */
enum memtype mtrr_type(const struct mtrr *m, uint64_t pa, uint64_t size, bool *uniform);

#endif
