/* links: arch/x86/acpi.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/acpi.h"
#include "lib/err.h"
#include "lib/util.h"

/*
 * "Physical memory" with tables in it, from address BASE on. Each map() hands out a copy of just as
 * many bytes as were asked for, so that ASan sees a read beyond them.
 */
#define BASE   0x10000u
#define MEMORY 0x8000u
#define COPIES 512

#define RSDP (BASE + 0x000)
#define RSDT (BASE + 0x100)
#define XSDT (BASE + 0x200)
#define MADT (BASE + 0x1000)
#define FADT (BASE + 0x3000)
#define SPCR (BASE + 0x4000)
#define DSDT (BASE + 0x5000)

static uint8_t memory[MEMORY];
static void *copies[COPIES];
static unsigned int copy_count;
static struct acpi_info info;

static const void *map(void *ctx, uint64_t pa, size_t len)
{
	void *copy;

	(void)ctx;
	if (pa < BASE || pa - BASE > MEMORY || len > MEMORY - (pa - BASE))
		return NULL;
	assert_true(copy_count < COPIES);
	copy = malloc(len);
	copies[copy_count++] = copy;
	return memcpy(copy, memory + (pa - BASE), len);
}

static const struct acpi_reader reader = {map, NULL};

static uint8_t *at(uint32_t pa)
{
	return memory + (pa - BASE);
}

static void put(uint32_t pa, uint64_t value, unsigned int size)
{
	memcpy(at(pa), &value, size);
}

/* Makes the sum of LEN bytes zero by the one at CHECKSUM. */
static void seal(uint32_t pa, uint32_t len, uint32_t checksum)
{
	uint8_t sum = 0;

	*at(pa + checksum) = 0;
	for (uint32_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + *at(pa + i));
	*at(pa + checksum) = (uint8_t)-sum;
}

static void table(uint32_t pa, const char *signature, uint32_t len)
{
	memcpy(at(pa), signature, 4);
	put(pa + 4, len, 4);
	seal(pa, len, 9);
}

static void rsdp(uint8_t revision)
{
	memcpy(at(RSDP), "RSD PTR ", 8);
	*at(RSDP + 15) = revision;
	put(RSDP + 16, RSDT, 4);
	put(RSDP + 20, 36, 4);
	put(RSDP + 24, revision >= 2 ? XSDT : 0, 8);
	seal(RSDP, 20, 8);
	seal(RSDP, 36, 32);
}

/* A MADT with COUNT bytes of entries, which the caller has put at MADT + 44. */
static void madt(uint32_t count)
{
	put(MADT + 36, 0xfee00000, 4);
	*at(MADT + 40) = 1;
	table(MADT, "APIC", 44 + count);
}

static int setup(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	rsdp(2);
	put(XSDT + 36, MADT, 8);
	put(XSDT + 44, FADT, 8);
	put(XSDT + 52, SPCR, 8);
	table(XSDT, "XSDT", 60);
	put(RSDT + 36, MADT, 4);
	table(RSDT, "RSDT", 40);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (copy_count)
		free(copies[--copy_count]);
	return 0;
}

static int parse(void)
{
	return acpi_parse(&reader, RSDP, &info);
}

static const uint8_t entries[] = {
	0, 8,  1,    0, 1,    0,    0,	  0, /* processor 1: APIC ID 0 */
	0, 8,  2,    2, 1,    0,    0,	  0, /* processor 2: APIC ID 2 */
	0, 8,  3,    4, 0,    0,    0,	  0, /* not enabled */
	0, 8,  4,    6, 2,    0,    0,	  0, /* online capable, not enabled */
	0, 8,  5,    2, 1,    0,    0,	  0, /* APIC ID 2 once more */
	9, 16, 0,    0, 0x00, 0x01, 0,	  0,	1,   0, 0, 0, 7, 0, 0, 0, /* x2APIC ID 256 */
	1, 12, 8,    0, 0,    0,    0xc0, 0xfe, 0,   0, 0, 0,		  /* I/O APIC 8, GSI 0 */
	1, 12, 9,    0, 0,    0x10, 0xc0, 0xfe, 24,  0, 0, 0,		  /* I/O APIC 9, GSI 24 */
	2, 10, 0,    0, 2,    0,    0,	  0,	0,   0, /* IRQ 0 on GSI 2, as the bus */
	2, 10, 0,    9, 9,    0,    0,	  0,	0xf, 0, /* IRQ 9: active low, level */
	4, 6,  0xff, 0, 0,    1,			/* an NMI */
};

