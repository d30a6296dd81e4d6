/* 8259 pair, I/O APIC, and the serial port as their source: in loopback mode it interrupts at will.
 */
#include "tests/guests/devices/guest.h"

#define PIC1	 0x20
#define PIC2	 0xa0
#define COM1	 0x3f8
#define COM2	 0x2f8
#define COM2_IRQ 3
#define COM_IRQ	 4
#define IOAPIC	 0xfec00000u
#define V_PIN	 0x60
#define HPET	 0xfed00000u

void pic_init(uint16_t enabled)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} words[] = {
		{PIC1, 0x11}, {PIC1 + 1, PIC_VECTOR},	  {PIC1 + 1, 4}, {PIC1 + 1, 1},
		{PIC2, 0x11}, {PIC2 + 1, PIC_VECTOR + 8}, {PIC2 + 1, 2}, {PIC2 + 1, 1},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		outb(words[i].port, words[i].value);
	outb(PIC1 + 1, (uint8_t)~enabled);
	outb(PIC2 + 1, (uint8_t)(~enabled >> 8));
	for (uint8_t v = PIC_VECTOR; v < PIC_VECTOR + 16; v++)
		set_eoi(v, EOI_PIC);
}

/* ---- the serial port ---- */

/* Drops the line, or raises it by a byte that comes in through the loop. OUT2 is on. */
static void com_line(bool on)
{
	outb(COM1 + 4, 0x18);
	outb(COM1 + 1, 1);
	if (on)
		outb(COM1, 'x');
	else
		(void)inb(COM1);
}

static void com_off(void)
{
	com_line(false);
	outb(COM1 + 1, 0);
	outb(COM1 + 4, 0x0b);
}

static bool serial_port(void)
{
	bool good;

	outb(COM1 + 7, 0xa5);
	outb(COM1 + 4, 0x18);
	outb(COM1, 'q');
	good = inb(COM1 + 7) == 0xa5 && inb(COM1 + 5) & 1 && inb(COM1) == 'q' &&
	       !(inb(COM1 + 5) & 1) && (inb(COM1 + 6) & 0xf0) == 0x80;
	com_off();
	return good;
}

/* Its interrupt is IRQ 3, and what is written to it comes out marked. */
static bool second_port(void)
{
	uint8_t v = PIC_VECTOR + COM2_IRQ;
	uint32_t from = taken[v];

	for (const char *c = "second port\n"; *c; c++)
		outb(COM2, (uint8_t)*c);
	pic_init(1 << COM2_IRQ);
	outb(COM2 + 4, 0x18);
	outb(COM2 + 1, 1);
	outb(COM2, 'q');
	if (!comes(v, from, 1) || inb(COM2) != 'q')
		return false;
	outb(COM2 + 4, 0);
	return !(inb(COM2 + 5) & 1);
}

/* ---- 8259 ---- */

static bool pic_interrupt(void)
{
	uint8_t v = PIC_VECTOR + COM_IRQ;
	uint32_t from = taken[v];

	pic_init(1 << COM_IRQ);
	com_line(true);
	if (!comes(v, from, 1) || !stays_away(v))
		return false;
	com_line(false);
	com_line(true);
	return comes(v, from + 1, 1);
}

/* IRR shows what IMR holds back; what is gone at INTA is spurious. */
static bool pic_mask(void)
{
	uint8_t v = PIC_VECTOR + COM_IRQ;
	uint32_t from = taken[v];

	com_line(false);
	outb(PIC1 + 1, 0xff);
	com_line(true);
	outb(PIC1, 0x0a);
	if (!(inb(PIC1) & 1 << COM_IRQ) || inb(PIC1 + 1) != 0xff || !stays_away(v))
		return false;
	outb(PIC1, 0x0b);
	if (inb(PIC1))
		return false;
	com_line(false);
	outb(PIC1 + 1, (uint8_t) ~(1 << COM_IRQ));
	return stays_away(v) && taken[v] == from;
}

/* Level-triggered by the edge/level register: again and again until the device is quiet. */
static bool pic_level(void)
{
	uint8_t v = PIC_VECTOR + COM_IRQ;
	uint32_t from = taken[v];

	outb(0x4d0, 1 << COM_IRQ);
	com_line(true);
	if (inb(0x4d0) != 1 << COM_IRQ || !comes(v, from, 5))
		return false;
	com_off();
	outb(0x4d0, 0);
	return stays_away(v);
}

static bool pic_poll(void)
{
	uint8_t word;

	com_line(true);
	outb(PIC1, 0x0c);
	word = inb(PIC1);
	com_off();
	outb(PIC1, 0x20);
	return word == (0x80 | COM_IRQ);
}

/* ---- I/O APIC ---- */

static uint32_t ioapic_read(uint8_t reg)
{
	mmio_write(IOAPIC, reg);
	return mmio_read(IOAPIC + 0x10);
}

static void ioapic_write(uint8_t reg, uint32_t value)
{
	mmio_write(IOAPIC, reg);
	mmio_write(IOAPIC + 0x10, value);
}

void ioapic_set(unsigned int pin, uint32_t low, uint8_t dest)
{
	ioapic_write((uint8_t)(0x11 + 2 * pin), (uint32_t)dest << 24);
	ioapic_write((uint8_t)(0x10 + 2 * pin), low);
	set_eoi((uint8_t)low, low & IOAPIC_EXTINT ? EOI_NONE : EOI_APIC);
}

