#include "arch/x86/acpi.h"

#include "lib/err.h"
#include "lib/string.h"
#include "lib/util.h"

#define RSDP_V1_SIZE  20
#define RSDP_V2_SIZE  36
#define HEADER_SIZE   36
#define TABLE_MAX     MIB(8) /* what is larger is taken for garbage */
#define DIRECTORY_MAX 256    /* tables; a PC has some thirty */
#define MADT_ENTRIES  44
#define FADT_V1_SIZE  116
#define SPCR_MIN_SIZE 60

/* A table whose length and checksum are good: LEN bytes, LEN >= HEADER_SIZE. */
struct table {
	const uint8_t *bytes;
	uint32_t len;
};

/* Fields stand at any alignment. The caller has checked that they lie within what is mapped. */
static uint64_t get(const uint8_t *at, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, at, size);
	return value;
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)get(at, 2);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get(at, 4);
}

static bool sum_is_zero(const uint8_t *bytes, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return sum == 0;
}

static bool open_table(const struct acpi_reader *r, uint64_t pa, struct table *t)
{
	const uint8_t *header = pa ? r->map(r->ctx, pa, HEADER_SIZE) : NULL;

	if (!header)
		return false;
	t->len = get32(header + 4);
	if (t->len < HEADER_SIZE || t->len > TABLE_MAX)
		return false;
	t->bytes = r->map(r->ctx, pa, t->len);
	return t->bytes && sum_is_zero(t->bytes, t->len);
}

static bool has_signature(const struct table *t, const char *signature)
{
	return memcmp(t->bytes, signature, 4) == 0;
}

/*
 * The table of tables: an XSDT with 64-bit addresses, or an RSDT with 32-bit ones (ACPI 6.4 5.2.7,
 * 5.2.8).
 */
struct directory {
	struct table t;
	unsigned int entry_size, count;
	unsigned int revision;
};

static bool open_directory(const struct acpi_reader *r, uint64_t pa, const char *signature,
			   unsigned int entry_size, struct directory *d)
{
	if (!open_table(r, pa, &d->t) || !has_signature(&d->t, signature))
		return false;
	d->entry_size = entry_size;
	d->count = MIN((d->t.len - HEADER_SIZE) / entry_size, DIRECTORY_MAX);
	return true;
}

/* ACPI 6.4 5.2.5.3 */
static int find_directory(const struct acpi_reader *r, uint64_t rsdp, struct directory *d)
{
	const uint8_t *p;

	if (!rsdp)
		return -ENOENT;
	p = r->map(r->ctx, rsdp, RSDP_V1_SIZE);
	if (!p || memcmp(p, "RSD PTR ", 8) || !sum_is_zero(p, RSDP_V1_SIZE))
		return -EINVAL;
	d->revision = p[15];
	if (d->revision >= 2) {
		const uint8_t *v2 = r->map(r->ctx, rsdp, RSDP_V2_SIZE);

		if (v2 && sum_is_zero(v2, RSDP_V2_SIZE) &&
		    open_directory(r, get(v2 + 24, 8), "XSDT", 8, d))
			return 0;
	}
	return open_directory(r, get32(p + 16), "RSDT", 4, d) ? 0 : -EINVAL;
}

static uint64_t entry_address(const struct directory *d, unsigned int i)
{
	return get(d->t.bytes + HEADER_SIZE + (size_t)i * d->entry_size, d->entry_size);
}

uint64_t acpi_find_table(const struct acpi_reader *r, uint64_t rsdp, const char signature[4],
			 uint32_t *len)
{
	struct directory d;

	if (find_directory(r, rsdp, &d))
		return 0;
	for (unsigned int i = 0; i < d.count; i++) {
		struct table t;

		if (!open_table(r, entry_address(&d, i), &t) || !has_signature(&t, signature))
			continue;
		*len = t.len;
		return entry_address(&d, i);
	}
	return 0;
}

/* ---- MADT: ACPI 6.4 5.2.12 ---- */

static bool knows_cpu(const struct acpi_info *info, uint32_t apic_id)
{
	for (unsigned int i = 0; i < info->cpu_count; i++)
		if (info->cpus[i].apic_id == apic_id)
			return true;
	return false;
}

