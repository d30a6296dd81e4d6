/*
 * Timers of a VM's devices: they expire on the core of vCPU 0, whose run loop and scheduler look at
 * vm->timers_at as they do at the local APIC's timer.
 */
#ifndef CORE_DEVTIMER_H
#define CORE_DEVTIMER_H

#include <stdint.h>

#include "core/vm.h"

struct dev_timer {
	struct dev_timer *next; /* of the VM's */
	uint64_t at;		/* host TSC; 0: not armed */
	bool of_day; /* is due at a time of day, which a pause of the VM's does not move */
	void (*expired)(void *dev);
	void *dev;
};

/* Adds T, with expired and dev set, to VM's timers. At boot, before the VM runs. */
void dev_timer_add(struct vm *vm, struct dev_timer *t);

/*
 * EXPIRED is called once when the host's TSC reaches AT; 0: it is not called any more. An earlier
 * setting is forgotten. dev_lock held, or no vCPU runs.
 */
void dev_timer_set(struct vm *vm, struct dev_timer *t, uint64_t at);

/*
 * A device's timer that gives pulses on WAITER's GSI would spare itself those that no interrupt
 * controller notices. True: there is none that would, and heard() is called once when that may have
 * changed, which the interrupt controllers say by vm_irq_heard(). dev_lock held.
 */
bool vm_irq_wait(struct vm *vm, const struct irq_waiter *waiter);
void vm_irq_heard(struct vm *vm);

/* VM stood still for TICKS of the host's TSC: so much later its timers are due. dev_lock held. */
void dev_timers_delay(struct vm *vm, uint64_t ticks);

/* Calls those that are due, with dev_lock held. On the core of vCPU 0. */
void dev_timers_run(struct vm *vm);

#endif
