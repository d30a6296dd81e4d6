/* links: devices/rtc.c core/bus.c core/clock.c core/devtimer.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
/* The MC146818, its time against the C library's calendar. */
#include "tests/unit/support/fake_core.h"

#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "devices/rtc.h"

enum { SEC, MIN = 2, HOUR = 4, WDAY = 6, MDAY, MON, YEAR, A, B, C, D, CENTURY = 0x32 };

static struct vm *vm;
static struct rtc rtc;

static uint8_t rd(uint8_t reg)
{
	fake_out(vm, 0x70, 1, reg);
	return (uint8_t)fake_in(vm, 0x71, 1);
}

static void wr(uint8_t reg, uint8_t value)
{
	fake_out(vm, 0x70, 1, reg);
	fake_out(vm, 0x71, 1, value);
}

static void set_time(time_t t)
{
	vm->wall_clock_ns = (uint64_t)t * NS_PER_S;
}

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(1);
	set_time(1709210096); /* Thursday 2024-02-29 12:34:56 UTC */
	assert_int_equal(rtc_init(&rtc, vm), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

static int bcd(uint8_t value)
{
	assert_true((value & 15) < 10 && value >> 4 < 10);
	return (value >> 4) * 10 + (value & 15);
}

static void assert_date(time_t t)
{
	struct tm tm;

	gmtime_r(&t, &tm);
	assert_int_equal(bcd(rd(SEC)), tm.tm_sec);
	assert_int_equal(bcd(rd(MIN)), tm.tm_min);
	assert_int_equal(bcd(rd(HOUR)), tm.tm_hour);
	assert_int_equal(bcd(rd(WDAY)), tm.tm_wday + 1);
	assert_int_equal(bcd(rd(MDAY)), tm.tm_mday);
	assert_int_equal(bcd(rd(MON)), tm.tm_mon + 1);
	assert_int_equal(bcd(rd(CENTURY)) * 100 + bcd(rd(YEAR)), tm.tm_year + 1900);
}

static void state_after_reset(void **state)
{
	(void)state;
	assert_int_equal(rd(A), 0x26);
	assert_int_equal(rd(B), 0x02);
	assert_int_equal(rd(C), 0);
	assert_int_equal(rd(D), 0x80);
	assert_int_equal(fake_in(vm, 0x70, 1), 0xff);
}

static void every_day(void **state)
{
	(void)state;
	/* A prime number of seconds that is more than a day. */
	for (time_t t = 0; t < 7258118400; t += 86413 * 7) {
		set_time(t);
		assert_date(t);
	}
	set_time(1709210096);
	assert_date(1709210096);
	fake.tsc += 3 * NS_PER_S;
	assert_date(1709210099);
}

static void formats(void **state)
{
	static const struct {
		uint8_t hour, h12, h12_binary;
	} t[] = {{0, 0x12, 12},	   {1, 0x01, 1},     {11, 0x11, 11},
		 {12, 0x92, 0x8c}, {13, 0x81, 0x81}, {23, 0x91, 0x8b}};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
		set_time(1709164800 + t[i].hour * 3600 + 59);
		wr(B, 0x00);
		assert_int_equal(rd(HOUR), t[i].h12);
		wr(B, 0x04);
		assert_int_equal(rd(HOUR), t[i].h12_binary);
		assert_int_equal(rd(SEC), 59);
		wr(B, 0x06);
		assert_int_equal(rd(HOUR), t[i].hour);
	}
}

/* As Linux's mc146818_set_time(): stop, write, go. */
static void setting(void **state)
{
	static const uint8_t regs[] = {SEC, MIN, HOUR, WDAY, MDAY, MON, YEAR, CENTURY};
	static const uint8_t values[] = {0x58, 0x59, 0x23, 0x06, 0x31, 0x12, 0x99, 0x19};

	(void)state;
	wr(B, 0x82);
	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++)
		wr(regs[i], values[i]);
	fake.tsc += 10ULL * NS_PER_S;
	assert_int_equal(rd(SEC), 0x58);
	wr(B, 0x02);
	assert_date(946684798);
	fake.tsc += 2ULL * NS_PER_S;
	assert_date(946684800);
	/* A new start has the time of day again. */
	rtc_reset(&rtc);
	assert_date(1709210096 + 12);
}

/* With its divider held in reset the clock stands still (data sheet, table 4). */
static void divider_in_reset(void **state)
{
	(void)state;
	wr(A, 0x76);
	fake.tsc += 10ULL * NS_PER_S;
	assert_date(1709210096);
	assert_int_equal(rd(A), 0x76);
	wr(MIN, 0x35);
	assert_int_equal(rd(MIN), 0x35);
	wr(A, 0x26);
	assert_date(1709210156);
	fake.tsc += 3ULL * NS_PER_S;
	assert_date(1709210159);
}

