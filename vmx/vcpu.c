/* VMs and vCPUs: their pages, the fields that stay, load and put (SDM vol. 3C chapters 25
 * and 32.6). */
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "arch/x86/mitigations.h"
#include "arch/x86/msr.h"
#include "arch/x86/pages.h"
#include "core/lapic.h"
#include "lib/assert.h"
#include "lib/err.h"
#include "lib/string.h"
#include "vmx/internal.h"

_Static_assert(sizeof(struct vmx_vcpu) <= PAGE_SIZE, "one page");
_Static_assert(sizeof(struct vmx_vm) <= PAGE_SIZE, "one page");

#define IO_BITMAP_PAGES 2
/* EPT pointer: write-back tables, four levels (25.6.11). */
#define EPTP_WB	   6u
#define EPTP_WALK4 (3u << 3)

/*
 * TSC ticks: PAUSEs no further apart than that are one loop, which exits when it has lasted so long
 * (25.6.13). A PAUSE takes 140 ticks at most; a lock whose holder runs is free again in less.
 */
#define PAUSE_GAP    256
#define PAUSE_WINDOW 16384

/*
 * So long may a guest keep the processor from all interrupts, by an event whose delivery never
 * ends, in a unit of the processor's beyond a bound of its own (26.2).
 */
#define NOTIFY_WINDOW (1u << 16)

/* VPID 0 is the hypervisor's own. */
static uint16_t next_vpid = 1;

