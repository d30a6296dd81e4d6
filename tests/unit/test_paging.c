/* links: arch/x86/paging.c arch/x86/pages.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/paging.h"
#include "lib/assert.h"
#include "lib/err.h"

_Noreturn void assert_failed(const char *file, int line, const char *what)
{
	fail_msg("%s:%d: %s", file, line, what);
	abort();
}

/* Tables from the C library, with a limit, and counted: a leak is seen by the count and by ASan. */
static size_t tables_left, tables_live;

static void *table_alloc(void *ctx)
{
	void *page;

	(void)ctx;
	if (!tables_left)
		return NULL;
	tables_left--;
	tables_live++;
	page = aligned_alloc(4096, 4096);
	return memset(page, 0, 4096);
}

static void table_free(void *ctx, void *page)
{
	(void)ctx;
	tables_live--;
	free(page);
}

static const struct pt_alloc alloc = {table_alloc, table_free, NULL};
static struct pt pt;

static void start(const struct pt_format *fmt, unsigned int levels)
{
	tables_left = 1000;
	assert_int_equal(pt_init(&pt, fmt, levels, PT_PAGE_1G, &alloc), 0);
}

static int finish(void **state)
{
	(void)state;
	pt_free(&pt);
	assert_int_equal(tables_live, 0);
	return 0;
}

/* The entry that maps VA, found as the processor finds it: nine bits of the address a level. */
static uint64_t raw_entry(uint64_t va, unsigned int stop_level)
{
	uint64_t table = pt.root, entry = 0;

	for (unsigned int level = pt.levels; level >= stop_level; level--) {
		entry = ((uint64_t *)(uintptr_t)table)[va >> (12 + 9 * (level - 1)) & 511];
		table = entry & 0x000ffffffffff000ULL;
	}
	return entry;
}

static void assert_maps(uint64_t va, uint64_t pa, uint64_t page)
{
	struct pt_mapping m;

	assert_true(pt_lookup(&pt, va, &m));
	assert_int_equal(m.pa, pa);
	assert_int_equal(m.page, page);
}

static void assert_hole(uint64_t va)
{
	struct pt_mapping m;

	assert_false(pt_lookup(&pt, va, &m));
}

/* SDM vol. 3A tables 4-15 to 4-20 */
static void host_entries_are_the_manuals(void **state)
{
	(void)state;
	start(&host_format, 4);
	assert_int_equal(pt_map(&pt, 0x1000, 0x5000, 4096, PT_R | PT_W, MT_WB, PT_PAGE_4K), 0);
	assert_int_equal(pt_map(&pt, 0x2000, 0x6000, 4096, PT_R | PT_X | PT_G, MT_UC, PT_PAGE_4K),
			 0);
	assert_int_equal(pt_map(&pt, 0x3000, 0x7000, 4096, PT_R | PT_U, MT_WC, PT_PAGE_4K), 0);
	assert_int_equal(pt_map(&pt, 0x200000, 0x400000, 0x200000, PT_R | PT_W, MT_WC, PT_PAGE_2M),
			 0);
	/* P, W, A, D and NX; P, PWT, PCD, A, D, G; P, U, PWT, PCD, A, D, PAT (bit 7), NX */
	assert_int_equal(raw_entry(0x1000, 1), 0x8000000000005063ULL);
	assert_int_equal(raw_entry(0x2000, 1), 0x0000000000006179ULL);
	assert_int_equal(raw_entry(0x3000, 1), 0x80000000000070fdULL);
	/* PS, and PAT in bit 12 */
	assert_int_equal(raw_entry(0x200000, 2), 0x80000000004010fbULL);
	/* Tables give every permission: P, W, U, A */
	assert_int_equal(raw_entry(0x1000, 2) & 0xfff, 0x27);
}

/* The PAT entry that PAT:PCD:PWT select must hold the type that was asked for. */
static void host_types_agree_with_the_pat(void **state)
{
	static const enum memtype types[] = {MT_UC, MT_WC, MT_WT, MT_WP, MT_WB, MT_UC_MINUS};

	(void)state;
	start(&host_format, 4);
	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		uint64_t small = 0x1000 * (i + 1), large = GIB(1) * (i + 1), e;
		struct pt_mapping m;

		pt_map(&pt, small, small, 4096, PT_R, types[i], PT_PAGE_1G);
		pt_map(&pt, large, large, GIB(1), PT_R, types[i], PT_PAGE_1G);
		e = raw_entry(small, 1);
		assert_int_equal(HOST_PAT >> 8 * ((e >> 3 & 3) | (e >> 7 & 1) << 2) & 7, types[i]);
		e = raw_entry(large, 3);
		assert_int_equal(HOST_PAT >> 8 * ((e >> 3 & 3) | (e >> 12 & 1) << 2) & 7, types[i]);
		assert_true(pt_lookup(&pt, large + 5, &m));
		assert_int_equal(m.type, types[i]);
		assert_int_equal(m.pa, large + 5);
	}
}