static void madt_names_processors_and_io_apics(void **state)
{
	(void)state;
	memcpy(at(MADT + 44), entries, sizeof(entries));
	madt(sizeof(entries));
	assert_int_equal(parse(), 0);
	assert_true(info.has_madt);
	assert_true(info.pcat_compat);
	assert_int_equal(info.lapic_address, 0xfee00000);
	assert_int_equal(info.cpu_count, 3);
	assert_int_equal(info.cpus[0].apic_id, 0);
	assert_int_equal(info.cpus[1].apic_id, 2);
	assert_int_equal(info.cpus[1].uid, 2);
	assert_int_equal(info.cpus[2].apic_id, 256);
	assert_int_equal(info.cpus[2].uid, 7);
	assert_int_equal(info.ioapic_count, 2);
	assert_int_equal(info.ioapics[1].address, 0xfec01000);
	assert_int_equal(info.ioapics[1].gsi_base, 24);
	assert_false(info.has_fadt);
	assert_false(info.has_spcr);
}

/* The IOMMUs of DMAR and IVRS, each once; other structures are passed over, broken ones end it. */
static void iommus_are_found(void **state)
{
	static const uint8_t dmar[] = {
		38,   1,    0,	0, 0,	 0,    0,    0, 0, 0,	 0,    0,    0, 0, 16, 0, 1,
		0,    0,    0,	0, 0x10, 0xd9, 0xfe, 0, 0, 0,	 0, /* a unit */
		1,    0,    24, 0, 0,	 0,    0,    0, 0, 0,	 0,    0,    0, 0, 0,  0, 0,
		0,    0,    0,	0, 0,	 0,    0,    0, 0, 16,	 0,    1,    0, 0, 0,  0, 0x10,
		0xd9, 0xfe, 0,	0, 0,	 0, /* the same */
		0,    0,    16, 0, 1,	 0,    0,    0, 1, 0x20, 0xd9, 0xfe, 0, 0, 0,  0, /* no page
											   */
		0,    0,    16, 0, 1,	 0,    0,    0, 0, 0x20, 0xd9, 0xfe, 0, 0, 0,  0, /* another
											   */
		0,    0,    15, 0, 0,	 0,    0,    0, 0, 0x30, 0xd9, 0xfe, 0, 0, 0,  0,
	};

	(void)state;
	rsdp(2);
	memcpy(at(SPCR + 36), dmar, sizeof(dmar));
	table(SPCR, "DMAR", 36 + sizeof(dmar));
	put(XSDT + 36, SPCR, 8);
	table(XSDT, "XSDT", 44);
	assert_int_equal(parse(), 0);
	assert_true(info.has_dmar);
	assert_int_equal(info.iommu_count, 2);
	assert_true(info.iommus[0].base == 0xfed91000 && !info.iommus[0].amd);
	assert_true(info.iommus[1].base == 0xfed92000);
	/* The same bytes as IVRS, whose units are of other types. */
	*at(SPCR + 48) = 0x10;
	table(SPCR, "IVRS", 36 + sizeof(dmar));
	assert_int_equal(parse(), 0);
	assert_int_equal(info.iommu_count, 1);
	assert_true(info.iommus[0].base == 0xfed91000 && info.iommus[0].amd);
}

/* ACPI 6.4 5.2.12.7 and 5.2.12.13 */
static void nmi_pins_are_taken_from_the_madt(void **state)
{
	static const uint8_t entries[] = {
		4,  6,	0xff, 5, 0, 1,			 /* all, active high, LINT1 */
		4,  6,	7,    7, 0, 0,			 /* one, active low, LINT0 */
		4,  6,	8,    0, 0, 2,			 /* there is no such pin */
		10, 12, 3,    0, 0, 1, 0, 0, 1, 0, 0, 0, /* UID 256 */
	};

	(void)state;
	memcpy(at(MADT + 44), entries, sizeof(entries));
	madt(sizeof(entries));
	assert_int_equal(parse(), 0);
	assert_int_equal(info.nmi_count, 3);
	assert_int_equal(info.nmis[0].uid, ACPI_UID_ALL);
	assert_int_equal(info.nmis[0].lint, 1);
	assert_false(info.nmis[0].active_low);
	assert_int_equal(info.nmis[1].uid, 7);
	assert_int_equal(info.nmis[1].lint, 0);
	assert_true(info.nmis[1].active_low);
	assert_int_equal(info.nmis[2].uid, 256);
	assert_true(info.nmis[2].active_low);
}