static uint64_t pa(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

int vmx_vm_init(struct vm *vm)
{
	struct vmx_vm *h = pages_alloc(1);

	if (!h)
		return -ENOMEM;
	vm->hv = h;
	/*
	 * Before the bitmaps: for the last eight ports Bochs 2.7 reads a byte behind bitmap B, and
	 * where the APIC's page is there, that is an APIC access of the guest's.
	 */
	if (vmx_controls.apicv) {
		h->apic_access = pages_alloc(1);
		if (!h->apic_access)
			return -ENOMEM;
	}
	h->io_bitmap = pages_alloc(IO_BITMAP_PAGES);
	if (!h->io_bitmap)
		return -ENOMEM;
	memset(h->io_bitmap, 0xff, IO_BITMAP_PAGES * PAGE_SIZE);
	h->eptp = vm->npt.root | EPTP_WB | EPTP_WALK4;
	if (!vmx_controls.apicv)
		return 0;
	/* Read only by a vCPU in x2APIC mode, where nothing answers at this address. */
	memset(h->apic_access, 0xff, PAGE_SIZE);
	return pt_map(&vm->npt, APIC_DEFAULT_BASE, pa(h->apic_access), PAGE_SIZE, PT_R | PT_W,
		      MT_WB, PT_PAGE_4K);
}

void vmx_pio_trap(struct vm *vm, uint16_t port, uint32_t count, bool on)
{
	uint8_t *bitmap = ((struct vmx_vm *)vm->hv)->io_bitmap;

	for (uint32_t p = port; p < port + count && p < 0x10000; p++) {
		if (on)
			bitmap[p / 8] |= 1u << p % 8;
		else
			bitmap[p / 8] &= ~(1u << p % 8);
	}
}

void vmx_npt_flush(struct vm *vm)
{
	struct vmx_vm *h = vm->hv;

	__atomic_add_fetch(&h->ept_generation, 1, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_request(vm->vcpu[i], REQ_YIELD);
}

int vmx_vcpu_init(struct vcpu *v)
{
	struct vmx_vcpu *vv = pages_alloc(1);

	if (!vv)
		return -ENOMEM;
	v->hv = vv;
	vv->vmcs = pages_alloc(1);
	vv->msr_bitmap = pages_alloc(1);
	v->apic_page = pages_alloc(1);
	if (!vv->vmcs || !vv->msr_bitmap || !v->apic_page)
		return -ENOMEM;
	vv->vpid = next_vpid++;
	*(uint32_t *)vv->vmcs = vmx_controls.revision;
	return vmclear(pa(vv->vmcs)) == VM_SUCCEED ? 0 : -EIO;
}

/* The MSR bitmap's four parts (25.6.9): read low, read high, write low, write high. */
static void set_bit(uint8_t *bitmap, uint32_t n, bool on)
{
	if (on)
		bitmap[n / 8] |= 1u << n % 8;
	else
		bitmap[n / 8] &= ~(1u << n % 8);
}

void vmx_msr_trap(struct vcpu *v, uint32_t msr, bool rd, bool wr)
{
	uint8_t *bitmap = vmx_of(v)->msr_bitmap;
	uint32_t n = msr & 0x1fff;

	/* Outside the two ranges everything always exits. */
	if (msr != n && msr != (n | 0xc0000000))
		return;
	bitmap += msr == n ? 0 : 1024;
	set_bit(bitmap, n, rd);
	set_bit(bitmap + 2048, n, wr);
}

/* MSRs that entry and exit switch, or load() and put(): the hypervisor itself uses none of them. */
static const uint32_t passed_msrs[] = {
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP,   MSR_IA32_SYSENTER_EIP, MSR_IA32_STAR,
	MSR_IA32_LSTAR,	      MSR_IA32_CSTAR,	       MSR_IA32_FMASK,	      MSR_IA32_FS_BASE,
	MSR_IA32_GS_BASE,     MSR_IA32_KERNEL_GS_BASE,
};

static void reset_msr_bitmap(struct vcpu *v)
{
	memset(vmx_of(v)->msr_bitmap, 0xff, PAGE_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(passed_msrs); i++)
		vmx_msr_trap(v, passed_msrs[i], false, false);
	/* Reading the TSC applies the offset (25.3, RDMSR). */
	vmx_msr_trap(v, MSR_IA32_TSC, false, true);
	if (vmx_controls.proc2 & PROC2_RDTSCP)
		vmx_msr_trap(v, MSR_IA32_TSC_AUX, false, false);
}

static void write_control_fields(struct vcpu *v)
{
	const struct vmx_controls *c = &vmx_controls;
	struct vmx_vcpu *vv = vmx_of(v);
	struct vmx_vm *h = v->vm->hv;

	vv->proc = c->proc;
	vv->proc2 = c->proc2;
	vv->entry = c->entry;
	vmwrite(VMCS_VPID, vv->vpid);
	vmwrite(VMCS_IO_BITMAP_A, pa(h->io_bitmap));
	vmwrite(VMCS_IO_BITMAP_B, pa(h->io_bitmap) + PAGE_SIZE);
	vmwrite(VMCS_MSR_BITMAP, pa(vv->msr_bitmap));
	vmwrite(VMCS_TSC_OFFSET, v->tsc_offset);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, pa(v->apic_page));
	vmwrite(VMCS_EPT_POINTER, h->eptp);
	vmwrite(VMCS_PIN_CONTROLS, c->pin);
	vmwrite(VMCS_PROC_CONTROLS, c->proc);
	vmwrite(VMCS_PROC2_CONTROLS, c->proc2);
	vmwrite(VMCS_EXIT_CONTROLS, c->exit);
	vmwrite(VMCS_ENTRY_CONTROLS, c->entry);
	/*
	 * #DB and #AC can be delivered without end, #MC is the host's, and #UD may be the other
	 * vendor's hypercall. The rest is the guest's own.
	 */
	vmwrite(VMCS_EXCEPTION_BITMAP,
		BIT(EXC_DB) | BIT(EXC_UD) | BIT(EXC_AC) | BIT(EXC_MC) | v->exception_intercepts);
	vmwrite(VMCS_PAGE_FAULT_MASK, 0);
	vmwrite(VMCS_PAGE_FAULT_MATCH, 0);
	vmwrite(VMCS_CR3_TARGET_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_INTR_INFO, 0);
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	if (h->apic_access)
		vmwrite(VMCS_APIC_ACCESS_ADDR, pa(h->apic_access));
	if (c->proc2 & PROC2_XSAVES)
		vmwrite(VMCS_XSS_EXIT_BITMAP, 0);
	if (c->proc2 & PROC2_NOTIFY)
		vmwrite(VMCS_NOTIFY_WINDOW, NOTIFY_WINDOW);
	if (c->pause_loop) {
		vmwrite(VMCS_PLE_GAP, PAUSE_GAP);
		vmwrite(VMCS_PLE_WINDOW, PAUSE_WINDOW);
	}
	vmwrite(VMCS_VMCS_LINK, ~0ull);
	vmwrite(VMCS_GUEST_ACTIVITY, 0);
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
	if (c->pin & PIN_PREEMPTION_TIMER)
		vmwrite(VMCS_PREEMPTION_TIMER, ~0u);
}

/* What an exit loads: constant, since a vCPU stays on its core. HOST_RSP is the entry stub's. */
static void write_host_fields(struct vcpu *v)
{
	struct pcpu *cpu = v->cpu;

	vmwrite(VMCS_HOST_ES, 0);
	vmwrite(VMCS_HOST_CS, SEL_CODE);
	vmwrite(VMCS_HOST_SS, SEL_DATA);
	vmwrite(VMCS_HOST_DS, 0);
	vmwrite(VMCS_HOST_FS, 0);
	vmwrite(VMCS_HOST_GS, 0);
	vmwrite(VMCS_HOST_TR, SEL_TSS);
	vmwrite(VMCS_HOST_PAT, rdmsr(MSR_IA32_PAT));
	vmwrite(VMCS_HOST_EFER, rdmsr(MSR_IA32_EFER));
	vmwrite(VMCS_HOST_SYSENTER_CS, 0);
	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, v->vm->host.root);
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_FS_BASE, 0);
	vmwrite(VMCS_HOST_GS_BASE, pa(cpu));
	vmwrite(VMCS_HOST_TR_BASE, pa(&cpu->tss));
	vmwrite(VMCS_HOST_GDTR_BASE, pa(cpu->gdt));
	vmwrite(VMCS_HOST_IDTR_BASE, idt_base());
	vmwrite(VMCS_HOST_SYSENTER_ESP, 0);
	vmwrite(VMCS_HOST_SYSENTER_EIP, 0);
	vmwrite(VMCS_HOST_RIP, vmx_host_rip(false));
}