/* Only "enabled" counts: "online capable" is a socket that may be filled later. */
static void add_cpu(struct acpi_info *info, uint32_t apic_id, uint32_t uid, uint32_t flags)
{
	if (!(flags & 1) || info->cpu_count == CPU_MAX || knows_cpu(info, apic_id))
		return;
	info->cpus[info->cpu_count++] = (struct acpi_cpu){apic_id, uid};
}

static void madt_lapic(struct acpi_info *info, const uint8_t *e)
{
	if (e[3] != 0xff)
		add_cpu(info, e[3], e[2], get32(e + 4));
}

static void madt_x2apic(struct acpi_info *info, const uint8_t *e)
{
	if (get32(e + 4) != UINT32_MAX)
		add_cpu(info, get32(e + 4), get32(e + 12), get32(e + 8));
}

static void madt_ioapic(struct acpi_info *info, const uint8_t *e)
{
	if (info->ioapic_count < ACPI_IOAPIC_MAX)
		info->ioapics[info->ioapic_count++] =
			(struct acpi_ioapic){e[2], get32(e + 4), get32(e + 8)};
}

/* ACPI 6.4 table 5-26: 0 is what the bus has, and ISA is active high and edge-triggered. */
static void madt_override(struct acpi_info *info, const uint8_t *e)
{
	uint16_t flags = get16(e + 8);

	if (e[2] != 0 || e[3] > 15 || info->override_count == ACPI_OVERRIDE_MAX)
		return;
	info->overrides[info->override_count++] = (struct acpi_override){
		.irq = e[3],
		.gsi = get32(e + 4),
		.active_low = (flags & 3) == 3,
		.level = (flags >> 2 & 3) == 3,
	};
}

static void madt_lapic_address(struct acpi_info *info, const uint8_t *e)
{
	info->lapic_address = get(e + 4, 8);
}

static void add_nmi(struct acpi_info *info, uint32_t uid, uint16_t flags, uint8_t lint)
{
	if (lint > 1 || info->nmi_count == ACPI_NMI_MAX)
		return;
	info->nmis[info->nmi_count++] =
		(struct acpi_nmi){.uid = uid, .lint = lint, .active_low = (flags & 3) == 3};
}

static void madt_lapic_nmi(struct acpi_info *info, const uint8_t *e)
{
	add_nmi(info, e[2] == 0xff ? ACPI_UID_ALL : e[2], get16(e + 3), e[5]);
}

static void madt_x2apic_nmi(struct acpi_info *info, const uint8_t *e)
{
	add_nmi(info, get32(e + 4), get16(e + 2), e[8]);
}

static const struct {
	uint8_t type, min_len;
	void (*take)(struct acpi_info *info, const uint8_t *e);
} madt_types[] = {
	{0, 8, madt_lapic},	   {1, 12, madt_ioapic},	{2, 10, madt_override},
	{4, 6, madt_lapic_nmi},	   {5, 12, madt_lapic_address}, {9, 16, madt_x2apic},
	{10, 12, madt_x2apic_nmi},
};

static void take_madt_entry(struct acpi_info *info, const uint8_t *e)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(madt_types); i++)
		if (madt_types[i].type == e[0] && e[1] >= madt_types[i].min_len)
			madt_types[i].take(info, e);
}

static void parse_madt(const struct acpi_reader *r, const struct table *t, struct acpi_info *info)
{
	uint32_t at = MADT_ENTRIES;

	(void)r;
	if (t->len < MADT_ENTRIES || info->has_madt)
		return;
	info->has_madt = true;
	info->lapic_address = get32(t->bytes + 36);
	info->pcat_compat = t->bytes[40] & 1;
	while (t->len - at >= 2) {
		const uint8_t *e = t->bytes + at;

		if (e[1] < 2 || e[1] > t->len - at)
			return;
		take_madt_entry(info, e);
		at += e[1];
	}
}

/* ---- FADT: ACPI 6.4 5.2.9 ---- */

static struct acpi_gas get_gas(const uint8_t *at)
{
	struct acpi_gas gas = {.is_port = at[0] == 1,
			       .bit_width = at[1],
			       .address = get(at + 4, 8)};

