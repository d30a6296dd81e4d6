/* The inner loop: entries, exits, and what stands between two entries (APM vol. 2 15.5, 15.6). */
#include "svm/internal.h"

#include "core/cpuid.h"
#include "core/exits.h"
#include "core/lapic.h"
#include "core/run.h"
#include "lib/err.h"

static uint32_t *tpr_of(struct vcpu *v)
{
	return (uint32_t *)(v->apic_page + APIC_TPR);
}

void svm_sync_tpr(struct vcpu *v)
{
	vmcb_set_int_ctl_bits(&svm_of(v)->vmcb, INT_CTL_TPR, *tpr_of(v) >> 4 & 0xf);
}

/*
 * The guest's MOV to CR8 has changed V_TPR; bits 3:0 of a TPR written otherwise stay while it has
 * not (15.21.2).
 */
static void after_exit(struct vcpu *v, struct svm_vcpu *s)
{
	struct vmcb *b = &s->vmcb;
	uint32_t tpr = (uint32_t)(b->int_ctl & 0xf);

	v->gpr[RAX] = b->rax;
	v->st_valid = 0;
	b->clean = CLEAN_ALL;
	b->eventinj = 0;
	if (*tpr_of(v) >> 4 != tpr)
		*tpr_of(v) = tpr << 4;
}

/*
 * An event that is to enter with the next entry goes back to core/, which may have a more urgent
 * one by then.
 */
static int out_before_entry(struct svm_vcpu *s, struct hv_exit *x)
{
	svm_read_vectoring(s, s->vmcb.eventinj, &x->vectoring);
	s->vmcb.eventinj = 0;
	return 0;
}

static bool nmi_window_open(struct vcpu *v, const struct svm_vcpu *s)
{
	return s->window_nmi && svm_can_inject(v, EVENT_NMI);
}

/*
 * Where XSETBV exits, core/ has written the register itself and this changes nothing. QEMU's TCG
 * (7.2) has no such intercept: what the guest wrote is in the register alone.
 */
void svm_read_xcr0(struct vcpu *v)
{
	if (svm_of(v)->cr4 & CR4_OSXSAVE)
		v->xcr0 = xgetbv(0) & cpuid_xcr0_mask(v->vm);
}

/* The exits that are answered here; EXIT_NONE: core/ does it. */
static enum hv_reason answered_here(uint64_t code)
{
	switch (code) {
	case VMEXIT_CPUID:
		return EXIT_CPUID;
	case VMEXIT_MSR:
		return EXIT_MSR;
	case VMEXIT_IOIO:
		return EXIT_PIO;
	case VMEXIT_VMMCALL:
		return EXIT_HYPERCALL;
	case VMEXIT_NPF:
		return EXIT_NPF;
	default:
		return EXIT_NONE;
	}
}

static noinline enum exit_next handle_timed(struct vcpu *v, struct hv_exit *x)
{
	uint64_t began = exit_began(v);
	enum exit_next next = svm_handle_exit(v, x);
	enum hv_reason reason = answered_here(svm_of(v)->vmcb.exitcode);

	if (reason != EXIT_NONE && x->reason == EXIT_NONE)
		exit_took(v, reason, began);
	return next;
}

static enum exit_next handle(struct vcpu *v, struct hv_exit *x, bool timed)
{
	return likely(!timed) ? svm_handle_exit(v, x) : handle_timed(v, x);
}

/* An exit from an event's delivery: core/ decides what becomes of the event. */
static noinline enum exit_next handle_vectored(struct vcpu *v, struct hv_exit *x, bool timed)
{
	struct svm_vcpu *s = svm_of(v);
	enum exit_next next;

	svm_read_vectoring(s, s->vmcb.exitintinfo, &x->vectoring);
	next = handle(v, x, timed);
	return next == RESUME && x->vectoring.valid ? LEAVE : next;
}

int svm_run(struct vcpu *v, struct hv_exit *x)
{
	struct svm_vcpu *s = svm_of(v);
	bool timed = READ_ONCE(v->vm->timed);
	const struct svm_vm *m = v->vm->hv;
	enum exit_next next;

	x->reason = EXIT_NONE;
	x->insn_len = 0;
	x->vectoring = (struct hv_event){0};
	if (READ_ONCE(v->requests))
		return out_before_entry(s, x);
	svm_prepare_asid(s, m);
	svm_sync_tpr(v);
	for (;;) {
		s->vmcb.rax = v->gpr[RAX];
		svm_enter(v, phys_of(&s->vmcb), phys_of(&s->cpu->host));
		after_exit(v, s);
		if (unlikely(s->vmcb.exitintinfo & EVENTINJ_V || s->soft_len))
			next = handle_vectored(v, x, timed);
		else
			next = handle(v, x, timed);
		if (unlikely(next != RESUME || nmi_window_open(v, s)))
			break;
		if (unlikely(READ_ONCE(v->requests)) && !run_events(v))
			break;
		svm_check_asid(s, m);
	}
	/* What follows returns further than what was called since the exit. */
	svm_fill_return_stack();
	svm_read_xcr0(v);
	return next == LEAVE_FAILED ? -EIO : 0;
}
