/* Devices: indices out of range, a level that nobody ends, ports that chipsets have. */
#include "tests/guests/attack/attack.h"

static uint32_t ioapic_read(uint32_t index)
{
	mmio_write(IOAPIC, index);
	return mmio_read(IOAPIC + 0x10);
}

static void ioapic_write(uint32_t index, uint32_t value)
{
	mmio_write(IOAPIC, index);
	mmio_write(IOAPIC + 0x10, value);
}

static void ioapic_indices(void)
{
	uint32_t version = ioapic_read(1), pins = (version >> 16 & 0xff) + 1;

	for (uint32_t index = 0; index < 0x100; index++) {
		bool there = index < 3 || (index >= 0x10 && index < 0x10 + 2 * pins);
		uint32_t old = ioapic_read(index);

		if (there)
			continue;
		ioapic_write(index, ~0u);
		EXPECT(ioapic_read(index) == old, "register %lx: %lx, was %lx", index,
		       ioapic_read(index), old);
	}
	/* The select register has 8 bits; what lies between the registers is nothing. */
	mmio_write(IOAPIC, 0xffffff01);
	EXPECT(mmio_read(IOAPIC + 0x10) == version, "version %lx, not %lx",
	       mmio_read(IOAPIC + 0x10), version, 0);
	for (uint32_t offset = 0x20; offset < 0x1000; offset += 4)
		if (offset != 0x40)
			mmio_write(IOAPIC + offset, ~0u);
	EXPECT(ioapic_read(1) == version, "version %lx, not %lx", ioapic_read(1), version, 0);
	/* Reserved delivery modes, and destinations that nobody is. */
	for (uint32_t mode = 0; mode < 8; mode++) {
		if (mode == 5)
			continue;
		ioapic_write(0x10 + 2 * 4 + 1, 0xfe000000);
		ioapic_write(0x10 + 2 * 4, mode << 8 | 0x8000 | 5);
		ioapic_write(0x10 + 2 * 4, mode << 8 | 5);
	}
	ioapic_write(0x10 + 2 * 4, 0x10000);
}

#define COM1 0x3f8
#define PIN  4

/* The transmitter's interrupt as a level: it stays asserted. */
static void level_without_end(void)
{
	struct rt_cpu *cpu = rt_self();
	uint32_t before = cpu->ints[V_LINE];

	ioapic_write(0x10 + 2 * PIN + 1, 0);
	ioapic_write(0x10 + 2 * PIN, 0x8000 | V_LINE);
	outb(COM1 + 4, 0x0b);
	cpu->no_eoi = true;
	outb(COM1 + 1, 2);
	rt_wait_us(1000);
	for (unsigned int i = 0; i < 100; i++)
		__asm__ volatile("sti; nop; nop; cli");
	EXPECT(cpu->ints[V_LINE] == before + 1, "%lu interrupts without an EOI",
	       cpu->ints[V_LINE] - before, 0, 0);
	EXPECT(ioapic_read(0x10 + 2 * PIN) & BIT(14), "entry %lx: no Remote IRR",
	       ioapic_read(0x10 + 2 * PIN), 0, 0);
	cpu->no_eoi = false;
	/* Ended without an answer to the device, it comes again at once, for ever. */
	mmio_write(APIC + 0xb0, 0);
	for (unsigned int i = 0; i < 20; i++)
		__asm__ volatile("sti; nop; nop; cli");
	EXPECT(cpu->ints[V_LINE] > before + 1, "it does not come again", 0, 0, 0);
	outb(COM1 + 1, 0);
	ioapic_write(0x10 + 2 * PIN, 0x10000);
	mmio_write(APIC + 0xb0, 0);
}

static void chipset_ports(void)
{
	for (uint16_t port = 0xcf8; port <= 0xcff; port++) {
		for (uint32_t i = 0; i < 256; i++) {
			if (port != 0xcf9)
				outb(port, (uint8_t)i);
			if (port < 0xcf8 || port > 0xcf9)
				outw(port, (uint16_t)(i * 257));
			outl(port, BIT(31) | i << 8);
			inb(port);
			inw(port);
			inl(port);
		}
	}
	outb(0xcf9, 0x02);
	outl(0xcf8, 0x80000000);
	EXPECT(inl(0xcfc) == 0xffffffff || inl(0xcf8) == 0x80000000, "no PCI: %lx", inl(0xcfc), 0,
	       0);
	for (uint32_t i = 0; i < 256; i++) {
		outb(0xb2, (uint8_t)i);
		outb(0xb3, (uint8_t)i);
		outb(0x92, (uint8_t)(i & ~1u));
		if (i < 0xf0 && i != 0xd1)
			outb(0x64, (uint8_t)i);
		outb(0x60, (uint8_t)i);
		inb(0xb2);
		inb(0x92);
		inb(0x64);
		inb(0x60);
	}
	EXPECT(inb(0xed) == 0xff && inw(0xed) == 0xffff && inl(0x1000) == 0xffffffff,
	       "a port that is not there answers", 0, 0, 0);
	/* Accesses over the ends of devices, and over the last port. */
	outb(0x3ff, 0x5a);
	EXPECT(inl(0x3fd) >> 16 == 0xff5a, "%lx over the end of COM1", inl(0x3fd), 0, 0);
	EXPECT((inl(0x3f5) & 0xffffff) == 0xffffff, "%lx before COM1", inl(0x3f5), 0, 0);
	inl(0xffff);
	inw(0xffff);
	outl(0xfffd, ~0u);
	outl(0x606, 0);
}

static bool is_bcd(uint8_t value)
{
	return (value & 15) <= 9 && value >> 4 <= 9;
}

/* Both processors at once, then what was there still works. */
static void hammer(void)
{
	static const uint16_t ports[] = {0x40, 0x41, 0x42, 0x43, 0x61,	0x70, 0x71,
					 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};

	for (uint32_t i = 0; i < 3000; i++) {
		uint16_t port = ports[(i * 7 + i / 13) % ARRAY_SIZE(ports)];

		outb(port, (uint8_t)(i * 31 + (i >> 5)));
		inb(ports[i % ARRAY_SIZE(ports)]);
		second_count++;
	}
}

static void legacy_races(void)
{
	second_job = hammer;
	hammer();
	hammer();
	second_job = NULL;
	EXPECT(restart_second(), "the second processor does not come back", 0, 0, 0);
	/* The clock's registers B and A as firmware leaves them. */
	outb(0x70, 0x0b);
	outb(0x71, 0x02);
	outb(0x70, 0x0a);
	outb(0x71, 0x26);
	outb(0x70, 0x00);
	EXPECT(is_bcd(inb(0x71)), "seconds %lx", inb(0x71), 0, 0);
	outb(0x43, 0x34);
	outb(0x40, 0xff);
	outb(0x40, 0xff);
	outb(0x43, 0x00);
	inb(0x40);
	inb(0x40);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
}

static const struct attack_case device_table_cases[] = {
	{"I/O APIC indices", ioapic_indices},
	{"a level that nobody ends", level_without_end},
	{"ports of chipsets", chipset_ports},
	{"PIT, RTC and PIC races", legacy_races},
};
CASES(device_table);
