/*
 * The inner loop: enter, exit, the frequent reasons answered on the spot. Only what a reason needs
 * is read from the VMCS, and nothing is written back that has not changed.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/mitigations.h"
#include "core/cpuid.h"
#include "core/exits.h"
#include "core/run.h"
#include "lib/err.h"
#include "vmx/internal.h"

/* RF was for the instruction that is done; a single step is due behind it, which the processor
 * delivers after the next entry (27.6.3). */
static void retire(uint64_t flags)
{
	if (flags & RFLAGS_RF)
		vmwrite(VMCS_GUEST_RFLAGS, flags & ~RFLAGS_RF);
	if (flags & RFLAGS_TF)
		vmwrite(VMCS_GUEST_PENDING_DEBUG, DR6_BS);
}

/* The one place where RIP advances. Returns RFLAGS, for retire() where TF or RF is set. */
static always_inline uint64_t skip_insn(uint64_t len)
{
	uint64_t rip = vmread(VMCS_GUEST_RIP) + len;
	uint32_t intr = (uint32_t)vmread(VMCS_GUEST_INTERRUPTIBILITY);

	/* Outside 64-bit mode EIP wraps at 4 GiB; a segment's limit is for the processor to find.
	 */
	if (unlikely(!(rip & 0xfffffff0)) && (uint32_t)rip < len &&
	    !(vmread(VMCS_GUEST_CS_ATTR) & SEG_ATTR_L))
		rip = (uint32_t)rip;
	vmwrite(VMCS_GUEST_RIP, rip);
	/* An interrupt shadow ends with the instruction that it was for (25.4.2). */
	if (unlikely(intr & (INTR_STI | INTR_MOV_SS)))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, intr & ~(INTR_STI | INTR_MOV_SS));
	return vmread(VMCS_GUEST_RFLAGS);
}

void vmx_skip_insn(struct vcpu *v, unsigned int len)
{
	retire(skip_insn(len));
	v->st_valid &= ~(uint32_t)(ST_RIP | ST_INTR);
}

/*
 * The preemption timer is set by the clock again, as it stood still while exits were handled. Now
 * and then core/ has its turn whatever the time.
 */
static noinline enum vmx_run_result keep_time(struct vcpu *v)
{
	struct vmx_vcpu *vv = vmx_of(v);

	v->fast_exits = VMX_FAST_EXITS_MAX;
	if (++vv->fast_rounds % VMX_FAST_ROUNDS_MAX == 0)
		return RUN_ENOUGH;
	if (!(vmx_controls.pin & PIN_PREEMPTION_TIMER) || vv->timer_parked)
		return RUN_AGAIN;
	if (rdtsc() >= v->armed)
		return RUN_ENOUGH;
	vmx_set_deadline(v, v->armed);
	return RUN_AGAIN;
}

static noinline enum vmx_run_result attend(struct vcpu *v)
{
	return run_events(v) ? RUN_AGAIN : RUN_OUT;
}

/* Pending debug exceptions: 25.4.2; bit 12: one of the breakpoints is enabled. */
void vmx_debug_trap(struct vcpu *v, uint64_t dr6)
{
	(void)v;
	vmwrite(VMCS_GUEST_PENDING_DEBUG,
		vmread(VMCS_GUEST_PENDING_DEBUG) | dr6 | (dr6 & DR6_BREAKPOINTS ? BIT(12) : 0));
}

/* After an exit that has been handled: what else has come? */
static always_inline enum vmx_run_result go_on(struct vcpu *v)
{
	if (unlikely(READ_ONCE(v->requests)))
		return attend(v);
	if (unlikely(!--v->fast_exits))
		return keep_time(v);
	return RUN_AGAIN;
}

static noinline enum vmx_run_result retire_and_go_on(struct vcpu *v, uint64_t flags)
{
	retire(flags);
	return go_on(v);
}

/* Behind an instruction that is done with. */
static always_inline enum vmx_run_result next(struct vcpu *v)
{
	uint64_t flags = skip_insn(vmread(VMCS_EXIT_INSN_LEN));

	if (unlikely(flags & (RFLAGS_TF | RFLAGS_RF)))
		return retire_and_go_on(v, flags);
	return go_on(v);
}

static always_inline enum vmx_run_result finish(struct vcpu *v, enum act act)
{
	return likely(act == ACT_NEXT) ? next(v) : go_on(v);
}

static noinline enum vmx_run_result on_cpuid(struct vcpu *v)
{
	v->st_valid = 0;
	exit_cpuid(v);
	return next(v);
}

static noinline enum vmx_run_result on_rdmsr(struct vcpu *v)
{
	v->exits[EXIT_MSR]++;
	return finish(v, exit_rdmsr(v));
}

