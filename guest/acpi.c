/*
 * RSDP, RSDT and XSDT, FADT with FACS, MADT, HPET, and the DSDT and SSDTs that iasl made from the
 * *.asl files. The platform is not hardware-reduced ACPI: it has the fixed PM1 registers, and a
 * reset register. It is always in ACPI mode (no SMI command).
 */
#include "guest/acpi.h"

#include "core/vm.h"
#include "dsdt.h"
#include "guest/layout.h"
#include "lib/assert.h"
#include "lib/err.h"
#include "lib/string.h"
#include "lib/util.h"
#include "ssdt_com2.h"
#include "ssdt_fw_cfg.h"
#include "ssdt_hpet.h"
#include "ssdt_pc.h"
#include "ssdt_rtc.h"

#define OEM_ID	     "SOCLE "
#define OEM_TABLE_ID "SOCLEVM "
#define CREATOR_ID   "SOCL"

/* 5.2.6 */
struct sdt_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct sdt_header) == 36 &&
		       offsetof(struct sdt_header, checksum) == ACPI_SDT_CHECKSUM,
	       "ACPI 5.2.6");

/* 5.2.5.3 */
struct rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == ACPI_RSDP_SIZE &&
		       offsetof(struct rsdp, checksum) == ACPI_RSDP_CHECKSUM &&
		       offsetof(struct rsdp, rsdt) == ACPI_RSDP_RSDT &&
		       offsetof(struct rsdp, length) == ACPI_RSDP_OLD_SIZE &&
		       offsetof(struct rsdp, xsdt) == ACPI_RSDP_XSDT &&
		       offsetof(struct rsdp, extended_checksum) == ACPI_RSDP_EXTENDED_CHECKSUM,
	       "ACPI 5.2.5.3");

#define ROOT_ENTRIES 10 /* at most */

/* The same tables for those who know 64-bit addresses and for those who do not (5.2.7, 5.2.8). */
struct xsdt {
	struct sdt_header header;
	uint64_t entries[ROOT_ENTRIES];
} __attribute__((packed));

struct rsdt {
	struct sdt_header header;
	uint32_t entries[ROOT_ENTRIES];
} __attribute__((packed));

/* 5.2.3.2: a register in port space. */
struct gas {
	uint8_t space, bit_width, bit_offset, access_size;
	uint64_t address;
} __attribute__((packed));
_Static_assert(sizeof(struct gas) == 12, "ACPI 5.2.3.2");

#define GAS_MEMORY 0
#define GAS_PORT   1

/* 5.2.9, revision 6.0. Members that are not named stay 0: not there. */
struct fadt {
	struct sdt_header header;
	uint32_t facs, dsdt;
	uint8_t reserved0, pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base;
	uint8_t cst_cnt;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_revision;
	uint64_t x_facs, x_dsdt;
	struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr, x_gpe0,
		x_gpe1;
	struct gas sleep_control, sleep_status;
	char hypervisor_vendor[8];
} __attribute__((packed));
_Static_assert(sizeof(struct fadt) == 276, "ACPI 5.2.9");
_Static_assert(offsetof(struct fadt, iapc_boot_arch) == 109, "ACPI 5.2.9");
_Static_assert(offsetof(struct fadt, reset_reg) == 116, "ACPI 5.2.9");
_Static_assert(offsetof(struct fadt, x_pm1a_evt) == 148, "ACPI 5.2.9");

/* FADT.flags, 5.2.9: no fixed power or sleep button, and no RTC that could wake. */
#define FADT_WBINVD	   BIT(0)
#define FADT_PROC_C1	   BIT(2)
#define FADT_PWR_BUTTON	   BIT(4)
#define FADT_SLP_BUTTON	   BIT(5)
#define FADT_FIX_RTC	   BIT(6)
#define FADT_TMR_VAL_EXT   BIT(8) /* the PM timer has 32 bits */
#define FADT_RESET_REG_SUP BIT(10)

/* FADT.iapc_boot_arch, 5.2.9.3. The serial port is such a device. */
#define BOOT_ARCH_LEGACY_DEVICES BIT(0)
#define BOOT_ARCH_8042		 BIT(1)
#define BOOT_ARCH_NO_VGA	 BIT(2)
#define BOOT_ARCH_NO_CMOS_RTC	 BIT(5)

