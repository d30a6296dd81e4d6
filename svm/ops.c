#include "svm/internal.h"
#include "svm/svm.h"

#include "lib/string.h"

/* The processor fetched them for a nested page fault or an intercepted #PF (15.33.5). */
static size_t insn_bytes(const struct vcpu *v, uint8_t buf[15])
{
	const struct vmcb *b = &svm_of(v)->vmcb;
	size_t n = svm_features.decode_assists ? b->insn_count & 0xf : 0;

	memcpy(buf, b->insn_bytes, n);
	return n;
}

/* There is no preemption timer: HV_F_DEADLINE is never set, and core/ uses the host's. */
static void set_deadline(struct vcpu *v, uint64_t host_tsc)
{
	(void)v;
	(void)host_tsc;
}

/* Without AVIC v->vid is never set: core/ delivers every interrupt, so that it knows each EOI. */
static void irq_sync(struct vcpu *v)
{
	(void)v;
}

static void eoi_exits(struct vcpu *v, const uint64_t vectors[4])
{
	(void)v;
	(void)vectors;
}

const struct hv_ops svm_ops = {
	.name = "svm",
	.present = svm_present,
	.probe = svm_probe,
	.check = svm_check,
	.describe = svm_describe,
	.compare = svm_compare,
	.cpu_on = svm_cpu_on,
	.cpu_off = svm_cpu_off,
	.vm_init = svm_vm_init,
	.pio_trap = svm_pio_trap,
	.npt_flush = svm_npt_flush,
	.vcpu_init = svm_vcpu_init,
	.vcpu_reset = svm_vcpu_reset,
	.load = svm_load,
	.put = svm_put,
	.run = svm_run,
	.get_state = svm_get_state,
	.set_state = svm_set_state,
	.cpl = svm_cpl,
	.dr7 = svm_dr7,
	.debug_trap = svm_debug_trap,
	.skip_insn = svm_skip_insn,
	.insn_bytes = insn_bytes,
	.msr_trap = svm_msr_trap,
	.set_traps = svm_set_traps,
	.pass_spec_ctrl = svm_pass_spec_ctrl,
	.set_tsc_offset = svm_set_tsc_offset,
	.set_deadline = set_deadline,
	.can_inject = svm_can_inject,
	.inject = svm_inject,
	.want_window = svm_want_window,
	.apic_mode = svm_apic_mode,
	.irq_sync = irq_sync,
	.eoi_exits = eoi_exits,
	.set_tpr_threshold = svm_set_tpr_threshold,
	.dump = svm_dump,
	.hypercall_insn = {0x0f, 0x01, 0xd9},
};
