/*
 * Events into the guest (APM vol. 2 15.20, 15.21) and the windows for those that must wait.
 *
 * With virtual NMI the processor keeps a pending NMI and delivers it when it may. Without, NMI
 * blocking is followed here: while an NMI's handler runs, IRET is intercepted; the exit comes
 * before the IRET has run, so that one instruction is stepped over with RFLAGS.TF, every exception
 * intercepted. The #DB after it is the window. If the IRET faults instead, its exception exits too,
 * TF is taken away again, and the guest sees nothing of it. The same step leads out of an interrupt
 * shadow.
 */
#include "svm/internal.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "arch/x86/percpu.h"
#include "core/exits.h"

/* All but those that instructions raise on purpose, with RIP behind them. */
#define STEP_EXCEPTIONS (UINT32_MAX & ~(BIT(EXC_BP) | BIT(EXC_OF)))

#define HLT_OPCODE 0xf4

#define DR6_TRAPS (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(13) | BIT(15))

static bool in_shadow(const struct svm_vcpu *s)
{
	return s->vmcb.int_state & INT_STATE_SHADOW;
}

bool svm_nmi_blocked(const struct svm_vcpu *s)
{
	return svm_features.virtual_nmi ? s->vmcb.int_ctl & INT_CTL_NMI_MASK : s->nmi_blocked;
}

static void intercept_iret(struct svm_vcpu *s)
{
	vmcb_set_intercepts(&s->vmcb, WORD_3, INTERCEPT_IRET,
			    s->nmi_blocked && !s->stepping ? INTERCEPT_IRET : 0);
}

void svm_set_nmi_blocked(struct svm_vcpu *s, bool blocked)
{
	if (svm_features.virtual_nmi) {
		vmcb_set_int_ctl_bits(&s->vmcb, INT_CTL_NMI_MASK, blocked ? INT_CTL_NMI_MASK : 0);
		return;
	}
	s->nmi_blocked = blocked;
	intercept_iret(s);
}

void svm_step(struct svm_vcpu *s)
{
	struct vmcb *b = &s->vmcb;

	s->stepping = true;
	s->step_rip = b->rip;
	s->step_rflags = b->rflags;
	s->step_dr6 = b->dr6;
	b->rflags |= RFLAGS_TF;
	vmcb_set_dr6(b, b->dr6 & ~DR6_BS);
	vmcb_set_intercepts(b, WORD_EXCEPTION, UINT32_MAX, STEP_EXCEPTIONS);
	intercept_iret(s);
}

/* The instruction has run (DONE), or has not and shall find its RFLAGS and DR6 as they were. */
static void end_step(struct svm_vcpu *s, bool done)
{
	struct vmcb *b = &s->vmcb;

	s->stepping = false;
	vmcb_set_intercepts(b, WORD_EXCEPTION, UINT32_MAX, SVM_EXCEPTIONS);
	/* An IRET has loaded RFLAGS of its own. */
	if (!done || !s->nmi_blocked)
		b->rflags = (b->rflags & ~RFLAGS_TF) | (s->step_rflags & RFLAGS_TF);
	if (!done)
		vmcb_set_dr6(b, s->step_dr6);
	else
		s->nmi_blocked = false;
	intercept_iret(s);
}

void svm_cancel_step(struct svm_vcpu *s)
{
	if (s->stepping)
		end_step(s, s->vmcb.rip != s->step_rip);
}

bool svm_step_done(struct svm_vcpu *s, uint8_t vector)
{
	struct vmcb *b = &s->vmcb;
	bool own_trap;

	if (vector != EXC_DB || !(b->dr6 & DR6_BS)) {
		uint64_t dr6 = b->dr6;

		/* An IRET that faults has ended the blocking all the same (SDM vol. 3A 6.7.1). */
		end_step(s, false);
		s->nmi_blocked = false;
		intercept_iret(s);
		if (vector == EXC_DB)
			vmcb_set_dr6(b, dr6 | (s->step_dr6 & DR6_BS));
		return false;
	}
	end_step(s, true);
	if (s->step_rflags & RFLAGS_TF)
		return false;
	own_trap = !(b->dr6 & DR6_TRAPS & ~s->step_dr6);
	if (own_trap)
		vmcb_set_dr6(b, s->step_dr6);
	else
		vmcb_set_dr6(b, (b->dr6 & ~DR6_BS) | (s->step_dr6 & DR6_BS));
	return own_trap;
}

bool svm_can_inject(struct vcpu *v, uint8_t type)
{
	const struct svm_vcpu *s = svm_of(v);

	if (type == EVENT_NMI && svm_features.virtual_nmi)
		return !(s->vmcb.int_ctl & INT_CTL_NMI);
	if (in_shadow(s))
		return false;
	return type == EVENT_NMI ? !s->nmi_blocked : s->vmcb.rflags & RFLAGS_IF;
}

/*
 * RIP is to be behind the instruction when these are delivered, and there is no type for two of
 * them (15.20).
 */