uint32_t ioapic_get(unsigned int pin)
{
	return ioapic_read((uint8_t)(0x10 + 2 * pin));
}

static bool ioapic_registers(void)
{
	uint32_t version = ioapic_read(1);

	ioapic_write(0, 0x05000000);
	return (version & 0xff) == 0x20 && version >> 16 == 23 && ioapic_read(0) == 0x05000000 &&
	       ioapic_get(23) & IOAPIC_MASKED;
}

static bool ioapic_edge(void)
{
	uint32_t from = taken[V_PIN];

	outb(PIC1 + 1, 0xff);
	apic_set(APIC_SVR, 0x1ff);
	ioapic_set(COM_IRQ, V_PIN, 0);
	com_line(true);
	if (!comes(V_PIN, from, 1) || !stays_away(V_PIN))
		return false;
	ioapic_set(COM_IRQ, IOAPIC_MASKED | V_PIN, 0);
	com_line(false);
	com_line(true);
	return stays_away(V_PIN);
}

/* Remote IRR is set until the EOI comes back; a line that stays up asks again. */
static bool ioapic_level(void)
{
	uint32_t from = taken[V_PIN];

	com_line(false);
	ioapic_set(COM_IRQ, IOAPIC_LEVEL | V_PIN, 0);
	set_eoi(V_PIN, EOI_NONE);
	com_line(true);
	if (!comes(V_PIN, from, 1) || !(ioapic_get(COM_IRQ) & 0x4000) || !stays_away(V_PIN))
		return false;
	set_eoi(V_PIN, EOI_APIC);
	apic_set(APIC_EOI, 0);
	if (!comes(V_PIN, from, 4))
		return false;
	com_off();
	(void)stays_away(V_PIN); /* one was sent at the last EOI */
	return stays_away(V_PIN) && !(ioapic_get(COM_IRQ) & 0x4000);
}

/* EOI broadcasts suppressed: the I/O APIC's own EOI register ends it (SDM vol. 3A 11.8.5). */
static bool directed_eoi(void)
{
	uint32_t from = taken[V_PIN];
	bool good;

	if (!(apic_get(APIC_VERSION) & 1u << 24))
		return false;
	apic_set(APIC_SVR, 0x11ff);
	com_line(true);
	good = comes(V_PIN, from, 1) && stays_away(V_PIN) && ioapic_get(COM_IRQ) & 0x4000;
	com_off();
	mmio_write(IOAPIC + 0x40, V_PIN);
	good = good && !(ioapic_get(COM_IRQ) & 0x4000);
	apic_set(APIC_SVR, 0x1ff);
	ioapic_set(COM_IRQ, IOAPIC_MASKED | V_PIN, 0);
	return good;
}

static bool ioapic_nmi(void)
{
	uint32_t from = taken[2];
	bool good;

	ioapic_set(COM_IRQ, 0x400, 0);
	com_line(true);
	good = comes(2, from, 1);
	com_off();
	ioapic_set(COM_IRQ, IOAPIC_MASKED, 0);
	return good;
}

/* The 8259 pair through input 0, with LINT0 masked. */
static bool ioapic_extint(void)
{
	uint8_t v = PIC_VECTOR + COM_IRQ;
	uint32_t from = taken[v];
	uint32_t lint0 = apic_get(APIC_LINT0);
	bool good;

	apic_set(APIC_LINT0, 0x10700);
	pic_init(1 << COM_IRQ);
	com_line(true);
	good = stays_away(v);
	com_line(false);
	ioapic_set(0, IOAPIC_EXTINT, 0);
	com_line(true);
	good = good && comes(v, from, 1) && stays_away(v);
	com_off();
	ioapic_set(0, IOAPIC_MASKED, 0);
	apic_set(APIC_LINT0, lint0);
	return good;
}

/* One-shot and level-triggered, on an input of its own. */
static bool hpet_level(void)
{
	uint32_t from = taken[V_PIN + 1];

	outb(PIC1 + 1, 0xff);
	ioapic_set(20, IOAPIC_LEVEL | (V_PIN + 1), 0);
	mmio_write(HPET + 0x10, 1);
	mmio_write(HPET + 0x100, 20 << 9 | 0x106); /* 32 bits, level, on */
	mmio_write(HPET + 0x108, mmio_read(HPET + 0xf0) + 50000);
	if (!comes(V_PIN + 1, from, 3) || mmio_read(HPET + 0x20) != 1)
		return false;
	mmio_write(HPET + 0x20, 1);
	mmio_write(HPET + 0x10, 0);
	(void)stays_away(V_PIN + 1); /* one was sent at the last EOI */
	return stays_away(V_PIN + 1);
}

const struct piece controller_pieces[] = {
	{"serial port in a loop", serial_port},
	{"second serial port", second_port},
	{"8259 interrupt", pic_interrupt},
	{"8259 mask and requests", pic_mask},
	{"8259 level-triggered", pic_level},
	{"8259 poll", pic_poll},
	{"I/O APIC registers", ioapic_registers},
	{"I/O APIC edge", ioapic_edge},
	{"I/O APIC level", ioapic_level},
	{"directed EOI", directed_eoi},
	{"I/O APIC NMI", ioapic_nmi},
	{"I/O APIC ExtINT", ioapic_extint},
	{"HPET level-triggered", hpet_level},
	{0},
};
