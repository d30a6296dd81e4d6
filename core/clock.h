/* Time from the TSC, for code that knows no processor registers. Any core. */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

#define NS_PER_S 1000000000u

struct vm;

/* a * b / c with a product of 128 bits; ~0 where the quotient is wider than 64 bits. c is not 0. */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;

	if (high >= c)
		return ~0ULL;
	/*
	 * Dividing a 128-bit type in C calls a function of the compiler's library, which is not
	 * linked.
	 */
	__asm__("divq %2" : "+a"(low), "+d"(high) : "r"(c) : "cc");
	return low;
}

/* Ticks of a clock of VM's with HZ, which began when the host's TSC was 0 and stands still while VM
 * is paused. */
uint64_t clock_ticks(const struct vm *vm, uint64_t hz);
/* The first host TSC at which clock_ticks(VM, HZ) is TICKS, unless VM is paused before. */
uint64_t clock_tsc_of(const struct vm *vm, uint64_t ticks, uint64_t hz);
/* The host TSC in NS nanoseconds from now. */
uint64_t clock_tsc_after(uint64_t ns);
/* Time of day of VM in nanoseconds since 1970, UTC. It goes on while VM is paused. */
uint64_t clock_wall_ns(const struct vm *vm);
/* The first host TSC at which that is NS. */
uint64_t clock_wall_tsc(const struct vm *vm, uint64_t ns);

#endif
