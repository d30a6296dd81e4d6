#include "arch/x86/smp.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "arch/x86/host_map.h"
#include "arch/x86/trampoline.h"
#include "arch/x86/tsc.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"

#define GDT_CODE64 0x00af9b000000ffffULL
#define GDT_CODE32 0x00cf9b000000ffffULL
#define GDT_DATA   0x00cf93000000ffffULL
#define SEL_CODE32 0x18

/* Intel MP specification B.4; SDM vol. 3A 9.4.4.1 */
#define INIT_WAIT_US 10000
#define SIPI_WAIT_US 200
#define COME_WAIT_US 1000000

_Static_assert(sizeof(struct trampoline_data) <= PAGE_SIZE - TRAMPOLINE_DATA_OFFSET, "one page");

static uint64_t trampoline_page;
void smp_ap_start(struct pcpu *cpu);

int smp_prepare(uint64_t page)
{
	size_t code = (size_t)(trampoline_end - trampoline_start);
	uint32_t offset_32 = (uint32_t)(trampoline_32 - trampoline_start);
	uint32_t offset_64 = (uint32_t)(trampoline_64 - trampoline_start);
	struct trampoline_data data = {
		.gdt = {0, GDT_CODE64, GDT_DATA, GDT_CODE32},
		.entry = (uint64_t)(uintptr_t)ap_entry,
		.base = (uint32_t)page,
		.cr3 = (uint32_t)host_map_root(),
		.cr4 = (uint32_t)(CR4_PAE | (read_cr4() & CR4_LA57)),
		.far32 = {(uint32_t)page + offset_32, SEL_CODE32},
		.far64 = {(uint32_t)page + offset_64, SEL_CODE},
		.gdt_limit = sizeof(data.gdt) - 1,
		.gdt_base = (uint32_t)page + TRAMPOLINE_DATA_OFFSET,
	};

	if (!page || !IS_ALIGNED(page, PAGE_SIZE) || page >= MIB(1))
		return -EINVAL;
	if (host_map_root() > UINT32_MAX)
		return -ERANGE;
	trampoline_page = page;
	memcpy((void *)(uintptr_t)page, trampoline_start, code);
	memcpy((void *)(uintptr_t)(page + TRAMPOLINE_DATA_OFFSET), &data, sizeof(data));
	return 0;
}

/*
 * From trampoline.asm: on the core's own stack, on the host's tables, with the trampoline's GDT and
 * no IDT.
 */
void smp_ap_start(struct pcpu *cpu)
{
	host_map_load();
	desc_load(cpu);
	apic_init_cpu();
	tsc_sync_partner();
	cpu->state = CPU_ONLINE;
	ap_main(cpu);
}

static bool wait_state_left(const struct pcpu *cpu, enum cpu_state state, uint64_t us)
{
	uint64_t start = tsc_now(), ticks = tsc_from_ns(us * 1000);

	while (cpu->state == state) {
		if (tsc_now() - start > ticks)
			return false;
		cpu_pause();
	}
	return true;
}

/* A second SIPI only where the first brought nothing; a core that runs already ignores it. */
static bool wake(const struct pcpu *cpu)
{
	uint8_t page = (uint8_t)(trampoline_page / PAGE_SIZE);

	apic_send_init(cpu->apic_id);
	udelay(INIT_WAIT_US);
	apic_send_startup(cpu->apic_id, page);
	if (wait_state_left(cpu, CPU_STARTING, SIPI_WAIT_US))
		return true;
	apic_send_startup(cpu->apic_id, page);
	return wait_state_left(cpu, CPU_STARTING, COME_WAIT_US);
}

/* Whether the core may be given up: false when it has come at the last moment after all. */
static bool give_up(struct pcpu *cpu)
{
	enum cpu_state expected = CPU_STARTING;

	return __atomic_compare_exchange_n(&cpu->state, &expected, CPU_FAILED, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static bool start_core(struct pcpu *cpu)
{
	cpu->state = CPU_STARTING;
	if (!wake(cpu) && give_up(cpu)) {
		apic_send_init(cpu->apic_id);
		log_warn("cpu %u: APIC ID %u does not start", cpu->id, cpu->apic_id);
		return false;
	}
	if (tsc_check_sync(cpu))
		cpu->tsc_offset = 0; /* what was seen is the way's uncertainty */
	else
		log_warn("cpu %u: its TSC is off by %lld ticks", cpu->id,
			 (long long)cpu->tsc_offset);
	if (wait_state_left(cpu, CPU_ENTERED, COME_WAIT_US))
		return true;
	cpu->state = CPU_FAILED;
	apic_send_init(cpu->apic_id);
	log_warn("cpu %u: APIC ID %u has started and then hangs", cpu->id, cpu->apic_id);
	return false;
}

unsigned int smp_start(void)
{
	const struct pcpu *self = this_cpu();
	unsigned int online = 1;

	pcpus[self->id]->state = CPU_ONLINE;
	for (unsigned int i = 0; i < cpu_count; i++)
		if (pcpus[i] != self && start_core(pcpus[i]))
			online++;
	return online;
}
