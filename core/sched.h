/*
 * Which vCPU runs on which core. Each core has a queue of the vCPUs that were placed on it at boot
 * and shares its time among those that have something to do, in slices and by their VMs' weights
 * (core/share.h); a vCPU never changes its core. A core with one vCPU never slices.
 */
#ifndef CORE_SCHED_H
#define CORE_SCHED_H

#include <stdbool.h>
#include <stdint.h>

struct pcpu;
struct vcpu;
struct vm;

#define SCHED_SLICE_US 10000u

/* The time slice, SCHED_SLICE_US until then. At boot. */
void sched_set_slice(uint32_t us);
/* Prepares CPU's queue, in its core_area. At boot. */
void sched_init_cpu(struct pcpu *cpu);
/* Puts V into CPU's queue. At boot, before cores run. */
void sched_place(struct vcpu *v, struct pcpu *cpu);
/* How many vCPUs have been placed on CPU. */
unsigned int sched_load_of(const struct pcpu *cpu);
/* FN is called on each core, outside guests, when sched_ask() was called for it. At boot. */
void sched_set_on_question(void (*fn)(void));
/* Whose state CPU has in its registers; NULL: nobody's. On CPU, or in panic(). */
const struct vcpu *sched_current(const struct pcpu *cpu);
/* Runs CPU's vCPUs, for ever. On CPU, interrupts off. */
_Noreturn void sched_loop(struct pcpu *cpu);
/* Makes V's core look at V's requests soon. From any core. */
void sched_kick(struct vcpu *v);
/* Has V's core nothing else to run? */
bool sched_alone(const struct vcpu *v);
/*
 * A vCPU that spins where others wait for its core is to give the rest of its slice away: where the
 * processor counts PAUSEs, many of them exit. After hv->vcpu_reset(). V is current.
 */
void sched_trap_pause(struct vcpu *v);
/*
 * Makes V current on its core: its page tables, FPU state, and hv->load(); whichever was current is
 * put first. No more than a comparison when it is current already. On V's core.
 */
void sched_load(struct vcpu *v);
/* Makes VM's page tables this core's, so that its memory can be reached. No vCPU of another VM
 * stays current. */
void sched_map(struct vm *vm);
/* Saves V's state off the core, if it is current: another core may load it then. On V's core. */
void sched_unload(struct vcpu *v);
/*
 * May V, current on its core, stay? Not when its time slice has ended with others waiting, its VM
 * is paused or has used what its cap allows, or somebody has asked something of it.
 */
bool sched_may_stay(struct vcpu *v);
/* VEC_DEADLINE: the deadline of the vCPU that is alone on this core has come. Interrupt handler. */
void sched_deadline_came(void);
/* Host TSC at which the core must be back at the latest for its other vCPUs; ~0: never. V is
 * current. */
uint64_t sched_deadline(struct vcpu *v);
/* V's own timer is due at host TSC AT, before all that sched_deadline() knew. Loaded, own core. */
void sched_rearm(struct vcpu *v, uint64_t at);
/* Lets this core's interrupts in that wait; they are off before and after. */
void sched_let_in(void);
/* From now on until sched_attentive(false), sched_kick() interrupts this core. */
void sched_attentive(bool on);
/*
 * FN is called on CPU, outside guests, at the host TSC that it returned last (at once at first). At
 * boot. For what is due by the clock: consoles, the watch.
 */
void sched_set_housekeeping(struct pcpu *cpu, uint64_t (*fn)(void));
/* What keeps this core's house is called soon, whatever it returned last. */
void sched_keep_house_now(void);
/*
 * Does CPU's loop still turn? sched_ask() wants to know, always from the same core; CPU answers
 * before it enters a guest or idles next.
 */
void sched_ask(struct pcpu *cpu);
bool sched_answered(const struct pcpu *cpu);
/*
 * Has CPU, since it answered last, done nothing but be in a guest? Then it hangs nowhere, and
 * asking would only disturb the guest. When sched_answered().
 */
bool sched_inside(const struct pcpu *cpu);
/* Every core looks at what there is to do. From any core. */
void sched_wake_all(void);

#endif
