#include "core/devtimer.h"

#include "arch/x86/tsc.h"

void dev_timer_add(struct vm *vm, struct dev_timer *t)
{
	t->at = 0;
	t->next = vm->timers;
	vm->timers = t;
}

static void find_first(struct vm *vm)
{
	uint64_t first = ~0ULL;

	for (const struct dev_timer *t = vm->timers; t; t = t->next)
		first = t->at ? MIN(first, t->at) : first;
	WRITE_ONCE(vm->timers_at, first == ~0ULL ? 0 : first);
}

void dev_timer_set(struct vm *vm, struct dev_timer *t, uint64_t at)
{
	uint64_t old = vm->timers_at;

	t->at = at;
	find_first(vm);
	/* A later time than before is noticed when the earlier one has come. */
	if (READ_ONCE(vm->state) == VM_RUNNING && vm->timers_at && (!old || vm->timers_at < old))
		vcpu_request(vm->vcpu[0], REQ_YIELD);
}

void dev_timers_delay(struct vm *vm, uint64_t ticks)
{
	for (struct dev_timer *t = vm->timers; t; t = t->next)
		if (t->at && !t->of_day)
			t->at += ticks;
	find_first(vm);
}

void dev_timers_run(struct vm *vm)
{
	uint64_t now = tsc_now();

	spin_lock(&vm->dev_lock);
	for (struct dev_timer *t = vm->timers; t; t = t->next) {
		if (!t->at || t->at > now)
			continue;
		t->at = 0;
		t->expired(t->dev);
	}
	find_first(vm);
	spin_unlock(&vm->dev_lock);
}