static void overrides_apply_to_isa_interrupts(void **state)
{
	struct acpi_override o;

	(void)state;
	memcpy(at(MADT + 44), entries, sizeof(entries));
	madt(sizeof(entries));
	assert_int_equal(parse(), 0);
	o = acpi_isa_irq(&info, 0);
	assert_int_equal(o.gsi, 2);
	assert_false(o.level);
	o = acpi_isa_irq(&info, 9);
	assert_true(o.level);
	assert_true(o.active_low);
	o = acpi_isa_irq(&info, 4);
	assert_int_equal(o.gsi, 4);
	assert_false(o.level || o.active_low);
}

static void the_lapic_address_can_be_overridden(void **state)
{
	static const uint8_t e[] = {5, 12, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};

	(void)state;
	memcpy(at(MADT + 44), e, sizeof(e));
	madt(sizeof(e));
	assert_int_equal(parse(), 0);
	assert_int_equal(info.lapic_address, 0x100000000ULL);
}

/* Entries that are shorter than their type, of length 0 or 1, or reach beyond the table. */
static void malformed_madt_entries_are_left_out(void **state)
{
	static const uint8_t bad[][12] = {
		{0, 4, 1, 7},
		{0, 0, 1, 7, 1},
		{0, 1, 1, 7, 1},
		{0, 255, 1, 7, 1},
		{9, 8, 0, 0, 7, 0, 0, 0, 1},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(at(MADT + 44), entries, 8);
		memcpy(at(MADT + 52), bad[i], sizeof(bad[i]));
		madt(8 + sizeof(bad[i]));
		assert_int_equal(parse(), 0);
		assert_int_equal(info.cpu_count, 1);
	}
	/* cut off in the middle of an entry, and of an entry's header */
	memcpy(at(MADT + 44), entries, sizeof(entries));
	madt(13);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.cpu_count, 1);
	madt(9);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.cpu_count, 1);
}

static void too_many_entries_stop_at_the_limits(void **state)
{
	static const uint8_t io[] = {1, 12, 8, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0};

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		memcpy(at(MADT + 44 + i * 12), io, 12);
	madt(1200);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.ioapic_count, ACPI_IOAPIC_MAX);
}

static void a_bad_rsdp_is_refused(void **state)
{
	(void)state;
	assert_int_equal(acpi_parse(&reader, 0, &info), -ENOENT);
	assert_int_equal(acpi_parse(&reader, 0x100, &info), -EINVAL);
	*at(RSDP + 10) ^= 1;
	assert_int_equal(parse(), -EINVAL);
	rsdp(2);
	*at(RSDP) = 'X';
	assert_int_equal(parse(), -EINVAL);
}

static void without_an_xsdt_the_rsdt_serves(void **state)
{
	(void)state;
	memcpy(at(MADT + 44), entries, sizeof(entries));
	madt(sizeof(entries));
	rsdp(0);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.cpu_count, 3);
	rsdp(2);
	*at(XSDT + 20) ^= 0x40; /* checksum */
	assert_int_equal(parse(), 0);
	assert_int_equal(info.cpu_count, 3);
	*at(RSDT + 20) ^= 0x40;
	assert_int_equal(parse(), -EINVAL);
}

static void table_lengths_are_checked(void **state)
{
	static const uint32_t lengths[] = {0, 35, 36, 43, 0x8000, 0x7fffffff, 0xffffffff};

	(void)state;
	memcpy(at(MADT + 44), entries, sizeof(entries));
	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++) {
		madt(sizeof(entries));
		put(MADT + 4, lengths[i], 4);
		if (lengths[i] < MEMORY - 0x1000)
			seal(MADT, MAX(lengths[i], 10), 9);
		assert_int_equal(parse(), 0);
		assert_false(info.has_madt);
		put(XSDT + 4, lengths[i], 4);
		if (lengths[i] < MEMORY - 0x1000)
			seal(XSDT, MAX(lengths[i], 10), 9);
		assert_int_equal(parse(), 0); /* by the RSDT */
		teardown(NULL);
		setup(NULL);
	}
}

static void a_table_with_a_bad_checksum_is_left_out(void **state)
{
	uint32_t len;

	(void)state;
	memcpy(at(MADT + 44), entries, sizeof(entries));
	madt(sizeof(entries));
	assert_int_equal(acpi_find_table(&reader, RSDP, "APIC", &len), MADT);
	assert_int_equal(len, 44 + sizeof(entries));
	*at(MADT + 50) ^= 1;
	assert_int_equal(parse(), 0);
	assert_false(info.has_madt);
	assert_int_equal(info.cpu_count, 0);
	assert_int_equal(acpi_find_table(&reader, RSDP, "APIC", &len), 0);
}

