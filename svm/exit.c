/*
 * Exits by their EXITCODE (APM vol. 2 15.7 to 15.14, appendix C): the frequent ones are done here,
 * the others described.
 */
#include "svm/internal.h"

#include "arch/x86/cpu.h"
#include "core/cpuid.h"
#include "core/exits.h"
#include "core/mmio.h"
#include "core/task.h"
#include "lib/log.h"
#include "lib/string.h"

#define CPUID_XSTATE 0xdu

/* APM vol. 3 table A-7: VMRUN to INVLPGA, VMMCALL among them, stand close together. */
#define VMCALL_MODRM  0xc1
#define VMRUN_MODRM   0xd8
#define INVLPGA_MODRM 0xdf

/* What an exit is to be reported as; the length of its instruction, where the processor says. */
static enum exit_next leave(struct vcpu *v, struct hv_exit *x, enum hv_reason reason)
{
	const struct vmcb *b = &svm_of(v)->vmcb;

	x->reason = reason;
	if (svm_features.next_rip && b->nrip > b->rip && b->nrip - b->rip <= 15)
		x->insn_len = (uint8_t)(b->nrip - b->rip);
	return LEAVE;
}

/*
 * The length of the instruction that has exited; OPCODE is what SIZE bytes of it are without
 * prefixes. 0: it cannot be fetched any more, and a fault is queued.
 */
static inline unsigned int insn_len(struct vcpu *v, uint32_t opcode, unsigned int size)
{
	const struct vmcb *b = &svm_of(v)->vmcb;
	uint64_t len = b->nrip - b->rip;
	const uint8_t *code;

	if (svm_features.next_rip && len - 1 < INSN_MAX)
		return (unsigned int)len;
	code = svm_code(v, size);
	if (likely(code && code[0] == (opcode & 0xff) && code[1] == (opcode >> 8 & 0xff) &&
		   (size == 2 || code[2] == opcode >> 16)))
		return size;
	return exit_insn_len(v);
}

/* Before the handler: an instruction that cannot be fetched must not be executed. */
static inline enum exit_next call_msr(struct vcpu *v, unsigned int len,
				      enum act (*handler)(struct vcpu *v))
{
	if (unlikely(!len))
		return RESUME;
	v->exits[EXIT_MSR]++;
	if (likely(handler(v) == ACT_NEXT))
		svm_skip_insn(v, len);
	return RESUME;
}

static noinline enum exit_next on_other_cpuid(struct vcpu *v, unsigned int len)
{
	if (!len)
		return RESUME;
	/* EBX is the size of what XCR0 has enabled. */
	if ((uint32_t)v->gpr[RAX] == CPUID_XSTATE)
		svm_read_xcr0(v);
	v->exits[EXIT_CPUID]++;
	exit_cpuid(v);
	svm_skip_insn(v, len);
	return RESUME;
}

static noinline enum exit_next on_cpuid(struct vcpu *v)
{
	unsigned int len = insn_len(v, 0xa20f, 2);

	if (unlikely(!len || !cpuid_answer_plain(v)))
		return on_other_cpuid(v, len);
	v->exits[EXIT_CPUID]++;
	svm_skip_insn(v, len);
	return RESUME;
}

static noinline enum exit_next on_msr(struct vcpu *v)
{
	if (svm_of(v)->vmcb.exitinfo1 & 1) {
		enum exit_next next = call_msr(v, insn_len(v, 0x300f, 2), exit_wrmsr);

		svm_sync_tpr(v);
		return next;
	}
	return call_msr(v, insn_len(v, 0x320f, 2), exit_rdmsr);
}

static noinline enum exit_next on_vmmcall(struct vcpu *v)
{
	unsigned int len = insn_len(v, 0xd9010f, 3);

	if (unlikely(!len))
		return RESUME;
	v->exits[EXIT_HYPERCALL]++;
	exit_hypercall(v, svm_of(v)->vmcb.cpl);
	svm_skip_insn(v, len);
	return RESUME;
}

