#include "arch/x86/mtrr.h"

#include <stddef.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"

#define DEF_TYPE_FE   BIT(10)
#define DEF_TYPE_E    BIT(11)
#define CAP_VCNT(cap) ((cap)&0xff)
#define CAP_FIX	      BIT(8)
#define MASK_VALID    BIT(11)
#define TYPE_MASK     0xff
#define FIXED_END     MIB(1)

/* SYSCFG and TOP_MEM2: APM vol. 2 7.9.4 */
#define SYSCFG_TOM2_FORCE_WB BIT(22)
#define SYSCFG_TOM2_EN	     BIT(21)
#define TOP_MEM2_MASK	     0x000fffffff800000ULL

/*
 * SDM vol. 3A table 12-9: each register holds the types of eight ranges of the same size, lowest
 * address in byte 0.
 */
static const struct {
	uint32_t msr, base, size;
} fixed_ranges[MTRR_FIXED_COUNT] = {
	{MSR_IA32_MTRR_FIX64K_00000, 0x00000, 0x10000},
	{MSR_IA32_MTRR_FIX16K_80000, 0x80000, 0x4000},
	{MSR_IA32_MTRR_FIX16K_A0000, 0xa0000, 0x4000},
	{MSR_IA32_MTRR_FIX4K(0), 0xc0000, 0x1000},
	{MSR_IA32_MTRR_FIX4K(1), 0xc8000, 0x1000},
	{MSR_IA32_MTRR_FIX4K(2), 0xd0000, 0x1000},
	{MSR_IA32_MTRR_FIX4K(3), 0xd8000, 0x1000},
	{MSR_IA32_MTRR_FIX4K(4), 0xe0000, 0x1000},
	{MSR_IA32_MTRR_FIX4K(5), 0xe8000, 0x1000},
	{MSR_IA32_MTRR_FIX4K(6), 0xf0000, 0x1000},
	{MSR_IA32_MTRR_FIX4K(7), 0xf8000, 0x1000},
};

/*
 * AMD's firmware describes memory above 4 GiB by these two registers, and no MTRR covers it. Every
 * processor with SVM has them.
 */
static uint64_t read_top2(void)
{
	const uint64_t both = SYSCFG_TOM2_EN | SYSCFG_TOM2_FORCE_WB;

	if (!(cpuid_or_zero(0x80000001, 0).ecx & CPUID_80000001_ECX_SVM) ||
	    (rdmsr(MSR_AMD_SYSCFG) & both) != both)
		return 0;
	return rdmsr(MSR_AMD_TOP_MEM2) & TOP_MEM2_MASK;
}

void mtrr_read(struct mtrr *m)
{
	*m = (struct mtrr){.def_type = DEF_TYPE_E | MT_WB, .phys_bits = cpu_phys_bits()};
	if (!(cpuid(1, 0).edx & CPUID_1_EDX_MTRR))
		return;
	m->cap = rdmsr(MSR_IA32_MTRRCAP);
	m->def_type = rdmsr(MSR_IA32_MTRR_DEF_TYPE);
	m->top2 = read_top2();
	m->variable_count = MIN(CAP_VCNT(m->cap), MTRR_VARIABLE_MAX);
	for (unsigned int i = 0; i < m->variable_count; i++) {
		m->variable[i].base = rdmsr(MSR_IA32_MTRR_PHYSBASE(i));
		m->variable[i].mask = rdmsr(MSR_IA32_MTRR_PHYSMASK(i));
	}
	for (unsigned int i = 0; (m->cap & CAP_FIX) && i < MTRR_FIXED_COUNT; i++)
		m->fixed[i] = rdmsr(fixed_ranges[i].msr);
}

/*
 * An encoding that the manual reserves can only be a defect of the firmware: taken as the safe
 * type.
 */
static enum memtype valid_type(uint64_t type)
{
	switch (type) {
	case MT_WC:
	case MT_WT:
	case MT_WP:
	case MT_WB:
		return (enum memtype)type;
	default:
		return MT_UC;
	}
}

