/* Exits as plain structs: SDM vol. 3C 28.2 (exit qualifications) and appendix C. */
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "core/exits.h"
#include "vmx/internal.h"

/* What an exit needs besides its reason. */
enum detail {
	PLAIN,	  /* nothing */
	INSN,	  /* the instruction's length: it will be skipped */
	VECTORING /* may have come in the middle of an event's delivery */
};

typedef void decoder(struct vcpu *v, struct hv_exit *x, uint64_t qual);

static void decode_event(struct hv_event *ev, uint64_t info, enum vmcs_field error)
{
	ev->valid = true;
	ev->vector = (uint8_t)info;
	ev->type = info >> 8 & 7;
	ev->has_error = info & INTR_INFO_ERROR;
	ev->error = ev->has_error ? (uint32_t)vmread(error) : 0;
	ev->insn_len = 0;
	if (ev->type == EVENT_SOFT_INTR || ev->type == EVENT_SOFT_EXC ||
	    ev->type == EVENT_PRIV_SOFT_EXC)
		ev->insn_len = (uint8_t)vmread(VMCS_EXIT_INSN_LEN);
}

/* An IRET that faulted or exited had already ended NMI blocking: it goes on blocking (28.2.3). */
static void reblock_nmi(void)
{
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
		vmread(VMCS_GUEST_INTERRUPTIBILITY) | INTR_NMI_BLOCKED);
}

void vmx_run_mc_handler(void)
{
	__asm__ volatile("int $18" ::: "memory");
}

/* The qualification has what DR6 would get, which the exit has kept back (28.2.1). */
static void merge_dr6(struct vcpu *v, uint64_t qual)
{
	const uint64_t new_bits = qual & 0x600f;

	vmx_get_state(v, ST_DRS);
	v->st.dr6 = (v->st.dr6 & ~0xfull) | DR6_INIT | new_bits;
	v->st.dr7 &= ~DR7_GD;
	vmx_set_state(v, ST_DRS);
}

/*
 * The exit has cleared the pending single step, and an entry in an interrupt shadow with TF wants
 * one (27.3.1.5). Delivering the exception ends the shadow (27.7.1), so that it can end now.
 */
static void end_shadow(void)
{
	uint64_t intr = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (intr & (INTR_STI | INTR_MOV_SS))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, intr & ~(uint64_t)(INTR_STI | INTR_MOV_SS));
}

/* The other vendor's hypercall is #UD here: 0F 01 D9 is VMMCALL. */
static bool is_vmmcall(struct vcpu *v)
{
	uint8_t bytes[INSN_MAX];

	return exit_fetch(v, bytes) >= 3 && bytes[0] == 0x0f && bytes[1] == 0x01 &&
	       bytes[2] == 0xd9;
}

static void decode_exception(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	uint64_t info = vmread(VMCS_EXIT_INTR_INFO);

	decode_event(&x->event, info, VMCS_EXIT_INTR_ERROR);
	if (x->event.type == EVENT_NMI) {
		x->reason = EXIT_NMI;
		nmi_run_handler();
		return;
	}
	if (x->event.vector == EXC_MC) {
		x->reason = EXIT_MACHINE_CHECK;
		vmx_run_mc_handler();
		return;
	}
	if (info & INTR_INFO_NMI_UNBLOCK && !x->vectoring.valid && x->event.vector != EXC_DF)
		reblock_nmi();
	if (x->event.vector == EXC_DB) {
		/* INT1 leaves DR6 alone, whatever steps. */
		if (x->event.type != EVENT_PRIV_SOFT_EXC)
			merge_dr6(v, qual);
		end_shadow();
	}
	if (x->event.vector == EXC_UD && !x->vectoring.valid && is_vmmcall(v)) {
		x->reason = EXIT_HYPERCALL;
		x->insn_len = 3;
	}
}

static void decode_task(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	(void)v;
	x->task.selector = (uint16_t)qual;
	x->task.cause = qual >> 30 & 3;
	x->insn_len = (uint8_t)vmread(VMCS_EXIT_INSN_LEN);
}

/* Table 28-3. */
static void decode_cr(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	(void)v;
	x->cr.reg = qual & 0xf;
	x->cr.gpr = qual >> 8 & 0xf;
	x->cr.write = (qual >> 4 & 3) != 1;
	x->cr.clts = (qual >> 4 & 3) == 2;
	x->cr.lmsw = (qual >> 4 & 3) == 3;
	x->cr.source = (uint16_t)(qual >> 16);
	x->cr.decode = false;
}