/* EXITINFO2 is the next RIP on every processor (15.10.2). */
static noinline enum exit_next on_ioio(struct vcpu *v, struct hv_exit *x)
{
	const struct vmcb *b = &svm_of(v)->vmcb;
	uint64_t info = b->exitinfo1;
	uint8_t len = (uint8_t)(b->exitinfo2 - b->rip);

	/* Strings, and what may meet a breakpoint, are core's. */
	if (info & IOIO_STR || unlikely(b->dr7 & DR7_ENABLED)) {
		x->reason = EXIT_PIO;
		x->insn_len = len;
		x->pio.port = IOIO_PORT(info);
		x->pio.size = IOIO_SIZE(info);
		x->pio.in = info & IOIO_IN;
		x->pio.string = info & IOIO_STR;
		x->pio.rep = info & IOIO_REP;
		x->pio.seg = IOIO_SEGMENT(info);
		x->pio.addr_size = (uint8_t)(IOIO_ADDR(info) * 2);
		x->pio.decode = !svm_features.decode_assists;
		return LEAVE;
	}
	v->exits[EXIT_PIO]++;
	exit_pio(v, IOIO_PORT(info), info & IOIO_IN, IOIO_SIZE(info));
	svm_skip_insn(v, len);
	return RESUME;
}

/* Core looks at the event as at one that the guest caused just now. */
static enum exit_next exception(struct vcpu *v, struct hv_exit *x, uint8_t vector)
{
	struct vmcb *b = &svm_of(v)->vmcb;

	x->reason = EXIT_EXCEPTION;
	x->event = (struct hv_event){
		.valid = true,
		.vector = vector,
		.type = EVENT_EXCEPTION,
		.has_error = EXC_ERROR_CODE_MASK & BIT(vector),
	};
	if (x->event.has_error)
		x->event.error = (uint32_t)b->exitinfo1;
	/* An intercepted page fault has not written CR2 (15.12.15). */
	if (vector == EXC_PF)
		vmcb_set_cr2(b, b->exitinfo2);
	return LEAVE;
}

/* 0F 01 with this ModRM byte, without a prefix. */
static bool is_0f01(const uint8_t *insn, unsigned int n, uint8_t first, uint8_t last)
{
	return n >= 3 && insn[0] == 0x0f && insn[1] == 0x01 && insn[2] >= first && insn[2] <= last;
}

static enum exit_next on_ud(struct vcpu *v, struct hv_exit *x)
{
	uint8_t buf[15];
	unsigned int n = exit_fetch(v, buf);

	if (!n)
		return RESUME;
	if (!is_0f01(buf, n, VMCALL_MODRM, VMCALL_MODRM))
		return exception(v, x, EXC_UD);
	v->exits[EXIT_HYPERCALL]++;
	exit_hypercall(v, svm_of(v)->vmcb.cpl);
	svm_skip_insn(v, 3);
	return RESUME;
}

static bool is_canonical(const struct svm_vcpu *s, uint64_t addr)
{
	unsigned int unused = s->cr4 & CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(addr << unused) >> unused) == addr;
}

/*
 * The extension's instructions look at CPL and at the operand before their intercept: a program
 * would find by #GP that they are there.
 */
static enum exit_next on_gp(struct vcpu *v, struct hv_exit *x)
{
	const struct svm_vcpu *s = svm_of(v);
	uint8_t buf[15];
	unsigned int n;

	if (s->vmcb.exitinfo1 || s->vmcb.exitintinfo & EVENTINJ_V || !is_canonical(s, s->vmcb.rip))
		return exception(v, x, EXC_GP);
	n = exit_fetch(v, buf);
	if (!n)
		return RESUME;
	return exception(v, x, is_0f01(buf, n, VMRUN_MODRM, INVLPGA_MODRM) ? EXC_UD : EXC_GP);
}

static enum exit_next on_exception(struct vcpu *v, struct hv_exit *x)
{
	struct svm_vcpu *s = svm_of(v);
	uint8_t vector = (uint8_t)(s->vmcb.exitcode - VMEXIT_EXCP0);

