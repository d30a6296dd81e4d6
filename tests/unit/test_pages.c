/* links: arch/x86/pages.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/pages.h"
#include "lib/assert.h"
#include "lib/err.h"

#define POOL_PAGES 300
#define MAP_PAGES  1 /* 300 bits fit into one page */

static jmp_buf on_assert;

_Noreturn void assert_failed(const char *file, int line, const char *what)
{
	(void)file;
	(void)line;
	(void)what;
	longjmp(on_assert, 1);
}

static uint8_t *pool;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(posix_memalign((void **)&pool, 65536, POOL_PAGES * PAGE_SIZE), 0);
	memset(pool, 0xee, POOL_PAGES * PAGE_SIZE);
	return pages_init((uintptr_t)pool, POOL_PAGES * PAGE_SIZE);
}

static int teardown(void **state)
{
	(void)state;
	free(pool);
	return 0;
}

static void assert_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(p[i], 0);
}

static void pages_are_zero_and_apart(void **state)
{
	uint8_t *a = pages_alloc(3), *b = pages_alloc(1);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal((uintptr_t)a % PAGE_SIZE, 0);
	assert_zero(a, 3 * PAGE_SIZE);
	assert_zero(b, PAGE_SIZE);
	assert_true(b >= a + 3 * PAGE_SIZE || a >= b + PAGE_SIZE);
}

static void used_again_pages_are_zero_again(void **state)
{
	uint8_t *a = pages_alloc(2), *b;

	(void)state;
	memset(a, 0x55, 2 * PAGE_SIZE);
	pages_free(a, 2);
	b = pages_alloc(2);
	assert_ptr_equal(a, b);
	assert_zero(b, 2 * PAGE_SIZE);
}

static void counts_are_kept(void **state)
{
	void *a;

	(void)state;
	assert_int_equal(pages_total(), POOL_PAGES);
	assert_int_equal(pages_used(), MAP_PAGES);
	a = pages_alloc(10);
	assert_int_equal(pages_used(), MAP_PAGES + 10);
	pages_free(a, 10);
	assert_int_equal(pages_used(), MAP_PAGES);
	assert_int_equal(pages_peak(), MAP_PAGES + 10);
}

static void exhaustion_is_null_and_takes_nothing(void **state)
{
	(void)state;
	assert_null(pages_alloc(POOL_PAGES));
	assert_null(pages_alloc(SIZE_MAX));
	assert_null(pages_alloc(0));
	assert_non_null(pages_alloc(POOL_PAGES - MAP_PAGES));
	assert_null(pages_alloc(1));
	assert_int_equal(pages_used(), POOL_PAGES);
}

static void a_run_needs_neighbours(void **state)
{
	uint8_t *all = pages_alloc(POOL_PAGES - MAP_PAGES);

	(void)state;
	for (size_t i = 0; i < POOL_PAGES - MAP_PAGES; i += 2)
		pages_free(all + i * PAGE_SIZE, 1);
	assert_null(pages_alloc(2));
	pages_free(all + 7 * PAGE_SIZE, 1);
	assert_ptr_equal(pages_alloc(3), all + 6 * PAGE_SIZE);
}

static void a_bad_pool_is_refused(void **state)
{
	(void)state;
	assert_int_equal(pages_init((uintptr_t)pool + 1, 16 * PAGE_SIZE), -EINVAL);
	assert_int_equal(pages_init((uintptr_t)pool, 16 * PAGE_SIZE + 5), -EINVAL);
	assert_int_equal(pages_init((uintptr_t)pool, PAGE_SIZE), -EINVAL);
	assert_int_equal(pages_init((uintptr_t)pool, 0), -EINVAL);
}

static void free_twice_is_caught(void **state)
{
	void *a = pages_alloc(1);

	(void)state;
	pages_free(a, 1);
	if (setjmp(on_assert) == 0) {
		pages_free(a, 1);
		fail_msg("a page was freed twice");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_are_zero_and_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(used_again_pages_are_zero_again, setup, teardown),
		cmocka_unit_test_setup_teardown(counts_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(exhaustion_is_null_and_takes_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_run_needs_neighbours, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bad_pool_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(free_twice_is_caught, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
