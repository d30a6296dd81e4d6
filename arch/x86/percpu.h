/*
 * What there is once for each processor. Each core's GS base points to its own struct pcpu, in the
 * hypervisor always. Fields are written by the owner of the core alone, unless a comment says
 * otherwise; others may read them.
 */
#ifndef ARCH_X86_PERCPU_H
#define ARCH_X86_PERCPU_H

#include <stddef.h>
#include <stdint.h>

#include "lib/util.h"

#define CPU_MAX 1024

/*
 * By the compiler's call graph (-fcallgraph-info=su) the longest way of a core, from the scheduler
 * to a message about an instruction that it emulates, takes 4 KiB, and a panic at its end 3 more. A
 * machine check that ends in a panic takes 3.5. The boot core's is larger for the interrupts of the
 * console and for the firmware's ResetSystem, which may want 4 KiB itself (UEFI 2.10 2.3.4).
 */
#define STACK_SIZE	KIB(8)
#define BOOT_STACK_SIZE KIB(16)
#define IST_STACK_SIZE	KIB(4)

enum cpu_state {
	CPU_PRESENT,  /* known, not started */
	CPU_STARTING, /* set by the core that starts it */
	CPU_ENTERED,  /* set by itself: it has come, and sets itself up */
	CPU_ONLINE,   /* set by itself, just before ap_main() */
	CPU_FAILED    /* did not come in time: never to be used, its memory never to be freed */
};

/* Interrupt stacks, in the order of the TSS's IST1 to IST3. */
enum ist { IST_NONE, IST_NMI, IST_MC, IST_DF, IST_COUNT };

/* What percpu_init() takes for each processor but the boot core, whose stack is larger: struct
 * pcpu, stacks, and the guard pages below them. */
#define PERCPU_BYTES                                    \
	(sizeof(struct pcpu) + PAGE_SIZE + STACK_SIZE + \
	 (IST_COUNT - 1) * (PAGE_SIZE + IST_STACK_SIZE))

#define CACHE_LINE 64

/* Room for what core/ keeps of a processor. */
#define PERCPU_CORE_SIZE 256

/* SDM vol. 3A 8.7 figure 8-11 */
struct tss64 {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap_base;
} __attribute__((packed));

_Static_assert(sizeof(struct tss64) == 104, "SDM vol. 3A 8.7");

#define GDT_ENTRIES 5 /* null, code, data, TSS (two) */

struct pcpu {
	struct pcpu *self; /* gs:0; the assembly relies on it standing first */
	uint32_t id;	   /* index in pcpus[], as preflight numbers processors */
	uint32_t apic_id;
	volatile enum cpu_state state;
	void *core_private; /* core/'s */
	void *hv_private;   /* the vendor back end's */
	uint64_t stack_top; /* of the core's ordinary stack, 16-byte aligned */
	uint64_t gdt[GDT_ENTRIES];
	struct tss64 tss __attribute__((aligned(16)));
	int64_t tsc_offset;	 /* of this core's TSC to the first core's; 0 where they agree */
	uint64_t irq_unexpected; /* interrupts that no handler was registered for */
	/* Where core_private points; a cache line that others look at, apart from the rest. */
	uint64_t core_area[PERCPU_CORE_SIZE / 8] __attribute__((aligned(CACHE_LINE)));
};

/* Of CPU's ordinary stack. */
static inline uint64_t percpu_stack_size(const struct pcpu *cpu)
{
	return cpu->id ? STACK_SIZE : BOOT_STACK_SIZE;
}

extern struct pcpu *pcpus[CPU_MAX];
extern unsigned int cpu_count;

/* The executing core's own. A function, and no macro, so that unit tests can give another. */
struct pcpu *this_cpu(void);

/*
 * Allocates a struct pcpu with stacks for each of COUNT processors (APIC_IDS[i] becomes pcpus[i])
 * and registers the guard page below each stack with host_map_guard(). Called once on the first
 * core, after host_map_init(). -E2BIG: more than CPU_MAX; -ENOMEM.
 */
int percpu_init(const uint32_t *apic_ids, unsigned int count);

#endif
