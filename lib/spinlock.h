/*
 * A ticket lock. It does not touch the interrupt flag: the hypervisor runs with interrupts off
 * except while a core idles, so no interrupt handler can find a lock held by the core it
 * interrupts. NMI handlers take no locks.
 */
#ifndef LIB_SPINLOCK_H
#define LIB_SPINLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct spinlock {
	uint32_t next;	/* ticket that the next caller takes */
	uint32_t owner; /* ticket that holds the lock */
};

static inline void spin_lock(struct spinlock *l)
{
	uint32_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);

	if (__builtin_expect(__atomic_load_n(&l->owner, __ATOMIC_ACQUIRE) == ticket, 1))
		return;
	do
		__builtin_ia32_pause();
	while (__atomic_load_n(&l->owner, __ATOMIC_ACQUIRE) != ticket);
}

static inline void spin_unlock(struct spinlock *l)
{
	/* The holder alone writes it: behind all earlier accesses, in one instruction. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	l->owner++;
}

/* For panic() alone: gives up after about SPINS turns. Returns whether the lock was taken. */
static inline bool spin_trylock_for(struct spinlock *l, uint32_t spins)
{
	while (spins--) {
		uint32_t owner = __atomic_load_n(&l->owner, __ATOMIC_RELAXED);
		uint32_t expected = owner;

		if (__atomic_compare_exchange_n(&l->next, &expected, owner + 1, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

#endif