static void gas(uint32_t pa, uint8_t space, uint8_t bits, uint8_t access, uint64_t address)
{
	*at(pa) = space;
	*at(pa + 1) = bits;
	*at(pa + 3) = access;
	put(pa + 4, address, 8);
}

/* As QEMU's PC has it, q35's ports. */
static void fadt(uint32_t len)
{
	put(FADT + 40, DSDT, 4);
	put(FADT + 46, 9, 2);
	put(FADT + 64, 0x604, 4);
	put(FADT + 76, 0x608, 4);
	*at(FADT + 91) = 4;
	put(FADT + 112, 1 << 8 | 1 << 10, 4);
	gas(FADT + 116, 1, 8, 1, 0xcf9);
	*at(FADT + 128) = 0x0f;
	table(FADT, "FACP", len);
}

static void fadt_names_the_power_registers(void **state)
{
	(void)state;
	fadt(244);
	assert_int_equal(parse(), 0);
	assert_true(info.has_fadt);
	assert_int_equal(info.pm_timer_port, 0x608);
	assert_true(info.pm_timer_32bit);
	assert_int_equal(info.pm1a_cnt_port, 0x604);
	assert_int_equal(info.pm1b_cnt_port, 0);
	assert_int_equal(info.sci_irq, 9);
	assert_true(info.has_reset);
	assert_true(info.reset_reg.is_port);
	assert_int_equal(info.reset_reg.address, 0xcf9);
	assert_int_equal(info.reset_value, 0x0f);
	assert_int_equal(info.dsdt, DSDT);
	assert_false(info.has_s5);
}

static void extended_fields_win(void **state)
{
	(void)state;
	gas(FADT + 208, 1, 32, 3, 0x1808);
	gas(FADT + 172, 0, 32, 3, 0xfed00000); /* not a port: the old field stays */
	fadt(244);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.pm_timer_port, 0x1808);
	assert_int_equal(info.pm1a_cnt_port, 0x604);
}

static void short_fadts_have_fewer_fields(void **state)
{
	(void)state;
	gas(FADT + 208, 1, 32, 3, 0x1808);
	fadt(116);
	assert_int_equal(parse(), 0);
	assert_true(info.has_fadt);
	assert_int_equal(info.pm_timer_port, 0x608);
	assert_false(info.has_reset);
	fadt(115);
	assert_int_equal(parse(), 0);
	assert_false(info.has_fadt);
}

static void ports_beyond_64k_are_none(void **state)
{
	(void)state;
	fadt(244);
	put(FADT + 76, 0x10608, 4);
	gas(FADT + 116, 1, 8, 1, 0x10cf9);
	table(FADT, "FACP", 244);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.pm_timer_port, 0);
	assert_false(info.has_reset);
}

static void assert_s5(const char *aml, size_t len, bool found, uint8_t a, uint8_t b)
{
	memset(at(DSDT), 0, 0x100);
	memcpy(at(DSDT + 40), aml, len);
	table(DSDT, "DSDT", 40 + (uint32_t)len);
	fadt(244);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.has_s5, found);
	if (found) {
		assert_int_equal(info.s5_typ_a, a);
		assert_int_equal(info.s5_typ_b, b);
	}
	teardown(NULL);
}

#define S5(aml, found, a, b) assert_s5(aml, sizeof(aml) - 1, found, a, b)

/* Name (_S5, Package () { ... }) as compilers write it, then cut off at each place. */
static void s5_is_found_in_the_dsdt(void **state)
{
	(void)state;
	S5("\x08_S5_\x12\x06\x04\x00\x00\x00\x00", true, 0, 0);
	S5("\x08_S5_\x12\x08\x04\x0a\x05\x0a\x07\x00\x00", true, 5, 7);
	S5("\x08\\_S5_\x12\x06\x04\x01\x01\x00\x00", true, 1, 1);
	S5("\x08_S5_\x12\x48\x00\x04\x0a\x07\x00\x00\x00", true, 7, 0);
	S5("_S5_ _S5_\x12\x06\x04\x01\x00\x00\x00", true, 1, 0);
	/* SLP_TYP has 3 bits, of which nothing may reach SLP_EN. */
	S5("\x08_S5_\x12\x08\x04\x0a\x08\x0a\x00\x00\x00", false, 0, 0);
	S5("\x08_S5_\x12\x08\x04\x0a\x00\x0a\xff\x00\x00", false, 0, 0);
	S5("\x08_S5_\x12\x06\x04\x0a\x05\x0a", false, 0, 0);
	S5("\x08_S5_\x12\x06\x04\x0a", false, 0, 0);
	S5("\x08_S5_\x12\x06\x04", false, 0, 0);
	S5("\x08_S5_\x12\xc6", false, 0, 0);
	S5("\x08_S5_\x12", false, 0, 0);
	S5("\x08_S5_", false, 0, 0);
	S5("\x08_S4_\x12\x06\x04\x00\x00\x00\x00", false, 0, 0);
	S5("\x08_S5_\x12\x06\x04\x0b\x00\x00\x00", false, 0, 0);
}

