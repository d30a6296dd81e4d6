/* links: efi/carve.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "efi/carve.h"
#include "lib/assert.h"
#include "lib/err.h"
#include "lib/util.h"

#define MAX_FREE 300

void assert_failed(const char *file, int line, const char *what)
{
	print_error("%s:%d: %s\n", file, line, what);
	abort();
}

static struct boot_extent pool[MAX_FREE], got[CARVE_EXTENTS];

static struct carve carve_of(const struct boot_extent *e, size_t n)
{
	struct carve c;

	carve_init(&c, pool, MAX_FREE);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(carve_add(&c, e[i]), 0);
	return c;
}

#define CARVE(...)                                          \
	carve_of((const struct boot_extent[]){__VA_ARGS__}, \
		 ARRAY_SIZE(((const struct boot_extent[]){__VA_ARGS__})))

static void assert_extent(struct boot_extent e, uint64_t base, uint64_t size)
{
	assert_int_equal(e.base, base);
	assert_int_equal(e.size, size);
}

/* A free list stays ascending, and no two of its extents touch. */
static void assert_ordered(const struct carve *c)
{
	for (size_t i = 0; i + 1 < c->count; i++)
		assert_true(c->free[i].base + c->free[i].size < c->free[i + 1].base);
}

static void any_order_and_overlaps_become_one_list(void **state)
{
	struct carve c = CARVE({MIB(64), MIB(32)}, {MIB(2), MIB(2)}, {MIB(96), MIB(4)},
			       {MIB(3), MIB(5)}, {MIB(20), 0}, {MIB(50), MIB(10)});

	(void)state;
	assert_int_equal(c.count, 3);
	assert_extent(c.free[0], MIB(2), MIB(6));
	assert_extent(c.free[1], MIB(50), MIB(10));
	assert_extent(c.free[2], MIB(64), MIB(36));
	assert_int_equal(carve_add(&c, (struct boot_extent){MIB(1), MIB(200)}), 0);
	assert_int_equal(c.count, 1);
	assert_extent(c.free[0], MIB(1), MIB(200));
}

static void a_memory_map_that_lies_is_left_out(void **state)
{
	struct carve c = CARVE({UINT64_MAX - 4095, 8192}, {MIB(4), UINT64_MAX});

	(void)state;
	assert_int_equal(c.count, 0);
	assert_int_equal(carve_add(&c, (struct boot_extent){UINT64_MAX - MIB(1), MIB(1)}), 0);
	carve_align(&c, CARVE_PAGE);
	assert_int_equal(c.count, 0);
}

static void a_full_list_is_an_error(void **state)
{
	struct boot_extent small[2];
	struct carve c;

	(void)state;
	carve_init(&c, small, 2);
	assert_int_equal(carve_add(&c, (struct boot_extent){MIB(2), MIB(2)}), 0);
	assert_int_equal(carve_add(&c, (struct boot_extent){MIB(6), MIB(2)}), 0);
	assert_int_equal(carve_add(&c, (struct boot_extent){MIB(10), MIB(2)}), -ENOSPC);
	assert_int_equal(carve_add(&c, (struct boot_extent){MIB(4), MIB(2)}), 0);
	assert_int_equal(c.count, 1);
}

static void alignment_leaves_whole_pages(void **state)
{
	struct carve c =
		CARVE({0x1000, 0x9f000}, {MIB(1), MIB(3)}, {MIB(9), MIB(2)}, {MIB(13), MIB(6)});

	(void)state;
	carve_align(&c, CARVE_PAGE);
	assert_int_equal(c.count, 2);
	assert_extent(c.free[0], MIB(2), MIB(2));
	assert_extent(c.free[1], MIB(14), MIB(4));
	assert_int_equal(carve_total(&c), MIB(6));
}

static void one_piece_below_a_limit(void **state)
{
	struct carve c = CARVE({MIB(1), MIB(7)}, {MIB(100), MIB(900)}, {GIB(4), GIB(2)});
	struct boot_extent e;

	(void)state;
	assert_int_equal(carve_one(&c, MIB(3), MIB(2), GIB(4), &e), 0);
	assert_extent(e, MIB(4), MIB(3));
	assert_int_equal(carve_one(&c, MIB(5), MIB(2), GIB(4), &e), 0);
	assert_extent(e, MIB(994), MIB(5));
	assert_int_equal(carve_one(&c, GIB(1), MIB(2), GIB(4), &e), -ENOMEM);
	assert_int_equal(carve_one(&c, GIB(1), MIB(2), GIB(5), &e), 0);
	assert_extent(e, GIB(4), GIB(1));
	assert_ordered(&c);
	assert_int_equal(carve_total(&c), MIB(7 + 900 + 2048) - MIB(3 + 5 + 1024));
}

static void a_small_vm_takes_the_end_above_4_gib(void **state)
{
	struct carve c = CARVE({MIB(2), GIB(2)}, {GIB(4), GIB(4)});

	(void)state;
	assert_int_equal(carve_vm(&c, MIB(512), got), 1);
	assert_extent(got[0], GIB(8) - MIB(512), MIB(512));
}

