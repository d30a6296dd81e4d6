/*
 * The ACPI tables of a VM (ACPI 6.4 chapter 5). They are made once in memory that the caller gives,
 * with pointers relative to its beginning, and linked to the address where the guest sees them:
 * by Socle, or by firmware of the guest's own that reads them as files of fw_cfg.
 */
#ifndef GUEST_ACPI_H
#define GUEST_ACPI_H

#include <stdint.h>

#include "guest/guest.h"
#include "guest/writer.h"

#define ACPI_POINTERS_MAX 20
#define ACPI_SDTS_MAX	  8
/* All of them together with VM_MAX_VCPUS processors; each begins at a multiple of 64 at most. */
#define ACPI_TABLES_MAX 5120
#define ACPI_ALIGN	64
#define ACPI_RSDP_SIZE	36

struct acpi_tables {
	uint8_t *bytes; /* ACPI_TABLES_MAX of them */
	uint32_t used;
	uint32_t rsdt, xsdt; /* offsets */
	/* Where pointers are, of 4 or 8 bytes, and which tables have a checksum to be made. */
	struct {
		uint32_t at;
		uint8_t size;
	} pointer[ACPI_POINTERS_MAX];
	unsigned int pointer_count;
	struct {
		uint32_t at, size;
	} sdt[ACPI_SDTS_MAX];
	unsigned int sdt_count;
};

/*
 * Makes the tables at BYTES, zeroed: relative pointers, no checksums. VCPUS have the APIC IDs from
 * 0 on, at most VM_MAX_VCPUS.
 */
void acpi_build(struct acpi_tables *t, uint8_t *bytes, const struct guest_platform *p,
		unsigned int vcpus);
/* The RSDP for tables at BASE; CHECKSUMS: with its own, else they are 0. */
void acpi_rsdp(uint8_t rsdp[ACPI_RSDP_SIZE], const struct acpi_tables *t, uint32_t base,
	       bool checksums);
/* Offsets in the RSDP; the first checksum is that of the first 20 bytes. */
#define ACPI_RSDP_CHECKSUM	    8
#define ACPI_RSDP_RSDT		    16
#define ACPI_RSDP_OLD_SIZE	    20
#define ACPI_RSDP_XSDT		    24
#define ACPI_RSDP_EXTENDED_CHECKSUM 32
/* Offset of a table's own checksum. */
#define ACPI_SDT_CHECKSUM 9

/* Writes them into the memory of W's VM from LAYOUT_ACPI on. Returns the RSDP's address. */
uint64_t guest_acpi_write(struct writer *w, const struct guest_platform *p, unsigned int vcpus);

#endif