static void setting_in_other_formats(void **state)
{
	(void)state;
	wr(B, 0x84);
	wr(HOUR, 0x80 | 12);
	wr(MIN, 7);
	wr(B, 0x04);
	wr(B, 0x02);
	assert_int_equal(rd(HOUR), 0x12);
	assert_int_equal(rd(MIN), 0x07);
	wr(B, 0x84);
	wr(HOUR, 12);
	wr(MIN, 7);
	wr(B, 0x04);
	assert_int_equal(rd(HOUR), 12);
	wr(B, 0x02);
	assert_int_equal(rd(HOUR), 0x00);
	/* Without stopping it first. */
	wr(MIN, 0x45);
	assert_int_equal(rd(MIN), 0x45);
	assert_int_equal(rd(HOUR), 0x00);
}

/* Whatever is written, what is read are digits of a date. */
static void garbage(void **state)
{
	static const uint8_t regs[] = {SEC, MIN, HOUR, WDAY, MDAY, MON, YEAR, CENTURY};

	(void)state;
	for (unsigned int value = 0; value < 256; value++) {
		wr(B, 0x82);
		for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++)
			wr(regs[i], (uint8_t)(value * (i + 1)));
		wr(B, 0x02);
		for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++)
			bcd(rd(regs[i]));
		assert_in_range(bcd(rd(MON)), 1, 12);
		assert_in_range(bcd(rd(MDAY)), 1, 31);
		assert_in_range(bcd(rd(HOUR)), 0, 23);
	}
}

static void update_in_progress(void **state)
{
	(void)state;
	assert_int_equal(rd(A) & 0x80, 0);
	fake.tsc = 997000000;
	assert_int_equal(rd(A) & 0x80, 0);
	fake.tsc = 998000000;
	assert_int_equal(rd(A) & 0x80, 0x80);
	fake.tsc = 1000000000;
	assert_int_equal(rd(A) & 0x80, 0);
	wr(B, 0x82);
	fake.tsc = 1998000000;
	assert_int_equal(rd(A) & 0x80, 0);
	wr(A, 0xff);
	assert_int_equal(rd(A), 0x7f);
}

static void memory(void **state)
{
	(void)state;
	for (unsigned int i = 0x0e; i < 0x80; i++)
		if (i != CENTURY)
			wr((uint8_t)i, (uint8_t)(i * 3));
	for (unsigned int i = 0x0e; i < 0x80; i++)
		if (i != CENTURY)
			assert_int_equal(rd((uint8_t)(i | 0x80)), (uint8_t)(i * 3));
	wr(C, 0xff);
	wr(D, 0);
	assert_int_equal(rd(C), 0);
	assert_int_equal(rd(D), 0x80);
}

/* ---- interrupts ---- */

/* Time goes on, and timers expire as the run loop lets them. The TSC counts nanoseconds. */
static void pass(uint64_t ns)
{
	uint64_t end = fake.tsc + ns;

	while (vm->timers_at && vm->timers_at <= end) {
		fake.tsc = MAX(fake.tsc, vm->timers_at);
		dev_timers_run(vm);
	}
	fake.tsc = end;
}

/* Flags are set without being enabled, and reading them clears them. */
static void flags(void **state)
{
	(void)state;
	pass(NS_PER_S);
	assert_int_equal(rd(C), 0x50);
	assert_int_equal(rd(C), 0);
	pass(2000000);
	assert_int_equal(rd(C), 0x40);
	assert_int_equal(fake.rises[8], 0);
	assert_int_equal(vm->timers_at, 0);
}

static void update_ended(void **state)
{
	(void)state;
	wr(A, 0x20); /* no periodic rate */
	wr(B, 0x12);
	pass(NS_PER_S - 1);
	assert_false(fake.line[8]);
	pass(1000);
	assert_true(fake.line[8]);
	assert_int_equal(fake_in(vm, 0x71, 1), 0x12);
	pass(5ULL * NS_PER_S);
	assert_int_equal(fake.rises[8], 1);
	assert_int_equal(rd(C), 0x90);
	assert_false(fake.line[8]);
	pass(NS_PER_S);
	assert_int_equal(fake.rises[8], 2);
	/* SET stops the updates, and turns their interrupt off. */
	rd(C);
	wr(B, 0x92);
	assert_int_equal(rd(B), 0x82);
	pass(3ULL * NS_PER_S);
	assert_int_equal(rd(C), 0);
}

static void periodic(void **state)
{
	static const struct {
		uint8_t rate;
		unsigned int hz;
	} rates[] = {{1, 256}, {2, 128}, {3, 8192}, {6, 1024}, {15, 2}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		unsigned int count = 0;

		wr(A, 0x20 | rates[i].rate);
		wr(B, 0x42);
		rd(C);
		for (unsigned int us = 0; us < 1000000; us += 50) {
			pass(50000);
			if (fake.line[8]) {
				assert_int_equal(rd(C) & 0xc0, 0xc0);
				count++;
			}
		}
		assert_in_range(count, rates[i].hz - 1, rates[i].hz + 1);
	}
	/* Without a rate, or with the divider stopped, nothing comes. */
	wr(A, 0x20);
	rd(C);
	pass(NS_PER_S);
	assert_int_equal(rd(C) & 0x40, 0);
	wr(A, 0x76);
	rd(C);
	pass(NS_PER_S);
	assert_int_equal(rd(C), 0);
}

