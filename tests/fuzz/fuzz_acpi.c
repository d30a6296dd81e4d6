/* links: arch/x86/acpi.c */
/*
 * Tables that firmware left: the input is physical memory from BASE on, the RSDP at its beginning.
 * Its first byte says whether checksums are made good (bit 0), so that what is behind them is seen.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/acpi.h"
#include "lib/util.h"

#define BASE   0x10000u
#define COPIES 4096

static const uint8_t *memory;
static size_t memory_size;
static int good_sums;
static void *copies[COPIES];
static unsigned int copy_count;

/* Makes the sum of LEN bytes zero by the one at CHECKSUM. */
static void seal(uint8_t *p, size_t len, size_t checksum)
{
	uint8_t sum = 0;

	if (checksum >= len)
		return;
	p[checksum] = 0;
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	p[checksum] = (uint8_t)-sum;
}

/* A copy of just as many bytes as were asked for: AddressSanitizer sees a read beyond them. */
static const void *map(void *ctx, uint64_t pa, size_t len)
{
	uint8_t *copy;

	(void)ctx;
	if (pa < BASE || pa - BASE > memory_size || len > memory_size - (pa - BASE))
		return NULL;
	assert(copy_count < COPIES);
	copy = malloc(len ? len : 1);
	memcpy(copy, memory + (pa - BASE), len);
	copies[copy_count++] = copy;
	if (good_sums && pa == BASE) {
		seal(copy, MIN(len, (size_t)20), 8);
		seal(copy, len, len > 32 ? 32 : 8);
	} else if (good_sums) {
		seal(copy, len, 9);
	}
	return copy;
}

static void look_at(const struct acpi_info *info)
{
	assert(info->cpu_count <= CPU_MAX && info->ioapic_count <= ACPI_IOAPIC_MAX);
	assert(info->override_count <= ACPI_OVERRIDE_MAX && info->nmi_count <= ACPI_NMI_MAX);
	assert(info->iommu_count <= ACPI_IOMMU_MAX);
	for (unsigned int i = 0; i < info->nmi_count; i++)
		assert(info->nmis[i].lint <= 1);
	assert(!info->has_s5 || (info->s5_typ_a <= 7 && info->s5_typ_b <= 7));
	for (unsigned int i = 0; i < info->cpu_count; i++)
		for (unsigned int j = 0; j < i; j++)
			assert(info->cpus[i].apic_id != info->cpus[j].apic_id);
	for (unsigned int irq = 0; irq < 256; irq++)
		assert(acpi_isa_irq(info, (uint8_t)irq).irq == irq);
}

static void forget(void)
{
	while (copy_count)
		free(copies[--copy_count]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char signatures[][5] = {"FACP", "DMAR", "SPCR", "APIC"};
	static const struct acpi_reader reader = {map, NULL};
	static struct acpi_info info;
	uint32_t len;

	if (!size)
		return 0;
	good_sums = data[0] & 1;
	memory = data + 1;
	memory_size = size - 1;
	if (acpi_parse(&reader, BASE, &info) == 0)
		look_at(&info);
	forget();
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		uint64_t at = acpi_find_table(&reader, BASE, signatures[i], &len);

		assert(!at || (at >= BASE && at - BASE + len <= memory_size));
		forget();
	}
	return 0;
}
