/*
 * What CPUID tells a guest: the host's leaves through masks, leaf by leaf, with what the platform
 * adds (x2APIC, TSC deadline, the paravirtual leaves) and what it cannot offer taken away. Built
 * once a VM; an exit never executes CPUID.
 */
#ifndef CORE_CPUID_H
#define CORE_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include "core/vm.h"

#define CPUID_BASIC_MAX 0x1fu

/* The basic leaves that are four words of a table, whatever the vCPU and its state. */
struct cpuid_plain {
	uint64_t leaves; /* a bit for each that is one */
	uint32_t basic[CPUID_BASIC_MAX + 1][4];
};

/* Builds vm->cpuid from this core's CPUID. At boot. -ENOMEM. */
int cpuid_init(struct vm *vm);
void cpuid_fini(struct vm *vm);

/* Family, model and stepping: CPUID 1 EAX, and EDX after reset. */
uint32_t cpuid_signature(const struct vm *vm);
/* Does the guest's processor say AMD (or Hygon)? For MSRs and CPUID leaves whose meaning depends on
 * it, no more. */
bool cpuid_is_amd(const struct vm *vm);
/* The XCR0 and IA32_XSS bits that the guest may set; 0 without XSAVE. */
uint64_t cpuid_xcr0_mask(const struct vm *vm);
uint64_t cpuid_xss_mask(const struct vm *vm);
/* XSAVES, and with it IA32_XSS. */
bool cpuid_has_xsaves(const struct vm *vm);
/* The IA32_SPEC_CTRL bits that the guest may set, 0 where it has none; has it IBPB, in PRED_CMD? */
uint64_t cpuid_spec_ctrl_mask(const struct vm *vm);
bool cpuid_has_ibpb(const struct vm *vm);
/* CR4 and EFER bits that exist on the guest's processor. */
uint64_t cpuid_cr4_mask(const struct vm *vm);
uint64_t cpuid_efer_mask(const struct vm *vm);
/*
 * Can MONITOR and MWAIT be switched on (IA32_MISC_ENABLE bit 18)? Has V's guest done so? It starts
 * without: nothing is gained by a guest that waits in MWAIT rather than in HLT.
 */
bool cpuid_may_have_monitor(const struct vm *vm);
bool cpuid_has_monitor(const struct vcpu *v);
/* From now on leaf 0 depends on the vCPU's IA32_MISC_ENABLE. */
void cpuid_may_be_limited(struct vm *vm);
/* MAXPHYADDR and whether there are 1 GiB pages. */
uint8_t cpuid_phys_width(const struct vm *vm);
bool cpuid_gib_pages(const struct vm *vm);

/* CPUID as far as V's table has the answer: false, with nothing done, for other leaves. */
static inline bool cpuid_answer_plain(struct vcpu *v)
{
	const struct cpuid_plain *t = v->vm->cpuid;
	uint64_t leaf = READ_ONCE(*(const uint32_t *)&v->gpr[RAX]);

	if (unlikely(leaf > CPUID_BASIC_MAX || !(t->leaves >> leaf & 1)))
		return false;
	v->gpr[RAX] = t->basic[leaf][0];
	v->gpr[RBX] = t->basic[leaf][1];
	v->gpr[RCX] = t->basic[leaf][2];
	v->gpr[RDX] = t->basic[leaf][3];
	return true;
}

/* The registers of one leaf as V sees them: EAX, EBX, ECX, EDX. */
void cpuid_read(struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

#endif