	if (s->stepping && svm_step_done(s, vector)) {
		x->reason = EXIT_NMI_WINDOW;
		return s->window_nmi ? LEAVE : RESUME;
	}
	if (vector == EXC_UD)
		return on_ud(v, x);
	if (vector == EXC_GP)
		return on_gp(v, x);
	if (vector == EXC_MC) {
		/* It has not been delivered: the host's handler gets it (15.12.18). */
		__asm__ volatile("int %0" ::"i"(EXC_MC) : "memory");
		x->reason = EXIT_MACHINE_CHECK;
		return LEAVE;
	}
	/* An injected one does not clear GD on its way (13.1.1.4), and would come again for ever.
	 */
	if (vector == EXC_DB && s->vmcb.dr7 & DR7_GD)
		vmcb_set_dr7(&s->vmcb, s->vmcb.dr7 & ~DR7_GD);
	return exception(v, x, vector);
}

static enum exit_next on_intr(struct vcpu *v, struct hv_exit *x)
{
	(void)v;
	x->reason = EXIT_HOST_IRQ;
	return LEAVE;
}

/* The processor has kept it until STGI: the host's handler has run. */
static enum exit_next on_nmi(struct vcpu *v, struct hv_exit *x)
{
	(void)v;
	x->reason = EXIT_NMI;
	return LEAVE;
}

/* INT1: a #DB that no bit of DR6 tells of, with RIP behind the instruction. */
static enum exit_next on_icebp(struct vcpu *v, struct hv_exit *x)
{
	unsigned int len;

	leave(v, x, EXIT_NONE);
	len = x->insn_len ? x->insn_len : exit_insn_len(v);
	if (!len)
		return RESUME;
	svm_skip_insn(v, len);
	vcpu_exception(v, EXC_DB, false, 0);
	return RESUME;
}

/*
 * A virtual NMI that could not enter between STI and HLT waits in the processor: HLT is over at
 * once. core/ knows of it no more, and would wait for another event.
 */
static enum exit_next on_hlt(struct vcpu *v, struct hv_exit *x)
{
	uint64_t nmi = svm_of(v)->vmcb.int_ctl & (INT_CTL_NMI | INT_CTL_NMI_MASK);
	unsigned int len;

	leave(v, x, EXIT_HLT);
	if (likely(nmi != INT_CTL_NMI))
		return LEAVE;
	len = x->insn_len ? x->insn_len : exit_insn_len(v);
	x->reason = EXIT_NONE;
	x->insn_len = 0;
	if (len)
		svm_skip_insn(v, len);
	return RESUME;
}

/* So with an SMI: the firmware's handler has run. */
static enum exit_next on_smi(struct vcpu *v, struct hv_exit *x)
{
	(void)v;
	(void)x;
	return RESUME;
}

static enum exit_next on_init(struct vcpu *v, struct hv_exit *x)
{
	(void)v;
	x->reason = EXIT_INIT;
	return LEAVE;
}

static enum exit_next on_vintr(struct vcpu *v, struct hv_exit *x)
{
	(void)v;
	x->reason = EXIT_INTR_WINDOW;
	return LEAVE;
}

/*
 * The end of an NMI's task: the step over it would be saved with the task's flags. core/ does it
 * instead, which looks at all that the processor would have looked at.
 */
static enum exit_next return_to_task(struct vcpu *v, struct hv_exit *x)
{
	struct svm_vcpu *s = svm_of(v);
	uint16_t link;

	svm_set_nmi_blocked(s, false);
	x->insn_len = (uint8_t)exit_insn_len(v);
	if (!x->insn_len || mmio_system_access(v, s->vmcb.tr.base, &link, sizeof(link), false))
		return LEAVE;
	x->reason = EXIT_TASK_SWITCH;
	x->task.selector = link;
	x->task.cause = TASK_IRET;
	return LEAVE;
}

static enum exit_next on_iret(struct vcpu *v, struct hv_exit *x)
{
	const struct vmcb *b = &svm_of(v)->vmcb;

	if (unlikely((b->rflags & (RFLAGS_NT | RFLAGS_VM)) == RFLAGS_NT && b->cr0 & CR0_PE &&
		     !(b->efer & EFER_LMA)))
		return return_to_task(v, x);
	svm_step(svm_of(v));
	return RESUME;
}

/* MOV to and from control registers, LMSW, CLTS, SMSW: only the first have EXITINFO1[63]. */
static enum exit_next on_cr(struct vcpu *v, struct hv_exit *x)
{
	const struct vmcb *b = &svm_of(v)->vmcb;
	bool selective = b->exitcode == VMEXIT_CR0_SEL_WRITE;

