/* links: lib/fmt.c lib/strbuf.c */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/fmt.h"
#include "lib/strbuf.h"
#include "lib/util.h"

/* What lib/fmt.c makes of a format must be what the C library makes of it. */
#define assert_as_libc(...)                                  \
	do {                                                 \
		char want_[600], have_[600];                 \
		struct strbuf sb_;                           \
		sb_init(&sb_, have_, sizeof(have_));         \
		sb_printf(&sb_, __VA_ARGS__);                \
		snprintf(want_, sizeof(want_), __VA_ARGS__); \
		assert_string_equal(have_, want_);           \
	} while (0)

/* A few formats under test are ones that gcc rightly warns about in ordinary code. */
#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-extra-args"

static void integers(void **state)
{
	static const int values[] = {0, 1, -1, 9, 10, 127, 128, -128, 255, 65535, INT_MAX, INT_MIN};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		int v = values[i];

		assert_as_libc("%d|%i|%u|%x|%X", v, v, v, v, v);
		assert_as_libc("%8d|%-8d|%08d|%-08d|%3d", v, v, v, v, v);
		assert_as_libc("%#x|%#X|%#10x|%#010x|%-#10x|%#4x", v, v, v, v, v, v);
		assert_as_libc("%.5d|%8.5d|%-8.5d|%08.5d|%.0d|%.x|%#.8x", v, v, v, v, v, v, v);
		assert_as_libc("%hhd|%hhu|%hhx|%hd|%hu|%hx", v, v, v, v, v, v);
	}
}

static void long_integers(void **state)
{
	static const long values[] = {0, 1, -1, LONG_MAX, LONG_MIN, 0x100000000, -0x100000000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		long v = values[i];
		size_t z = (size_t)v;

		assert_as_libc("%ld|%lu|%lx|%lX|%li", v, v, v, v, v);
		assert_as_libc("%lld|%llu|%#llx", (long long)v, (long long)v, (long long)v);
		assert_as_libc("%zu|%zd|%zx|%#18zx", z, z, z, z);
		assert_as_libc("%016lx|%-20ld|%22lu|", v, v, v);
	}
}

static void strings(void **state)
{
	static const char unterminated[3] = {'a', 'b', 'c'};

	(void)state;
	assert_as_libc("%s|%s|%s", "", "a", "hello");
	assert_as_libc("%8s|%-8s|%2s", "hello", "hello", "hello");
	assert_as_libc("%.2s|%.0s|%.9s|%8.2s|%-8.2s|", "hello", "hello", "hello", "hello", "hello");
	assert_as_libc("%.*s|%.3s", 2, unterminated, unterminated);
	assert_as_libc("%c|%3c|%-3c|", 'x', 'y', 'z');
}

static void counts_from_arguments(void **state)
{
	(void)state;
	assert_as_libc("%*d|%*d|%-*d|", 6, 42, -6, 42, 6, 42);
	assert_as_libc("%.*d|%.*d|%*.*s|", 4, 42, -1, 42, 7, 2, "hello");
	assert_as_libc("%0*x", 12, 0xbeef);
	assert_as_libc("%500d|", 1);
}

static void pointers(void **state)
{
	(void)state;
	assert_as_libc("%p|%20p|%-20p|", (void *)0x1234, (void *)-1, (void *)0xfee00000);
}

static void percent_and_plain_text(void **state)
{
	(void)state;
	assert_as_libc("100%%");
	assert_as_libc("no conversion at all");
	assert_as_libc("%s", "");
}

/* Documented in lib/fmt.h and different from C, where it is undefined. */
static void unknown_conversions_stand_as_written(void **state)
{
	const char *volatile nothing = NULL;
	char text[64];
	struct strbuf sb;

	(void)state;
	sb_init(&sb, text, sizeof(text));
	sb_printf(&sb, "%q %-5y %d %", 7);
	assert_string_equal(text, "%q %-5y 7 %");
	sb_reset(&sb);
	sb_printf(&sb, "%p", (void *)NULL);
	assert_string_equal(text, "0x0");
	sb_reset(&sb);
	sb_printf(&sb, "%s", nothing);
	assert_string_equal(text, "(null)");
}

static void count_calls(void *ctx, const char *text, size_t len)
{
	size_t *bytes = ctx;

	(void)text;
	assert_true(len > 0);
	*bytes += len;
}

static void forward(size_t *bytes, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fmt_vprintf(count_calls, bytes, format, args);
	va_end(args);
}

static void output_has_no_limit(void **state)
{
	size_t bytes = 0;

	(void)state;
	forward(&bytes, "%70000d|%s%d", 1, "", 12);
	assert_int_equal(bytes, 70003);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers),
		cmocka_unit_test(long_integers),
		cmocka_unit_test(strings),
		cmocka_unit_test(counts_from_arguments),
		cmocka_unit_test(pointers),
		cmocka_unit_test(percent_and_plain_text),
		cmocka_unit_test(unknown_conversions_stand_as_written),
		cmocka_unit_test(output_has_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
