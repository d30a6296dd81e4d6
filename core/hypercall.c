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
	/* None is offered yet (CPUID 40000001h names none); user mode is told so before anything
	 * else. */
	if (hv->cpl(v))
		v->gpr[RAX] = (uint64_t)-EPERM;
	else
		v->gpr[RAX] = (uint64_t)-HYPERCALL_ENOSYS;
	return ACT_NEXT;
}

/* IN EAX clears the upper half, as every 32-bit destination does; smaller ones keep the rest. */
static void put_in(struct vcpu *v, uint8_t size, uint64_t value)
{
	if (size == 4)
		v->gpr[RAX] = (uint32_t)value;
	else if (size == 1)
		v->gpr[RAX] = (v->gpr[RAX] & ~0xffull) | (uint8_t)value;
	else
		v->gpr[RAX] = (v->gpr[RAX] & ~0xffffull) | (uint16_t)value;
}

enum act exit_pio(struct vcpu *v, uint16_t port, bool in, uint8_t size)
{
	uint64_t value;

	if (in) {
		bus_pio(v, port, false, size, &value);
		put_in(v, size, value);
		return ACT_NEXT;
	}
	value = v->gpr[RAX] & (BIT(size * 8) - 1);
	bus_pio(v, port, true, size, &value);
	return v->requests ? ACT_OUT : ACT_NEXT;
}