static void alarm_at(uint8_t hour, uint8_t min, uint8_t sec)
{
	wr(5, hour);
	wr(3, min);
	wr(1, sec);
	wr(B, 0x22);
	rd(C);
}

/* It is 12:34:56. */
static void alarms(void **state)
{
	(void)state;
	wr(A, 0x20);
	alarm_at(0x12, 0x35, 0x10);
	pass(13ULL * NS_PER_S);
	assert_false(fake.line[8]);
	pass(NS_PER_S);
	assert_true(fake.line[8]);
	assert_int_equal(rd(C), 0xb0);
	pass(86399ULL * NS_PER_S);
	assert_false(fake.line[8]);
	pass(NS_PER_S);
	assert_true(fake.line[8]);
	/* Every minute, at second 20. */
	alarm_at(0xff, 0xc0, 0x20);
	fake.rises[8] = 0;
	for (unsigned int i = 0; i < 600; i++) {
		pass(NS_PER_S);
		rd(C);
	}
	assert_int_equal(fake.rises[8], 10);
	/* A time that never comes. */
	alarm_at(0x25, 0x00, 0x00);
	pass(200000ULL * NS_PER_S);
	assert_int_equal(rd(C) & 0x20, 0);
}

/* One that never comes costs a guest's neighbours no more than another: not a day of seconds. */
static void alarm_that_no_day_has(void **state)
{
	(void)state;
	wr(A, 0x20);
	alarm(60);
	for (unsigned int i = 0; i < 20000; i++)
		alarm_at(0xff, 0xff, (uint8_t)(0x60 + i % 16));
	alarm(0);
	pass(200000ULL * NS_PER_S);
	assert_int_equal(rd(C) & 0x20, 0);
}

/* The time that was set is the one that the alarm looks at. */
static void alarm_after_setting(void **state)
{
	(void)state;
	wr(B, 0x82);
	wr(HOUR, 0x23);
	wr(MIN, 0x59);
	wr(SEC, 0x59);
	alarm_at(0, 0, 0);
	fake.rises[8] = 0;
	pass(NS_PER_S + 1000);
	assert_int_equal(fake.rises[8], 1);
	assert_int_equal(rd(C) & 0xa0, 0xa0);
}

static void reset_ends_all(void **state)
{
	(void)state;
	wr(B, 0x72);
	pass(NS_PER_S);
	rtc_reset(&rtc);
	assert_int_equal(vm->timers_at, 0);
	assert_int_equal(rd(C), 0);
}

/* As firmware leaves it: 640 KiB, and from 1 MiB and 16 MiB on. */
static void memory_size(void **state)
{
	(void)state;
	vm->memory = MIB(48);
	rtc_reset(&rtc);
	assert_int_equal(rd(0x15) | rd(0x16) << 8, 640);
	assert_int_equal(rd(0x17) | rd(0x18) << 8, 47 * 1024);
	assert_int_equal(rd(0x30) | rd(0x31) << 8, 47 * 1024);
	assert_int_equal(rd(0x34) | rd(0x35) << 8, 32 * 16);
	vm->memory = GIB(5);
	rtc_reset(&rtc);
	assert_int_equal(rd(0x17) | rd(0x18) << 8, 0xffff);
	assert_int_equal(rd(0x34) | rd(0x35) << 8, (3 * 1024 - 16) * 16);
	assert_int_equal(rd(0x5b) | rd(0x5c) << 8 | rd(0x5d) << 16, 2 * 16384);
}

/* What else is there, and the sum that says that all of it is good (PC/AT technical reference). */
static void configuration(void **state)
{
	unsigned int sum = 0;

	(void)state;
	vm->memory = MIB(48);
	rtc_reset(&rtc);
	assert_int_equal(rd(0x0f), 0);
	assert_int_equal(rd(0x10), 0);
	assert_int_equal(rd(0x12), 0);
	/* A coprocessor, and neither diskettes nor a display. */
	assert_int_equal(rd(0x14), 0x02);
	for (uint8_t reg = 0x10; reg < 0x2e; reg++)
		sum += rd(reg);
	assert_int_not_equal(sum, 0);
	assert_int_equal(rd(0x2e) << 8 | rd(0x2f), sum);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(state_after_reset),
		T(every_day),
		T(formats),
		T(setting),
		T(divider_in_reset),
		T(setting_in_other_formats),
		T(garbage),
		T(update_in_progress),
		T(memory),
		T(flags),
		T(update_ended),
		T(periodic),
		T(alarms),
		T(alarm_that_no_day_has),
		T(alarm_after_setting),
		T(reset_ends_all),
		T(memory_size),
		T(configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
