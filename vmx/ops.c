#include "vmx/vmx.h"

#include "vmx/internal.h"

/* Where the processor captured an instruction's bytes: it never does. */
static size_t insn_bytes(const struct vcpu *v, uint8_t buf[15])
{
	(void)v;
	(void)buf;
	return 0;
}

const struct hv_ops vmx_ops = {
	.name = "vmx",
	.present = vmx_present,
	.probe = vmx_probe,
	.check = vmx_check,
	.describe = vmx_describe,
	.compare = vmx_compare,
	.cpu_on = vmx_cpu_on,
	.cpu_off = vmx_cpu_off,
	.vm_init = vmx_vm_init,
	.pio_trap = vmx_pio_trap,
	.npt_flush = vmx_npt_flush,
	.vcpu_init = vmx_vcpu_init,
	.vcpu_reset = vmx_vcpu_reset,
	.load = vmx_load,
	.put = vmx_put,
	.run = vmx_run,
	.get_state = vmx_get_state,
	.set_state = vmx_set_state,
	.cpl = vmx_cpl,
	.dr7 = vmx_dr7,
	.debug_trap = vmx_debug_trap,
	.skip_insn = vmx_skip_insn,
	.insn_bytes = insn_bytes,
	.msr_trap = vmx_msr_trap,
	.set_traps = vmx_set_traps,
	.pass_spec_ctrl = vmx_pass_spec_ctrl,
	.set_tsc_offset = vmx_set_tsc_offset,
	.set_deadline = vmx_set_deadline,
	.can_inject = vmx_can_inject,
	.inject = vmx_inject,
	.want_window = vmx_want_window,
	.apic_mode = vmx_apic_mode,
	.irq_sync = vmx_irq_sync,
	.eoi_exits = vmx_eoi_exits,
	.set_tpr_threshold = vmx_set_tpr_threshold,
	.dump = vmx_dump,
	.hypercall_insn = {0x0f, 0x01, 0xc1},
};
