/* The date that a real-time clock shows, as seconds since 1970. Pure, no firmware. */
#ifndef EFI_CALENDAR_H
#define EFI_CALENDAR_H

#include <stdint.h>

struct calendar {
	int year, month, day; /* month and day count from 1 */
	int hour, minute, second;
	int behind_utc; /* minutes to add for UTC */
};

/* 0 when DATE is none, or before 1970. */
uint64_t calendar_seconds(const struct calendar *date);

#endif
