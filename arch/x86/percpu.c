#include "arch/x86/percpu.h"

#include "arch/x86/host_map.h"
#include "arch/x86/pages.h"
#include "lib/err.h"

struct pcpu *pcpus[CPU_MAX];
unsigned int cpu_count;

struct pcpu *this_cpu(void)
{
	struct pcpu *self;

	__asm__("mov %%gs:0, %0" : "=r"(self));
	return self;
}

/*
 * Upper end of a new stack of SIZE bytes below which stands a page that faults; 0 when there is no
 * memory for it.
 */
static uint64_t alloc_stack(uint64_t size)
{
	uint64_t guard = (uint64_t)(uintptr_t)pages_alloc(1 + size / PAGE_SIZE);

	if (!guard || host_map_guard(guard))
		return 0;
	return guard + PAGE_SIZE + size;
}

static int alloc_stacks(struct pcpu *cpu)
{
	cpu->stack_top = alloc_stack(percpu_stack_size(cpu));
	if (!cpu->stack_top)
		return -ENOMEM;
	for (unsigned int i = IST_NONE + 1; i < IST_COUNT; i++) {
		cpu->tss.ist[i - 1] = alloc_stack(IST_STACK_SIZE);
		if (!cpu->tss.ist[i - 1])
			return -ENOMEM;
	}
	return 0;
}

int percpu_init(const uint32_t *apic_ids, unsigned int count)
{
	struct pcpu *all;

	if (count > CPU_MAX)
		return -E2BIG;
	all = pages_alloc(ALIGN_UP(count * sizeof(*all), PAGE_SIZE) / PAGE_SIZE);
	if (!all)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++) {
		struct pcpu *cpu = &all[i];
		int err;

		cpu->self = cpu;
		cpu->id = i;
		cpu->apic_id = apic_ids[i];
		err = alloc_stacks(cpu);
		if (err)
			return err;
		pcpus[i] = cpu;
		cpu_count = i + 1;
	}
	return 0;
}
