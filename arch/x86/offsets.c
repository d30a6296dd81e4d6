/*
 * Numbers for the assembly of this folder: build/gen/x86_offsets.inc is made from what the compiler
 * makes of this.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "arch/x86/mitigations.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/trampoline.h"
#include "lib/err.h"

#define NUMBER(name, value) __asm__ volatile("\n->" #name " %0" ::"i"((int64_t)(value)))

void x86_offsets(void);

void x86_offsets(void)
{
	NUMBER(PCPU_APIC_ID, offsetof(struct pcpu, apic_id));
	NUMBER(PCPU_STATE, offsetof(struct pcpu, state));
	NUMBER(PCPU_STACK_TOP, offsetof(struct pcpu, stack_top));
	NUMBER(STATE_STARTING, CPU_STARTING);
	NUMBER(STATE_ENTERED, CPU_ENTERED);
	NUMBER(ERROR_CODES, EXC_ERROR_CODE_MASK);
	NUMBER(ERR_IO, -EIO);
	NUMBER(MIT_VERW, MIT_VERW);
	NUMBER(MIT_RSB, MIT_RSB);
	NUMBER(MIT_RETPOLINE, MIT_RETPOLINE);
	NUMBER(MIT_IBRS, MIT_IBRS);
	NUMBER(MIT_IBPB_EXIT, MIT_IBPB_EXIT);
	NUMBER(MIT_BHB, MIT_BHB);
	NUMBER(SPEC_CTRL_INDEX, MSR_IA32_SPEC_CTRL);
	NUMBER(SPEC_CTRL_IBRS, SPEC_CTRL_IBRS);
	NUMBER(PRED_CMD_INDEX, MSR_IA32_PRED_CMD);
	NUMBER(PRED_CMD_IBPB, PRED_CMD_IBPB);
	NUMBER(DATA_SELECTOR, SEL_DATA);
	NUMBER(EFER_INDEX, MSR_IA32_EFER);
	NUMBER(EFER_LONG, EFER_LME | EFER_NXE);
	NUMBER(CR0_PROTECTED, CR0_PE | CR0_ET | CR0_NE);
	NUMBER(CR0_PAGED, CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	NUMBER(TRAMPOLINE_DATA, TRAMPOLINE_DATA_OFFSET);
	NUMBER(TD_GDT_PTR, offsetof(struct trampoline_data, gdt_limit));
	NUMBER(TD_FAR32, offsetof(struct trampoline_data, far32));
	NUMBER(TD_FAR64, offsetof(struct trampoline_data, far64));
	NUMBER(TD_CR3, offsetof(struct trampoline_data, cr3));
	NUMBER(TD_CR4, offsetof(struct trampoline_data, cr4));
	NUMBER(TD_ENTRY, offsetof(struct trampoline_data, entry));
	NUMBER(TD_BASE, offsetof(struct trampoline_data, base));
}
