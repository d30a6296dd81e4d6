/* What the files of vmx/ share. */
#ifndef VMX_INTERNAL_H
#define VMX_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/vm.h"
#include "vmx/insn.h"
#include "vmx/vmcs.h"

/* Index in hv_caps.raw[]. */
enum vmx_raw {
	RAW_FEATURE_CONTROL,
	RAW_BASIC,
	RAW_PIN,
	RAW_PROC,
	RAW_PROC2,
	RAW_EXIT,
	RAW_ENTRY,
	RAW_MISC,
	RAW_EPT_VPID,
	RAW_CR0_FIXED0,
	RAW_CR0_FIXED1,
	RAW_CR4_FIXED0,
	RAW_CR4_FIXED1,
	RAW_CPUID_1_EAX,
	RAW_ARCH_CAPABILITIES,
	RAW_80000001_EDX,
	RAW_CPUID_7_EDX,
	RAW_COUNT
};

/* What check() negotiated, the same on every core: constant from then on. */
struct vmx_controls {
	uint32_t pin, proc, proc2, exit, entry;
	uint32_t revision;   /* of VMXON regions and VMCSs */
	uint8_t timer_shift; /* the preemption timer counts TSC >> timer_shift */
	bool apicv; /* APIC-register virtualization and virtual-interrupt delivery, in xAPIC mode */
	bool apicv_x2; /* and in x2APIC mode */
	bool pause_loop;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	uint8_t invept_type, invvpid_type;
};

extern struct vmx_controls vmx_controls;

/*
 * The preemption timer stands still while exits are handled in the inner loop; after so many of
 * them it is set anew. Each takes a microsecond at most, and so late the timer is.
 */
#define VMX_FAST_EXITS_MAX 128
/* And after so many times that, core/ has its turn. */
#define VMX_FAST_ROUNDS_MAX 8

/* Per VM: vm->hv. */
struct vmx_vm {
	uint8_t *io_bitmap;   /* two pages, A and B */
	uint8_t *apic_access; /* the APIC-access page; NULL without APIC virtualization */
	uint64_t eptp;
	uint32_t ept_generation; /* any core: counts what npt_flush() asked for */
};

/* What an entry or an exit loads or stores (25.7.2, 25.8.2). */
struct vmx_msr {
	uint32_t index, reserved;
	uint64_t value;
} __attribute__((aligned(16)));

_Static_assert(sizeof(struct vmx_msr) == 16, "SDM vol. 3C table 25-15");

/* Per vCPU: v->hv. The entry stub reaches host_rsp. */
struct vmx_vcpu {
	uint64_t host_rsp;   /* what HOST_RSP holds */
	void *vmcs;	     /* one page */
	uint8_t *msr_bitmap; /* one page: 25.6.9 */
	uint16_t vpid;
	bool launched;		     /* since the last VMCLEAR: VMRESUME, not VMLAUNCH */
	uint32_t proc, proc2, entry; /* what the control fields hold */
	uint32_t ept_generation;     /* of the translations this core may hold for it */
	bool timed;		     /* HOST_RIP is that of a handler that measures */
	uint32_t fast_rounds;	     /* times that VMX_FAST_EXITS_MAX exits were handled at once */
	bool timer_parked;	     /* the preemption timer is at its maximum: never due */
	struct vmx_msr guest_spec_ctrl, host_spec_ctrl; /* vmx_pass_spec_ctrl() */
};

static inline struct vmx_vcpu *vmx_of(const struct vcpu *v)
{
	return v->hv;
}

/* caps.c */
bool vmx_present(void);
void vmx_probe(struct hv_caps *caps);
int vmx_check(struct hv_caps *caps, struct strbuf *missing);
void vmx_describe(const struct hv_caps *caps, struct strbuf *out);
int vmx_compare(const struct hv_caps *first, const struct hv_caps *mine, struct strbuf *diff);

/* cpu.c */
int vmx_cpu_on(struct pcpu *cpu);
void vmx_cpu_off(struct pcpu *cpu);

