#include "devices/rtc.h"

#include "core/bus.h"
#include "core/clock.h"
#include "core/vm.h"
#include "lib/string.h"

/* Registers (MC146818A data sheet, figure 13 and on); the century is where PCs have it. */
enum {
	SECONDS = 0,
	MINUTES = 2,
	HOURS = 4,
	WEEKDAY = 6,
	DAY = 7,
	MONTH = 8,
	YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13,
	CENTURY = 0x32
};

#define A_UIP	 0x80u
#define A_START	 0x26u /* 32768 Hz time base, 1024 Hz periodic rate */
#define B_SET	 0x80u
#define B_BINARY 0x04u
#define B_24H	 0x02u
#define D_VALID	 0x80u
#define HOURS_PM 0x80u

/* The update-in-progress bit rises 244 us before an update, which takes 1984 us. */
#define UIP_NS (244000u + 1984000u)

static const uint8_t time_regs[] = {SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY};

struct date {
	unsigned int year, month, day; /* month and day from 1 */
};

/* ---- the calendar: years begin in March, so that the leap day is the last ---- */

#define DAYS_0000_TO_1970 719468u
#define DAYS_400_YEARS	  146097u

static struct date date_of(uint64_t days)
{
	uint64_t shifted = days + DAYS_0000_TO_1970;
	unsigned int in_era = (unsigned int)(shifted % DAYS_400_YEARS);
	unsigned int year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	unsigned int in_year = in_era - (365 * year + year / 4 - year / 100);
	unsigned int month = (5 * in_year + 2) / 153;
	struct date d = {.year = (unsigned int)(shifted / DAYS_400_YEARS) * 400 + year,
			 .month = month < 10 ? month + 3 : month - 9,
			 .day = in_year - (153 * month + 2) / 5 + 1};

	if (d.month <= 2)
		d.year++;
	return d;
}

static int64_t days_of(struct date d)
{
	unsigned int year = d.month <= 2 ? d.year - 1 : d.year;
	unsigned int era = year / 400, in_era = year % 400;
	unsigned int month = d.month > 2 ? d.month - 3 : d.month + 9;
	unsigned int in_year = (153 * month + 2) / 5 + d.day - 1;

	return (int64_t)era * DAYS_400_YEARS + in_era * 365 + in_era / 4 - in_era / 100 + in_year -
	       DAYS_0000_TO_1970;
}

/* ---- register contents ---- */

static uint8_t encode(const struct rtc *rtc, unsigned int value)
{
	if (rtc->ram[REG_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)((value / 10 << 4) | value % 10);
}

static unsigned int decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->ram[REG_B] & B_BINARY)
		return value;
	return (value >> 4) * 10u + (value & 15);
}

static uint8_t encode_hours(const struct rtc *rtc, unsigned int hours)
{
	if (rtc->ram[REG_B] & B_24H)
		return encode(rtc, hours);
	return encode(rtc, hours % 12 ? hours % 12 : 12) | (hours >= 12 ? HOURS_PM : 0);
}

static unsigned int decode_hours(const struct rtc *rtc, uint8_t value)
{
	unsigned int hours;

	if (rtc->ram[REG_B] & B_24H)
		return decode(rtc, value);
	hours = decode(rtc, value & (uint8_t)~HOURS_PM) % 12;
	return value & HOURS_PM ? hours + 12 : hours;
}

static uint64_t now(const struct rtc *rtc)
{
	return clock_wall_ns(rtc->vm) / NS_PER_S + (uint64_t)rtc->adjust_s;
}

static bool update_in_progress(const struct rtc *rtc)
{
	return clock_wall_ns(rtc->vm) % NS_PER_S >= NS_PER_S - UIP_NS;
}

static bool is_time(uint8_t reg)
{
	return memchr(time_regs, reg, sizeof(time_regs));
}

static uint8_t time_reg(const struct rtc *rtc, uint8_t reg, uint64_t seconds)
{
	uint64_t days = seconds / 86400;
	struct date d = date_of(days);

	switch (reg) {
	case SECONDS:
		return encode(rtc, (unsigned int)(seconds % 60));
	case MINUTES:
		return encode(rtc, (unsigned int)(seconds / 60 % 60));
	case HOURS:
		return encode_hours(rtc, (unsigned int)(seconds / 3600 % 24));
	case WEEKDAY: /* Sunday is 1; the first day of 1970 was a Thursday */
		return encode(rtc, (unsigned int)((days + 4) % 7) + 1);
	case DAY:
		return encode(rtc, d.day);
	case MONTH:
		return encode(rtc, d.month);
	case YEAR:
		return encode(rtc, d.year % 100);
	default:
		return encode(rtc, d.year / 100 % 100);
	}
}