	leave(v, x, EXIT_CR);
	memset(&x->cr, 0, sizeof(x->cr));
	x->cr.reg = selective ? 0 : b->exitcode & 0xf;
	x->cr.write = selective || b->exitcode >= VMEXIT_CR0_WRITE;
	x->cr.gpr = CRDR_GPR(b->exitinfo1);
	x->cr.decode = !svm_features.decode_assists || !(b->exitinfo1 & CRDR_MOV);
	return LEAVE;
}

static enum exit_next on_dr(struct vcpu *v, struct hv_exit *x)
{
	const struct vmcb *b = &svm_of(v)->vmcb;

	leave(v, x, EXIT_DR);
	memset(&x->dr, 0, sizeof(x->dr));
	x->dr.reg = b->exitcode & 0xf;
	x->dr.write = b->exitcode >= VMEXIT_DR0_WRITE;
	x->dr.gpr = CRDR_GPR(b->exitinfo1);
	x->dr.decode = !svm_features.decode_assists;
	return LEAVE;
}

/* A device's register, by an instruction that has been fetched lately. */
static bool on_mmio(struct vcpu *v, const struct vmcb *b)
{
	const uint8_t *code;
	unsigned int len;

	if (b->exitinfo1 & (NPF_RESERVED | NPF_FETCH | NPF_TABLE_WALK) ||
	    b->exitintinfo & EVENTINJ_V || b->dr7 & DR7_ENABLED || !svm_in_64bit_code(b))
		return false;
	code = svm_code(v, MOV_CODE);
	if (!code)
		return false;
	/* Before it is handled: sched_inside(). */
	v->exits[EXIT_NPF]++;
	len = exit_mov(v, code, b->exitinfo2, b->exitinfo1 & NPF_WRITE);
	if (!len) {
		v->exits[EXIT_NPF]--; /* exit_dispatch() counts it */
		return false;
	}
	svm_skip_insn(v, len);
	/* The register may have been the local APIC's TPR. */
	svm_sync_tpr(v);
	return true;
}

static enum exit_next on_npf(struct vcpu *v, struct hv_exit *x)
{
	const struct vmcb *b = &svm_of(v)->vmcb;

	if (on_mmio(v, b))
		return RESUME;

	x->reason = b->exitinfo1 & NPF_RESERVED ? EXIT_NPT_MISCONFIG : EXIT_NPF;
	memset(&x->npf, 0, sizeof(x->npf));
	x->npf.gpa = b->exitinfo2;
	x->npf.write = b->exitinfo1 & NPF_WRITE;
	x->npf.fetch = b->exitinfo1 & NPF_FETCH;
	x->npf.table_walk = b->exitinfo1 & NPF_TABLE_WALK;
	return LEAVE;
}

/*
 * With CR0.NE clear the processor would stop and wait for an outside interrupt; VT-x has NE always
 * set.
 */
static enum exit_next on_ferr_freeze(struct vcpu *v, struct hv_exit *x)
{
	return exception(v, x, EXC_MF);
}

/* MOV to CR3, and its operand has bits that long mode reserves (3.1.2)? */
static bool is_bad_cr3_write(const struct vcpu *v, const uint8_t *insn, unsigned int n)
{
	uint8_t rex = (insn[0] & 0xf0) == 0x40 ? insn[0] : 0;
	const uint8_t *op = insn + (rex ? 1 : 0);
	uint64_t value;

	if (n < 4 || op[0] != 0x0f || op[1] != 0x22 || (op[2] >> 3 & 7) != 3)
		return false;
	value = v->gpr[(op[2] & 7) | (rex & 1) << 3];
	if (svm_of(v)->cr4 & CR4_PCIDE)
		value &= ~CR3_NOFLUSH;
	return value >> cpuid_phys_width(v->vm);
}

/*
 * No VMRUN fails here: what is in the VMCB is checked before. QEMU's TCG (7.2) has this exit, with
 * a code of 32 bits, where a processor has #GP(0): when the guest itself loads CR3 with reserved
 * bits. Kept out of line: its buffer on the stack would cost each exit a frame and its guard.
 */