/* No latency is that long: C2 and C3 do not exist (5.2.9). */
#define NO_C2 101
#define NO_C3 1001

/* 5.2.10 */
struct facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __attribute__((packed));
_Static_assert(sizeof(struct facs) == 64, "ACPI 5.2.10");

/* 5.2.12, with the structures that follow in this order. */
struct madt_lapic {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));

struct madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

struct madt {
	struct sdt_header header;
	uint32_t lapic_address, flags;
	struct madt_ioapic ioapic;
	struct madt_override sci;
	struct madt_nmi nmi;
	struct madt_lapic lapic[VM_MAX_VCPUS];
	struct madt_override timer; /* room for it: it follows the last processor */
} __attribute__((packed));
_Static_assert(sizeof(struct madt_lapic) == 8 && sizeof(struct madt_ioapic) == 12 &&
		       sizeof(struct madt_override) == 10 && sizeof(struct madt_nmi) == 6,
	       "ACPI 5.2.12.2 to 5.2.12.7");
_Static_assert(VM_MAX_VCPUS <= 255, "APIC IDs from 255 on need entries of type 9");

#define MADT_PCAT_COMPAT 1
#define MADT_ENABLED	 1
#define MADT_HIGH_LEVEL	 0xd /* active high, level-triggered: MPS INTI flags */
#define MADT_ALL_CPUS	 0xff

/* IA-PC HPET specification 1.0a, 3.2.4. */
struct hpet {
	struct sdt_header header;
	uint32_t block_id; /* the lower half of the capabilities register */
	struct gas address;
	uint8_t number;
	uint16_t min_tick; /* in periodic mode */
	uint8_t attributes;
} __attribute__((packed));
_Static_assert(sizeof(struct hpet) == 56, "IA-PC HPET 3.2.4");

#define CMOS_CENTURY  0x32 /* the index at which PCs have it */
#define LAPIC_ADDRESS 0xfee00000u
#define TIMER_GSI     2

static uint8_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

static uint32_t place(struct acpi_tables *t, const void *data, size_t size, unsigned int alignment)
{
	uint32_t at = ALIGN_UP(t->used, alignment);

	assert(at + size <= ACPI_TABLES_MAX);
	memcpy(t->bytes + at, data, size);
	t->used = at + (uint32_t)size;
	return at;
}

/* Fills in the header of a table with SIZE bytes, and places it. Its checksum is made by link(). */
static uint32_t place_sdt(struct acpi_tables *t, struct sdt_header *h, const char *signature,
			  uint8_t revision, size_t size)
{
	uint32_t at;

	memcpy(h->signature, signature, sizeof(h->signature));
	memcpy(h->oem_id, OEM_ID, sizeof(h->oem_id));
	memcpy(h->oem_table_id, OEM_TABLE_ID, sizeof(h->oem_table_id));
	memcpy(h->creator_id, CREATOR_ID, sizeof(h->creator_id));
	h->length = (uint32_t)size;
	h->revision = revision;
	h->oem_revision = 1;
	h->creator_revision = 1;
	at = place(t, h, size, 16);
	assert(t->sdt_count < ACPI_SDTS_MAX);
	t->sdt[t->sdt_count].at = at;
	t->sdt[t->sdt_count++].size = (uint32_t)size;
	return at;
}

static void add_pointer(struct acpi_tables *t, size_t at, uint8_t size)
{
	assert(t->pointer_count < ACPI_POINTERS_MAX);
	t->pointer[t->pointer_count].at = (uint32_t)at;
	t->pointer[t->pointer_count++].size = size;
}

static struct gas port(uint16_t address, uint8_t bits, uint8_t access_size)
{
	return (struct gas){.space = GAS_PORT,
			    .bit_width = bits,
			    .access_size = access_size,
			    .address = address};
}

static uint32_t place_facs(struct acpi_tables *t)
{
	struct facs facs = {.signature = "FACS", .length = sizeof(facs), .version = 2};

	return place(t, &facs, sizeof(facs), ACPI_ALIGN);
}

static uint16_t boot_arch(const struct guest_platform *p)
{
	uint64_t arch = BOOT_ARCH_LEGACY_DEVICES | BOOT_ARCH_NO_VGA;

	if (p->legacy)
		arch |= BOOT_ARCH_8042;
	if (!p->rtc)
		arch |= BOOT_ARCH_NO_CMOS_RTC;
	return (uint16_t)arch;
}

