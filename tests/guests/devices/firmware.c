/* What firmware leaves and asks: ACPI tables, fw_cfg, CMOS memory sizes, the board's small ports,
 * 8042. */
#include "tests/guests/devices/guest.h"

/* ---- ACPI (6.5, chapter 5) ---- */

struct table {
	char signature[4];
	uint32_t length;
	uint8_t bytes[];
};

static uint8_t sum(const void *data, uint32_t length)
{
	const uint8_t *p = data;
	uint8_t s = 0;

	while (length--)
		s = (uint8_t)(s + *p++);
	return s;
}

static bool same(const void *a, const void *b, uint32_t length)
{
	const uint8_t *p = a, *q = b;

	while (length--)
		if (*p++ != *q++)
			return false;
	return true;
}

static uint32_t get32(const void *data, uint32_t offset)
{
	uint32_t value;

	__builtin_memcpy(&value, (const uint8_t *)data + offset, sizeof(value));
	return value;
}

static const uint8_t *find_rsdp(void)
{
	for (uintptr_t at = 0xe0000; at < 0x100000; at += 16)
		if (same((const void *)at, "RSD PTR ", 8))
			return (const uint8_t *)at;
	return NULL;
}

const void *acpi_table(const char *signature)
{
	const uint8_t *rsdp = find_rsdp();
	const struct table *rsdt = rsdp ? (const struct table *)get32(rsdp, 16) : NULL;

	for (uint32_t at = 36; rsdt && at + 4 <= rsdt->length; at += 4) {
		const struct table *t = (const struct table *)get32(rsdt, at);

		if (same(t->signature, signature, 4) && !sum(t, t->length))
			return t;
	}
	return NULL;
}

static bool tables(void)
{
	const uint8_t *rsdp = find_rsdp();
	const uint8_t *fadt = acpi_table("FACP");
	const struct table *dsdt;

	if (!rsdp || sum(rsdp, 20) || sum(rsdp, 36) || !fadt)
		return false;
	dsdt = (const struct table *)get32(fadt, 40);
	if (!same(dsdt->signature, "DSDT", 4) || sum(dsdt, dsdt->length))
		return false;
	/* An 8042, no VGA; PM timer at 608h, of 32 bits. */
	return (fadt[109] & 6) == 6 && get32(fadt, 76) == 0x608 && fadt[113] & 1;
}

/* PCAT_COMPAT, processors, and IRQ 0 on input 2. */
static bool madt(void)
{
	const struct table *t = acpi_table("APIC");
	bool timer = false;

	if (!t || !(get32(t, 40) & 1))
		return false;
	for (uint32_t at = 44; at < t->length; at += ((const uint8_t *)t)[at + 1]) {
		const uint8_t *e = (const uint8_t *)t + at;

		boot.cpus += e[0] == 0 && e[4] & 1;
		timer |= e[0] == 2 && e[3] == 0 && get32(e, 4) == 2;
	}
	return boot.cpus && timer;
}

/* ---- fw_cfg ---- */

static void fw_cfg_read(uint16_t key, void *to, uint32_t length)
{
	uint8_t *p = to;

	outw(0x510, key);
	while (length--)
		*p++ = inb(0x511);
}

static uint32_t big(uint32_t value)
{
	return __builtin_bswap32(value);
}

struct entry {
	uint32_t size;
	uint16_t select, reserved;
	char name[56];
};

static bool fw_cfg_file(const char *name, uint32_t length, struct entry *e)
{
	uint32_t count;

	fw_cfg_read(0x19, &count, sizeof(count));
	for (count = big(count); count; count--) {
		uint8_t *p = (uint8_t *)e;

		for (unsigned int i = 0; i < sizeof(*e); i++)
			p[i] = inb(0x511);
		if (same(e->name, name, length + 1))
			return true;
	}
	return false;
}

