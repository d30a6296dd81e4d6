#include "efi/processors.h"

#include "efi/memory.h"
#include "efi/mp_services.h"
#include "lib/log.h"
#include "lib/util.h"

#define PROBE_TIMEOUT_US 5000000

/* More APIC IDs than any machine has: a list longer than this is cut. */
#define LIST_MAX 4096

static void EFIAPI probe(void *cpu)
{
	boot_probe_cpu(cpu);
}

/* Firmware may number a core's threads apart from each other; by APIC ID they are neighbours. */
static bool comes_before(const struct boot_cpu *a, const struct boot_cpu *b)
{
	return a->bsp != b->bsp ? a->bsp : a->apic_id < b->apic_id;
}

static void sort(struct boot_cpu *cpus, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct boot_cpu x = cpus[i];
		size_t j = i;

		for (; j > 0 && comes_before(&x, &cpus[j - 1]); j--)
			cpus[j] = cpus[j - 1];
		cpus[j] = x;
	}
}

/* Adds processor NUMBER of the MP services. */
static void add_processor(struct handover *h, struct mp_services *mp, UINTN number)
{
	struct mp_processor_info info = {0};
	struct boot_cpu *cpu = &h->cpus[h->cpu_count];
	EFI_STATUS status = mp->get_processor_info(mp, number, &info);

	if (EFI_ERROR(status)) {
		log_warn("processor %zu: the firmware does not describe it: %s", (size_t)number,
			 app_status_text(status));
		return;
	}
	*cpu = (struct boot_cpu){.apic_id = (uint32_t)info.processor_id,
				 .bsp = info.status & PROCESSOR_AS_BSP};
	if (!(info.status & PROCESSOR_ENABLED) || !(info.status & PROCESSOR_HEALTH_STATUS)) {
		log_warn("the processor with APIC ID %u is left out: the firmware says that it is "
			 "%s",
			 cpu->apic_id,
			 info.status & PROCESSOR_ENABLED ? "not healthy" : "disabled");
		return;
	}
	h->cpu_count++;
	if (cpu->bsp) {
		boot_probe_cpu(cpu);
		return;
	}
	status = mp->startup_this_ap(mp, probe, number, NULL, PROBE_TIMEOUT_US, cpu, NULL);
	if (EFI_ERROR(status))
		log_warn("the processor with APIC ID %u cannot be asked: %s", cpu->apic_id,
			 app_status_text(status));
}

static bool find_by_mp_services(struct handover *h)
{
	static EFI_GUID guid = MP_SERVICES_GUID;
	struct mp_services *mp;
	UINTN count = 0, enabled;

	if (EFI_ERROR(app_bs->LocateProtocol(&guid, NULL, (void **)&mp)) ||
	    EFI_ERROR(mp->get_number_of_processors(mp, &count, &enabled)) || count == 0)
		return false;
	h->cpus = mem_alloc(count * sizeof(*h->cpus));
	for (UINTN i = 0; h->cpus && i < count; i++)
		add_processor(h, mp, i);
	sort(h->cpus, h->cpu_count);
	return h->cpu_count > 0 && h->cpus[0].bsp;
}

static void find_by_acpi(struct handover *h)
{
	uint32_t *ids = mem_alloc(LIST_MAX * sizeof(*ids));

	h->cpu_count = 0;
	if (!ids)
		return;
	h->cpu_count = MIN(boot_list_cpus(h->rsdp, ids, LIST_MAX), LIST_MAX);
	h->cpus = mem_alloc(h->cpu_count * sizeof(*h->cpus));
	if (!h->cpus) {
		h->cpu_count = 0;
		return;
	}
	for (size_t i = 0; i < h->cpu_count; i++)
		h->cpus[i].apic_id = ids[i];
	h->cpus[0].bsp = true;
	boot_probe_cpu(&h->cpus[0]);
	sort(h->cpus, h->cpu_count);
	log_warn("this firmware has no MP services: processors are taken from ACPI, and are not "
		 "checked before they start");
}

void processors_find(struct handover *h, struct report *r)
{
	if (!find_by_mp_services(h))
		find_by_acpi(h);
	if (h->cpu_count == 0)
		report_error(r, EFI_OUT_OF_RESOURCES, NULL,
			     "out of memory for the list of processors");
}