	if (at[0] > 1 || (gas.is_port && gas.address > UINT16_MAX))
		return (struct acpi_gas){0};
	return gas;
}

/*
 * A register block's port: from the extended field if the table has it and it names a port, else
 * from the old one.
 */
static uint32_t block_port(const struct table *t, uint32_t old, uint32_t extended)
{
	uint32_t port = get32(t->bytes + old);

	if (t->len >= extended + 12) {
		struct acpi_gas gas = get_gas(t->bytes + extended);

		if (gas.is_port && gas.address)
			port = (uint32_t)gas.address;
	}
	return port <= UINT16_MAX ? port : 0;
}

/*
 * \_S5 is a package of small integers in the DSDT: its name, PackageOp, a length of one to four
 * bytes, the number of elements, then SLP_TYPa and SLP_TYPb (ACPI 6.4 7.4.2, 20.2.4). Whole AML is
 * not needed to find it.
 */
static bool get_small_integer(const uint8_t **p, const uint8_t *end, uint8_t *value)
{
	uint8_t op;

	if (*p == end)
		return false;
	op = *(*p)++;
	if (op <= 1) {
		*value = op;
		return true;
	}
	if (op != 0x0a || *p == end)
		return false;
	*value = *(*p)++;
	return true;
}

#define SLP_TYP_MAX 7 /* ACPI 6.4 4.8.3.2.1 */

static bool parse_s5(const uint8_t *p, const uint8_t *end, struct acpi_info *info)
{
	size_t length_bytes;

	if (end - p < 3 || p[0] != 0x12)
		return false;
	length_bytes = 1 + (p[1] >> 6);
	if ((size_t)(end - p) < 2 + length_bytes)
		return false;
	p += 2 + length_bytes;
	/* SLP_TYP has 3 bits; a wider value would reach SLP_EN and what is behind it. */
	return get_small_integer(&p, end, &info->s5_typ_a) && info->s5_typ_a <= SLP_TYP_MAX &&
	       get_small_integer(&p, end, &info->s5_typ_b) && info->s5_typ_b <= SLP_TYP_MAX;
}

static void find_s5(const struct acpi_reader *r, struct acpi_info *info)
{
	struct table t;

	if (!open_table(r, info->dsdt, &t) || !has_signature(&t, "DSDT"))
		return;
	for (uint32_t at = HEADER_SIZE; !info->has_s5 && at + 4 <= t.len; at++)
		if (!memcmp(t.bytes + at, "_S5_", 4))
			info->has_s5 = parse_s5(t.bytes + at + 4, t.bytes + t.len, info);
}

static void parse_fadt(const struct acpi_reader *r, const struct table *t, struct acpi_info *info)
{
	uint32_t flags;

	if (t->len < FADT_V1_SIZE || info->has_fadt)
		return;
	info->has_fadt = true;
	flags = get32(t->bytes + 112);
	info->sci_irq = get16(t->bytes + 46);
	info->pm1a_cnt_port = block_port(t, 64, 172);
	info->pm1b_cnt_port = block_port(t, 68, 184);
	info->pm_timer_port = t->bytes[91] == 4 ? block_port(t, 76, 208) : 0;
	info->pm_timer_32bit = flags & BIT(8);
	if (t->len >= 129 && (flags & BIT(10))) {
		info->reset_reg = get_gas(t->bytes + 116);
		info->reset_value = t->bytes[128];
		info->has_reset = info->reset_reg.address != 0;
	}
	info->dsdt = t->len >= 148 ? get(t->bytes + 140, 8) : 0;
	if (!info->dsdt)
		info->dsdt = get32(t->bytes + 40);
	find_s5(r, info);
}

/* ---- SPCR: Microsoft's Serial Port Console Redirection Table ---- */

/*
 * Registers are as far apart as an access is wide; a table without access size has the register's
 * width.
 */
static uint8_t spcr_stride(const uint8_t *gas)
{
	uint8_t access = gas[3];

	if (gas[0] != 0)
		return 1;
	if (access >= 1 && access <= 3)
		return (uint8_t)(1 << (access - 1));
	return gas[1] == 32 ? 4 : gas[1] == 16 ? 2 : 1;
}