/* Table 28-4. */
static void decode_dr(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	(void)v;
	x->dr.reg = qual & 7;
	x->dr.gpr = qual >> 8 & 0xf;
	x->dr.write = !(qual & BIT(4));
	x->dr.decode = false;
}

/* String I/O: the instruction is executed from its bytes, so that nothing else is needed. */
static void decode_io(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	(void)v;
	x->pio.port = (uint16_t)(qual >> 16);
	x->pio.size = (qual & 7) + 1;
	x->pio.in = qual & BIT(3);
	x->pio.string = qual & BIT(4);
	x->pio.rep = qual & BIT(5);
	x->pio.decode = true;
}

/* Table 28-7. The instruction's length is not defined for it. */
static void decode_ept(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	(void)v;
	if (qual & BIT(12) && !x->vectoring.valid)
		reblock_nmi();
	x->insn_len = 0;
	x->npf.gpa = vmread(VMCS_GUEST_PHYS_ADDR);
	x->npf.write = qual & BIT(1);
	x->npf.fetch = qual & BIT(2);
	x->npf.gla_valid = qual & BIT(7);
	x->npf.gla = x->npf.gla_valid ? vmread(VMCS_GUEST_LINEAR_ADDR) : 0;
	x->npf.table_walk = x->npf.gla_valid && !(qual & BIT(8));
}

/* The processor has stopped an event's delivery: resumed, where that can be (26.2). */
static void decode_notify(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	(void)v;
	x->notify.invalid = qual & BIT(0);
	if (qual & BIT(12) && !x->vectoring.valid)
		reblock_nmi();
}

/* Table 28-6. */
static void decode_apic_access(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	(void)v;
	x->apic.offset = qual & 0xfff;
	x->apic.write = (qual >> 12 & 0xf) == 1;
	x->apic.completed = false;
	x->insn_len = 0;
}

static void decode_apic_write(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	(void)v;
	x->apic.offset = qual & 0xff0;
	x->apic.write = true;
	x->apic.completed = true;
}

static void decode_eoi(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	(void)v;
	x->eoi.vector = (uint8_t)qual;
}

static void decode_timer(struct vcpu *v, struct hv_exit *x, uint64_t qual)
{
	(void)x;
	(void)qual;
	/* It has run out, so even a parked one is no longer at its maximum. */
	vmx_of(v)->timer_parked = false;
}

