/* Descriptor tables, interrupts and exceptions of the hypervisor itself. */
#ifndef ARCH_X86_DESC_H
#define ARCH_X86_DESC_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/percpu.h"

/* Selectors of every core's GDT */
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS	 0x18

/* Vectors of the interrupts that Socle gives itself */
enum irq_vector {
	VEC_FIRST = 0x20,
	VEC_CONSOLE = 0x40,  /* COM ports: VEC_CONSOLE + n */
	VEC_TIMER = 0xf0,    /* this core's local APIC timer */
	VEC_KICK = 0xf1,     /* another core wants this one out of guest mode */
	VEC_POSTED = 0xf2,   /* posted-interrupt notification */
	VEC_DEADLINE = 0xf3, /* the timer's, while a guest sets it */
	VEC_SPURIOUS = 0xff
};

/* What the stubs push, lowest address first. Handlers may change it. */
struct int_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector;
	uint64_t error; /* 0 where the vector has none */
	uint64_t rip, cs, rflags, rsp, ss;
};

_Static_assert(sizeof(struct int_frame) == 22 * 8, "pushed by arch/x86/isr.asm");

/*
 * Runs with interrupts off on the core's ordinary stack. The local APIC gets its EOI after the
 * handler has returned.
 */
typedef void irq_handler(unsigned int vector);

/*
 * Handles an NMI or machine check, on that exception's own stack: no locks, no log. False:
 * exception_panic() is next.
 */
typedef bool fault_hook(struct int_frame *frame);

/* Fills the IDT that all cores share. Once, on the first core. */
void idt_init(void);

/*
 * Makes CPU's GDT and TSS and loads them on the executing core, with all segment registers, GS base
 * and the IDT. After this this_cpu() and rdmsr_safe() work. Interrupts must be off. LDTR becomes 0.
 */
void desc_load(struct pcpu *cpu);

/* For VMX's host state. */
uint64_t idt_base(void);

/*
 * VECTOR from VEC_FIRST up; a second registration replaces the first. HANDLER must live for ever;
 * NULL takes it away.
 */
void irq_register(unsigned int vector, irq_handler *handler);

/* At most one of each, NULL for none. */
void nmi_set_hook(fault_hook *hook);
void mc_set_hook(fault_hook *hook);

/*
 * Runs the NMI handler: where VMX has taken an NMI by a VM exit, NMIs stay blocked until the next
 * IRET, which this executes (SDM vol. 3C 28.2, 6.7.1).
 */
static inline void nmi_run_handler(void)
{
	__asm__ volatile("int $2" ::: "memory");
}

/*
 * boot/ provides it: an exception in the hypervisor. Called on the stack of that exception,
 * interrupts off.
 */
_Noreturn void exception_panic(struct int_frame *frame);

/* "#GP", "NMI", ...; "interrupt" for anything from 32 up and "exception" for a reserved vector. */
const char *exception_name(unsigned int vector);

#endif
