/*
 * Hypercalls and plain port I/O. The hypercall convention is the one Linux documents for KVM guests
 * (Documentation/virt/kvm/x86/hypercalls.rst): the number in RAX, the answer in RAX, negative for
 * an error.
 */
#include "arch/x86/cpu.h"
#include "core/bus.h"
#include "core/exits.h"
#include "lib/err.h"

#define HYPERCALL_ENOSYS 1000 /* KVM_ENOSYS */

enum act exit_hypercall(struct vcpu *v)
{
	hv->get_state(v, ST_SEGS);
	/* None is offered yet (CPUID 40000001h names none); user mode is told so before anything
	 * else. */
	if (SEG_ATTR_DPL(v->st.seg[SEG_SS].attr))
		v->gpr[RAX] = (uint64_t)-EPERM;
	else
		v->gpr[RAX] = (uint64_t)-HYPERCALL_ENOSYS;
	return ACT_NEXT;
}

enum act exit_pio(struct vcpu *v, uint16_t port, bool in, uint8_t size)
{
	uint64_t mask = BIT(size * 8) - 1;
	uint64_t value = v->gpr[RAX] & mask;

	bus_pio(v, port, !in, size, &value);
	if (!in)
		return v->requests ? ACT_OUT : ACT_NEXT;
	/* IN EAX clears the upper half, as every 32-bit destination does; smaller ones keep it. */
	v->gpr[RAX] = size == 4 ? (uint32_t)value : (v->gpr[RAX] & ~mask) | (value & mask);
	return ACT_NEXT;
}