static void parse_spcr(const struct acpi_reader *r, const struct table *t, struct acpi_info *info)
{
	static const uint32_t bauds[] = {[3] = 9600, [4] = 19200, [6] = 57600, [7] = 115200};
	const uint8_t *b = t->bytes;

	(void)r;
	if (t->len < SPCR_MIN_SIZE || info->has_spcr)
		return;
	info->spcr.interface_type = b[36];
	info->spcr.base = get_gas(b + 40);
	info->spcr.register_stride = spcr_stride(b + 40);
	info->spcr.has_irq = b[52] & 1;
	info->spcr.irq = b[53];
	info->spcr.has_gsi = b[52] & 2;
	info->spcr.gsi = get32(b + 54);
	info->spcr.baud = b[58] < ARRAY_SIZE(bauds) ? bauds[b[58]] : 0;
	info->has_spcr = info->spcr.base.address != 0;
}

/* ---- DMAR: VT-d 8.1 to 8.3; IVRS: AMD I/O Virtualization Technology 5.2 ---- */

static void add_iommu(struct acpi_info *info, uint64_t base, bool amd)
{
	if (!base || base % 4096 || base >= BIT(52) || info->iommu_count == ACPI_IOMMU_MAX)
		return;
	for (unsigned int i = 0; i < info->iommu_count; i++)
		if (info->iommus[i].base == base)
			return;
	info->iommus[info->iommu_count++] = (struct acpi_iommu){.base = base, .amd = amd};
}

/* A unit is of type 0. */
static void parse_dmar(const struct acpi_reader *r, const struct table *t, struct acpi_info *info)
{
	uint32_t at = 48;

	(void)r;
	info->has_dmar = true;
	while (t->len > at && t->len - at >= 16) {
		const uint8_t *e = t->bytes + at;
		uint16_t len = get16(e + 2);

		if (len < 16 || len > t->len - at)
			return;
		if (get16(e) == 0)
			add_iommu(info, get(e + 8, 8), false);
		at += len;
	}
}

/* A unit is described by one to three blocks, of types 10h, 11h and 40h. */
static void parse_ivrs(const struct acpi_reader *r, const struct table *t, struct acpi_info *info)
{
	uint32_t at = 48;

	(void)r;
	info->has_ivrs = true;
	while (t->len > at && t->len - at >= 16) {
		const uint8_t *e = t->bytes + at;
		uint16_t len = get16(e + 2);

		if (len < 16 || len > t->len - at)
			return;
		if (e[0] == 0x10 || e[0] == 0x11 || e[0] == 0x40)
			add_iommu(info, get(e + 8, 8), true);
		at += len;
	}
}

static const struct {
	char signature[5];
	void (*parse)(const struct acpi_reader *r, const struct table *t, struct acpi_info *info);
} parsers[] = {
	{"APIC", parse_madt}, {"FACP", parse_fadt}, {"SPCR", parse_spcr},
	{"DMAR", parse_dmar}, {"IVRS", parse_ivrs},
};

static void parse_table(const struct acpi_reader *r, const struct table *t, struct acpi_info *info)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(parsers); i++)
		if (has_signature(t, parsers[i].signature))
			parsers[i].parse(r, t, info);
}

int acpi_parse(const struct acpi_reader *r, uint64_t rsdp, struct acpi_info *info)
{
	struct directory d;
	int err;

	memset(info, 0, sizeof(*info));
	err = find_directory(r, rsdp, &d);
	if (err)
		return err;
	info->revision = d.revision;
	for (unsigned int i = 0; i < d.count; i++) {
		struct table t;

		if (open_table(r, entry_address(&d, i), &t))
			parse_table(r, &t, info);
	}
	return 0;
}

struct acpi_override acpi_isa_irq(const struct acpi_info *info, uint8_t irq)
{
	for (unsigned int i = 0; i < info->override_count; i++)
		if (info->overrides[i].irq == irq)
			return info->overrides[i];
	return (struct acpi_override){.irq = irq, .gsi = irq};
}