/* SDM vol. 3C tables 29-1 to 29-7 */
static void ept_entries_are_the_manuals(void **state)
{
	(void)state;
	start(&ept_format, 4);
	assert_int_equal(pt_map(&pt, 0, 0x5000, 4096, PT_R | PT_W | PT_X, MT_WB, PT_PAGE_4K), 0);
	assert_int_equal(pt_map(&pt, 0x1000, 0x6000, 4096, PT_R, MT_UC, PT_PAGE_4K), 0);
	assert_int_equal(pt_map(&pt, 0x200000, 0x200000, 0x200000, PT_R | PT_W, MT_WT, PT_PAGE_2M),
			 0);
	assert_int_equal(raw_entry(0, 1), 0x5037);
	assert_int_equal(raw_entry(0x1000, 1), 0x6001);
	assert_int_equal(raw_entry(0x200000, 2), 0x2000a3);
	assert_int_equal(raw_entry(0, 2) & 0xfff, 7);
	assert_int_equal(raw_entry(0, 4) & 0xfff, 7);
}

/* Write without read is a misconfiguration: SDM vol. 3C 29.3.3.1. */
static void ept_write_needs_read(void **state)
{
	(void)state;
	start(&ept_format, 4);
	assert_int_equal(pt_map(&pt, 0, 0, 4096, PT_W, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, 0, 0, 4096, PT_W | PT_X, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, 0, 0, 4096, 0, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, 0, 0, 4096, PT_X, MT_WB, PT_PAGE_4K), 0);
}

/* Every nested access counts as a user access: APM vol. 2 15.25.5. */
static void npt_entries_are_user_pages(void **state)
{
	(void)state;
	start(&npt_format, 4);
	assert_int_equal(pt_map(&pt, 0, 0x5000, 4096, PT_R | PT_W | PT_X, MT_WB, PT_PAGE_4K), 0);
	assert_int_equal(pt_map(&pt, 0x1000, 0x6000, 4096, PT_R, MT_WB, PT_PAGE_4K), 0);
	assert_int_equal(raw_entry(0, 1), 0x5067);
	assert_int_equal(raw_entry(0x1000, 1), 0x8000000000006065ULL);
	for (unsigned int level = 2; level <= 4; level++)
		assert_int_equal(raw_entry(0, level) & 7, 7);
}

static void the_largest_pages_that_fit_are_used(void **state)
{
	(void)state;
	start(&ept_format, 4);
	/* 4 KiB and 2 MiB pages up to the first GiB, one of 1 GiB, and the same down again */
	assert_int_equal(pt_map(&pt, GIB(1) - MIB(2) - KIB(8), GIB(5) - MIB(2) - KIB(8),
				GIB(1) + 2 * (MIB(2) + KIB(8)), PT_R, MT_WB, PT_PAGE_1G),
			 0);
	assert_maps(GIB(1) - MIB(2) - KIB(8), GIB(5) - MIB(2) - KIB(8), PT_PAGE_4K);
	assert_maps(GIB(1) - MIB(2) + 123, GIB(5) - MIB(2) + 123, PT_PAGE_2M);
	assert_maps(GIB(1) + 0x12345678, GIB(5) + 0x12345678, PT_PAGE_1G);
	assert_maps(GIB(2), GIB(6), PT_PAGE_2M);
	assert_maps(GIB(2) + MIB(2) + KIB(4), GIB(6) + MIB(2) + KIB(4), PT_PAGE_4K);
	assert_hole(GIB(1) - MIB(2) - KIB(8) - 1);
	assert_hole(GIB(2) + MIB(2) + KIB(8));
}

static void page_size_follows_every_limit(void **state)
{
	(void)state;
	start(&ept_format, 4);
	pt_map(&pt, 0, 0, GIB(1), PT_R, MT_WB, PT_PAGE_2M);
	assert_maps(0, 0, PT_PAGE_2M);
	pt_map(&pt, GIB(1), GIB(1), MIB(2), PT_R, MT_WB, PT_PAGE_4K);
	assert_maps(GIB(1), GIB(1), PT_PAGE_4K);
	/* VA and PA not aligned alike */
	pt_map(&pt, GIB(2), GIB(2) + KIB(4), MIB(4), PT_R, MT_WB, PT_PAGE_1G);
	assert_maps(GIB(2) + MIB(2), GIB(2) + MIB(2) + KIB(4), PT_PAGE_4K);
	pt.max_page = PT_PAGE_2M;
	pt_map(&pt, GIB(4), GIB(4), GIB(1), PT_R, MT_WB, PT_PAGE_1G);
	assert_maps(GIB(4), GIB(4), PT_PAGE_2M);
}

