/*
 * Exit handlers that a back end's inner loop calls directly. Each returns what happens to the
 * instruction; the back end advances RIP (in its one place) when told so. Own core, interrupts off.
 */
#ifndef CORE_EXITS_H
#define CORE_EXITS_H

#include "arch/x86/cpu.h"
#include "core/vm.h"
#include "emul/insn.h"
#include "lib/err.h"

enum act {
	ACT_NEXT, /* done: skip the instruction, go on */
	ACT_STAY  /* do not skip: an exception is queued, or the handler moved RIP, or the
		     instruction runs again */
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

/* Leaf in gpr[RAX], subleaf in gpr[RCX]; results to RAX..RDX with the upper halves cleared. */
void exit_cpuid(struct vcpu *v);
/* Index in gpr[RCX]; value in or to EDX:EAX. */
enum act exit_rdmsr(struct vcpu *v);
enum act exit_wrmsr(struct vcpu *v);
/* Not for string forms, which go through run(). Data in or to gpr[RAX]. */
void exit_pio(struct vcpu *v, uint16_t port, bool in, uint8_t size);
/*
 * An access to GPA has exited, by the instruction at CODE, MOV_CODE bytes of which can be read, in
 * 64-bit code: when that is a plain MOV to or from a device, it is executed. Returns its length; 0:
 * nothing has been done.
 */
#define MOV_CODE 16
unsigned int exit_mov(struct vcpu *v, const uint8_t *code, uint64_t gpa, bool write);
/*
 * The convention is the one Linux documents for KVM guests
 * (Documentation/virt/kvm/x86/hypercalls.rst): the number in RAX, the answer in RAX, negative for
 * an error. None is offered yet (CPUID 40000001h names none); user mode is told so before anything
 * else.
 */
#define HYPERCALL_ENOSYS 1000 /* KVM_ENOSYS */
static inline void exit_hypercall(struct vcpu *v, uint8_t cpl)
{
	/* A branch is shorter here than what the compiler makes of two constants. */
	if (unlikely(cpl))
		WRITE_ONCE(v->gpr[RAX], (uint64_t)-EPERM);
	else
		WRITE_ONCE(v->gpr[RAX], (uint64_t)-HYPERCALL_ENOSYS);
}

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

/* Whether a byte at INSN's address can be read; nothing is. False: a fault is queued. */
bool exit_readable(struct vcpu *v, const struct insn *insn);
/* Reads or writes INSN's 16-bit memory operand. False: a fault is queued. */
bool exit_operand(struct vcpu *v, const struct insn *insn, uint16_t *value, bool write);

#endif
