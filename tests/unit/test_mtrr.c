/* links: arch/x86/mtrr.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/mtrr.h"

/* A PC with MAXPHYADDR 36: MTRRs and fixed ranges enabled, uncached by default. */
static struct mtrr pc(void)
{
	struct mtrr m = {.def_type = 0xc00, .cap = 0x108, .variable_count = 8, .phys_bits = 36};

	for (unsigned int i = 0; i < MTRR_FIXED_COUNT; i++)
		m.fixed[i] = 0x0606060606060606ULL;
	return m;
}

static void set(struct mtrr *m, unsigned int n, uint64_t base, uint64_t mask, uint64_t type)
{
	m->variable[n].base = base | type;
	m->variable[n].mask = mask | 1 << 11;
}

static void assert_uniform(const struct mtrr *m, uint64_t pa, uint64_t size, enum memtype type)
{
	bool uniform;

	assert_int_equal(mtrr_type(m, pa, size, &uniform), type);
	assert_true(uniform);
}

static void assert_mixed(const struct mtrr *m, uint64_t pa, uint64_t size, enum memtype first)
{
	bool uniform;

	assert_int_equal(mtrr_type(m, pa, size, &uniform), first);
	assert_false(uniform);
}

static void disabled_is_uncached(void **state)
{
	struct mtrr m = pc();

	(void)state;
	set(&m, 0, 0, 0xf80000000ULL, 6);
	m.def_type = 0x006; /* E is clear: the type does not count */
	assert_uniform(&m, 0, GIB(4), MT_UC);
}

/* APM vol. 2 7.9.4: as AMD's firmware leaves it, and no other range says otherwise. */
static void top_mem2_is_write_back(void **state)
{
	struct mtrr m = pc();

	(void)state;
	set(&m, 0, 0, 0xf80000000ULL, 6); /* 0 to 2 GiB */
	m.top2 = GIB(6);
	assert_uniform(&m, GIB(4), GIB(2), MT_WB);
	assert_mixed(&m, GIB(3), GIB(2), MT_UC);
	assert_mixed(&m, GIB(5), GIB(2), MT_WB);
	assert_uniform(&m, GIB(6), GIB(1), MT_UC);
	set(&m, 1, GIB(5), 0xfc0000000ULL, 1); /* a range overrides the default */
	assert_mixed(&m, GIB(4), GIB(2), MT_WB);
	assert_uniform(&m, GIB(5), GIB(1), MT_WC);
	m.def_type = 0x400; /* E is clear */
	assert_uniform(&m, GIB(4), GIB(1), MT_UC);
}

static void default_type_covers_the_rest(void **state)
{
	struct mtrr m = pc();

	(void)state;
	set(&m, 0, 0, 0xf80000000ULL, 6); /* 0 to 2 GiB */
	assert_uniform(&m, MIB(1), GIB(2) - MIB(1), MT_WB);
	assert_uniform(&m, GIB(2), GIB(2), MT_UC);
	assert_mixed(&m, GIB(1), GIB(2), MT_WB);
	m.def_type = 0xc06;
	assert_uniform(&m, GIB(1), GIB(2), MT_WB);
}

/* As firmware does it: write-back over all, and the gap below 4 GiB uncached. */
static void uncached_wins(void **state)
{
	struct mtrr m = pc();

	(void)state;
	set(&m, 0, 0, 0xf00000000ULL, 6);
	set(&m, 1, 0xc0000000ULL, 0xfc0000000ULL, 0);
	assert_uniform(&m, MIB(1), GIB(3) - MIB(1), MT_WB);
	assert_uniform(&m, GIB(3), GIB(1), MT_UC);
	assert_mixed(&m, GIB(2), GIB(2), MT_WB);
}

static void write_through_wins_over_write_back(void **state)
{
	struct mtrr m = pc();

	(void)state;
	set(&m, 0, 0, 0xf00000000ULL, 6);
	set(&m, 1, 0x10000000ULL, 0xff0000000ULL, 4);
	assert_uniform(&m, 0x10000000, 0x10000000, MT_WT);
	assert_uniform(&m, 0x20000000, 0x10000000, MT_WB);
	/* the other way round */
	set(&m, 2, 0x10000000ULL, 0xff0000000ULL, 6);
	assert_uniform(&m, 0x10000000, 0x10000000, MT_WT);
}

/* What the manual leaves undefined must not become a cached mapping. */
static void undefined_overlap_is_uncached(void **state)
{
	struct mtrr m = pc();

	(void)state;
	set(&m, 0, 0, 0xf00000000ULL, 6);
	set(&m, 1, 0x10000000ULL, 0xff0000000ULL, 1);
	assert_uniform(&m, 0x10000000, 0x10000000, MT_UC);
	set(&m, 2, 0, 0xf00000000ULL, 6);
	assert_uniform(&m, 0x10000000, 0x10000000, MT_UC);
}

