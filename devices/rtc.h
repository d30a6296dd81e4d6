/*
 * A MC146818 real-time clock (Motorola's data sheet) behind ports 70h and 71h, with the memory that
 * PCs have in it.
 */
#ifndef DEVICES_RTC_H
#define DEVICES_RTC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/devtimer.h"

#define RTC_PORT 0x70
#define RTC_GSI	 8
#define RTC_SIZE 128

struct vm;

struct rtc {
	struct vm *vm;
	uint8_t index;
	int64_t adjust_s;	/* what software set, against the VM's time of day */
	uint8_t flags;		/* register C's, as of SEEN */
	uint64_t seen;		/* time of day of the VM in nanoseconds */
	bool line;		/* level of the interrupt line */
	bool replaced;		/* an HPET has that line */
	struct dev_timer timer; /* the next event that raises it */
	uint8_t ram[RTC_SIZE];	/* time registers: only while the clock is stopped */
};

/* Puts the clock on VM's bus. 0 or bus errors. */
int rtc_init(struct rtc *rtc, struct vm *vm);
/* State after power-up, with the time of day of the VM. dev_lock held, or no vCPU runs. */
void rtc_reset(struct rtc *rtc);
/* An HPET takes the clock's place at the interrupt controllers, or gives it back. dev_lock held. */
void rtc_replace(struct rtc *rtc, bool on);

#endif