static noinline enum exit_next on_invalid(struct vcpu *v, struct hv_exit *x)
{
	uint8_t buf[INSN_MAX];
	unsigned int n = exit_fetch(v, buf);

	if (n && is_bad_cr3_write(v, buf, n))
		return exception(v, x, EXC_GP);
	x->reason = EXIT_ENTRY_FAILED;
	return LEAVE_FAILED;
}

static enum exit_next on_unknown(struct vcpu *v, struct hv_exit *x)
{
	uint64_t code = svm_of(v)->vmcb.exitcode;

	log_error("vm %s: vcpu %u: EXITCODE %#llx, which no intercept asked for", v->vm->name,
		  v->id, (unsigned long long)code);
	x->reason = EXIT_UNKNOWN;
	return LEAVE;
}

typedef enum exit_next exit_handler(struct vcpu *v, struct hv_exit *x);

/* Where the reason says all. Codes with neither that nor a handler are never asked for. */
static const uint8_t reasons[VMEXIT_TABLE_END] = {
	[VMEXIT_RDPMC] = EXIT_RDPMC,
	[VMEXIT_RSM] = EXIT_UD,
	[VMEXIT_INVD] = EXIT_INVD,
	[VMEXIT_PAUSE] = EXIT_PAUSE,
	[VMEXIT_INVLPGA] = EXIT_UD,
	[VMEXIT_SHUTDOWN] = EXIT_TRIPLE,
	[VMEXIT_VMRUN] = EXIT_UD,
	[VMEXIT_VMLOAD] = EXIT_UD,
	[VMEXIT_VMSAVE] = EXIT_UD,
	[VMEXIT_STGI] = EXIT_UD,
	[VMEXIT_CLGI] = EXIT_UD,
	[VMEXIT_SKINIT] = EXIT_UD,
	[VMEXIT_WBINVD] = EXIT_WBINVD,
	[VMEXIT_MONITOR] = EXIT_MONITOR,
	[VMEXIT_MWAIT] = EXIT_MWAIT,
	[VMEXIT_XSETBV] = EXIT_XSETBV,
	[VMEXIT_RDPRU] = EXIT_UD,
	[VMEXIT_INVLPGB] = EXIT_UD,
	[VMEXIT_INVLPGB_ILLEGAL] = EXIT_UD,
	[VMEXIT_MCOMMIT] = EXIT_UD,
	[VMEXIT_TLBSYNC] = EXIT_UD,
};

static exit_handler *handler_of(uint64_t code)
{
	if (code == VMEXIT_NPF)
		return on_npf;
	if (code < VMEXIT_DR0_READ)
		return on_cr;
	if (code < VMEXIT_EXCP0)
		return on_dr;
	if (code < VMEXIT_INTR)
		return on_exception;
	switch (code) {
	case VMEXIT_INTR:
		return on_intr;
	case VMEXIT_NMI:
		return on_nmi;
	case VMEXIT_SMI:
		return on_smi;
	case VMEXIT_INIT:
		return on_init;
	case VMEXIT_VINTR:
		return on_vintr;
	case VMEXIT_CR0_SEL_WRITE:
		return on_cr;
	case VMEXIT_IRET:
		return on_iret;
	case VMEXIT_HLT:
		return on_hlt;
	case VMEXIT_FERR_FREEZE:
		return on_ferr_freeze;
	case VMEXIT_ICEBP:
		return on_icebp;
	default:
		return on_unknown;
	}
}

enum exit_next svm_handle_exit(struct vcpu *v, struct hv_exit *x)
{
	uint64_t code = svm_of(v)->vmcb.exitcode;

	/* The most frequent ones by comparison: an indirect branch costs more than all of these. */
	if (code == VMEXIT_MSR)
		return on_msr(v);
	if (code == VMEXIT_CPUID)
		return on_cpuid(v);
	if (code == VMEXIT_IOIO)
		return on_ioio(v, x);
	if (code == VMEXIT_VMMCALL)
		return on_vmmcall(v);
	if ((uint32_t)code == (uint32_t)VMEXIT_INVALID)
		return on_invalid(v, x);
	if (code < VMEXIT_TABLE_END && reasons[code] != EXIT_NONE)
		return leave(v, x, reasons[code]);
	return handler_of(code)(v, x);
}
