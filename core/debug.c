#include "core/debug.h"

#include "arch/x86/cpu.h"
#include "core/vm.h"

#define BREAKPOINTS 4

/* Does breakpoint N cover it? LEN is 1, 2, 8, 4 bytes, and the address aligned (18.2.5). */
static bool covers(const struct vcpu_state *st, unsigned int n, uint64_t address, unsigned int size)
{
	static const uint8_t lengths[4] = {1, 2, 8, 4};
	uint64_t length = lengths[st->dr7 >> (18 + 4 * n) & 3];
	uint64_t first = ALIGN_DOWN(st->dr[n], length);

	return address < first + length && first < address + size;
}

void debug_accessed(struct vcpu *v, uint64_t dr7, uint64_t address, unsigned int size,
		    enum debug_access access)
{
	const struct vcpu_state *st = &v->st;

	if (likely(!(dr7 & DR7_ENABLED)))
		return;
	hv->get_state(v, ST_DRS | ST_CRS);
	if (access == DEBUG_PORT && !(st->cr4 & CR4_DE))
		return;
	for (unsigned int n = 0; n < BREAKPOINTS; n++)
		if (dr7 >> 2 * n & 3 && access >> (dr7 >> (16 + 4 * n) & 3) & 1 &&
		    covers(st, n, address, size))
			v->debug_met |= BIT(n);
}

void debug_retire(struct vcpu *v)
{
	hv->debug_trap(v, v->debug_met);
	v->debug_met = 0;
}