static enum memtype fixed_type(const struct mtrr *m, uint64_t pa, uint64_t *run)
{
	unsigned int i = MTRR_FIXED_COUNT - 1;
	uint64_t slot;

	while (pa < fixed_ranges[i].base)
		i--;
	slot = (pa - fixed_ranges[i].base) / fixed_ranges[i].size;
	*run = fixed_ranges[i].size - pa % fixed_ranges[i].size;
	return valid_type(m->fixed[i] >> 8 * slot & TYPE_MASK);
}

/*
 * Bytes from PA on over which "does PA match MASK" cannot change. The lowest bit of the mask is the
 * granularity; with a contiguous mask the range is one block, so that there is nothing to see until
 * its base or end.
 */
static uint64_t variable_run(const struct mtrr *m, uint64_t base, uint64_t mask, uint64_t pa)
{
	uint64_t space = BIT(m->phys_bits);
	uint64_t block = mask & -mask;

	if (!mask)
		return space - pa;
	if (mask != ((space - 1) & ~(block - 1)))
		return block - pa % block;
	base &= mask;
	if (pa < base)
		return base - pa;
	return (pa < base + block ? base + block : space) - pa;
}

/*
 * SDM vol. 3A 12.11.4.1: UC wins, then WT over WB; any other overlap is undefined, and gets the
 * safe type.
 */
static enum memtype combine(enum memtype a, enum memtype b)
{
	if (a == b)
		return a;
	if ((a == MT_WT && b == MT_WB) || (a == MT_WB && b == MT_WT))
		return MT_WT;
	return MT_UC;
}

/* The type where no variable range matches. */
static enum memtype default_type(const struct mtrr *m, uint64_t pa, uint64_t *run)
{
	*run = BIT(m->phys_bits) - pa;
	if (pa < m->top2)
		*run = MIN(*run, (pa < GIB(4) ? GIB(4) : m->top2) - pa);
	if (pa >= GIB(4) && pa < m->top2)
		return MT_WB;
	return valid_type(m->def_type & TYPE_MASK);
}

static enum memtype variable_type(const struct mtrr *m, uint64_t pa, uint64_t *run)
{
	uint64_t addr_mask = (BIT(m->phys_bits) - 1) & ~(uint64_t)(PAGE_SIZE - 1);
	enum memtype type = default_type(m, pa, run);
	bool matched = false;

	for (unsigned int i = 0; i < m->variable_count; i++) {
		uint64_t base = m->variable[i].base & addr_mask;
		uint64_t mask = m->variable[i].mask & addr_mask;
		uint64_t here;

		if (!(m->variable[i].mask & MASK_VALID))
			continue;
		here = variable_run(m, base, mask, pa);
		*run = MIN(*run, here);
		if ((pa & mask) != (base & mask))
			continue;
		type = matched ? combine(type, valid_type(m->variable[i].base & TYPE_MASK))
			       : valid_type(m->variable[i].base & TYPE_MASK);
		matched = true;
	}
	return type;
}

enum memtype mtrr_type_at(const struct mtrr *m, uint64_t pa, uint64_t *run)
{
	uint64_t unused;

	run = run ? run : &unused;
	if (pa >> m->phys_bits) {
		*run = UINT64_MAX - pa + (pa ? 1 : 0);
		return MT_UC;
	}
	if (!(m->def_type & DEF_TYPE_E)) {
		*run = BIT(m->phys_bits) - pa;
		return MT_UC;
	}
	if ((m->def_type & DEF_TYPE_FE) && (m->cap & CAP_FIX) && pa < FIXED_END)
		return fixed_type(m, pa, run);
	return variable_type(m, pa, run);
}

enum memtype mtrr_type(const struct mtrr *m, uint64_t pa, uint64_t size, bool *uniform)
{
	uint64_t run;
	enum memtype type = mtrr_type_at(m, pa, &run);

	while (run < size) {
		uint64_t more;

		*uniform = mtrr_type_at(m, pa + run, &more) == type;
		if (!*uniform)
			return type;
		run += MIN(more, size - run);
	}
	*uniform = true;
	return type;
}
