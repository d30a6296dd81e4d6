/* Starting the other cores (SDM vol. 3A 9.4, APM vol. 2 15.27.8). */
#ifndef ARCH_X86_SMP_H
#define ARCH_X86_SMP_H

#include <stdint.h>

#include "arch/x86/percpu.h"

/*
 * Starts every core in pcpus[] but the executing one, one after the other, by INIT-SIPI-SIPI
 * through the page at TRAMPOLINE (below 1 MiB, 4 KiB-aligned). The page must be mapped PT_R | PT_W
 * while smp_prepare() fills it in and PT_R | PT_X (which host_map_init() had) while the cores run
 * through it: hence the two calls.
 *
 * smp_prepare() runs before host_map_load() on the firmware's tables. -EINVAL: TRAMPOLINE is not
 * such a page.
 */
int smp_prepare(uint64_t trampoline);

/*
 * Needs tsc_calibrate() and apic_init_cpu() to have run. A core that does not come within a second
 * becomes CPU_FAILED (and gets another INIT, so that it stays where it is). Returns how many came,
 * the executing core included.
 */
unsigned int smp_start(void);

/*
 * boot/ provides it: a started core lands here on its own stack, with its own GDT, IDT, TSS and GS
 * base, the host's page tables and control registers, its APIC ready, interrupts off, state
 * CPU_ONLINE.
 */
_Noreturn void ap_main(struct pcpu *cpu);

#endif
