/* Goes through the pieces, and what they all use: printing, interrupts, time. */
#include "tests/guests/devices/guest.h"

#define PM_TIMER   0x608
#define BOOT_MAGIC 0x2badb002u
#define GATE_32	   0x8e00u /* present, privilege level 0, interrupt gate */
#define CODE	   8

volatile uint32_t taken[256];
struct boot_info boot;

static uint8_t eois[256];
static struct {
	uint16_t low, selector, type, high;
} idt[256];

extern const uint8_t stubs[]; /* start.asm, 16 bytes each */
void interrupt(uint32_t vector, uint32_t error);
void main(uint32_t magic, const uint32_t *info);

static void say(const char *text)
{
	while (*text)
		outb(0xe9, (uint8_t)*text++);
}

static void say_number(uint32_t n)
{
	char digits[11] = "";
	char *p = digits + 10;

	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	say(p);
}

static void finish(uint32_t status)
{
	outl(0xf4, status);
}

void interrupt(uint32_t vector, uint32_t error)
{
	if (vector < 32 && vector != 2) {
		say("devices: exception ");
		say_number(vector);
		say(", error ");
		say_number(error);
		say("\n");
		finish(2);
	}
	taken[vector]++;
	if (eois[vector] == EOI_APIC)
		apic_set(APIC_EOI, 0);
	if (eois[vector] != EOI_PIC)
		return;
	if (vector >= PIC_VECTOR + 8)
		outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

void set_eoi(uint8_t vector, enum eoi eoi)
{
	eois[vector] = (uint8_t)eoi;
}

void load_idt(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uint32_t)idt};

	for (unsigned int i = 0; i < 256; i++) {
		uint32_t at = (uint32_t)stubs + 16 * i;

		idt[i].low = (uint16_t)at;
		idt[i].selector = CODE;
		idt[i].type = GATE_32;
		idt[i].high = (uint16_t)(at >> 16);
	}
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

uint32_t pm_time(void)
{
	return inl(PM_TIMER);
}

/* 3579545 Hz: a tick is 1171742 / 2^22 us. */
uint32_t us_since(uint32_t from)
{
	uint64_t ticks = pm_time() - from;

	return (uint32_t)(ticks * 1171742 >> 22);
}

void sleep_us(uint32_t us)
{
	uint32_t from = pm_time();

	while (us_since(from) < us)
		;
}

void let_interrupts_in(void)
{
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

bool comes(uint8_t vector, uint32_t from, uint32_t count)
{
	uint32_t start = pm_time();

	while (taken[vector] - from < count) {
		if (us_since(start) > 3000000)
			return false;
		let_interrupts_in();
	}
	return true;
}

bool stays_away(uint8_t vector)
{
	uint32_t start = pm_time(), from = taken[vector];

	while (us_since(start) < 5000)
		let_interrupts_in();
	return taken[vector] == from;
}

static uint32_t run(const struct piece *p)
{
	uint32_t failed = 0;

	for (; p->name; p++) {
		bool works = p->works();

		say("devices: ");
		say(p->name);
		say(works ? ": ok\n" : ": FAILED\n");
		failed += !works;
	}
	return failed;
}

/* Multiboot 3.3: memory above 1 MiB in KiB, and the command line. */
void main(uint32_t magic, const uint32_t *info)
{
	uint32_t failed;

	if (magic != BOOT_MAGIC)
		finish(3);
	boot.memory = info[2] * 1024 + 0x100000;
	boot.cmdline = (const char *)info[4];
	load_idt();
	failed = run(firmware_pieces);
	failed += run(timer_pieces);
	failed += run(controller_pieces);
	failed += run(apic_pieces);
	finish(failed ? 1 : 33);
}
