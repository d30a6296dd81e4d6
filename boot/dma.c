#include "boot/dma.h"

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/host_map.h"
#include "arch/x86/pci.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/util.h"

/* Intel Virtualization Technology for Directed I/O 11.4.4 */
#define VTD_GSTS      0x1c
#define VTD_GSTS_TES  BIT(31)
#define VTD_GSTS_IRES BIT(25)
/* AMD I/O Virtualization Technology, MMIO offset 0018h */
#define IVRS_CONTROL	    0x18
#define IVRS_CONTROL_ENABLE BIT(0)

static bool mapped[ACPI_IOMMU_MAX];

void dma_map(const struct acpi_info *acpi)
{
	uint64_t end = BIT(MIN(cpu_phys_bits(), 52u));

	for (unsigned int i = 0; acpi && i < acpi->iommu_count; i++)
		mapped[i] = acpi->iommus[i].base < end &&
			    host_map_add(acpi->iommus[i].base, PAGE_SIZE, PT_R | PT_W, MT_UC) == 0;
}

static void look_at(const struct acpi_iommu *iommu)
{
	const char *name = iommu->amd ? "AMD's" : "VT-d's";
	uint32_t value = mmio_read32(iommu->base + (iommu->amd ? IVRS_CONTROL : VTD_GSTS));
	bool dma = value & (iommu->amd ? IVRS_CONTROL_ENABLE : VTD_GSTS_TES);

	if (value == UINT32_MAX)
		return;
	if (dma)
		log_warn("iommu: %s at %llx was left on: it translates devices' accesses", name,
			 (unsigned long long)iommu->base);
	if (!iommu->amd && value & VTD_GSTS_IRES)
		log_warn("iommu: %s at %llx was left on: it remaps interrupts, and the console's "
			 "may not arrive",
			 name, (unsigned long long)iommu->base);
	if (!dma)
		log_debug("iommu: %s at %llx is off", name, (unsigned long long)iommu->base);
}

void dma_stop(const struct acpi_info *acpi)
{
	struct pci_masters m = pci_stop_masters();

	log_info("pci: bus mastering off for %u of %u functions", m.were_on, m.functions);
	if (m.stay_on)
		log_warn("pci: %u functions keep bus mastering on", m.stay_on);
	for (unsigned int i = 0; acpi && i < acpi->iommu_count; i++)
		if (mapped[i])
			look_at(&acpi->iommus[i]);
}
