/*
 * A scripted back end: the third implementation of struct hv_ops. What the guest does is a list of
 * steps; what core/ asks of the back end is noted in a trace. It keeps the rules that hardware has
 * and emulators do not show, and fails the test where core/ breaks one:
 *
 *   - an operation on a vCPU that this core has not loaded, loading what another core has not put
 *     (VMPTRLD and VMCLEAR, SDM vol. 3C 25.11.1), two vCPUs loaded on one core;
 *   - a group of state read or written that was not fetched since the last exit, or changed in
 *     v->st and not handed over before the next entry;
 *   - two events for one entry, an event that may not enter (27.2.1.3, 27.3.1.5), an interrupt or
 *     NMI while it is blocked;
 *   - a nested translation used after it changed without npt_flush(), a linear one after a change
 *     of the bits that SDM vol. 3A 4.10.4.1 names: VPIDs and ASIDs keep them across exits;
 *   - an entry with another vCPU's FPU registers, XCR0 or page tables.
 */
#ifndef TESTS_UNIT_SUPPORT_FAKE_HV_H
#define TESTS_UNIT_SUPPORT_FAKE_HV_H

#include "core/vm.h"
#include "tests/unit/support/fake_core.h"
#include "tests/unit/support/fake_machine.h"

#define FAKE_TRACE 4096
#define FAKE_RAM   MIB(2)
#define FAKE_TLB   8

/* One stretch of the guest's run. In this order: */
struct fake_step {
	/* Another core, between core/'s last look at the requests and the back end's. */
	void (*late)(struct vcpu *v);
	/* The guest's instructions: they change fake_guest(v), v->gpr and memory... */
	void (*guest)(struct vcpu *v);
	/* ... and take so long, unless a deadline or an interrupt ends the stretch before. */
	uint64_t ticks;
	/* How it ends; EXIT_NONE: with the next step, or for good after the last. */
	struct hv_exit exit;
	/* CPUID, RDMSR, WRMSR, hypercall: answered in the inner loop. */
	bool inner;
};

struct fake_translation {
	bool valid;
	uint64_t address, target;
};

/* v->hv: what the processor and the VMCS hold. */
struct fake_vcpu {
	struct vcpu_state hw;
	uint64_t rsp;
	struct fake_cpu *on; /* where it is loaded */
	struct hv_event event;
	bool want_intr, want_nmi, pending_db;
	uint8_t tpr_threshold;
	uint64_t tsc_offset, deadline;
	bool has_deadline; /* IA32_TSC_DEADLINE passes, which is the core's */
	enum apic_mode apic_mode;
	uint32_t traps;
	uint64_t fpu;		 /* what the guest has in its registers */
	unsigned int generation; /* of nested translations, when it last entered */
	struct fake_translation nested[FAKE_TLB], linear[FAKE_TLB];

	const struct fake_step *steps;
	unsigned int step, step_count;
	bool repeat;	       /* the script begins again, for ever */
	bool late_done, begun; /* this step's late(), its guest() */
	uint64_t left;	       /* of its ticks */
	uint64_t guest_ticks;  /* spent in the guest in all */
	unsigned int entries, loads;
};

struct fake_hv {
	char trace[FAKE_TRACE];
	bool offers_vid;
	/* Not NULL: a broken rule is written here instead of failing the test. */
	const char **broken;
	/* What the hooks do: load() gives vCPU 0 flat 64-bit state with interrupts on. */
	unsigned int loads, resets, dumps;
	int load_error;
};

extern struct fake_hv fake_hv;
extern const struct hv_ops fake_hv_ops;

/*
 * A machine of CORES cores and one VM of VCPUS vCPUs, placed on them in turn, with FAKE_RAM bytes
 * at 0 and CPUID from machine.leaf (fake_cpuid_intel() where there is none yet). Nothing runs yet:
 * vm_register() has been called, vm_start() has not. A second one joins the machine.
 */
struct vm *fake_hv_vm(unsigned int cores, unsigned int vcpus);
/* Frees every VM and forgets the machine. */
void fake_hv_end(void);

/*
 * Starts VM as the cores would; vCPU 0 is then ready for run_vcpu(), loaded on its core, which
 * becomes the one that executes. The others wait for SIPI, not loaded.
 */
void fake_hv_start(struct vm *vm);
/* As a kernel does: V's local APIC is on, its timer in TSC-deadline mode. */
#define FAKE_TIMER_VECTOR 0xec
void fake_enable_timer(struct vcpu *v);

void fake_script(struct vcpu *v, const struct fake_step *steps, unsigned int count);
#define FAKE_SCRIPT(v, steps) fake_script(v, steps, ARRAY_SIZE(steps))

/* run_vcpu() on V with the script STEPS; the VM ends with it, unless it ended before. */
void fake_run(struct vcpu *v, const struct fake_step *steps, unsigned int count);
#define FAKE_RUN(v, steps) fake_run(v, steps, ARRAY_SIZE(steps))

struct fake_vcpu *fake_of(const struct vcpu *v);
/* The guest's registers, for steps and for the test's look at them. */
struct vcpu_state *fake_guest(struct vcpu *v);

/* What happened since the last call; words that end in a blank each. Lives until the next. */
const char *fake_trace(void);
void fake_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The guest touches guest-physical, or linear, memory: through what the TLB has. */
void fake_touch_gpa(struct vcpu *v, uint64_t gpa);
void fake_touch_linear(struct vcpu *v, uint64_t linear);

#endif
