/* links: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The C library has the same names: Socle's functions are compiled here under other ones. */
#define memcpy	socle_memcpy
#define memmove socle_memmove
#define memset	socle_memset
#define memcmp	socle_memcmp
#define memchr	socle_memchr
#define strlen	socle_strlen
#define strnlen socle_strnlen
#define strcmp	socle_strcmp
#define strncmp socle_strncmp
#define strchr	socle_strchr
#include "lib/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr

#define SIZE 80

static void fill(unsigned char *p)
{
	for (size_t i = 0; i < SIZE; i++)
		p[i] = (unsigned char)(i * 7 + 1);
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

/* Every length across the word size, at every offset: all bytes, and no byte beside them. */
static void memcpy_and_memset_touch_just_their_range(void **state)
{
	unsigned char source[SIZE], have[SIZE], want[SIZE];

	(void)state;
	fill(source);
	for (size_t at = 0; at < 9; at++) {
		for (size_t n = 0; n < 40; n++) {
			memset(have, 0xee, SIZE);
			memset(want, 0xee, SIZE);
			assert_ptr_equal(socle_memcpy(have + at, source + 3, n), have + at);
			for (size_t i = 0; i < n; i++)
				want[at + i] = source[3 + i];
			assert_memory_equal(have, want, SIZE);
			assert_ptr_equal(socle_memset(have + at, 0x1a5, n), have + at);
			for (size_t i = 0; i < n; i++)
				want[at + i] = 0xa5;
			assert_memory_equal(have, want, SIZE);
		}
	}
}

static void memmove_allows_every_overlap(void **state)
{
	unsigned char have[SIZE], want[SIZE];

	(void)state;
	for (size_t from = 0; from < 30; from++) {
		for (size_t to = 0; to < 30; to++) {
			for (size_t n = 0; n < 40; n++) {
				fill(have);
				fill(want);
				assert_ptr_equal(socle_memmove(have + to, have + from, n),
						 have + to);
				memmove(want + to, want + from, n);
				assert_memory_equal(have, want, SIZE);
			}
		}
	}
}

static void memcmp_orders_by_unsigned_bytes(void **state)
{
	(void)state;
	assert_int_equal(socle_memcmp("abc", "abd", 2), 0);
	assert_true(socle_memcmp("abc", "abd", 3) < 0);
	assert_true(socle_memcmp("\x80", "\x7f", 1) > 0);
	assert_int_equal(socle_memcmp("a", "b", 0), 0);
	assert_true(socle_memcmp("a\0b", "a\0a", 3) > 0);
}

static void memchr_and_strchr_find_the_first(void **state)
{
	static const char text[] = "a=b=c\xff";

	(void)state;
	assert_ptr_equal(socle_memchr(text, '=', 6), text + 1);
	assert_null(socle_memchr(text, 'c', 4));
	assert_ptr_equal(socle_memchr(text, 0xff, 6), text + 5);
	assert_ptr_equal(socle_strchr(text, '='), text + 1);
	assert_ptr_equal(socle_strchr(text, 0), text + 6);
	assert_ptr_equal(socle_strchr(text, 0xff), text + 5);
	assert_null(socle_strchr(text, 'z'));
}

static void lengths(void **state)
{
	static const char open_end[2] = {'a', 'b'};

	(void)state;
	assert_int_equal(socle_strlen(""), 0);
	assert_int_equal(socle_strlen("socle"), 5);
	assert_int_equal(socle_strnlen("socle", 9), 5);
	assert_int_equal(socle_strnlen("socle", 3), 3);
	assert_int_equal(socle_strnlen(open_end, 2), 2);
	assert_int_equal(socle_strnlen(open_end, 0), 0);
}

static void comparisons_agree_with_the_c_library(void **state)
{
	static const char *const words[] = {"", "a", "ab", "abc", "abd", "b", "\x80", "a\x80"};
	size_t count = sizeof(words) / sizeof(words[0]);

	(void)state;
	for (size_t i = 0; i < count * count; i++) {
		const char *a = words[i / count], *b = words[i % count];

		assert_int_equal(sign(socle_strcmp(a, b)), sign(strcmp(a, b)));
		for (size_t n = 0; n < 5; n++)
			assert_int_equal(sign(socle_strncmp(a, b, n)), sign(strncmp(a, b, n)));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(memcpy_and_memset_touch_just_their_range),
		cmocka_unit_test(memmove_allows_every_overlap),
		cmocka_unit_test(memcmp_orders_by_unsigned_bytes),
		cmocka_unit_test(memchr_and_strchr_find_the_first),
		cmocka_unit_test(lengths),
		cmocka_unit_test(comparisons_agree_with_the_c_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
