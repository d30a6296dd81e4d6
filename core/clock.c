#include "core/clock.h"

#include "arch/x86/tsc.h"
#include "core/vm.h"

uint64_t clock_ticks(const struct vm *vm, uint64_t hz)
{
	return mul_div(tsc_now() - __atomic_load_n(&vm->stood_still, __ATOMIC_ACQUIRE), hz,
		       tsc_hz());
}

/* Without pauses. */
static uint64_t tsc_of(uint64_t ticks, uint64_t hz)
{
	uint64_t tsc = mul_div(ticks, tsc_hz(), hz);

	return mul_div(tsc, hz, tsc_hz()) < ticks ? tsc + 1 : tsc;
}

uint64_t clock_tsc_of(const struct vm *vm, uint64_t ticks, uint64_t hz)
{
	return tsc_of(ticks, hz) + __atomic_load_n(&vm->stood_still, __ATOMIC_ACQUIRE);
}

uint64_t clock_tsc_after(uint64_t ns)
{
	return tsc_now() + tsc_from_ns(ns);
}

uint64_t clock_wall_ns(const struct vm *vm)
{
	return vm->wall_clock_ns + tsc_to_ns(tsc_now());
}

uint64_t clock_wall_tsc(const struct vm *vm, uint64_t ns)
{
	return tsc_of(ns - vm->wall_clock_ns, NS_PER_S);
}
