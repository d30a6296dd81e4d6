/* links: */
/* A translation that is kept holds for as long as a walk would give the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/gva.h"

#define LINEAR 0x7f0000401ff0ull

static uint64_t tables[GVA_LEVELS];
static uint8_t page[PAGE_SIZE];
static struct vcpu v;
static struct gva_key key;

static int setup(void **state)
{
	struct gva_slot *s = &v.gva[WALK_FETCH];

	(void)state;
	memset(&v, 0, sizeof(v));
	key = (struct gva_key){.cr0 = 0x80000031, .cr3 = 0x1000, .cr4 = 0x20, .efer = 0x500};
	s->page = LINEAR >> 12;
	s->key = key;
	s->host = page;
	for (unsigned int i = 0; i < GVA_LEVELS; i++) {
		tables[i] = 0x1000 * i + 0x23;
		s->where[i] = &tables[i];
		s->entry[i] = tables[i];
	}
	return 0;
}

static void test_holds_for_its_page(void **state)
{
	(void)state;
	assert_ptr_equal(gva_find(&v, WALK_FETCH, LINEAR, &key), &v.gva[WALK_FETCH]);
	assert_ptr_equal(gva_find(&v, WALK_FETCH, LINEAR & ~0xfffull, &key), &v.gva[WALK_FETCH]);
	assert_null(gva_find(&v, WALK_FETCH, LINEAR + PAGE_SIZE, &key));
	/* What may be executed may not have been read. */
	assert_null(gva_find(&v, WALK_READ, LINEAR, &key));
}

static void test_ends_with_each_entry(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < GVA_LEVELS; i++) {
		tables[i] ^= 0x20;
		assert_null(gva_find(&v, WALK_FETCH, LINEAR, &key));
		tables[i] ^= 0x20;
		assert_non_null(gva_find(&v, WALK_FETCH, LINEAR, &key));
	}
}

static void test_ends_with_each_register(void **state)
{
	static const struct gva_key changes[] = {{.cr0 = 1 << 16},
						 {.cr3 = 0x1000},
						 {.cr4 = 1 << 20},
						 {.efer = 1 << 11},
						 {.access = 3}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct gva_key other = {key.cr0 ^ changes[i].cr0, key.cr3 ^ changes[i].cr3,
					key.cr4 ^ changes[i].cr4, key.efer ^ changes[i].efer,
					key.access ^ changes[i].access};

		assert_null(gva_find(&v, WALK_FETCH, LINEAR, &other));
	}
}

static void test_empty(void **state)
{
	(void)state;
	memset(v.gva, 0, sizeof(v.gva));
	key = (struct gva_key){.cr0 = 0x10};
	assert_null(gva_find(&v, WALK_FETCH, 0, &key));
}

static void test_code(void **state)
{
	(void)state;
	assert_ptr_equal(gva_code(&v, LINEAR, 3, &key), page + 0xff0);
	assert_ptr_equal(gva_code(&v, LINEAR + 13, 3, &key), page + 0xffd);
	/* Across the page's end. */
	assert_null(gva_code(&v, LINEAR + 14, 3, &key));
	v.gva[WALK_FETCH].host = NULL;
	assert_null(gva_code(&v, LINEAR, 3, &key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_holds_for_its_page, setup),
		cmocka_unit_test_setup(test_ends_with_each_entry, setup),
		cmocka_unit_test_setup(test_ends_with_each_register, setup),
		cmocka_unit_test_setup(test_empty, setup),
		cmocka_unit_test_setup(test_code, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