int vmx_vcpu_reset(struct vcpu *v)
{
	struct vmx_vcpu *vv = vmx_of(v);

	reset_msr_bitmap(v);
	write_control_fields(v);
	write_host_fields(v);
	vv->host_rsp = 0;
	vv->timed = false;
	vv->timer_parked = true;
	v->fast_exits = VMX_FAST_EXITS_MAX;
	vmx_set_state(v, ST_ALL);
	vmx_flush_linear(v);
	return 0;
}

void vmx_load(struct vcpu *v)
{
	struct vmx_vcpu *vv = vmx_of(v);

	assert(vmptrld(pa(vv->vmcs)) == VM_SUCCEED);
	/* What no entry switches; put() has read them all. Whether the VM's tables changed, the
	 * generation tells. */
	vmx_load_live(v);
	v->st_valid = 0;
}

void vmx_put(struct vcpu *v)
{
	struct vmx_vcpu *vv = vmx_of(v);

	v->st_valid = 0;
	vmx_get_state(v, ST_MSRS | ST_DRS | ST_CRS);
	/* The processor may keep a VMCS in itself; VMCLEAR writes it out, and the next entry
	 * launches (25.11.3). */
	assert(vmclear(pa(vv->vmcs)) == VM_SUCCEED);
	vv->launched = false;
	vv->host_rsp = 0;
}

void vmx_set_proc(struct vcpu *v, uint32_t set, uint32_t clear)
{
	struct vmx_vcpu *vv = vmx_of(v);
	uint32_t value = (vv->proc | set) & ~clear;

	if (value != vv->proc)
		vmwrite(VMCS_PROC_CONTROLS, value);
	vv->proc = value;
}

void vmx_set_proc2(struct vcpu *v, uint32_t set, uint32_t clear)
{
	struct vmx_vcpu *vv = vmx_of(v);
	uint32_t value = (vv->proc2 | set) & ~clear;

	if (value != vv->proc2)
		vmwrite(VMCS_PROC2_CONTROLS, value);
	vv->proc2 = value;
}

