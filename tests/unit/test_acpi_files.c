/* links: guest/acpi_files.c guest/acpi.c core/gmem.c lib/strbuf.c lib/fmt.c tests/unit/support/guest_vm.c */
/* The tables as files of fw_cfg: linked by their commands, they are those that Socle itself writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/gmem.h"
#include "guest/acpi_files.h"
#include "tests/unit/support/guest_vm.h"

static const struct guest_platform platform = {
	.pm1_event = 0x600,
	.pm1_control = 0x604,
	.pm_timer = 0x608,
	.reset_port = 0xcf9,
	.sci_gsi = 9,
	.ioapic_address = 0xfec00000,
	.rtc = true,
	.legacy = true,
	.com2 = true,
	.fw_cfg = true,
	.hpet_address = 0xfed00000,
};

/* Where Socle puts them. */
#define RSDP   0xe0000u
#define TABLES (RSDP + ACPI_ALIGN)

struct file {
	const char *name;
	uint8_t *data;
	uint32_t size, address;
	bool allocated;
};

static struct acpi_files acpi;
static struct file files[2];

static struct file *file_of(const char *name)
{
	for (unsigned int i = 0; i < 2; i++)
		if (!strcmp(files[i].name, name))
			return &files[i];
	fail_msg("no file %s", name);
	return NULL;
}

static void run_allocate(const struct acpi_command *c)
{
	struct file *f = file_of(c->allocate.file);

	assert_false(f->allocated);
	f->allocated = true;
	assert_int_equal(f->address % c->allocate.align, 0);
	assert_int_equal(c->allocate.zone, f->data == acpi.rsdp ? 2 : 1);
}

static void run_pointer(const struct acpi_command *c)
{
	struct file *to = file_of(c->pointer.dest), *from = file_of(c->pointer.source);
	uint64_t value = 0;

	assert_true(to->allocated && from->allocated);
	assert_true(c->pointer.offset + c->pointer.size <= to->size);
	memcpy(&value, to->data + c->pointer.offset, c->pointer.size);
	assert_true(value < from->size);
	value += from->address;
	memcpy(to->data + c->pointer.offset, &value, c->pointer.size);
}

static void run_checksum(const struct acpi_command *c)
{
	struct file *f = file_of(c->checksum.file);

	assert_true(c->checksum.start + c->checksum.length <= f->size);
	assert_true(c->checksum.offset < f->size);
	for (uint32_t i = 0; i < c->checksum.length; i++)
		f->data[c->checksum.offset] -= i == c->checksum.offset - c->checksum.start
						       ? 0
						       : f->data[c->checksum.start + i];
}

static void linked_they_are_the_same(void **state)
{
	struct vm *vm = guest_vm_new(MIB(2), 3);
	struct writer w = {.vm = vm};
	uint8_t wanted[ACPI_TABLES_MAX];

	(void)state;
	assert_int_equal(guest_acpi_write(&w, &platform, 3), RSDP);
	acpi_make_files(&acpi, &platform, 3);
	files[0] = (struct file){"etc/acpi/rsdp", acpi.rsdp, sizeof(acpi.rsdp), RSDP, false};
	files[1] = (struct file){"etc/acpi/tables", acpi.tables, acpi.tables_size, TABLES, false};
	for (unsigned int i = 0; i < acpi.command_count; i++) {
		const struct acpi_command *c = &acpi.command[i];

		if (c->command == 1)
			run_allocate(c);
		else if (c->command == 2)
			run_pointer(c);
		else
			run_checksum(c);
		assert_in_range(c->command, 1, 3);
	}
	assert_int_equal(gmem_read(vm, RSDP, wanted, sizeof(acpi.rsdp)), 0);
	assert_memory_equal(acpi.rsdp, wanted, sizeof(acpi.rsdp));
	assert_int_equal(gmem_read(vm, TABLES, wanted, acpi.tables_size), 0);
	assert_memory_equal(acpi.tables, wanted, acpi.tables_size);
	guest_vm_free(vm);
}

static void most_tables_fit(void **state)
{
	(void)state;
	memset(&acpi, 0, sizeof(acpi));
	acpi_make_files(&acpi, &platform, VM_MAX_VCPUS);
	assert_true(acpi.tables_size <= ACPI_TABLES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linked_they_are_the_same),
		cmocka_unit_test(most_tables_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
