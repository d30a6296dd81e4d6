/*
 * How much of a core a vCPU may have: its weight against others on the same core, and its VM's
 * cap. Only arithmetic; core/sched.c keeps the queues. Times are in ticks of the host's TSC.
 *
 * A vCPU's virtual time is what it has used, divided by its weight: the one with the least is next.
 */
#ifndef CORE_SHARE_H
#define CORE_SHARE_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;
struct vm;

#define SHARE_WEIGHT_DEFAULT 100u

/* A cap holds on average, and over each so many nanoseconds. */
#define SHARE_CAP_WINDOW_NS 100000000ull

/* What TICKS of V's are in virtual time. */
uint64_t share_vtime(const struct vcpu *v, uint64_t ticks);
/*
 * V has used its core for TICKS: its virtual time and, where there is a cap, its VM's account are
 * charged. On V's core.
 */
void share_charge(struct vcpu *v, uint64_t ticks);
/*
 * V wants its core again after it had not, when the core's virtual time is VCLOCK: time
 * asleep is no credit, and what it owes from before is bounded by DEBT_MAX ticks of a vCPU of
 * weight 100, so that a wake-up is not late without bound. On V's core.
 */
void share_wake(struct vcpu *v, uint64_t vclock, uint64_t debt_max);
/* How long VM's vCPUs may run, all together, before the cap stops them; ~0 without a cap. Any core.
 */
uint64_t share_room(struct vm *vm, uint64_t now);
/* When VM, which has no room, has some again. Any core. */
uint64_t share_room_at(const struct vm *vm);

#endif
