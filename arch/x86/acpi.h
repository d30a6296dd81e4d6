/*
 * What Socle wants to know from the firmware's ACPI tables (ACPI 6.4 chapter 5). Their bytes are
 * hostile: every length is checked before use, every loop is bounded. Runs on the build machine as
 * well.
 */
#ifndef ARCH_X86_ACPI_H
#define ARCH_X86_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/percpu.h"

#define ACPI_IOAPIC_MAX	  64
#define ACPI_OVERRIDE_MAX 32
#define ACPI_NMI_MAX	  64
#define ACPI_IOMMU_MAX	  16

#define ACPI_UID_ALL 0xffffffffu

/*
 * LEN readable bytes at physical address PA, or NULL where there are none. Stays valid until
 * acpi_parse() has returned.
 */
typedef const void *acpi_map(void *ctx, uint64_t pa, size_t len);

struct acpi_reader {
	acpi_map *map;
	void *ctx;
};

struct acpi_cpu {
	uint32_t apic_id;
	uint32_t uid;
};

struct acpi_ioapic {
	uint8_t id;
	uint32_t address;
	uint32_t gsi_base;
};

/* Interrupt source override: ISA interrupt IRQ comes in on GSI (ACPI 5.2.12.5). */
struct acpi_override {
	uint8_t irq;
	uint32_t gsi;
	bool active_low, level;
};

/* Local APIC NMI (ACPI 5.2.12.7): on which pin the platform's NMI reaches which processor. */
struct acpi_nmi {
	uint32_t uid; /* ACPI_UID_ALL: all of them */
	uint8_t lint;
	bool active_low;
};

/* Registers of an IOMMU: VT-d's (DMAR), or AMD's (IVRS). */
struct acpi_iommu {
	uint64_t base; /* of a page */
	bool amd;
};

/*
 * Generic Address Structure, only memory and port space (ACPI 5.2.3.2); all zero where there is
 * none.
 */
struct acpi_gas {
	bool is_port;
	uint8_t bit_width;
	uint64_t address;
};

struct acpi_info {
	unsigned int revision; /* of the RSDP */

	bool has_madt;
	/* Enabled processors alone, in the order of the table, each APIC ID once. */
	struct acpi_cpu cpus[CPU_MAX];
	unsigned int cpu_count;
	struct acpi_ioapic ioapics[ACPI_IOAPIC_MAX];
	unsigned int ioapic_count;
	struct acpi_override overrides[ACPI_OVERRIDE_MAX];
	unsigned int override_count;
	struct acpi_nmi nmis[ACPI_NMI_MAX];
	unsigned int nmi_count;
	uint64_t lapic_address;
	bool pcat_compat; /* there is a pair of 8259s */

	bool has_fadt;
	uint32_t pm_timer_port; /* 0: none */
	bool pm_timer_32bit;
	uint32_t pm1a_cnt_port, pm1b_cnt_port; /* 0: none */
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	bool has_reset;
	uint16_t sci_irq;
	uint64_t dsdt; /* physical address */
	bool has_s5;   /* \_S5 was found in the DSDT */
	uint8_t s5_typ_a, s5_typ_b;

	bool has_spcr;
	struct {
		/* 0: 16550, 1: 16450 compatible, 12h: 16550 described by the address */
		uint8_t interface_type;
		struct acpi_gas base;
		uint8_t register_stride; /* bytes from one register to the next */
		uint32_t gsi;		 /* of the I/O APIC; valid with HAS_GSI */
		bool has_gsi;
		uint8_t irq; /* of the PIC; valid with HAS_IRQ */
		bool has_irq;
		uint32_t baud; /* 0: as the firmware left it */
	} spcr;

	bool has_dmar, has_ivrs;		  /* an IOMMU is described */
	struct acpi_iommu iommus[ACPI_IOMMU_MAX]; /* each base once */
	unsigned int iommu_count;
};

/*
 * Reads all of it, starting from the RSDP at physical address RSDP. -ENOENT: RSDP is 0; -EINVAL: no
 * valid RSDP there, or no valid XSDT or RSDT. A single bad table below that is left out (has_... is
 * false).
 */
int acpi_parse(const struct acpi_reader *reader, uint64_t rsdp, struct acpi_info *info);

/*
 * Physical address and length of the first table with this SIGNATURE that has a good checksum, or
 * 0.
 */
uint64_t acpi_find_table(const struct acpi_reader *reader, uint64_t rsdp, const char signature[4],
			 uint32_t *len);

/*
 * How ISA interrupt IRQ reaches the I/O APICs: by an override, or as the identity, edge, active
 * high.
 */
struct acpi_override acpi_isa_irq(const struct acpi_info *info, uint8_t irq);

#endif
