/*
 * Exit handlers that a back end's inner loop calls directly. Each returns what happens to the
 * instruction; the back end advances RIP (in its one place) when told so. Own core, interrupts off.
 */
#ifndef CORE_EXITS_H
#define CORE_EXITS_H

#include "arch/x86/cpu.h"
#include "core/vm.h"
#include "emul/insn.h"

enum act {
	ACT_NEXT, /* done: skip the instruction, go on */
	ACT_STAY, /* do not skip: an exception is queued, or the handler moved RIP, or the
		     instruction runs again */
	ACT_OUT	  /* as ACT_NEXT, but leave the inner loop: something for core/ to do first */
};

/*
 * What handling an exit costs, for the monitor, while vm->timed: exit_began() before,
 * exit_took() with what it returned after.
 */
static inline uint64_t exit_began(const struct vcpu *v)
{
	return READ_ONCE(v->vm->timed) ? rdtsc() : 0;
}

static inline void exit_took(struct vcpu *v, enum hv_reason reason, uint64_t began)
{
	if (!began)
		return;
	v->exit_cost[reason] += rdtsc() - began;
	v->timed_exits[reason]++;
}

/* Leaf in gpr[RAX], subleaf in gpr[RCX]; results to RAX..RDX with the upper halves cleared. Always
 * ACT_NEXT. */
enum act exit_cpuid(struct vcpu *v);
/* Index in gpr[RCX]; value in or to EDX:EAX. */
enum act exit_rdmsr(struct vcpu *v);
enum act exit_wrmsr(struct vcpu *v);
/* Not for string forms, which go through run(). Data in or to gpr[RAX]. */
enum act exit_pio(struct vcpu *v, uint16_t port, bool in, uint8_t size);
/* Number in gpr[RAX], arguments RBX RCX RDX RSI (the KVM convention); answer to RAX. */
enum act exit_hypercall(struct vcpu *v);

/*
 * Length of the instruction at the guest's RIP by decoding it, 1 to 15; 0 when it could not be
 * fetched: the guest's page fault is then queued and the instruction must not be skipped.
 */
unsigned int exit_insn_len(struct vcpu *v);
/* Its bytes, for the back ends' and core/'s decoding; returns their number, 0 with a fault queued.
 */
unsigned int exit_fetch(struct vcpu *v, uint8_t buf[15]);

/* Decodes the instruction at the guest's RIP into *INSN. False: it could not be, and a fault is
 * queued. */
bool exit_decode(struct vcpu *v, uint8_t buf[INSN_MAX], struct insn *insn);

/* Reads or writes INSN's 16-bit memory operand. False: a fault is queued. */
bool exit_operand(struct vcpu *v, const struct insn *insn, uint16_t *value, bool write);

#endif