/* A reason for every number of appendix C; the rest is EXIT_UNKNOWN. */
static const struct {
	uint8_t reason; /* enum hv_reason */
	uint8_t detail; /* enum detail */
} table[VMX_REASON_COUNT] = {
	[VMX_EXCEPTION_OR_NMI] = {EXIT_EXCEPTION, VECTORING},
	[VMX_EXTERNAL_INTR] = {EXIT_HOST_IRQ, VECTORING},
	[VMX_TRIPLE_FAULT] = {EXIT_TRIPLE, PLAIN},
	[VMX_INIT] = {EXIT_INIT, PLAIN},
	[VMX_SIPI] = {EXIT_SIPI, PLAIN},
	[VMX_IO_SMI] = {EXIT_UNKNOWN, PLAIN},
	[VMX_OTHER_SMI] = {EXIT_UNKNOWN, PLAIN},
	[VMX_INTR_WINDOW] = {EXIT_INTR_WINDOW, PLAIN},
	[VMX_NMI_WINDOW] = {EXIT_NMI_WINDOW, PLAIN},
	[VMX_TASK_SWITCH] = {EXIT_TASK_SWITCH, VECTORING},
	[VMX_CPUID] = {EXIT_CPUID, INSN},
	[VMX_GETSEC] = {EXIT_UD, PLAIN},
	[VMX_HLT] = {EXIT_HLT, INSN},
	[VMX_INVD] = {EXIT_INVD, INSN},
	[VMX_INVLPG] = {EXIT_INVLPG, INSN},
	[VMX_RDPMC] = {EXIT_RDPMC, INSN},
	[VMX_RDTSC] = {EXIT_UNKNOWN, INSN},
	[VMX_RSM] = {EXIT_UD, PLAIN},
	[VMX_VMCALL] = {EXIT_HYPERCALL, INSN},
	[VMX_VMCLEAR] = {EXIT_UD, PLAIN},
	[VMX_VMLAUNCH] = {EXIT_UD, PLAIN},
	[VMX_VMPTRLD] = {EXIT_UD, PLAIN},
	[VMX_VMPTRST] = {EXIT_UD, PLAIN},
	[VMX_VMREAD] = {EXIT_UD, PLAIN},
	[VMX_VMRESUME] = {EXIT_UD, PLAIN},
	[VMX_VMWRITE] = {EXIT_UD, PLAIN},
	[VMX_VMXOFF] = {EXIT_UD, PLAIN},
	[VMX_VMXON] = {EXIT_UD, PLAIN},
	[VMX_CR] = {EXIT_CR, INSN},
	[VMX_DR] = {EXIT_DR, INSN},
	[VMX_IO] = {EXIT_PIO, INSN},
	[VMX_RDMSR] = {EXIT_MSR, INSN},
	[VMX_WRMSR] = {EXIT_MSR, INSN},
	[VMX_MWAIT] = {EXIT_MWAIT, INSN},
	[VMX_MTF] = {EXIT_UNKNOWN, PLAIN},
	[VMX_MONITOR] = {EXIT_MONITOR, INSN},
	[VMX_PAUSE] = {EXIT_PAUSE, INSN},
	[VMX_TPR_BELOW] = {EXIT_TPR, PLAIN},
	[VMX_APIC_ACCESS] = {EXIT_APIC, VECTORING},
	[VMX_VIRTUALIZED_EOI] = {EXIT_EOI, PLAIN},
	[VMX_GDTR_IDTR] = {EXIT_UNKNOWN, PLAIN},
	[VMX_LDTR_TR] = {EXIT_UNKNOWN, PLAIN},
	[VMX_EPT_VIOLATION] = {EXIT_NPF, VECTORING},
	[VMX_EPT_MISCONFIG] = {EXIT_NPT_MISCONFIG, PLAIN},
	[VMX_INVEPT] = {EXIT_UD, PLAIN},
	[VMX_RDTSCP] = {EXIT_UNKNOWN, INSN},
	[VMX_PREEMPTION_TIMER] = {EXIT_DEADLINE, PLAIN},
	[VMX_INVVPID] = {EXIT_UD, PLAIN},
	[VMX_WBINVD] = {EXIT_WBINVD, INSN},
	[VMX_XSETBV] = {EXIT_XSETBV, INSN},
	[VMX_APIC_WRITE] = {EXIT_APIC, PLAIN},
	[VMX_RDRAND] = {EXIT_UNKNOWN, INSN},
	[VMX_INVPCID] = {EXIT_UNKNOWN, INSN},
	[VMX_VMFUNC] = {EXIT_UD, PLAIN},
	[VMX_ENCLS] = {EXIT_UD, PLAIN},
	[VMX_RDSEED] = {EXIT_UNKNOWN, INSN},
	[VMX_PML_FULL] = {EXIT_UNKNOWN, PLAIN},
	[VMX_XSAVES] = {EXIT_UNKNOWN, INSN},
	[VMX_XRSTORS] = {EXIT_UNKNOWN, INSN},
	[VMX_NOTIFY] = {EXIT_NOTIFY, VECTORING},
};

static decoder *decoder_of(uint32_t reason)
{
	switch (reason) {
	case VMX_EXCEPTION_OR_NMI:
		return decode_exception;
	case VMX_TASK_SWITCH:
		return decode_task;
	case VMX_CR:
		return decode_cr;
	case VMX_DR:
		return decode_dr;
	case VMX_IO:
		return decode_io;
	case VMX_APIC_ACCESS:
		return decode_apic_access;
	case VMX_VIRTUALIZED_EOI:
		return decode_eoi;
	case VMX_EPT_VIOLATION:
		return decode_ept;
	case VMX_PREEMPTION_TIMER:
		return decode_timer;
	case VMX_APIC_WRITE:
		return decode_apic_write;
	case VMX_NOTIFY:
		return decode_notify;
	default:
		return NULL;
	}
}

void vmx_decode_exit(struct vcpu *v, uint32_t reason, struct hv_exit *x)
{
	uint32_t n = reason & VMX_REASON_BASIC;
	uint64_t vectoring;
	decoder *decode;

	x->reason = EXIT_UNKNOWN;
	if (n >= VMX_REASON_COUNT || (n && !table[n].reason))
		return;
	x->reason = table[n].reason;
	if (table[n].detail == INSN)
		x->insn_len = (uint8_t)vmread(VMCS_EXIT_INSN_LEN);
	if (table[n].detail == VECTORING) {
		vectoring = vmread(VMCS_IDT_VECTORING_INFO);
		if (vectoring & INTR_INFO_VALID)
			decode_event(&x->vectoring, vectoring, VMCS_IDT_VECTORING_ERROR);
	}
	decode = decoder_of(n);
	if (decode)
		decode(v, x, vmread(VMCS_EXIT_QUALIFICATION));
}