void vmx_set_traps(struct vcpu *v, uint32_t mask)
{
	static const struct {
		uint32_t trap, control;
	} map[] = {
		{TRAP_HLT, PROC_HLT},
		{TRAP_MWAIT, PROC_MWAIT},
		{TRAP_DR, PROC_MOV_DR},
		{TRAP_RDTSC, PROC_RDTSC},
	};

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		vmx_set_proc(v, mask & map[i].trap ? map[i].control : 0,
			     mask & map[i].trap ? 0 : map[i].control);
	vmx_set_proc2(v, mask & TRAP_PAUSE ? PROC2_PAUSE_LOOP : 0,
		      mask & TRAP_PAUSE ? 0 : PROC2_PAUSE_LOOP);
}

/*
 * An exit stores the guest's value where the next entry loads it from, and loads Socle's. IBRS that
 * the entry stub sets and clears goes by the same values.
 */
void vmx_pass_spec_ctrl(struct vcpu *v, uint64_t value)
{
	struct vmx_vcpu *vv = vmx_of(v);

	vv->guest_spec_ctrl = (struct vmx_msr){.index = MSR_IA32_SPEC_CTRL, .value = value};
	vv->host_spec_ctrl =
		(struct vmx_msr){.index = MSR_IA32_SPEC_CTRL, .value = mitigations_spec_ctrl()};
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, pa(&vv->guest_spec_ctrl));
	vmwrite(VMCS_EXIT_MSR_STORE_ADDR, pa(&vv->guest_spec_ctrl));
	vmwrite(VMCS_EXIT_MSR_LOAD_ADDR, pa(&vv->host_spec_ctrl));
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 1);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 1);
	vmx_msr_trap(v, MSR_IA32_SPEC_CTRL, false, false);
}

void vmx_set_tsc_offset(struct vcpu *v, uint64_t offset)
{
	vmwrite(VMCS_TSC_OFFSET, offset);
	(void)v;
}

/* The shortest turn, in ticks of the TSC: longer than any unit of the preemption timer. */
#define LEAST_TURN 1024

/*
 * The preemption timer counts only while the guest runs, so an armed one is set anew each time the
 * exit took core/'s time; parked at its maximum it may run for seconds before it ends in an exit
 * that means nothing. Set to 0 it ends a turn before its first instruction (25.5.1), and set to
 * 1 it may: where a guest's timers come faster than they are handled it would never get on.
 */
void vmx_set_deadline(struct vcpu *v, uint64_t host_tsc)
{
	struct vmx_vcpu *vv = vmx_of(v);
	uint64_t now, turn;

	if (host_tsc == ~0ull) {
		if (!vv->timer_parked)
			vmwrite(VMCS_PREEMPTION_TIMER, ~0u);
		vv->timer_parked = true;
		return;
	}
	now = rdtsc();
	turn = host_tsc > now + LEAST_TURN ? host_tsc - now : LEAST_TURN;
	vmwrite(VMCS_PREEMPTION_TIMER, MIN((turn >> vmx_controls.timer_shift) + 1, 0xffffffffull));
	vv->timer_parked = false;
}

void vmx_flush_linear(struct vcpu *v)
{
	assert(invvpid(vmx_controls.invvpid_type, vmx_of(v)->vpid) == VM_SUCCEED);
}

void vmx_flush_nested(struct vcpu *v)
{
	struct vmx_vm *h = v->vm->hv;

	assert(invept(vmx_controls.invept_type, h->eptp) == VM_SUCCEED);
}

void vmx_flush_stale(struct vcpu *v)
{
	struct vmx_vcpu *vv = vmx_of(v);
	struct vmx_vm *h = v->vm->hv;
	uint32_t generation = __atomic_load_n(&h->ept_generation, __ATOMIC_ACQUIRE);

	if (generation == vv->ept_generation)
		return;
	vmx_flush_nested(v);
	vv->ept_generation = generation;
}
