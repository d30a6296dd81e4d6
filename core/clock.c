#include "core/clock.h"

#include "arch/x86/tsc.h"
#include "core/vm.h"

uint64_t clock_ticks(uint64_t hz)
{
	return mul_div(tsc_now(), hz, tsc_hz());
}

uint64_t clock_wall_ns(const struct vm *vm)
{
	return vm->wall_clock_ns + tsc_to_ns(tsc_now());
}
