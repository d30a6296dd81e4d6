/*
 * The machine under core/ in unit tests: cores with a local APIC timer, an FPU and CR3, what CPUID
 * and RDMSR say, and the ways in which a core waits. One thread plays all the cores in turn. Time
 * is fake.tsc (tests/unit/support/fake_core.h).
 */
#ifndef TESTS_UNIT_SUPPORT_FAKE_MACHINE_H
#define TESTS_UNIT_SUPPORT_FAKE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/cpu.h"
#include "arch/x86/percpu.h"

#define FAKE_CPUS	2
#define FAKE_CPUIDS	32
#define FAKE_MSRS	32
#define FAKE_FPU_CLEAN	0xf9uLL
#define FAKE_FPU_AREA	64u
#define FAKE_LOG_LENGTH 65536

struct vcpu;

struct fake_cpu {
	struct pcpu pcpu;
	uint64_t cr3, xcr0, xss;
	uint64_t fpu;			    /* all of its registers in one number */
	uint64_t timer;			    /* host TSC; 0: stopped */
	uint8_t vector;			    /* of the timer; 0: VEC_TIMER */
	bool came, deadline_came;	    /* VEC_TIMER, VEC_DEADLINE is pending */
	bool stale;			    /* timer is of what has come */
	unsigned int arms;		    /* of the timer */
	unsigned int kicks;		    /* interrupts sent to it */
	bool kicked;			    /* one is pending */
	unsigned int switches, vm_switches; /* mitigations_switch(); to another VM among them */
	struct vcpu *current; /* whose VMCS is; kept by tests/unit/support/fake_hv.c */
};

struct fake_leaf {
	uint32_t leaf, subleaf;
	uint32_t eax, ebx, ecx, edx;
};

struct fake_msr {
	uint32_t index;
	uint64_t value;
};

struct fake_machine {
	struct fake_cpu cpu[FAKE_CPUS];
	unsigned int here; /* the core that executes */
	bool on[FAKE_CPUS];

	/* What CPUID says; leaves that are not there are zeroes. */
	struct fake_leaf leaf[FAKE_CPUIDS];
	unsigned int leaves;
	/* RDMSR of another one fails the test. */
	struct fake_msr msr[FAKE_MSRS];
	unsigned int msrs;

	uint64_t until; /* fake_machine_run() comes back then */
	/* Called while a core sleeps: somebody may wake it. */
	void (*asleep)(void);
	/* Called when a core has set its timer, or the guest's deadline: others do what they do
	 * meanwhile. */
	void (*arming)(void);
	/* Called when a core has read its deadline, before it does anything about it. */
	void (*read_deadline)(void);
	bool has_deadline; /* the cores' timers have that mode */
	/* One that has come stays in the register, as with Bochs 2.7. */
	bool keeps_deadline;
	uint32_t pkru;
	unsigned int sleeps, windows;
	bool off; /* machine_off() was called */
	char log[FAKE_LOG_LENGTH];
};

extern struct fake_machine machine;
/* XMM registers. */
extern uint8_t fake_xmm[16][16], fake_ymm[16][32], fake_mmx[8][8];
extern bool fake_avx_off, fake_x87_waits; /* what fpu_ymm() and fpu_mmx() find */

/* Writes this core's IA32_TSC_DEADLINE, as a guest does that has it. */
void fake_set_timer(uint64_t host_tsc);
/* Is an interrupt pending on core C, its timer's or a kick? */
bool fake_pending(struct fake_cpu *c);

/* CORES cores that are on, time 0, no CPUID leaves, an empty log. Calls none of core/. */
void fake_machine_reset(unsigned int cores);

void fake_set_leaf(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx,
		   uint32_t edx);
void fake_set_msr(uint32_t index, uint64_t value);

/* CPUID of a processor with AVX-512 of Intel's, and of one of AMD's. */
void fake_cpuid_intel(void);
void fake_cpuid_amd(void);

struct fake_cpu *fake_here(void);

/*
 * Runs sched_loop() on a core until the host's TSC reaches UNTIL or the core would sleep beyond it.
 * The guest's time passes in the script of tests/unit/support/fake_hv.h.
 */
void fake_machine_run(unsigned int core, uint64_t until);

/* Comes back to fake_machine_run(). */
_Noreturn void fake_machine_stop(void);

/* Forgets what core/ keeps in variables of its own: tests/unit/support/core_*.c. */
void fake_sched_forget(void);
void fake_lifecycle_forget(void);

/* What tests/unit/support/unprivileged.h makes of the instructions. */
void fake_irq_window(void);
void fake_idle(void);
void fake_hlt(void);
void fake_write_cr3(uint64_t value);
uint64_t fake_rdmsr(uint32_t index);
struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf);

#endif
