/* VMX operation on one core: SDM vol. 3C 24.7, 24.8, 32.5. */
#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "arch/x86/pages.h"
#include "arch/x86/percpu.h"
#include "lib/err.h"
#include "lib/log.h"
#include "vmx/internal.h"

/* Unlocked, as after reset where firmware does not care: switch VT-x on and lock it, as preflight
 * promised. */
static int enable(void)
{
	uint64_t fc = rdmsr(MSR_IA32_FEATURE_CONTROL);

	if (!(fc & FEATURE_CONTROL_LOCK)) {
		fc |= FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX;
		if (cpuid(1, 0).ecx & CPUID_1_ECX_SMX)
			fc |= FEATURE_CONTROL_VMX_IN_SMX;
		wrmsr(MSR_IA32_FEATURE_CONTROL, fc);
	}
	return rdmsr(MSR_IA32_FEATURE_CONTROL) & FEATURE_CONTROL_VMX_OUTSIDE_SMX ? 0 : -EPERM;
}

int vmx_cpu_on(struct pcpu *cpu)
{
	const struct vmx_controls *c = &vmx_controls;
	uint32_t *region;

	if (enable()) {
		log_error("cpu %u: VT-x is locked off in IA32_FEATURE_CONTROL", cpu->id);
		return -EPERM;
	}
	region = pages_alloc(1);
	if (!region)
		return -ENOMEM;
	region[0] = c->revision;
	write_cr0((read_cr0() | c->cr0_fixed0) & c->cr0_fixed1);
	write_cr4((read_cr4() | c->cr4_fixed0 | CR4_VMXE) & c->cr4_fixed1);
	if (vmxon((uint64_t)(uintptr_t)region) != VM_SUCCEED) {
		log_error("cpu %u: VMXON failed", cpu->id);
		pages_free(region, 1);
		return -EIO;
	}
	cpu->hv_private = region;
	/* Whatever ran here before (a hypervisor started by an earlier boot) may have left
	 * translations. */
	invept(2, 0);
	invvpid(2, 0);
	return 0;
}

void vmx_cpu_off(struct pcpu *cpu)
{
	if (!cpu->hv_private)
		return;
	vmxoff();
	write_cr4(read_cr4() & ~CR4_VMXE);
	pages_free(cpu->hv_private, 1);
	cpu->hv_private = NULL;
}