/* vcpu.c */
int vmx_vm_init(struct vm *vm);
void vmx_pio_trap(struct vm *vm, uint16_t port, uint32_t count, bool on);
void vmx_npt_flush(struct vm *vm);
int vmx_vcpu_init(struct vcpu *v);
int vmx_vcpu_reset(struct vcpu *v);
void vmx_load(struct vcpu *v);
void vmx_put(struct vcpu *v);
void vmx_msr_trap(struct vcpu *v, uint32_t msr, bool rd, bool wr);
void vmx_set_traps(struct vcpu *v, uint32_t mask);
void vmx_pass_spec_ctrl(struct vcpu *v, uint64_t value);
void vmx_set_tsc_offset(struct vcpu *v, uint64_t offset);
void vmx_set_deadline(struct vcpu *v, uint64_t host_tsc);
/* Changes bits of a control field and of its copy; writes only what differs. */
void vmx_set_proc(struct vcpu *v, uint32_t set, uint32_t clear);
void vmx_set_proc2(struct vcpu *v, uint32_t set, uint32_t clear);
/* Drops this vCPU's guest-linear translations (29.4.3.1): paging bits changed under the processor.
 */
void vmx_flush_linear(struct vcpu *v);
/* Drops the VM's guest-physical and combined translations on this core (INVEPT). */
void vmx_flush_nested(struct vcpu *v);
/* Another core, or the VM's tables, changed: flushes before the next entry what may be stale. */
void vmx_flush_stale(struct vcpu *v);

/* state.c */
void vmx_get_state(struct vcpu *v, uint32_t groups);
void vmx_set_state(struct vcpu *v, uint32_t groups);
uint8_t vmx_cpl(struct vcpu *v);
uint64_t vmx_dr7(struct vcpu *v);
void vmx_debug_trap(struct vcpu *v, uint64_t dr6);
/* Puts the registers that entries and exits leave alone from v->st into this core. */
void vmx_load_live(const struct vcpu *v);

/* run.c */
int vmx_run(struct vcpu *v, struct hv_exit *x);
void vmx_skip_insn(struct vcpu *v, unsigned int len);
/* decode.c: everything but what the inner loop handles. */
void vmx_decode_exit(struct vcpu *v, uint32_t reason, struct hv_exit *x);
/* Runs the host's #MC handler for a machine check that ended in an exit. */
void vmx_run_mc_handler(void);

/* events.c */
bool vmx_can_inject(struct vcpu *v, uint8_t type);
void vmx_inject(struct vcpu *v, const struct hv_event *ev);
/* What vmx_inject() was given, where no entry has delivered it yet; else *EV stays as it is. */
void vmx_take_back(struct hv_event *ev);
void vmx_want_window(struct vcpu *v, bool intr, bool nmi);
void vmx_apic_mode(struct vcpu *v, enum apic_mode mode);
void vmx_irq_sync(struct vcpu *v);
void vmx_eoi_exits(struct vcpu *v, const uint64_t vectors[4]);
void vmx_set_tpr_threshold(struct vcpu *v, uint8_t cls);

/* dump.c */
void vmx_dump(struct vcpu *v, struct strbuf *out);
const char *vmx_reason_name(uint32_t reason);

/* What becomes of the inner loop after an exit. */
enum vmx_run_result {
	RUN_AGAIN,	 /* handled: enter again */
	RUN_OUT,	 /* handled, but core/ has something to do first */
	RUN_ENOUGH,	 /* handled, and time for core/: the timer is due, or it was many */
	RUN_EXIT,	 /* none of the frequent exits: VMCS_EXIT_REASON has it */
	RUN_FAIL_VALID,	 /* the entry itself failed (31.2), with an error number */
	RUN_FAIL_INVALID /* and without */
};

/* entry.asm: enters with VMLAUNCH or VMRESUME until the result is another than RUN_AGAIN. */
enum vmx_run_result vmx_enter(struct vcpu *v, struct vmx_vcpu *vv, bool launched);
/* run.c: for the entry stub, after each exit; the second one while exits are timed. */
enum vmx_run_result vmx_handle_exit(struct vcpu *v);
enum vmx_run_result vmx_handle_exit_timed(struct vcpu *v);
/* Where a VM exit lands: for HOST_RIP. */
void vmx_exit(void);
void vmx_exit_timed(void);
void vmx_exit_guarded(void);
void vmx_exit_guarded_timed(void);
/* Which of them is for a vCPU whose exits are TIMED, as a HOST_RIP. */
uint64_t vmx_host_rip(bool timed);

#endif