static bool fw_cfg_items(void)
{
	uint32_t id, cmdline_size;
	uint16_t cpus;
	uint64_t ram;
	char text[64];

	fw_cfg_read(0, text, 4);
	fw_cfg_read(1, &id, sizeof(id));
	fw_cfg_read(5, &cpus, sizeof(cpus));
	fw_cfg_read(3, &ram, sizeof(ram));
	fw_cfg_read(0x14, &cmdline_size, sizeof(cmdline_size));
	if (!same(text, "QEMU", 4) || id != 3 || cpus != boot.cpus || ram != boot.memory ||
	    cmdline_size > sizeof(text))
		return false;
	fw_cfg_read(0x15, text, cmdline_size);
	return same(text, boot.cmdline, cmdline_size);
}

/* The VM's section names two files. */
static bool fw_cfg_files(void)
{
	struct entry e;
	char text[16];

	if (!fw_cfg_file("opt/first", 9, &e) || big(e.size) != 10)
		return false;
	fw_cfg_read(__builtin_bswap16(e.select), text, 11);
	return same(text, "the first\n", 11) && fw_cfg_file("opt/org.example/second", 22, &e) &&
	       fw_cfg_file("etc/acpi/tables", 15, &e) && fw_cfg_file("etc/table-loader", 16, &e);
}

static volatile struct {
	uint32_t control, length, address_high, address;
} dma;

static uint32_t fw_cfg_dma(uint32_t control, uint32_t length, uint32_t address)
{
	dma.control = big(control);
	dma.length = big(length);
	dma.address_high = 0;
	dma.address = big(address);
	outl(0x518, big((uint32_t)&dma));
	return big(dma.control);
}

static bool fw_cfg_by_dma(void)
{
	struct entry e;
	static char text[16];

	if (inl(0x514) != big(0x51454d55) || !fw_cfg_file("opt/first", 9, &e))
		return false;
	if (fw_cfg_dma((uint32_t)__builtin_bswap16(e.select) << 16 | 0xa, 10, (uint32_t)text) ||
	    !same(text, "the first\n", 11))
		return false;
	/* No writing, and nothing beyond memory. */
	return fw_cfg_dma(0x10, 4, (uint32_t)text) == 1 && fw_cfg_dma(2, 4, 0xfffffffe) == 1;
}

/* ---- CMOS memory, the board, the keyboard controller ---- */

static uint8_t cmos(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static bool memory_size(void)
{
	uint32_t base = cmos(0x15) | (uint32_t)cmos(0x16) << 8;
	uint32_t extended = cmos(0x17) | (uint32_t)cmos(0x18) << 8;

	return base == 640 && extended == boot.memory / 1024 - 1024;
}

static bool board_ports(void)
{
	uint8_t refresh = inb(0x61) & 0x10;

	outb(0x80, 0x5a);
	return inb(0x80) == 0x5a && inb(0x92) == 0x02 && inb(0xcf9) == 0 &&
	       (inb(0x61) & 0x10) != refresh && inb(0x604) & 1 && inl(0xcfc) == 0xffffffff;
}

static uint8_t kbc(uint8_t command)
{
	outb(0x64, command);
	while (!(inb(0x64) & 1))
		;
	return inb(0x60);
}

static bool keyboard_controller(void)
{
	if (kbc(0xaa) != 0x55 || kbc(0xab) != 0 || (kbc(0xd0) & 3) != 3)
		return false;
	outb(0x64, 0x60);
	outb(0x60, 0x74);
	if (kbc(0x20) != 0x74)
		return false;
	/* No keyboard: a time-out. */
	outb(0x60, 0xf2);
	return (inb(0x64) & 0x41) == 0x41 && inb(0x60) == 0xfe;
}

const struct piece firmware_pieces[] = {
	{"ACPI tables", tables},
	{"MADT", madt},
	{"fw_cfg items", fw_cfg_items},
	{"fw_cfg files", fw_cfg_files},
	{"fw_cfg DMA", fw_cfg_by_dma},
	{"CMOS memory size", memory_size},
	{"board ports", board_ports},
	{"keyboard controller", keyboard_controller},
	{0},
};
