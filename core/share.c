/* See core/share.h. */
#include "core/share.h"

#include "arch/x86/tsc.h"
#include "core/clock.h"
#include "core/vm.h"

static uint32_t weight_of(const struct vm *vm)
{
	return vm->weight ? vm->weight : SHARE_WEIGHT_DEFAULT;
}

uint64_t share_vtime(const struct vcpu *v, uint64_t ticks)
{
	return mul_div(ticks, SHARE_WEIGHT_DEFAULT, weight_of(v->vm));
}

void share_charge(struct vcpu *v, uint64_t ticks)
{
	v->vtime += share_vtime(v, ticks);
	if (v->vm->cap)
		__atomic_add_fetch(&v->vm->cap_used, ticks, __ATOMIC_ACQ_REL);
}

void share_wake(struct vcpu *v, uint64_t vclock, uint64_t debt_max)
{
	v->vtime = MIN(MAX(v->vtime, vclock), vclock + debt_max);
}

static uint64_t window(void)
{
	return tsc_from_ns(SHARE_CAP_WINDOW_NS);
}

static uint64_t budget(const struct vm *vm, uint64_t ticks)
{
	return mul_div(ticks, vm->cap, 100);
}

/*
 * The windows that have passed since the current one began are paid for. What was used beyond the
 * budget stays on the account, what was not used is lost. Whichever core comes first does it.
 */
static void turn_window(struct vm *vm, uint64_t now)
{
	uint64_t begin = __atomic_load_n(&vm->cap_window, __ATOMIC_ACQUIRE);
	uint64_t passed, used, left;

	if (now < begin || now - begin < window())
		return;
	passed = (now - begin) / window() * window();
	if (!__atomic_compare_exchange_n(&vm->cap_window, &begin, begin + passed, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	used = __atomic_load_n(&vm->cap_used, __ATOMIC_ACQUIRE);
	do
		left = used - MIN(used, budget(vm, passed));
	while (!__atomic_compare_exchange_n(&vm->cap_used, &used, left, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_ACQUIRE));
}

uint64_t share_room(struct vm *vm, uint64_t now)
{
	uint64_t all, used;

	if (!vm->cap)
		return ~0ull;
	turn_window(vm, now);
	all = budget(vm, window());
	used = __atomic_load_n(&vm->cap_used, __ATOMIC_ACQUIRE);
	return all - MIN(all, used);
}

uint64_t share_room_at(const struct vm *vm)
{
	return __atomic_load_n(&vm->cap_window, __ATOMIC_ACQUIRE) + window();
}
