/*
 * The inner loop: enter, exit, the frequent reasons answered on the spot. Only what a reason needs
 * is read from the VMCS, and nothing is written back that has not changed.
 */
#include "arch/x86/cpu.h"
#include "core/exits.h"
#include "lib/err.h"
#include "vmx/internal.h"

/*
 * The preemption timer stands still while exits are handled here; after so many of them core/ sets
 * it anew, so that it is late by some microseconds at most.
 */
#define FAST_EXITS_MAX 64

/* The one place where RIP advances. */
void vmx_skip_insn(struct vcpu *v, unsigned int len)
{
	uint64_t rip = vmread(VMCS_GUEST_RIP) + len;
	uint32_t intr = (uint32_t)vmread(VMCS_GUEST_INTERRUPTIBILITY);

	/* Outside 64-bit mode EIP wraps at 4 GiB; a segment's limit is for the processor to find.
	 */
	if (rip >> 32 && !(rip >> 63) && !(vmread(VMCS_GUEST_CS_ATTR) & SEG_ATTR_L) &&
	    rip - len < BIT(32))
		rip = (uint32_t)rip;
	vmwrite(VMCS_GUEST_RIP, rip);
	/* An interrupt shadow ends with the instruction that it was for (25.4.2). */
	if (intr & (INTR_STI | INTR_MOV_SS))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, intr & ~(INTR_STI | INTR_MOV_SS));
	/* A single step is due behind it: the processor delivers it after the next entry (27.6.3).
	 */
	if (vmread(VMCS_GUEST_RFLAGS) & RFLAGS_TF)
		vmwrite(VMCS_GUEST_PENDING_DEBUG, DR6_BS);
	v->st_valid &= ~(uint32_t)(ST_RIP | ST_INTR);
}

/* I/O exit qualification: table 28-5. */
static enum act fast_io(struct vcpu *v, uint64_t qual)
{
	return exit_pio(v, (uint16_t)(qual >> 16), qual & BIT(3), (uint8_t)((qual & 7) + 1));
}

/* EXIT_NONE: not one of the frequent reasons. */
static enum hv_reason fast_exit(struct vcpu *v, uint32_t reason, enum act *act)
{
	uint64_t qual;

	switch (reason) {
	case VMX_CPUID:
		*act = exit_cpuid(v);
		return EXIT_CPUID;
	case VMX_WRMSR:
		*act = exit_wrmsr(v);
		return EXIT_MSR;
	case VMX_RDMSR:
		*act = exit_rdmsr(v);
		return EXIT_MSR;
	case VMX_IO:
		qual = vmread(VMCS_EXIT_QUALIFICATION);
		if (qual & BIT(4))
			return EXIT_NONE;
		*act = fast_io(v, qual);
		return EXIT_PIO;
	case VMX_VMCALL:
		*act = exit_hypercall(v);
		return EXIT_HYPERCALL;
	default:
		return EXIT_NONE;
	}
}

static int entry_failed(struct vcpu *v, struct hv_exit *x)
{
	x->reason = EXIT_ENTRY_FAILED;
	(void)v;
	return -EIO;
}

int vmx_run(struct vcpu *v, struct hv_exit *x)
{
	struct vmx_vcpu *vv = vmx_of(v);

	x->reason = EXIT_NONE;
	x->insn_len = 0;
	x->vectoring.valid = false;
	vmx_flush_stale(v);
	for (unsigned int i = 0; i < FAST_EXITS_MAX; i++) {
		enum hv_reason fast;
		uint32_t reason;
		uint64_t began;
		enum act act;

		if (READ_ONCE(v->requests)) {
			vmx_take_back(&x->vectoring);
			return 0;
		}
		if (vmx_enter(v, vv, vv->launched) != VM_SUCCEED)
			return entry_failed(v, x);
		v->st_valid = 0;
		reason = (uint32_t)vmread(VMCS_EXIT_REASON);
		if (reason & VMX_REASON_ENTRY_FAILED) {
			/* The machine check has not been delivered anywhere yet (27.9). */
			if ((reason & VMX_REASON_BASIC) == VMX_ENTRY_MACHINE_CHECK)
				vmx_run_mc_handler();
			return entry_failed(v, x);
		}
		vv->launched = true;
		began = exit_began(v);
		fast = fast_exit(v, reason, &act);
		if (fast == EXIT_NONE) {
			vmx_decode_exit(v, reason, x);
			return 0;
		}
		v->exits[fast]++;
		exit_took(v, fast, began);
		if (act == ACT_STAY)
			continue;
		vmx_skip_insn(v, (unsigned int)vmread(VMCS_EXIT_INSN_LEN));
		if (act == ACT_OUT)
			return 0;
	}
	return 0;
}
