/* links: boot/backtrace.c boot/symbols.c lib/strbuf.c lib/fmt.c */
/* Who called whom, on a made-up image: text of 0x100 bytes, three functions, calls between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "boot/backtrace.h"
#include "lib/err.h"
#include "lib/strbuf.h"
#include "lib/util.h"

#define IMAGE 0x40000000u
#define TEXT  (IMAGE + 0x1000u)

static uint8_t text[0x100];
static const uint8_t sizes[] = {0x40, 0, 0x40, 0};
/* Letters; "mi", "dd", "midd", "r" and the end: pairs may stand in pairs. */
static const uint8_t meanings[][2] = {
	['d' - 1] = {0, 'd'},  ['e' - 1] = {0, 'e'}, ['i' - 1] = {0, 'i'}, ['l' - 1] = {0, 'l'},
	['m' - 1] = {0, 'm'},  ['n' - 1] = {0, 'n'}, ['o' - 1] = {0, 'o'}, ['r' - 1] = {0, 'r'},
	['t' - 1] = {0, 't'},  ['u' - 1] = {0, 'u'}, [0x7f] = {'m', 'i'},  [0x80] = {'d', 'd'},
	[0x81] = {0x80, 0x81}, [0x82] = {'r', 0},
};
static struct backtrace_code code = {
	.image = IMAGE,
	.start = TEXT,
	.end = TEXT + sizeof(text),
	.text = text,
	.symbols = {0x1000, sizes, (const uint8_t *)"oute\x83\x82le\0inner", meanings, 3},
};
static char out[256];

static const char *name_of(uint32_t offset, uint32_t *into)
{
	static char name[32];
	struct strbuf sb;
	int number = symbols_find(&code.symbols, offset, into);

	sb_init(&sb, name, sizeof(name));
	assert_true(number >= 0);
	symbols_name(&code.symbols, (unsigned int)number, &sb);
	return name;
}

static void note(void *ctx, uint64_t address, bool sure)
{
	size_t len = strlen(out);
	uint32_t into;
	const char *name = name_of((uint32_t)(address - IMAGE), &into);

	(void)ctx;
	snprintf(out + len, sizeof(out) - len, "%s+%x%s ", name, into, sure ? "" : "?");
}

/* CALL rel32 at offset AT to offset TARGET; returns where it returns to. */
static uint64_t call(uint32_t at, uint32_t target)
{
	int32_t distance = (int32_t)(target - (at + 5));

	text[at] = 0xe8;
	memcpy(text + at + 1, &distance, 4);
	return TEXT + at + 5;
}

static int setup(void **state)
{
	(void)state;
	memset(text, 0x90, sizeof(text));
	out[0] = '\0';
	return 0;
}

static void direct_calls_are_sure(void **state)
{
	uint64_t stack[] = {7, call(0x50, 0x80), TEXT - 1, 0, call(0x10, 0x40)};

	(void)state;
	backtrace(&code, TEXT + 0x90, stack, ARRAY_SIZE(stack), 8, note, NULL);
	assert_string_equal(out, "middle+15 outer+15 ");
}

static void a_call_of_something_else_is_doubtful(void **state)
{
	uint64_t stack[] = {call(0x50, 0x84), call(0x10, 0x80)};

	(void)state;
	backtrace(&code, TEXT + 0x90, stack, ARRAY_SIZE(stack), 8, note, NULL);
	assert_string_equal(out, "middle+15? outer+15? ");
}

static void indirect_calls_are_doubtful(void **state)
{
	uint64_t stack[] = {TEXT + 0x22, TEXT + 0x33, TEXT + 0x66};

	(void)state;
	memcpy(text + 0x20, "\xff\xd0", 2);		    /* call rax */
	memcpy(text + 0x30, "\xff\x53\x18", 3);		    /* call [rbx+18h] */
	memcpy(text + 0x60, "\xff\x15\x00\x00\x00\x00", 6); /* call [rip] */
	backtrace(&code, TEXT + 0x90, stack, ARRAY_SIZE(stack), 8, note, NULL);
	assert_string_equal(out, "outer+22? outer+33? middle+26? ");
}

static void words_that_are_no_return_addresses_are_left_out(void **state)
{
	uint64_t stack[] = {TEXT,	 TEXT + 1,     TEXT + 4, TEXT + 0x70, TEXT + sizeof(text),
			    TEXT - 0x10, ~0ull - 0x10, 0};

	(void)state;
	memcpy(text + 0x6e, "\xff\xe0", 2); /* jmp rax */
	backtrace(&code, 0, stack, ARRAY_SIZE(stack), 8, note, NULL);
	assert_string_equal(out, "");
}

static void no_more_than_wanted(void **state)
{
	uint64_t a = call(0x10, 0x40), b = call(0x20, 0x40);
	uint64_t stack[] = {a, a, a, b, a};

	(void)state;
	backtrace(&code, 0, stack, ARRAY_SIZE(stack), 2, note, NULL);
	assert_string_equal(out, "outer+15? outer+25? ");
}

static void the_function_that_an_address_is_in(void **state)
{
	uint32_t into = 0;

	(void)state;
	assert_int_equal(symbols_find(&code.symbols, 0xfff, &into), -ENOENT);
	assert_string_equal(name_of(0x1000, &into), "outer");
	assert_int_equal(into, 0);
	assert_string_equal(name_of(0x103f, &into), "outer");
	assert_string_equal(name_of(0x1040, &into), "middle");
	assert_string_equal(name_of(0x107f, &into), "middle");
	assert_int_equal(into, 0x3f);
	assert_string_equal(name_of(0xffffffff, &into), "inner");
	assert_int_equal(into, 0xffffffff - 0x1080);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(direct_calls_are_sure),
		TEST(a_call_of_something_else_is_doubtful),
		TEST(indirect_calls_are_doubtful),
		TEST(words_that_are_no_return_addresses_are_left_out),
		TEST(no_more_than_wanted),
		TEST(the_function_that_an_address_is_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