static uint8_t prepare_soft(struct svm_vcpu *s, const struct hv_event *ev)
{
	s->soft_len = ev->insn_len;
	s->vmcb.rip += ev->insn_len;
	/* Processors with next-RIP save push this one for INT n, INT3 and INTO. */
	s->vmcb.nrip = s->vmcb.rip;
	return ev->type == EVENT_SOFT_INTR ? EVENT_SOFT_INTR : EVENT_EXCEPTION;
}

void svm_inject(struct vcpu *v, const struct hv_event *ev)
{
	struct svm_vcpu *s = svm_of(v);
	uint8_t type = ev->type;

	svm_cancel_step(s);
	v->st_valid &= ~(uint32_t)(ST_RIP | ST_INTR);
	if (type == EVENT_NMI && svm_features.virtual_nmi) {
		vmcb_set_int_ctl_bits(&s->vmcb, INT_CTL_NMI, INT_CTL_NMI);
		return;
	}
	if (type == EVENT_NMI)
		svm_set_nmi_blocked(s, true);
	if (type >= EVENT_SOFT_INTR)
		type = prepare_soft(s, ev);
	/*
	 * As a page fault of the processor's own does, one made here drops the address's
	 * translation.
	 */
	if (type == EVENT_EXCEPTION && ev->vector == EXC_PF)
		svm_invlpga(s, s->vmcb.cr2);
	s->vmcb.eventinj = ev->vector | (uint64_t)type << 8 | EVENTINJ_V;
	if (ev->has_error)
		s->vmcb.eventinj |= EVENTINJ_EV | (uint64_t)ev->error << 32;
}

static void want_nmi_window(struct svm_vcpu *s)
{
	/*
	 * While it is blocked IRET exits by itself, and a virtual NMI goes in whenever there is
	 * room.
	 */
	if (svm_features.virtual_nmi || s->nmi_blocked || s->stepping)
		return;
	if (s->vmcb.eventinj & EVENTINJ_V)
		/*
		 * Exits as soon as that event has been delivered: GIF holds the interrupt until
		 * then.
		 */
		apic_send_ipi(this_cpu()->apic_id, VEC_KICK);
	else if (in_shadow(s))
		svm_step(s);
}

/*
 * QEMU's TCG (7.2) forgets at VMRUN that there was a shadow: the interrupt would come between STI
 * and HLT, and HLT wait for one that has been. With one waiting, HLT is over at once: so it is
 * here.
 */
static noinline void finish_hlt_in_shadow(struct vcpu *v)
{
	const struct vmcb *b = &svm_of(v)->vmcb;
	uint8_t insn[INSN_MAX];

	if (!in_shadow(svm_of(v)) || !(b->rflags & RFLAGS_IF) || b->eventinj & EVENTINJ_V)
		return;
	if (exit_fetch(v, insn) && insn[0] == HLT_OPCODE)
		svm_skip_insn(v, 1);
}

/* A virtual interrupt of the highest priority that exits instead of being delivered (15.21.4). */
void svm_want_window(struct vcpu *v, bool intr, bool nmi)
{
	struct svm_vcpu *s = svm_of(v);
	const uint64_t window = INT_CTL_IRQ | INT_CTL_IGN_TPR | INT_CTL_PRIO(15);

	if (intr)
		finish_hlt_in_shadow(v);
	vmcb_set_int_ctl_bits(&s->vmcb, window, intr ? window : 0);
	vmcb_set_intercepts(&s->vmcb, WORD_3, INTERCEPT_VINTR, intr ? INTERCEPT_VINTR : 0);
	s->window_nmi = nmi;
	if (nmi)
		want_nmi_window(s);
}

/*
 * INT n, INT3 and INTO: RIP is still at the instruction, which makes the event again when it runs
 * again (15.7.2).
 */
static bool is_soft(uint64_t info)
{
	uint8_t vector = EVENTINJ_VECTOR(info);

	if (EVENTINJ_TYPE(info) == EVENT_EXCEPTION)
		return vector == EXC_BP || vector == EXC_OF;
	return EVENTINJ_TYPE(info) == EVENT_SOFT_INTR;
}

void svm_read_vectoring(struct svm_vcpu *s, uint64_t info, struct hv_event *ev)
{
	uint8_t soft_len = s->soft_len;

	*ev = (struct hv_event){0};
	s->soft_len = 0;
	if (!(info & EVENTINJ_V))
		return;
	if (is_soft(info)) {
		s->vmcb.rip -= soft_len;
		return;
	}
	/* Its delivery did not end, so that it blocks nothing yet. */
	if (EVENTINJ_TYPE(info) == EVENT_NMI)
		svm_set_nmi_blocked(s, false);
	*ev = (struct hv_event){
		.valid = true,
		.has_error = info & EVENTINJ_EV,
		.vector = EVENTINJ_VECTOR(info),
		.type = EVENTINJ_TYPE(info),
		.error = (uint32_t)(info >> 32),
	};
}