/*
 * Where a change of page size under an instruction fetch can hang the machine, code gets 4 KiB
 * pages.
 */
static void executable_pages_can_be_forced_small(void **state)
{
	(void)state;
	start(&ept_format, 4);
	pt.small_exec = true;
	pt_map(&pt, 0, 0, MIB(2), PT_R | PT_W | PT_X, MT_WB, PT_PAGE_1G);
	pt_map(&pt, MIB(2), MIB(2), MIB(2), PT_R | PT_W, MT_WB, PT_PAGE_1G);
	assert_maps(0, 0, PT_PAGE_4K);
	assert_maps(MIB(2), MIB(2), PT_PAGE_2M);
}

static void unmapping_splits_and_keeps_the_rest(void **state)
{
	struct pt_mapping m;

	(void)state;
	start(&host_format, 4);
	pt_map(&pt, 0, GIB(3), GIB(1), PT_R | PT_W | PT_G, MT_WC, PT_PAGE_1G);
	assert_int_equal(pt_unmap(&pt, MIB(2) + KIB(4), KIB(4)), 0);
	assert_hole(MIB(2) + KIB(4));
	assert_hole(MIB(2) + KIB(8) - 1);
	assert_maps(MIB(2), GIB(3) + MIB(2), PT_PAGE_4K);
	assert_maps(MIB(2) + KIB(8), GIB(3) + MIB(2) + KIB(8), PT_PAGE_4K);
	assert_maps(0, GIB(3), PT_PAGE_2M);
	assert_maps(GIB(1) - 1, GIB(4) - 1, PT_PAGE_2M);
	/* The type changes its bit's place with the page's size, and nothing else changes. */
	assert_true(pt_lookup(&pt, MIB(2), &m));
	assert_int_equal(m.type, MT_WC);
	assert_int_equal(m.prot, PT_R | PT_W | PT_G);
	assert_int_equal(raw_entry(MIB(2), 1), 0x80000000c02001fbULL);
	assert_int_equal(raw_entry(0, 2), 0x80000000c00011fbULL);
}

static void unmapping_spans_sizes_and_holes(void **state)
{
	(void)state;
	start(&ept_format, 4);
	pt_map(&pt, 0, 0, MIB(4), PT_R, MT_WB, PT_PAGE_2M);
	pt_map(&pt, MIB(6), MIB(6), KIB(8), PT_R, MT_WB, PT_PAGE_2M);
	assert_int_equal(pt_unmap(&pt, MIB(1), GIB(2)), 0);
	assert_maps(MIB(1) - 1, MIB(1) - 1, PT_PAGE_4K);
	assert_hole(MIB(1));
	assert_hole(MIB(2));
	assert_hole(MIB(6));
	assert_hole(MIB(6) + KIB(4));
}

static void what_is_mapped_is_not_mapped_over(void **state)
{
	(void)state;
	start(&ept_format, 4);
	pt_map(&pt, KIB(8), KIB(8), KIB(4), PT_R, MT_WB, PT_PAGE_4K);
	assert_int_equal(pt_map(&pt, KIB(8), 0, KIB(4), PT_R, MT_WB, PT_PAGE_4K), -EEXIST);
	assert_int_equal(pt_map(&pt, 0, 0, MIB(2), PT_R, MT_WB, PT_PAGE_2M), -EEXIST);
	pt_map(&pt, GIB(1), GIB(1), GIB(1), PT_R, MT_WB, PT_PAGE_1G);
	assert_int_equal(pt_map(&pt, GIB(1) + KIB(4), 0, KIB(4), PT_R, MT_WB, PT_PAGE_4K), -EEXIST);
	assert_maps(KIB(8), KIB(8), PT_PAGE_4K);
	assert_maps(GIB(1) + KIB(4), GIB(1) + KIB(4), PT_PAGE_1G);
}

static void an_emptied_range_can_be_mapped_again(void **state)
{
	(void)state;
	start(&ept_format, 4);
	pt_map(&pt, 0, 0, MIB(2), PT_R, MT_WB, PT_PAGE_4K);
	pt_unmap(&pt, 0, MIB(2));
	assert_int_equal(pt_map(&pt, 0, GIB(1), MIB(2), PT_R | PT_W, MT_WB, PT_PAGE_2M), 0);
	assert_maps(MIB(1), GIB(1) + MIB(1), PT_PAGE_4K);
}