static uint32_t place_fadt(struct acpi_tables *t, const struct guest_platform *p, uint32_t facs,
			   uint32_t dsdt)
{
	struct fadt f = {
		.facs = facs, /* and not in x_facs: only one may be set */
		.dsdt = dsdt,
		.sci_int = p->sci_gsi,
		.pm1a_evt = p->pm1_event,
		.pm1a_cnt = p->pm1_control,
		.pm_tmr = p->pm_timer,
		.pm1_evt_len = 4,
		.pm1_cnt_len = 2,
		.pm_tmr_len = 4,
		.c2_latency = NO_C2,
		.c3_latency = NO_C3,
		.century = p->rtc ? CMOS_CENTURY : 0,
		.iapc_boot_arch = boot_arch(p),
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON |
			 FADT_FIX_RTC | FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP,
		.reset_reg = port(p->reset_port, 8, 1),
		.reset_value = p->reset_value,
		.x_dsdt = dsdt,
		.x_pm1a_evt = port(p->pm1_event, 32, 2),
		.x_pm1a_cnt = port(p->pm1_control, 16, 2),
		.x_pm_tmr = port(p->pm_timer, 32, 3),
		.hypervisor_vendor = "SOCLE",
	};

	uint32_t at = place_sdt(t, &f.header, "FACP", 6, sizeof(f));

	add_pointer(t, at + offsetof(struct fadt, facs), sizeof(f.facs));
	add_pointer(t, at + offsetof(struct fadt, dsdt), sizeof(f.dsdt));
	add_pointer(t, at + offsetof(struct fadt, x_dsdt), sizeof(f.x_dsdt));
	return at;
}

/* The timer's interrupt is not on the pin of its number, which is the 8259 pair's own. */
static size_t add_timer(struct madt *m, size_t len)
{
	const struct madt_override timer = {.type = 2, .length = sizeof(timer), .gsi = TIMER_GSI};

	memcpy((uint8_t *)m + len, &timer, sizeof(timer));
	return len + sizeof(timer);
}

static uint32_t place_madt(struct acpi_tables *t, const struct guest_platform *p,
			   unsigned int vcpus)
{
	struct madt m = {
		.lapic_address = LAPIC_ADDRESS,
		.flags = p->legacy ? MADT_PCAT_COMPAT : 0,
		.ioapic = {.type = 1,
			   .length = sizeof(m.ioapic),
			   .id = p->ioapic_id,
			   .address = p->ioapic_address},
		.sci = {.type = 2,
			.length = sizeof(m.sci),
			.source = p->sci_gsi,
			.gsi = p->sci_gsi,
			.flags = MADT_HIGH_LEVEL},
		.nmi = {.type = 4, .length = sizeof(m.nmi), .uid = MADT_ALL_CPUS, .lint = 1},
	};

	size_t len = offsetof(struct madt, lapic) + vcpus * sizeof(m.lapic[0]);

	assert(vcpus <= VM_MAX_VCPUS);
	for (unsigned int i = 0; i < vcpus; i++)
		m.lapic[i] = (struct madt_lapic){.length = sizeof(m.lapic[i]),
						 .uid = (uint8_t)i,
						 .apic_id = (uint8_t)i,
						 .flags = MADT_ENABLED};
	if (p->legacy)
		len = add_timer(&m, len);
	return place_sdt(t, &m.header, "APIC", 5, len);
}

static uint32_t place_hpet(struct acpi_tables *t, const struct guest_platform *p)
{
	struct hpet h = {
		.block_id = p->hpet_id,
		.address = {.space = GAS_MEMORY, .bit_width = 64, .address = p->hpet_address},
		.min_tick = p->hpet_min_tick,
	};

	return place_sdt(t, &h.header, "HPET", 1, sizeof(h));
}

