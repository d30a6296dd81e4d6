#include "guest/acpi_files.h"

#include "lib/assert.h"
#include "lib/string.h"

enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 /* where programs look for an RSDP */ };

static struct acpi_command *add(struct acpi_files *f, uint32_t command)
{
	struct acpi_command *c = &f->command[f->command_count++];

	assert(f->command_count <= ACPI_COMMANDS_MAX);
	c->command = command;
	return c;
}

static void set_name(char *to, const char *name)
{
	memcpy(to, name, strlen(name) + 1);
}

static void allocate(struct acpi_files *f, const char *file, uint32_t align, uint8_t zone)
{
	struct acpi_command *c = add(f, ALLOCATE);

	set_name(c->allocate.file, file);
	c->allocate.align = align;
	c->allocate.zone = zone;
}

/* All pointers are to tables. */
static void add_pointer(struct acpi_files *f, const char *file, uint32_t offset, uint8_t size)
{
	struct acpi_command *c = add(f, ADD_POINTER);

	set_name(c->pointer.dest, file);
	set_name(c->pointer.source, ACPI_TABLES_FILE);
	c->pointer.offset = offset;
	c->pointer.size = size;
}

static void add_checksum(struct acpi_files *f, const char *file, uint32_t offset, uint32_t start,
			 uint32_t length)
{
	struct acpi_command *c = add(f, ADD_CHECKSUM);

	set_name(c->checksum.file, file);
	c->checksum.offset = offset;
	c->checksum.start = start;
	c->checksum.length = length;
}

/* Checksums come after the pointers that they are made over. */
void acpi_make_files(struct acpi_files *f, const struct guest_platform *p, unsigned int vcpus)
{
	struct acpi_tables t;

	acpi_build(&t, f->tables, p, vcpus);
	f->tables_size = t.used;
	acpi_rsdp(f->rsdp, &t, 0, false);
	allocate(f, ACPI_RSDP_FILE, 16, ZONE_FSEG);
	allocate(f, ACPI_TABLES_FILE, ACPI_ALIGN, ZONE_HIGH);
	for (unsigned int i = 0; i < t.pointer_count; i++)
		add_pointer(f, ACPI_TABLES_FILE, t.pointer[i].at, t.pointer[i].size);
	for (unsigned int i = 0; i < t.sdt_count; i++)
		add_checksum(f, ACPI_TABLES_FILE, t.sdt[i].at + ACPI_SDT_CHECKSUM, t.sdt[i].at,
			     t.sdt[i].size);
	add_pointer(f, ACPI_RSDP_FILE, ACPI_RSDP_RSDT, 4);
	add_pointer(f, ACPI_RSDP_FILE, ACPI_RSDP_XSDT, 8);
	add_checksum(f, ACPI_RSDP_FILE, ACPI_RSDP_CHECKSUM, 0, ACPI_RSDP_OLD_SIZE);
	add_checksum(f, ACPI_RSDP_FILE, ACPI_RSDP_EXTENDED_CHECKSUM, 0, ACPI_RSDP_SIZE);
}
