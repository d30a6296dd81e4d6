#include "devices/rtc.h"

#include "core/bus.h"
#include "core/clock.h"
#include "core/gmem.h"
#include "core/vm.h"
#include "lib/string.h"

/* Registers (MC146818A data sheet, figure 13 and on); the century is where PCs have it. */
enum {
	SECONDS = 0,
	SECONDS_ALARM = 1,
	MINUTES = 2,
	MINUTES_ALARM = 3,
	HOURS = 4,
	HOURS_ALARM = 5,
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
#define A_DV	 0x70u
#define A_RUNS	 0x20u /* DV for a time base of 32768 Hz */
#define A_RATE	 0x0fu
#define B_SET	 0x80u
#define B_UIE	 0x10u
#define B_ENABLE 0x70u /* PIE, AIE and UIE, in the places of their flags in C */
#define B_BINARY 0x04u
#define B_24H	 0x02u
#define C_IRQF	 0x80u
#define C_PF	 0x40u
#define C_AF	 0x20u
#define C_UF	 0x10u
#define D_VALID	 0x80u
#define HOURS_PM 0x80u

/* Alarm bytes from C0h on match everything. */
#define ALARM_ANY 0xc0u

#define TIME_BASE_HZ 32768u
#define NEVER	     (~0ULL)

/* Where firmware leaves what there is; the size of memory low byte first. */
enum {
	CMOS_SUMMED = 0x10,	  /* the checksum's bytes begin here, */
	CMOS_EQUIPMENT = 0x14,	  /* as in the BIOS data area */
	CMOS_BASE_KIB = 0x15,	  /* below 640 KiB */
	CMOS_EXTENDED_KIB = 0x17, /* from 1 MiB on, as much as fits */
	CMOS_CHECKSUM = 0x2e, /* and end here; high byte first */
	CMOS_EXTENDED_KIB_2 = 0x30,
	CMOS_ABOVE_16M = 0x34, /* in pieces of 64 KiB, below 4 GiB */
	CMOS_ABOVE_4G = 0x5b,  /* in pieces of 64 KiB, 3 bytes */
};

#define EQUIPMENT_FPU 0x02u

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

static bool is_stopped(const struct rtc *rtc)
{
	return rtc->ram[REG_B] & B_SET || (rtc->ram[REG_A] & A_DV) != A_RUNS;
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

/* ---- interrupts: flags are set with the time that has passed since they were last looked at ----
 */

/* Time base ticks of a period, 0: none (data sheet, table 5). */
static uint32_t periodic_ticks(const struct rtc *rtc)
{
	uint8_t rate = rtc->ram[REG_A] & A_RATE;

	if (!rate || (rtc->ram[REG_A] & A_DV) != A_RUNS)
		return 0;
	return rate < 3 ? 64u << rate : 1u << (rate - 1);
}

static uint64_t base_ticks(uint64_t ns)
{
	return mul_div(ns, TIME_BASE_HZ, NS_PER_S);
}

/* The seconds that the clock shows at a time of day of the VM. */
static uint64_t shown(const struct rtc *rtc, uint64_t ns)
{
	return ns / NS_PER_S + (uint64_t)rtc->adjust_s;
}

static bool matches(const struct rtc *rtc, uint8_t alarm, uint8_t reg, uint64_t seconds)
{
	uint8_t wanted = rtc->ram[alarm];

	return wanted >= ALARM_ANY || wanted == time_reg(rtc, reg, seconds);
}

/* Does one of the COUNT values that REG takes each STEP seconds match? */
static bool ever_matches(const struct rtc *rtc, uint8_t alarm, uint8_t reg, uint64_t step,
			 unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (matches(rtc, alarm, reg, i * step))
			return true;
	return false;
}

static bool day_has_alarm(const struct rtc *rtc)
{
	return ever_matches(rtc, HOURS_ALARM, HOURS, 3600, 24) &&
	       ever_matches(rtc, MINUTES_ALARM, MINUTES, 60, 60) &&
	       ever_matches(rtc, SECONDS_ALARM, SECONDS, 1, 60);
}

/*
 * The first second after SECONDS at which the alarm goes off; NEVER for a time that no day has,
 * which would be looked for in each second of one: milliseconds, at each write.
 */
static uint64_t next_alarm(const struct rtc *rtc, uint64_t seconds)
{
	uint64_t s = seconds + 1, end = day_has_alarm(rtc) ? s + 86400 : s;

	while (s < end) {
		if (!matches(rtc, HOURS_ALARM, HOURS, s))
			s = (s / 3600 + 1) * 3600;
		else if (!matches(rtc, MINUTES_ALARM, MINUTES, s))
			s = (s / 60 + 1) * 60;
		else if (!matches(rtc, SECONDS_ALARM, SECONDS, s))
			s++;
		else
			return s;
	}
	return NEVER;
}

static void collect_flags(struct rtc *rtc)
{
	uint64_t ns = clock_wall_ns(rtc->vm);
	uint32_t period = periodic_ticks(rtc);

	if (period && base_ticks(ns) / period != base_ticks(rtc->seen) / period)
		rtc->flags |= C_PF;
	if (!is_stopped(rtc) && shown(rtc, ns) > shown(rtc, rtc->seen)) {
		rtc->flags |= C_UF;
		if (next_alarm(rtc, shown(rtc, rtc->seen)) <= shown(rtc, ns))
			rtc->flags |= C_AF;
	}
	rtc->seen = ns;
}

/* When the next flag that raises the line is set, as a time of day. */
static uint64_t next_event(const struct rtc *rtc)
{
	uint8_t enabled = rtc->ram[REG_B] & B_ENABLE;
	uint32_t period = periodic_ticks(rtc);
	uint64_t at = NEVER, alarm;

	if (enabled & C_PF && period)
		at = mul_div((base_ticks(rtc->seen) / period + 1) * period, NS_PER_S,
			     TIME_BASE_HZ) +
		     1;
	if (is_stopped(rtc))
		return at;
	if (enabled & C_UF)
		at = MIN(at, (rtc->seen / NS_PER_S + 1) * NS_PER_S);
	alarm = enabled & C_AF ? next_alarm(rtc, shown(rtc, rtc->seen)) : NEVER;
	if (alarm != NEVER)
		at = MIN(at, (alarm - (uint64_t)rtc->adjust_s) * NS_PER_S);
	return at;
}

/* While the line is up nothing more can be seen of it: the timer waits until C is read. */
static void update_line(struct rtc *rtc)
{
	bool line = rtc->flags & rtc->ram[REG_B] & B_ENABLE;
	uint64_t at = line ? NEVER : next_event(rtc);

	dev_timer_set(rtc->vm, &rtc->timer, at == NEVER ? 0 : clock_wall_tsc(rtc->vm, at));
	if (line == rtc->line)
		return;
	rtc->line = line;
	if (!rtc->replaced)
		vm_set_irq(rtc->vm, RTC_GSI, line);
}

static void expired(void *dev)
{
	collect_flags(dev);
	update_line(dev);
}

static uint8_t read_c(struct rtc *rtc)
{
	uint8_t value = rtc->flags;

	if (value & rtc->ram[REG_B] & B_ENABLE)
		value |= C_IRQF;
	rtc->flags = 0;
	return value;
}

/* ---- ports ---- */

static uint8_t read_data(struct rtc *rtc)
{
	uint8_t reg = rtc->index;
	bool stopped = is_stopped(rtc);

	switch (reg) {
	case REG_A:
		if (!stopped && update_in_progress(rtc))
			return rtc->ram[REG_A] | A_UIP;
		return rtc->ram[REG_A];
	case REG_C:
		return read_c(rtc);
	case REG_D:
		return D_VALID;
	default:
		return is_time(reg) && !stopped ? time_reg(rtc, reg, now(rtc)) : rtc->ram[reg];
	}
}

/*
 * Register A or B. As on the chip, what was written before the clock starts is read in the format
 * that it starts with.
 */
static void write_control(struct rtc *rtc, uint8_t reg, uint8_t value)
{
	bool was_stopped = is_stopped(rtc);

	rtc->ram[reg] = value;
	if (was_stopped && !is_stopped(rtc))
		start_clock(rtc);
	else if (!was_stopped && is_stopped(rtc))
		stop_clock(rtc);
}

/* SET ends the update-ended interrupt (data sheet, register B). */
static void write_b(struct rtc *rtc, uint8_t value)
{
	write_control(rtc, REG_B, value & B_SET ? value & (uint8_t)~B_UIE : value);
}

static void write_time(struct rtc *rtc, uint8_t value)
{
	bool stopped = is_stopped(rtc);

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
		write_control(rtc, REG_A, value & (uint8_t)~A_UIP);
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
		return;
	}
	collect_flags(rtc);
	if (write)
		write_data(rtc, *byte);
	else
		*byte = read_data(rtc);
	update_line(rtc);
}

static void port(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		 uint64_t *value)
{
	(void)v;
	bus_by_bytes(port_byte, dev, offset, write, size, value);
}

int rtc_init(struct rtc *rtc, struct vm *vm)
{
	*rtc = (struct rtc){.vm = vm, .timer = {.of_day = true, .expired = expired, .dev = rtc}};
	dev_timer_add(vm, &rtc->timer);
	rtc_reset(rtc);
	return bus_add_pio(vm, RTC_PORT, 2, port, rtc);
}

static void put(struct rtc *rtc, unsigned int reg, uint64_t value, unsigned int bytes)
{
	value = MIN(value, BIT(8 * bytes) - 1);
	memcpy(&rtc->ram[reg], &value, bytes);
}

static void put_checksum(struct rtc *rtc)
{
	unsigned int sum = 0;

	for (unsigned int reg = CMOS_SUMMED; reg < CMOS_CHECKSUM; reg++)
		sum += rtc->ram[reg];
	rtc->ram[CMOS_CHECKSUM] = (uint8_t)(sum >> 8);
	rtc->ram[CMOS_CHECKSUM + 1] = (uint8_t)sum;
}

static void put_memory_size(struct rtc *rtc)
{
	uint64_t low = MIN(rtc->vm->memory, (uint64_t)GMEM_LOW_END);

	put(rtc, CMOS_BASE_KIB, 640, 2);
	put(rtc, CMOS_EXTENDED_KIB, (low - MIN(low, MIB(1))) / KIB(1), 2);
	put(rtc, CMOS_EXTENDED_KIB_2, (low - MIN(low, MIB(1))) / KIB(1), 2);
	put(rtc, CMOS_ABOVE_16M, (low - MIN(low, MIB(16))) / KIB(64), 2);
	put(rtc, CMOS_ABOVE_4G, (rtc->vm->memory - low) / KIB(64), 3);
}

void rtc_reset(struct rtc *rtc)
{
	rtc->index = 0;
	rtc->adjust_s = 0;
	rtc->flags = 0;
	rtc->line = false;
	rtc->replaced = false;
	rtc->seen = clock_wall_ns(rtc->vm);
	memset(rtc->ram, 0, sizeof(rtc->ram));
	rtc->ram[REG_A] = A_START;
	rtc->ram[REG_B] = B_24H;
	put_memory_size(rtc);
	rtc->ram[CMOS_EQUIPMENT] = EQUIPMENT_FPU;
	put_checksum(rtc);
	update_line(rtc);
}

void rtc_replace(struct rtc *rtc, bool on)
{
	rtc->replaced = on;
	vm_set_irq(rtc->vm, RTC_GSI, rtc->line && !on);
}