static void stop_clock(struct rtc *rtc)
{
	uint64_t seconds = now(rtc);

	for (unsigned int i = 0; i < sizeof(time_regs); i++)
		rtc->ram[time_regs[i]] = time_reg(rtc, time_regs[i], seconds);
}

/* Software may have left anything in the registers: what is no date becomes some date. */
static void start_clock(struct rtc *rtc)
{
	const uint8_t *ram = rtc->ram;
	struct date d = {
		.year = decode(rtc, ram[CENTURY]) % 100 * 100 + decode(rtc, ram[YEAR]) % 100,
		.month = (decode(rtc, ram[MONTH]) + 11) % 12 + 1,
		.day = (decode(rtc, ram[DAY]) + 30) % 31 + 1,
	};
	int64_t seconds;

	d.year = MAX(d.year, 1970);
	seconds = days_of(d) * 86400 + decode_hours(rtc, ram[HOURS]) % 24 * 3600 +
		  decode(rtc, ram[MINUTES]) % 60 * 60 + decode(rtc, ram[SECONDS]) % 60;
	rtc->adjust_s = seconds - (int64_t)(clock_wall_ns(rtc->vm) / NS_PER_S);
}

/* ---- ports ---- */

static uint8_t read_data(const struct rtc *rtc)
{
	uint8_t reg = rtc->index;
	bool stopped = rtc->ram[REG_B] & B_SET;

	switch (reg) {
	case REG_A:
		if (!stopped && update_in_progress(rtc))
			return rtc->ram[REG_A] | A_UIP;
		return rtc->ram[REG_A];
	case REG_C:
		return 0;
	case REG_D:
		return D_VALID;
	default:
		return is_time(reg) && !stopped ? time_reg(rtc, reg, now(rtc)) : rtc->ram[reg];
	}
}

/*
 * As on the chip, what was written before the clock starts is read in the format that it starts
 * with.
 */
static void write_b(struct rtc *rtc, uint8_t value)
{
	bool was_stopped = rtc->ram[REG_B] & B_SET;

	if (was_stopped && !(value & B_SET)) {
		rtc->ram[REG_B] = value;
		start_clock(rtc);
	} else if (!was_stopped && value & B_SET) {
		rtc->ram[REG_B] = value;
		stop_clock(rtc);
	} else {
		rtc->ram[REG_B] = value;
	}
}

static void write_time(struct rtc *rtc, uint8_t value)
{
	bool stopped = rtc->ram[REG_B] & B_SET;

	if (!stopped)
		stop_clock(rtc);
	rtc->ram[rtc->index] = value;
	if (!stopped)
		start_clock(rtc);
}

static void write_data(struct rtc *rtc, uint8_t value)
{
	uint8_t reg = rtc->index;

	if (reg == REG_A)
		rtc->ram[REG_A] = value & (uint8_t)~A_UIP;
	else if (reg == REG_B)
		write_b(rtc, value);
	else if (is_time(reg))
		write_time(rtc, value);
	else if (reg != REG_C && reg != REG_D)
		rtc->ram[reg] = value;
}

static void port_byte(void *dev, uint64_t offset, bool write, uint8_t *byte)
{
	struct rtc *rtc = dev;

	if (offset == 0) {
		/*
		 * The index cannot be read back; bit 7 masks NMIs, of which this board makes
		 * none.
		 */
		if (write)
			rtc->index = *byte % RTC_SIZE;
		else
			*byte = 0xff;
	} else if (write) {
		write_data(rtc, *byte);
	} else {
		*byte = read_data(rtc);
	}
}

static void port(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		 uint64_t *value)
{
	(void)v;
	bus_by_bytes(port_byte, dev, offset, write, size, value);
}

int rtc_init(struct rtc *rtc, struct vm *vm)
{
	*rtc = (struct rtc){.vm = vm};
	rtc_reset(rtc);
	return bus_add_pio(vm, RTC_PORT, 2, port, rtc);
}

void rtc_reset(struct rtc *rtc)
{
	*rtc = (struct rtc){.vm = rtc->vm};
	rtc->ram[REG_A] = A_START;
	rtc->ram[REG_B] = B_24H;
}
