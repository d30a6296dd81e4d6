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

static bool all_deaf(struct vm *vm, unsigned int gsi)
{
	for (unsigned int i = 0; i < vm->sink_count; i++)
		if (!vm->sink[i].is_deaf || !vm->sink[i].is_deaf(vm->sink[i].dev, gsi))
			return false;
	return true;
}

bool vm_irq_wait(struct vm *vm, const struct irq_waiter *waiter)
{
	if (!all_deaf(vm, waiter->gsi))
		return false;
	vm->irq_waiter = *waiter;
	return true;
}

void vm_irq_heard(struct vm *vm)
{
	struct irq_waiter waiter = vm->irq_waiter;

	if (!waiter.heard || all_deaf(vm, waiter.gsi))
		return;
	vm->irq_waiter.heard = NULL;
	waiter.heard(waiter.dev);
}