/* Devices, each in a table of its own for the VMs that have it. */
static unsigned int place_ssdts(struct acpi_tables *t, const struct guest_platform *p,
				uint32_t *tables)
{
	const struct {
		bool there;
		const unsigned char *aml;
		size_t size;
	} ssdts[] = {
		{p->rtc, ssdt_rtc_aml, sizeof(ssdt_rtc_aml)},
		{p->legacy, ssdt_pc_aml, sizeof(ssdt_pc_aml)},
		{p->com2, ssdt_com2_aml, sizeof(ssdt_com2_aml)},
		{p->fw_cfg, ssdt_fw_cfg_aml, sizeof(ssdt_fw_cfg_aml)},
		{p->hpet_address, ssdt_hpet_aml, sizeof(ssdt_hpet_aml)},
	};
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(ssdts); i++) {
		if (ssdts[i].there)
			tables[n++] = place(t, ssdts[i].aml, ssdts[i].size, 16);
	}
	return n;
}

static void place_roots(struct acpi_tables *t, const uint32_t *tables, unsigned int n)
{
	struct xsdt x = {0};
	struct rsdt r = {0};

	for (unsigned int i = 0; i < n; i++)
		x.entries[i] = r.entries[i] = tables[i];
	t->xsdt = place_sdt(t, &x.header, "XSDT", 1, offsetof(struct xsdt, entries[n]));
	t->rsdt = place_sdt(t, &r.header, "RSDT", 1, offsetof(struct rsdt, entries[n]));
	for (unsigned int i = 0; i < n; i++) {
		add_pointer(t, t->xsdt + offsetof(struct xsdt, entries[i]), sizeof(x.entries[i]));
		add_pointer(t, t->rsdt + offsetof(struct rsdt, entries[i]), sizeof(r.entries[i]));
	}
}

void acpi_build(struct acpi_tables *t, uint8_t *bytes, const struct guest_platform *p,
		unsigned int vcpus)
{
	uint32_t tables[ROOT_ENTRIES], facs, dsdt;
	unsigned int n = 0;

	*t = (struct acpi_tables){.bytes = bytes};
	facs = place_facs(t);
	dsdt = place(t, dsdt_aml, sizeof(dsdt_aml), 16);
	tables[n++] = place_fadt(t, p, facs, dsdt);
	tables[n++] = place_madt(t, p, vcpus);
	if (p->hpet_address)
		tables[n++] = place_hpet(t, p);
	n += place_ssdts(t, p, &tables[n]);
	place_roots(t, tables, n);
}

/* Makes the tables good at BASE, which is a multiple of ACPI_ALIGN. */
static void link(struct acpi_tables *t, uint32_t base)
{
	for (unsigned int i = 0; i < t->pointer_count; i++) {
		uint8_t *at = t->bytes + t->pointer[i].at;
		uint32_t value; /* the upper half of a longer one is 0 */

		memcpy(&value, at, sizeof(value));
		value += base;
		memcpy(at, &value, sizeof(value));
	}
	for (unsigned int i = 0; i < t->sdt_count; i++) {
		uint8_t *at = t->bytes + t->sdt[i].at;

		at[offsetof(struct sdt_header, checksum)] = checksum(at, t->sdt[i].size);
	}
}

void acpi_rsdp(uint8_t rsdp[ACPI_RSDP_SIZE], const struct acpi_tables *t, uint32_t base,
	       bool checksums)
{
	struct rsdp r = {.revision = 2,
			 .length = sizeof(r),
			 .rsdt = base + t->rsdt,
			 .xsdt = base + t->xsdt};

	memcpy(r.signature, "RSD PTR ", sizeof(r.signature));
	memcpy(r.oem_id, OEM_ID, sizeof(r.oem_id));
	if (checksums) {
		r.checksum = checksum(&r, ACPI_RSDP_OLD_SIZE);
		r.extended_checksum = checksum(&r, sizeof(r));
	}
	memcpy(rsdp, &r, sizeof(r));
}

uint64_t guest_acpi_write(struct writer *w, const struct guest_platform *p, unsigned int vcpus)
{
	uint32_t base = LAYOUT_ACPI + ACPI_ALIGN;
	uint8_t *bytes = gmem_ptr(w->vm, base, ACPI_TABLES_MAX);
	uint8_t rsdp[ACPI_RSDP_SIZE];
	struct acpi_tables t;

	if (!bytes) {
		w->err = -EFAULT;
		return 0;
	}
	acpi_build(&t, bytes, p, vcpus);
	link(&t, base);
	acpi_rsdp(rsdp, &t, base, true);
	put_bytes(w, LAYOUT_ACPI, rsdp, sizeof(rsdp));
	return LAYOUT_ACPI;
}