static void what_is_unaligned_or_out_of_reach_is_refused(void **state)
{
	(void)state;
	start(&ept_format, 4);
	assert_int_equal(pt_map(&pt, 1, 0, 4096, PT_R, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, 0, 0x800, 4096, PT_R, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, 0, 0, 4095, PT_R, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, BIT(48), 0, 4096, PT_R, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, BIT(48) - 4096, 0, 8192, PT_R, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, 0x1000, 0, ~0xfffULL, PT_R, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, 0, BIT(52), 4096, PT_R, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, 0, BIT(52) - 4096, 8192, PT_R, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt_map(&pt, BIT(48) - 4096, BIT(52) - 4096, 4096, PT_R, MT_WB, PT_PAGE_4K),
			 0);
	assert_maps(BIT(48) - 1, BIT(52) - 1, PT_PAGE_4K);
	assert_int_equal(pt_unmap(&pt, 0x10, 4096), -EINVAL);
	assert_hole(BIT(48));
	assert_hole(~0ULL);
}

static void five_levels_reach_further(void **state)
{
	(void)state;
	start(&host_format, 5);
	assert_int_equal(pt_map(&pt, BIT(56), 0x1000, 4096, PT_R, MT_WB, PT_PAGE_4K), 0);
	assert_maps(BIT(56) + 7, 0x1007, PT_PAGE_4K);
	assert_int_equal(pt_map(&pt, BIT(57), 0x1000, 4096, PT_R, MT_WB, PT_PAGE_4K), -EINVAL);
	assert_int_equal(pt.tables, 5);
}

static void no_memory_is_an_error_and_no_leak(void **state)
{
	(void)state;
	tables_left = 0;
	assert_int_equal(pt_init(&pt, &ept_format, 4, PT_PAGE_1G, &alloc), -ENOMEM);
	for (size_t limit = 1; limit < 4; limit++) {
		tables_left = limit;
		assert_int_equal(pt_init(&pt, &ept_format, 4, PT_PAGE_1G, &alloc), 0);
		assert_int_equal(pt_map(&pt, 0, 0, 4096, PT_R, MT_WB, PT_PAGE_4K), -ENOMEM);
		assert_hole(0);
		finish(NULL);
	}
	tables_left = 2;
	assert_int_equal(pt_init(&pt, &ept_format, 4, PT_PAGE_1G, &alloc), 0);
	pt_map(&pt, 0, 0, GIB(1), PT_R, MT_WB, PT_PAGE_1G);
	assert_int_equal(pt_unmap(&pt, 0, 4096), -ENOMEM);
	assert_maps(0, 0, PT_PAGE_1G);
}

static void a_clone_is_equal_and_apart(void **state)
{
	struct pt original;

	(void)state;
	start(&host_format, 4);
	pt_map(&pt, 0, 0, GIB(1) + MIB(2) + KIB(4), PT_R | PT_W, MT_WB, PT_PAGE_1G);
	original = pt;
	assert_int_equal(pt_clone(&pt, &original), 0);
	assert_int_equal(pt.tables, original.tables);
	assert_maps(5, 5, PT_PAGE_1G);
	assert_maps(GIB(1), GIB(1), PT_PAGE_2M);
	assert_maps(GIB(1) + MIB(2), GIB(1) + MIB(2), PT_PAGE_4K);
	pt_unmap(&pt, GIB(1) + MIB(2), KIB(4));
	pt_map(&pt, GIB(8), GIB(8), KIB(4), PT_R, MT_WB, PT_PAGE_4K);
	pt_free(&pt);
	pt = original;
	assert_maps(GIB(1) + MIB(2), GIB(1) + MIB(2), PT_PAGE_4K);
	assert_hole(GIB(8));
	tables_left = 2;
	assert_int_equal(pt_clone(&pt, &original), -ENOMEM);
	pt = original;
	assert_int_equal(tables_live, original.tables);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, finish)
	const struct CMUnitTest tests[] = {
		TEST(host_entries_are_the_manuals),
		TEST(host_types_agree_with_the_pat),
		TEST(ept_entries_are_the_manuals),
		TEST(ept_write_needs_read),
		TEST(npt_entries_are_user_pages),
		TEST(the_largest_pages_that_fit_are_used),
		TEST(page_size_follows_every_limit),
		TEST(executable_pages_can_be_forced_small),
		TEST(unmapping_splits_and_keeps_the_rest),
		TEST(unmapping_spans_sizes_and_holes),
		TEST(what_is_mapped_is_not_mapped_over),
		TEST(an_emptied_range_can_be_mapped_again),
		TEST(what_is_unaligned_or_out_of_reach_is_refused),
		TEST(five_levels_reach_further),
		TEST(no_memory_is_an_error_and_no_leak),
		TEST(a_clone_is_equal_and_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
