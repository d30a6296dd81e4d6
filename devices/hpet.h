/*
 * A high precision event timer (IA-PC HPET specification 1.0a): a counter of 64 bits and three
 * comparators, each able to be periodic, by the lines of the I/O APIC or in place of the 8254 and
 * the CMOS clock.
 */
#ifndef DEVICES_HPET_H
#define DEVICES_HPET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/devtimer.h"

#define HPET_GPA    0xfed00000u
#define HPET_HZ	    25000000u
#define HPET_TIMERS 3
/* A shorter period would leave a guest nothing but interrupts: in ticks, 20 us. */
#define HPET_MIN_TICK 500

/*
 * Lower half of the capabilities (2.3.4): revision 1, the number of the last timer, 64 bits,
 * legacy replacement, and a vendor's number that no device has.
 */
#define HPET_ID (0xffff0000u | 1u << 15 | 1u << 13 | (HPET_TIMERS - 1) << 8 | 1u)

struct vm;
struct hpet;

struct hpet_timer {
	struct hpet *hpet;
	uint64_t config;
	uint64_t comparator;
	uint64_t period;
	bool line; /* what it asserts */
	struct dev_timer expiry;
};

struct hpet {
	struct vm *vm;
	uint64_t config, status;
	uint64_t counter; /* while halted; else its value at tick 0 of the clock */
	struct hpet_timer timer[HPET_TIMERS];
	/* The 8254 and the CMOS clock lose their interrupts (ON), or have them back. */
	void (*replace)(void *ctx, bool on);
	void *ctx;
};

/* Puts the timer on VM's bus; REPLACE as in struct hpet. 0 or bus errors. */
int hpet_init(struct hpet *h, struct vm *vm, void (*replace)(void *ctx, bool on), void *ctx);
/* State after power-up: halted, at 0. dev_lock held, or no vCPU runs. */
void hpet_reset(struct hpet *h);

#endif