static noinline enum vmx_run_result on_wrmsr(struct vcpu *v)
{
	v->exits[EXIT_MSR]++;
	return finish(v, exit_wrmsr(v));
}

/* I/O exit qualification: table 28-5. */
static noinline enum vmx_run_result on_io(struct vcpu *v)
{
	uint64_t qual = vmread(VMCS_EXIT_QUALIFICATION);

	/* Strings, and what may meet a breakpoint, are core's. */
	if (qual & BIT(4) || unlikely(vmread(VMCS_GUEST_DR7) & DR7_ENABLED))
		return RUN_EXIT;
	v->exits[EXIT_PIO]++;
	exit_pio(v, (uint16_t)(qual >> 16), qual & BIT(3), (uint8_t)((qual & 7) + 1));
	return next(v);
}

static noinline enum vmx_run_result on_vmcall(struct vcpu *v)
{
	v->exits[EXIT_HYPERCALL]++;
	exit_hypercall(v, SEG_ATTR_DPL(vmread(VMCS_GUEST_SS_ATTR)));
	return next(v);
}

/*
 * Comparisons, the most frequent reasons first: an indirect branch costs more than all of them. The
 * handlers are not inlined, so that this function needs no stack.
 */
enum vmx_run_result vmx_handle_exit(struct vcpu *v)
{
	uint32_t reason = (uint32_t)vmread(VMCS_EXIT_REASON);

	if (reason == VMX_CPUID) {
		v->exits[EXIT_CPUID]++;
		if (unlikely(!cpuid_answer_plain(v)))
			return on_cpuid(v);
		return next(v);
	}
	v->st_valid = 0;
	if (reason == VMX_WRMSR)
		return on_wrmsr(v);
	if (reason == VMX_IO)
		return on_io(v);
	if (reason == VMX_RDMSR)
		return on_rdmsr(v);
	if (reason == VMX_VMCALL)
		return on_vmcall(v);
	return RUN_EXIT;
}

static enum hv_reason neutral(uint32_t reason)
{
	switch (reason) {
	case VMX_CPUID:
		return EXIT_CPUID;
	case VMX_RDMSR:
	case VMX_WRMSR:
		return EXIT_MSR;
	case VMX_IO:
		return EXIT_PIO;
	default:
		return EXIT_HYPERCALL;
	}
}

/* A handler of its own, so that the other one does not have to ask. */
enum vmx_run_result vmx_handle_exit_timed(struct vcpu *v)
{
	uint64_t began = rdtsc();
	enum vmx_run_result result = vmx_handle_exit(v);

	if (result != RUN_EXIT)
		exit_took(v, neutral((uint32_t)vmread(VMCS_EXIT_REASON)), began);
	return result;
}

uint64_t vmx_host_rip(bool timed)
{
	static void (*const stubs[2][2])(void) = {{vmx_exit, vmx_exit_timed},
						  {vmx_exit_guarded, vmx_exit_guarded_timed}};

	return (uint64_t)(uintptr_t)stubs[mitigations_around_exits()][timed];
}

static void choose_handler(struct vcpu *v)
{
	struct vmx_vcpu *vv = vmx_of(v);
	bool timed = READ_ONCE(v->vm->timed);

	if (likely(timed == vv->timed))
		return;
	vv->timed = timed;
	vmwrite(VMCS_HOST_RIP, vmx_host_rip(timed));
}

static int entry_failed(struct hv_exit *x)
{
	x->reason = EXIT_ENTRY_FAILED;
	return -EIO;
}

int vmx_run(struct vcpu *v, struct hv_exit *x)
{
	struct vmx_vcpu *vv = vmx_of(v);
	enum vmx_run_result result;
	uint32_t reason;

	x->reason = EXIT_NONE;
	x->insn_len = 0;
	x->vectoring.valid = false;
	vmx_flush_stale(v);
	choose_handler(v);
	if (READ_ONCE(v->requests)) {
		vmx_take_back(&x->vectoring);
		return 0;
	}
	result = vmx_enter(v, vv, vv->launched);
	if (result >= RUN_FAIL_VALID)
		return entry_failed(x);
	if (result == RUN_EXIT) {
		reason = (uint32_t)vmread(VMCS_EXIT_REASON);
		if (reason & VMX_REASON_ENTRY_FAILED) {
			/* The machine check has not been delivered anywhere yet (27.9). */
			if ((reason & VMX_REASON_BASIC) == VMX_ENTRY_MACHINE_CHECK)
				vmx_run_mc_handler();
			return entry_failed(x);
		}
		vmx_decode_exit(v, reason, x);
	} else {
		v->st_valid = 0;
		if (result == RUN_ENOUGH)
			x->reason = EXIT_DEADLINE;
	}
	vv->launched = true;
	return 0;
}
