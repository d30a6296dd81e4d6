/* 8254, PM timer, CMOS clock, HPET: their registers and rates. Interrupts come through the 8259
 * pair. */
#include "tests/guests/devices/guest.h"

#define PIT_HZ 1193182u
#define IRQ(n) (PIC_VECTOR + (n))
#define HPET   0xfed00000u

/*
 * Is VALUE, in us, what is WANTED? Never less by a fifth; but an emulator that had to wait for its
 * processor makes one of the interrupts that it missed.
 */
static bool about(uint32_t value, uint32_t wanted)
{
	return value > wanted - wanted / 5 && value < wanted + 2000000;
}

/* ---- 8254 ---- */

static uint16_t pit_count(uint8_t counter)
{
	uint8_t low;

	outb(0x43, (uint8_t)(counter << 6));
	low = inb((uint16_t)(0x40 + counter));
	return (uint16_t)(low | inb((uint16_t)(0x40 + counter)) << 8);
}

static void pit_load(uint8_t counter, uint8_t mode, uint16_t count)
{
	outb(0x43, (uint8_t)(counter << 6 | 0x30 | mode << 1));
	outb((uint16_t)(0x40 + counter), (uint8_t)count);
	outb((uint16_t)(0x40 + counter), (uint8_t)(count >> 8));
}

/* Counter 2 in mode 0, by its gate and its output at port 61h. */
static bool pit_gate(void)
{
	uint32_t from;
	uint16_t before;

	outb(0x61, 0);
	pit_load(2, 0, 11932); /* 10 ms */
	before = pit_count(2);
	sleep_us(1000);
	if (pit_count(2) != before || inb(0x61) & 0x20)
		return false;
	from = pm_time();
	outb(0x61, 1);
	while (!(inb(0x61) & 0x20))
		if (us_since(from) > 1000000)
			return false;
	return about(us_since(from), 10000);
}

/* The status byte: output, null count, access, mode. */
static bool pit_read_back(void)
{
	outb(0x43, 0xb4); /* counter 2, mode 2, no count yet */
	outb(0x43, 0xe8);
	if ((inb(0x42) & 0x7f) != 0x74)
		return false;
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	sleep_us(100);
	outb(0x43, 0xc8); /* status and count */
	if (inb(0x42) != 0xb4)
		return false;
	return (inb(0x42) | inb(0x42) << 8) < 0xffff;
}

static bool pit_interrupts(void)
{
	uint32_t from, start;

	pic_init(1);
	pit_load(0, 2, PIT_HZ / 1000);
	from = taken[IRQ(0)];
	if (!comes(IRQ(0), from, 1))
		return false;
	start = pm_time();
	if (!comes(IRQ(0), from + 1, 50))
		return false;
	return about(us_since(start), 50000);
}

static bool pit_one_shot(void)
{
	uint32_t from;

	pit_load(0, 0, 1193);
	from = taken[IRQ(0)];
	return comes(IRQ(0), from, 1) && stays_away(IRQ(0));
}

/* ---- PM timer ---- */

static bool pm_timer(void)
{
	uint32_t from = pm_time();

	outb(0x61, 0);
	pit_load(2, 0, 59659); /* 50 ms */
	outb(0x61, 1);
	while (!(inb(0x61) & 0x20))
		;
	return about(us_since(from), 50000);
}

/* ---- CMOS clock ---- */

static uint8_t rtc(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void rtc_set(uint8_t reg, uint8_t value)
{
	outb(0x70, reg);
	outb(0x71, value);
}

/* BCD, 24 hours, and a century in which this was written. */
static bool rtc_time(void)
{
	while (rtc(10) & 0x80)
		;
	return rtc(0x32) >= 0x20 && rtc(8) >= 1 && rtc(8) <= 0x12 && rtc(4) < 0x24 &&
	       rtc(13) == 0x80;
}

/* FLAG of register C by interrupts, COUNT of them. */
static bool rtc_interrupts(uint8_t flag, uint32_t count)
{
	uint32_t from;

	pic_init(1 << 8 | 1 << 2);
	(void)rtc(12);
	from = taken[IRQ(8)];
	rtc_set(11, 2 | flag);
	while (count--) {
		if (!comes(IRQ(8), from++, 1) || (rtc(12) & (0x80 | flag)) != (0x80 | flag))
			return false;
	}
	rtc_set(11, 2);
	return true;
}

static bool rtc_periodic(void)
{
	uint32_t start;

	rtc_set(10, 0x26); /* 1024 Hz */
	if (!rtc_interrupts(0x40, 1))
		return false;
	start = pm_time();
	return rtc_interrupts(0x40, 51) && about(us_since(start), 50000);
}

static bool rtc_update(void)
{
	return rtc_interrupts(0x10, 1);
}

/* The next second, whichever it is. */
static bool rtc_alarm(void)
{
	for (uint8_t reg = 1; reg <= 5; reg = (uint8_t)(reg + 2))
		rtc_set(reg, 0xc0);
	return rtc_interrupts(0x20, 1);
}

/* ---- HPET ---- */

static bool hpet_counter(void)
{
	uint32_t fs = mmio_read(HPET + 4), from, start, us;

	if (!acpi_table("HPET") || fs < 100000 || fs > 100000000)
		return false;
	mmio_write(HPET + 0x10, 1);
	from = mmio_read(HPET + 0xf0);
	start = pm_time();
	sleep_us(20000);
	us = us_since(start);
	return about((mmio_read(HPET + 0xf0) - from) / 1000 * (fs / 1000) / 1000, us);
}

/* In place of the 8254, which is silent meanwhile. */
static bool hpet_legacy(void)
{
	uint32_t ms = 1000000000 / (mmio_read(HPET + 4) / 1000), from, start;

	pic_init(1);
	pit_load(0, 2, PIT_HZ / 1000);
	mmio_write(HPET + 0x10, 2);
	if (!stays_away(IRQ(0)))
		return false;
	mmio_write(HPET + 0x100, 0x14c); /* 32 bits, periodic, its first match is set */
	mmio_write(HPET + 0x108, mmio_read(HPET + 0xf0) + ms);
	mmio_write(HPET + 0x108, ms);
	from = taken[IRQ(0)];
	start = pm_time();
	mmio_write(HPET + 0x10, 3);
	if (!comes(IRQ(0), from, 30) || !about(us_since(start), 30000))
		return false;
	mmio_write(HPET + 0x10, 0);
	mmio_write(HPET + 0x100, 0);
	from = taken[IRQ(0)];
	return comes(IRQ(0), from, 2);
}

const struct piece timer_pieces[] = {
	{"8254 gate and output", pit_gate},
	{"8254 read-back", pit_read_back},
	{"8254 rate generator", pit_interrupts},
	{"8254 one-shot", pit_one_shot},
	{"PM timer", pm_timer},
	{"CMOS clock", rtc_time},
	{"CMOS periodic interrupt", rtc_periodic},
	{"CMOS update interrupt", rtc_update},
	{"CMOS alarm", rtc_alarm},
	{"HPET counter", hpet_counter},
	{"HPET in place of the 8254", hpet_legacy},
	{0},
};
