/* links: emul/alu.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emul/alu.h"
#include "lib/util.h"

/* Quotients that just fit, and those that do not: with SIZE bytes, *HIGH:*LOW by DIVISOR. */
static void test_division(void **state)
{
	static const struct {
		bool is_signed, fits;
		uint8_t size;
		uint64_t high, low, divisor, quotient, remainder;
	} cases[] = {
		{false, false, 4, 0, 1, 0, 0, 0},
		{false, true, 4, 6, 0xffffffff, 7, 0xffffffff, 6},
		{false, false, 4, 7, 0, 7, 0, 0},
		{false, true, 8, 6, ~0ull, 7, ~0ull, 6},
		{false, false, 8, 7, 0, 7, 0, 0},
		{false, true, 1, 0xfe, 0xff, 0xff, 0xff, 0xfe},
		{true, false, 1, 0, 0x80, 1, 0, 0},
		{true, true, 1, 0xff, 0x80, 1, 0x80, 0},
		{true, false, 1, 0xff, 0x80, 0xff, 0, 0},
		{true, true, 2, 0xffff, 0xfff9, 2, 0xfffd, 0xffff}, /* -7 by 2 */
		{true, true, 2, 0, 7, 0xfffe, 0xfffd, 1},
		{true, true, 8, ~0ull, BIT(63), 1, BIT(63), 0},
		{true, false, 8, ~0ull, BIT(63), ~0ull, 0, 0},
		{true, true, 8, BIT(62), 0, BIT(63), BIT(63), 0},
		{true, false, 8, BIT(63), 0, 1, 0, 0},
		{true, false, 4, 0, 1, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t low = cases[i].low, high = cases[i].high;
		bool fits = alu_divide(cases[i].is_signed, cases[i].divisor, cases[i].size, &low,
				       &high);

		if (fits != cases[i].fits ||
		    (fits && (low != cases[i].quotient || high != cases[i].remainder)))
			fail_msg("case %zu: %d %llx %llx", i, fits, (unsigned long long)low,
				 (unsigned long long)high);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_division),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
