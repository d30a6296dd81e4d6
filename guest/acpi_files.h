/*
 * A VM's ACPI tables as files of fw_cfg, for firmware that it may bring along: tables and RSDP that
 * are not yet linked, and the commands by which firmware puts them into memory and links them
 * (QEMU's "etc/table-loader").
 */
#ifndef GUEST_ACPI_FILES_H
#define GUEST_ACPI_FILES_H

#include <stdint.h>

#include "guest/acpi.h"

#define ACPI_TABLES_FILE "etc/acpi/tables"
#define ACPI_RSDP_FILE	 "etc/acpi/rsdp"
#define ACPI_LOADER_FILE "etc/table-loader"

/* One command, numbers little-endian; what the members mean depends on it. */
struct acpi_command {
	uint32_t command;
	union {
		struct {
			char file[56];
			uint32_t align;
			uint8_t zone;
		} __attribute__((packed)) allocate;
		struct {
			char dest[56], source[56];
			uint32_t offset;
			uint8_t size;
		} __attribute__((packed)) pointer;
		struct {
			char file[56];
			uint32_t offset, start, length;
		} __attribute__((packed)) checksum;
		uint8_t all[124];
	};
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_command) == 128, "table-loader: an entry has 128 bytes");

/* Two files, their tables' pointers and checksums, and two of each in the RSDP. */
#define ACPI_COMMANDS_MAX (2 + ACPI_POINTERS_MAX + ACPI_SDTS_MAX + 4)

struct acpi_files {
	uint8_t tables[ACPI_TABLES_MAX];
	uint8_t rsdp[ACPI_RSDP_SIZE];
	uint32_t tables_size;
	struct acpi_command command[ACPI_COMMANDS_MAX];
	unsigned int command_count;
};

/* Fills in F, which is zeroed. P and VCPUS as for acpi_build(). */
void acpi_make_files(struct acpi_files *f, const struct guest_platform *p, unsigned int vcpus);

#endif
