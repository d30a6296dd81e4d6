/* The inner loop: entries, exits, and what stands between two entries (APM vol. 2 15.5, 15.6). */
#include "svm/internal.h"

#include "core/cpuid.h"
#include "core/exits.h"
#include "core/lapic.h"
#include "lib/err.h"

static uint32_t *tpr_of(struct vcpu *v)
{
	return (uint32_t *)(v->apic_page + APIC_TPR);
}

static void before_entry(struct vcpu *v, struct svm_vcpu *s)
{
	struct vmcb *b = &s->vmcb;

	svm_prepare_asid(s, v->vm->hv);
	vmcb_set_int_ctl_bits(b, INT_CTL_TPR, *tpr_of(v) >> 4 & 0xf);
	b->rax = v->gpr[RAX];
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
	x->reason = EXIT_NONE;
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

int svm_run(struct vcpu *v, struct hv_exit *x)
{
	struct svm_vcpu *s = svm_of(v);
	enum exit_next next;

	do {
		x->insn_len = 0;
		if (READ_ONCE(v->requests))
			return out_before_entry(s, x);
		before_entry(v, s);
		svm_enter(v, phys_of(&s->vmcb), phys_of(&s->cpu->host));
		after_exit(v, s);
		svm_read_vectoring(s, s->vmcb.exitintinfo, &x->vectoring);
		x->reason = EXIT_NONE;
		next = svm_handle_exit(v, x);
	} while (next == RESUME && !x->vectoring.valid && !nmi_window_open(v, s));
	svm_read_xcr0(v);
	return next == LEAVE_FAILED ? -EIO : 0;
}