static void spcr(uint8_t space, uint8_t bits, uint8_t access, uint64_t address, uint32_t len)
{
	gas(SPCR + 40, space, bits, access, address);
	*at(SPCR + 52) = 3;
	*at(SPCR + 53) = 4;
	put(SPCR + 54, 20, 4);
	*at(SPCR + 58) = 7;
	table(SPCR, "SPCR", len);
}

static void spcr_names_the_serial_port(void **state)
{
	(void)state;
	spcr(1, 8, 1, 0x3f8, 80);
	assert_int_equal(parse(), 0);
	assert_true(info.has_spcr);
	assert_true(info.spcr.base.is_port);
	assert_int_equal(info.spcr.base.address, 0x3f8);
	assert_int_equal(info.spcr.register_stride, 1);
	assert_true(info.spcr.has_irq && info.spcr.has_gsi);
	assert_int_equal(info.spcr.irq, 4);
	assert_int_equal(info.spcr.gsi, 20);
	assert_int_equal(info.spcr.baud, 115200);
	spcr(0, 32, 3, 0xfe032000, 80);
	assert_int_equal(parse(), 0);
	assert_false(info.spcr.base.is_port);
	assert_int_equal(info.spcr.register_stride, 4);
	spcr(0, 32, 0, 0xfe032000, 80);
	assert_int_equal(parse(), 0);
	assert_int_equal(info.spcr.register_stride, 4);
}

/* A table that says "console redirection is off" has address 0. */
static void an_spcr_without_an_address_is_none(void **state)
{
	(void)state;
	spcr(1, 8, 1, 0, 80);
	assert_int_equal(parse(), 0);
	assert_false(info.has_spcr);
	spcr(1, 8, 1, 0x3f8, 40);
	assert_int_equal(parse(), 0);
	assert_false(info.has_spcr);
	spcr(9, 8, 1, 0x3f8, 80);
	assert_int_equal(parse(), 0);
	assert_false(info.has_spcr);
}

/*
 * Whatever single byte is wrong, with the checksums right again: no read out of bounds (ASan), and
 * an end.
 */
static void no_byte_leads_astray(void **state)
{
	static const uint32_t tables[] = {XSDT, MADT, FADT, SPCR, DSDT};
	static const char s5[] = "\x08_S5_\x12\x08\x04\x0a\x05\x0a\x07";

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(tables); i++) {
		for (uint32_t byte = 0; byte < 256; byte++) {
			static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};

			for (unsigned int v = 0; v < sizeof(values); v++) {
				uint32_t len = 0;

				setup(NULL);
				memcpy(at(MADT + 44), entries, sizeof(entries));
				madt(sizeof(entries));
				memcpy(at(DSDT + 36), s5, sizeof(s5));
				table(DSDT, "DSDT", 36 + sizeof(s5));
				fadt(244);
				spcr(1, 8, 1, 0x3f8, 80);
				*at(tables[i] + byte) = values[v];
				memcpy(&len, at(tables[i] + 4), 4);
				if (len >= 36 && len <= 0x1000)
					seal(tables[i], len, 9);
				parse();
				assert_true(info.cpu_count <= CPU_MAX);
				teardown(NULL);
			}
		}
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(madt_names_processors_and_io_apics),
		TEST(iommus_are_found),
		TEST(nmi_pins_are_taken_from_the_madt),
		TEST(overrides_apply_to_isa_interrupts),
		TEST(the_lapic_address_can_be_overridden),
		TEST(malformed_madt_entries_are_left_out),
		TEST(too_many_entries_stop_at_the_limits),
		TEST(a_bad_rsdp_is_refused),
		TEST(without_an_xsdt_the_rsdt_serves),
		TEST(table_lengths_are_checked),
		TEST(a_table_with_a_bad_checksum_is_left_out),
		TEST(fadt_names_the_power_registers),
		TEST(extended_fields_win),
		TEST(short_fadts_have_fewer_fields),
		TEST(ports_beyond_64k_are_none),
		TEST(s5_is_found_in_the_dsdt),
		TEST(spcr_names_the_serial_port),
		TEST(an_spcr_without_an_address_is_none),
		TEST(no_byte_leads_astray),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