static void a_large_vm_takes_a_1_gib_boundary(void **state)
{
	struct carve c = CARVE({MIB(2), GIB(3)}, {GIB(4) + MIB(16), GIB(6)});

	(void)state;
	assert_int_equal(carve_vm(&c, GIB(2), got), 1);
	assert_extent(got[0], GIB(5), GIB(2));
	assert_int_equal(carve_vm(&c, MIB(100), got), 1);
	assert_extent(got[0], GIB(5) - MIB(100), MIB(100));
	assert_ordered(&c);
}

static void without_room_above_4_gib_below_will_do(void **state)
{
	struct carve c = CARVE({MIB(16), MIB(1500)}, {GIB(4), MIB(256)});

	(void)state;
	assert_int_equal(carve_vm(&c, MIB(600), got), 1);
	assert_extent(got[0], MIB(916), MIB(600));
}

static void pieces_are_put_together_ascending(void **state)
{
	struct carve c = CARVE({MIB(16), MIB(100)}, {MIB(200), MIB(300)}, {GIB(4), MIB(64)},
			       {GIB(5), MIB(32)});

	(void)state;
	/* No piece holds all: first what is above 4 GiB, then the smallest that holds the rest. */
	assert_int_equal(carve_vm(&c, MIB(380), got), 3);
	assert_extent(got[0], MIB(216), MIB(284));
	assert_extent(got[1], GIB(4), MIB(64));
	assert_extent(got[2], GIB(5), MIB(32));
	assert_int_equal(carve_vm(&c, MIB(116), got), 2);
	assert_int_equal(c.count, 0);
}

static void too_much_leaves_the_list_as_it_was(void **state)
{
	struct carve c = CARVE({MIB(16), MIB(100)}, {GIB(4), MIB(64)});

	(void)state;
	assert_int_equal(carve_vm(&c, MIB(166), got), -ENOMEM);
	assert_int_equal(c.count, 2);
	assert_int_equal(carve_vm(&c, MIB(164), got), 2);
}

/* COUNT pieces of 2 MiB from BASE on, each with a gap behind it. */
static void add_crumbs(struct carve *c, uint64_t base, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_int_equal(carve_add(c, (struct boot_extent){base + i * MIB(4), MIB(2)}), 0);
}

static void crumbs_above_4_gib_do_not_use_up_the_extents(void **state)
{
	struct carve c = CARVE({MIB(16), MIB(200)});

	(void)state;
	add_crumbs(&c, GIB(4), 100);
	/* By preference it would begin with 64 crumbs above 4 GiB, and be at its end. */
	assert_int_equal(carve_vm(&c, MIB(240), got), 21);
	assert_extent(got[0], MIB(16), MIB(200));
}

static void more_than_64_pieces_is_an_error(void **state)
{
	struct carve c = CARVE({MIB(16), MIB(2)});

	(void)state;
	add_crumbs(&c, GIB(4), 99);
	assert_int_equal(carve_vm(&c, MIB(130), got), -E2BIG);
	assert_int_equal(c.count, 100);
	assert_int_equal(carve_total(&c), MIB(200));
	assert_int_equal(carve_vm(&c, MIB(128), got), 64);
}

/* Whatever the map: what VMs get is theirs alone, was free, is aligned, and adds up. */
static void nothing_is_given_twice(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 500; round++) {
		struct boot_extent taken[8 * CARVE_EXTENTS];
		size_t n = 0;
		uint64_t before, sum = 0;
		struct carve c;

		carve_init(&c, pool, MAX_FREE);
		for (int i = 0; i < 40; i++)
			assert_int_equal(
				carve_add(&c,
					  (struct boot_extent){(uint64_t)(rand() % 0x200000) << 12,
							       (uint64_t)(rand() % 0x10000) << 12}),
				0);
		carve_align(&c, CARVE_PAGE);
		before = carve_total(&c);
		for (int vm = 0; vm < 8; vm++) {
			uint64_t size = (uint64_t)(1 + rand() % 700) * CARVE_PAGE, have = 0;
			int count = carve_vm(&c, size, got);

			for (int i = 0; i < count; i++) {
				assert_true(IS_ALIGNED(got[i].base | got[i].size, CARVE_PAGE));
				assert_true(i == 0 || got[i].base > got[i - 1].base);
				have += got[i].size;
				taken[n++] = got[i];
			}
			assert_int_equal(have, count < 0 ? 0 : size);
			sum += have;
			assert_ordered(&c);
		}
		assert_int_equal(carve_total(&c), before - sum);
		/* Given back, all of it fits in again without an overlap. */
		for (size_t i = 0; i < n; i++)
			assert_int_equal(carve_add(&c, taken[i]), 0);
		assert_int_equal(carve_total(&c), before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order_and_overlaps_become_one_list),
		cmocka_unit_test(a_memory_map_that_lies_is_left_out),
		cmocka_unit_test(a_full_list_is_an_error),
		cmocka_unit_test(alignment_leaves_whole_pages),
		cmocka_unit_test(one_piece_below_a_limit),
		cmocka_unit_test(a_small_vm_takes_the_end_above_4_gib),
		cmocka_unit_test(a_large_vm_takes_a_1_gib_boundary),
		cmocka_unit_test(without_room_above_4_gib_below_will_do),
		cmocka_unit_test(pieces_are_put_together_ascending),
		cmocka_unit_test(too_much_leaves_the_list_as_it_was),
		cmocka_unit_test(crumbs_above_4_gib_do_not_use_up_the_extents),
		cmocka_unit_test(more_than_64_pieces_is_an_error),
		cmocka_unit_test(nothing_is_given_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
