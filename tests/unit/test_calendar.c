/* links: efi/calendar.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "efi/calendar.h"
#include "lib/util.h"

/* Every day from 1970 to 2200, against the C library. */
static void every_day(void **state)
{
	(void)state;
	for (time_t t = 45296; t < (time_t)7258118400; t += 86400) {
		struct tm tm;
		struct calendar c;

		assert_non_null(gmtime_r(&t, &tm));
		c = (struct calendar){.year = tm.tm_year + 1900,
				      .month = tm.tm_mon + 1,
				      .day = tm.tm_mday,
				      .hour = tm.tm_hour,
				      .minute = tm.tm_min,
				      .second = tm.tm_sec};
		assert_int_equal(calendar_seconds(&c), t);
	}
}

static void time_zones(void **state)
{
	struct calendar c = {2024, 2, 29, 0, 30, 15, 0};
	uint64_t utc = calendar_seconds(&c);

	(void)state;
	c.behind_utc = -60; /* one hour east of Greenwich */
	assert_int_equal(calendar_seconds(&c), utc - 3600);
	c.behind_utc = 300;
	assert_int_equal(calendar_seconds(&c), utc + 5 * 3600);
}

static void no_dates(void **state)
{
	static const struct calendar bad[] = {
		{0, 0, 0, 0, 0, 0, 0},	   {1969, 12, 31, 23, 59, 59, 0}, {2024, 13, 1, 0, 0, 0, 0},
		{2024, 1, 0, 0, 0, 0, 0},  {2024, 1, 32, 0, 0, 0, 0},	  {2024, 1, 1, 24, 0, 0, 0},
		{2024, 1, 1, 0, 60, 0, 0}, {2024, 1, 1, 0, 0, 61, 0},	  {1970, 1, 1, 0, 0, 0, -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(calendar_seconds(&bad[i]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_day),
		cmocka_unit_test(time_zones),
		cmocka_unit_test(no_dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
