#include "efi/calendar.h"

#include <stdbool.h>

/* Days from 1 March of year 0 (Gregorian, carried back) to 1 January 1970. */
#define DAYS_TO_1970 719468

static bool valid(const struct calendar *d)
{
	return d->year >= 1970 && d->year <= 9999 && d->month >= 1 && d->month <= 12 &&
	       d->day >= 1 && d->day <= 31 && d->hour >= 0 && d->hour <= 23 && d->minute >= 0 &&
	       d->minute <= 59 && d->second >= 0 && d->second <= 60;
}

/*
 * Years begin in March here, so that a leap day is a year's last. From then on the months have 31,
 * 30, 31, 30, 31 days, again and again: 153 in five.
 */
static int64_t days(const struct calendar *d)
{
	int64_t year = d->month > 2 ? d->year : d->year - 1;
	int64_t month = (d->month + 9) % 12;

	return year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + d->day -
	       1 - DAYS_TO_1970;
}

uint64_t calendar_seconds(const struct calendar *date)
{
	int64_t s;

	if (!valid(date))
		return 0;
	s = (days(date) * 24 + date->hour) * 3600 + (date->minute + date->behind_utc) * 60 +
	    date->second;
	return s < 0 ? 0 : (uint64_t)s;
}
