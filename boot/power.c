#include "boot/power.h"

#include "arch/x86/cpu.h"
#include "arch/x86/host_map.h"
#include "arch/x86/paging.h"
#include "boot/firmware.h"
#include "boot/physical_console.h"
#include "core/lifecycle.h"
#include "lib/log.h"
#include "lib/util.h"

/* ACPI 6.5 4.8.3.2.1: PM1 control, SLP_EN and SLP_TYP. */
#define PM1_SLP_EN	  BIT(13)
#define PM1_SLP_TYP_SHIFT 10

enum { EFI_RESET_SHUTDOWN = 2 };
/* UEFI 2.10 7.2.1 and 7.2.3 */
enum { EFI_RESERVED_MEMORY = 0, EFI_MEMORY_MAPPED_IO = 11 };
#define EFI_MEMORY_RUNTIME BIT(63)

typedef void reset_system(uint32_t type, uint64_t status, uint64_t size, void *data)
	__attribute__((ms_abi));

static reset_system *reset_service;
static struct pt
	firmware; /* everything at its own address, writable and executable, as firmware expects */
static const struct acpi_info *acpi;

/*
 * What runtime services may touch: memory, and what is marked for them. Reserved ranges and windows
 * of devices may stand at the end of the address space, and the pool has no tables for that (see
 * efi/ram.c).
 */
static bool is_firmwares(const struct boot_memory *m)
{
	return (m->type != EFI_RESERVED_MEMORY && m->type < EFI_MEMORY_MAPPED_IO) ||
	       m->attribute & EFI_MEMORY_RUNTIME;
}

/* End of what the firmware may need, 4 GiB at least: its devices are below that. */
static uint64_t memory_top(const struct handover *h)
{
	uint64_t top = GIB(4);

	for (size_t i = 0; i < h->memory_count; i++) {
		const struct boot_memory *m = &h->memory[i];

		if (is_firmwares(m) && m->base < BIT(52) && m->pages <= BIT(40))
			top = MAX(top, m->base + m->pages * PAGE_SIZE);
	}
	return ALIGN_UP(top, GIB(1));
}

int power_init(const struct handover *h)
{
	bool gib = cpuid(0x80000001, 0).edx & BIT(26);
	int err = pt_init(&firmware, &host_format, read_cr4() & CR4_LA57 ? 5 : 4,
			  gib ? PT_PAGE_1G : PT_PAGE_2M, &pt_pages);

	if (err)
		return err;
	acpi = firmware_tables(h->rsdp);
	reset_service = (reset_system *)(uintptr_t)h->reset_system;
	/* Write-back here; the MTRRs, which Socle leaves as they were, make devices uncached. */
	return pt_map(&firmware, 0, 0, memory_top(h), PT_R | PT_W | PT_X, MT_WB, PT_PAGE_1G);
}

/* ACPI's own way, where the runtime service has come back. */
static void acpi_off(void)
{
	if (!acpi || !acpi->has_s5 || !acpi->pm1a_cnt_port)
		return;
	outw((uint16_t)acpi->pm1a_cnt_port,
	     (uint16_t)(acpi->s5_typ_a << PM1_SLP_TYP_SHIFT | PM1_SLP_EN));
	if (acpi->pm1b_cnt_port)
		outw((uint16_t)acpi->pm1b_cnt_port,
		     (uint16_t)(acpi->s5_typ_b << PM1_SLP_TYP_SHIFT | PM1_SLP_EN));
}

/* QEMU's and Bochs's PM1 control registers, for a machine without ACPI tables. */
static void emulator_off(void)
{
	outw(0x604, PM1_SLP_EN);
	outw(0xb004, PM1_SLP_EN);
}

/* The x87 control word and MXCSR are the last guest's: UEFI 2.10 2.3.4 says what firmware wants. */
static void reset_fpu(void)
{
	const uint32_t mxcsr = 0x1f80;

	__asm__ volatile("fninit; ldmxcsr %0" ::"m"(mxcsr));
}

void machine_off(void)
{
	physical_console_flush();
	reset_fpu();
	write_cr3(firmware.root);
	if (reset_service)
		reset_service(EFI_RESET_SHUTDOWN, 0, 0, NULL);
	write_cr3(host_map_root());
	acpi_off();
	emulator_off();
	log_info("the machine does not switch itself off; it may be switched off now");
	physical_console_flush();
	for (;;)
		cpu_hlt();
}
