#include "boot/firmware.h"

#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"
#include "lib/util.h"

/* Bits 51:12 of CR3, SDM vol. 3A 4.5.1 */
#define CR3_TABLE 0x000ffffffffff000ULL

bool firmware_maps(uint64_t pa, size_t len)
{
	struct pt tables = {.root = read_cr3() & CR3_TABLE,
			    .fmt = &host_format,
			    .levels = read_cr4() & CR4_LA57 ? 5 : 4,
			    .max_page = PT_PAGE_1G};
	uint64_t end = pa + len;
	struct pt_mapping m;

	if (end < pa || end > BIT(47))
		return false;
	while (pa < end) {
		if (!pt_lookup(&tables, pa, &m) || m.pa != pa)
			return false;
		pa = ALIGN_DOWN(pa, m.page) + m.page;
	}
	return true;
}

static const void *map(void *ctx, uint64_t pa, size_t len)
{
	(void)ctx;
	return pa && firmware_maps(pa, len) ? (const void *)(uintptr_t)pa : NULL;
}

const struct acpi_reader firmware_acpi = {.map = map};

const struct acpi_info *firmware_tables(uint64_t rsdp)
{
	static struct acpi_info info;
	static bool parsed, good;

	if (!parsed) {
		good = acpi_parse(&firmware_acpi, rsdp, &info) == 0;
		parsed = true;
	}
	return good ? &info : NULL;
}