static void an_invalid_register_does_not_count(void **state)
{
	struct mtrr m = pc();

	(void)state;
	set(&m, 0, 0, 0xf00000000ULL, 6);
	m.variable[0].mask &= ~(1ULL << 11);
	assert_uniform(&m, MIB(1), GIB(1), MT_UC);
}

static void fixed_ranges_come_first(void **state)
{
	struct mtrr m = pc();

	(void)state;
	set(&m, 0, 0, 0xf00000000ULL, 6);
	m.fixed[2] = 0;			    /* A0000 to BFFFF: uncached */
	m.fixed[3] = 0x0606060606060506ULL; /* C1000: write-protected */
	assert_uniform(&m, 0, 0xa0000, MT_WB);
	assert_uniform(&m, 0xa0000, 0x20000, MT_UC);
	assert_uniform(&m, 0xc1000, 0x1000, MT_WP);
	assert_uniform(&m, 0xc2000, MIB(2), MT_WB);
	assert_mixed(&m, 0, MIB(2), MT_WB);
	m.def_type &= ~0x400ULL; /* FE off: the variable ones take over */
	assert_uniform(&m, 0, MIB(2), MT_WB);
}

static void a_reserved_type_is_uncached(void **state)
{
	struct mtrr m = pc();

	(void)state;
	set(&m, 0, 0, 0xf00000000ULL, 3);
	assert_uniform(&m, MIB(1), GIB(1), MT_UC);
}

/* A mask with holes (SDM vol. 3A 12.11.3.1): here every other 64 KiB of the first 256. */
static void a_mask_with_holes_is_honoured(void **state)
{
	struct mtrr m = pc();

	(void)state;
	m.def_type = 0x800;
	set(&m, 0, 0x10000, 0xfffff0000ULL & ~0x20000ULL, 6);
	assert_uniform(&m, 0x10000, 0x10000, MT_WB);
	assert_uniform(&m, 0x20000, 0x10000, MT_UC);
	assert_uniform(&m, 0x30000, 0x10000, MT_WB);
	assert_uniform(&m, 0x40000, 0x10000, MT_UC);
	assert_mixed(&m, 0x10000, 0x20000, MT_WB);
}

static void runs_end_where_the_type_may_change(void **state)
{
	struct mtrr m = pc();
	uint64_t run;

	(void)state;
	set(&m, 0, 0, 0xf00000000ULL, 6);
	set(&m, 1, 0xc0000000ULL, 0xfc0000000ULL, 0);
	assert_int_equal(mtrr_type_at(&m, GIB(1), &run), MT_WB);
	assert_int_equal(run, GIB(2));
	assert_int_equal(mtrr_type_at(&m, GIB(3), &run), MT_UC);
	assert_int_equal(run, GIB(1));
	assert_int_equal(mtrr_type_at(&m, GIB(5), &run), MT_UC);
	assert_int_equal(run, GIB(64) - GIB(5));
	assert_int_equal(mtrr_type_at(&m, GIB(64), NULL), MT_UC);
}

/*
 * Pieces of a page's size found by walking the runs cover a range without a gap: what the EPT's
 * builder does.
 */
static void runs_make_progress_everywhere(void **state)
{
	struct mtrr m = pc();
	uint64_t pa = 0, run, steps = 0;

	(void)state;
	set(&m, 0, 0, 0xf00000000ULL, 6);
	set(&m, 1, 0x7fffe000ULL, 0xfffffe000ULL, 0);
	for (; pa < GIB(64); pa += run, steps++) {
		mtrr_type_at(&m, pa, &run);
		assert_true(run > 0);
		assert_true(run % 4096 == 0);
	}
	assert_true(steps < 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disabled_is_uncached),
		cmocka_unit_test(default_type_covers_the_rest),
		cmocka_unit_test(top_mem2_is_write_back),
		cmocka_unit_test(uncached_wins),
		cmocka_unit_test(write_through_wins_over_write_back),
		cmocka_unit_test(undefined_overlap_is_uncached),
		cmocka_unit_test(an_invalid_register_does_not_count),
		cmocka_unit_test(fixed_ranges_come_first),
		cmocka_unit_test(a_reserved_type_is_uncached),
		cmocka_unit_test(a_mask_with_holes_is_honoured),
		cmocka_unit_test(runs_end_where_the_type_may_change),
		cmocka_unit_test(runs_make_progress_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
