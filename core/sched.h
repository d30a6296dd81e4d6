/*
 * Which vCPU runs on which core. Each core has a queue of the vCPUs that were placed on it at boot and takes them in turn;
 * a vCPU never changes its core while its VM runs. A core with one vCPU never slices.
 */
#ifndef CORE_SCHED_H
#define CORE_SCHED_H

#include <stdbool.h>
#include <stdint.h>

struct pcpu;
struct vcpu;

#define SCHED_SLICE_US 10000u

/* Prepares CPU's queue. At boot. -ENOMEM. */
int sched_init_cpu(struct pcpu *cpu);
/* Puts V into CPU's queue. At boot, before cores run. */
void sched_place(struct vcpu *v, struct pcpu *cpu);
/* Runs CPU's vCPUs, for ever. On CPU, interrupts off. */
_Noreturn void sched_loop(struct pcpu *cpu);
/* Makes V's core look at V's requests soon. From any core. */
void sched_kick(struct vcpu *v);
/* Has V's core nothing else to run? */
bool sched_alone(const struct vcpu *v);
/*
 * Is V the current vCPU of the calling core? Else its state may only be touched after sched_load(). Own core.
 */
void sched_load(struct vcpu *v);

#endif
