/* The guest's state between struct vcpu_state and the VMCS: segments and registers by table. */
#include "arch/x86/cpu.h"
#include "arch/x86/msr.h"
#include "core/gmem.h"
#include "vmx/internal.h"

/* CR0 and CR4 bits that the guest writes without an exit; the rest is the hypervisor's to see
 * (25.6.6). */
#define CR0_GUEST_OWNED (CR0_MP | CR0_EM | CR0_TS | CR0_WP | CR0_AM)
#define CR4_GUEST_OWNED \
	(CR4_PVI | CR4_TSD | CR4_DE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT)

/* A change of one of these under the processor's feet leaves translations that no longer hold (SDM
 * vol. 3A 4.10.4). */
#define CR0_PAGING (CR0_PG | CR0_WP)
#define CR4_PAGING \
	(CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_LA57)

static const struct {
	enum vmcs_field selector, base, limit, attr;
} seg_fields[SEG_COUNT] = {
#define SEG_FIELDS(s)                                                               \
	[SEG_##s] = {VMCS_GUEST_##s, VMCS_GUEST_##s##_BASE, VMCS_GUEST_##s##_LIMIT, \
		     VMCS_GUEST_##s##_ATTR}
	SEG_FIELDS(ES), SEG_FIELDS(CS), SEG_FIELDS(SS),	  SEG_FIELDS(DS),
	SEG_FIELDS(FS), SEG_FIELDS(GS), SEG_FIELDS(LDTR), SEG_FIELDS(TR),
};

static void get_rip(struct vcpu *v)
{
	v->st.rip = vmread(VMCS_GUEST_RIP);
	v->st.rflags = vmread(VMCS_GUEST_RFLAGS);
	v->gpr[RSP] = vmread(VMCS_GUEST_RSP);
}

static void set_rip(struct vcpu *v)
{
	vmwrite(VMCS_GUEST_RIP, v->st.rip);
	vmwrite(VMCS_GUEST_RFLAGS, v->st.rflags);
	vmwrite(VMCS_GUEST_RSP, v->gpr[RSP]);
}

static void get_crs(struct vcpu *v)
{
	struct vcpu_state *st = &v->st;

	st->cr0 = (vmread(VMCS_GUEST_CR0) & CR0_GUEST_OWNED) |
		  (vmread(VMCS_CR0_SHADOW) & ~CR0_GUEST_OWNED);
	st->cr4 = (vmread(VMCS_GUEST_CR4) & CR4_GUEST_OWNED) |
		  (vmread(VMCS_CR4_SHADOW) & ~CR4_GUEST_OWNED);
	st->cr3 = vmread(VMCS_GUEST_CR3);
	st->efer = vmread(VMCS_GUEST_EFER);
	st->cr2 = read_cr2();
}

/* With PAE paging the processor takes the four top entries from the VMCS at entry (27.3.2.4). */
static void load_pdptes(struct vcpu *v)
{
	const struct vcpu_state *st = &v->st;
	uint64_t pdpte[4] = {0};

	if (!(st->cr0 & CR0_PG) || !(st->cr4 & CR4_PAE) || st->efer & EFER_LMA)
		return;
	/* Outside RAM they read as not present: the guest's next access faults. */
	gmem_read(v->vm, st->cr3 & 0xffffffe0, pdpte, sizeof(pdpte));
	vmwrite(VMCS_GUEST_PDPTE0, pdpte[0]);
	vmwrite(VMCS_GUEST_PDPTE1, pdpte[1]);
	vmwrite(VMCS_GUEST_PDPTE2, pdpte[2]);
	vmwrite(VMCS_GUEST_PDPTE3, pdpte[3]);
}

static void set_crs(struct vcpu *v)
{
	const struct vmx_controls *c = &vmx_controls;
	struct vmx_vcpu *vv = vmx_of(v);
	const struct vcpu_state *st = &v->st;
	/* With an unrestricted guest PE and PG are free (24.8). CD would make all of guest memory
	 * uncached (29.3.7). */
	uint64_t cr0 = (st->cr0 | (c->cr0_fixed0 & ~(CR0_PE | CR0_PG))) & ~(CR0_CD | CR0_NW);
	/* MCE stays on: with it off a machine check while in the guest would shut the machine down.
	 */
	uint64_t cr4 = st->cr4 | c->cr4_fixed0 | CR4_MCE;
	uint32_t entry =
		st->efer & EFER_LMA ? vv->entry | ENTRY_IA32E : vv->entry & ~(uint32_t)ENTRY_IA32E;
	/* Where MOV to CR3 exits because it must (A.3.2), the flush that it means comes from here,
	 * and so does a task switch's. */
	bool flush = vv->proc & PROC_CR3_LOAD || vmread(VMCS_GUEST_CR3) != st->cr3 ||
		     ((vmread(VMCS_GUEST_CR0) ^ cr0) & CR0_PAGING) ||
		     ((vmread(VMCS_GUEST_CR4) ^ cr4) & CR4_PAGING) ||
		     ((vmread(VMCS_GUEST_EFER) ^ st->efer) & EFER_NXE);

	vmwrite(VMCS_GUEST_CR0, cr0);
	vmwrite(VMCS_CR0_SHADOW, st->cr0);
	vmwrite(VMCS_CR0_MASK, ~CR0_GUEST_OWNED);
	vmwrite(VMCS_GUEST_CR4, cr4);
	vmwrite(VMCS_CR4_SHADOW, st->cr4);
	vmwrite(VMCS_CR4_MASK, ~CR4_GUEST_OWNED);
	vmwrite(VMCS_GUEST_CR3, st->cr3);
	vmwrite(VMCS_GUEST_EFER, st->efer);
	if (entry != vv->entry)
		vmwrite(VMCS_ENTRY_CONTROLS, entry);
	vv->entry = entry;
	write_cr2(st->cr2);
	if (!flush)
		return;
	/* The processor's own copies hold until the guest loads them anew (SDM vol. 3A 4.4.1). */
	load_pdptes(v);
	vmx_flush_linear(v);
}

static void get_segs(struct vcpu *v)
{
	struct vcpu_state *st = &v->st;

	for (int i = 0; i < SEG_COUNT; i++) {
		st->seg[i].selector = (uint16_t)vmread(seg_fields[i].selector);
		st->seg[i].base = vmread(seg_fields[i].base);
		st->seg[i].limit = (uint32_t)vmread(seg_fields[i].limit);
		st->seg[i].attr = (uint32_t)vmread(seg_fields[i].attr);
	}
	st->gdtr.base = vmread(VMCS_GUEST_GDTR_BASE);
	st->gdtr.limit = (uint16_t)vmread(VMCS_GUEST_GDTR_LIMIT);
	st->idtr.base = vmread(VMCS_GUEST_IDTR_BASE);
	st->idtr.limit = (uint16_t)vmread(VMCS_GUEST_IDTR_LIMIT);
}

static void set_segs(struct vcpu *v)
{
	const struct vcpu_state *st = &v->st;

	for (int i = 0; i < SEG_COUNT; i++) {
		vmwrite(seg_fields[i].selector, st->seg[i].selector);
		vmwrite(seg_fields[i].base, st->seg[i].base);
		vmwrite(seg_fields[i].limit, st->seg[i].limit);
		vmwrite(seg_fields[i].attr, st->seg[i].attr);
	}
	vmwrite(VMCS_GUEST_GDTR_BASE, st->gdtr.base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, st->gdtr.limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, st->idtr.base);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, st->idtr.limit);
}

static void get_drs(struct vcpu *v)
{
	struct vcpu_state *st = &v->st;

	st->dr[0] = read_dr0();
	st->dr[1] = read_dr1();
	st->dr[2] = read_dr2();
	st->dr[3] = read_dr3();
	st->dr6 = read_dr6();
	st->dr7 = vmread(VMCS_GUEST_DR7);
}

/* DR7 alone is in the VMCS. */
static void load_debug_registers(const struct vcpu_state *st)
{
	write_dr0(st->dr[0]);
	write_dr1(st->dr[1]);
	write_dr2(st->dr[2]);
	write_dr3(st->dr[3]);
	write_dr6(st->dr6);
}

static void set_drs(struct vcpu *v)
{
	load_debug_registers(&v->st);
	vmwrite(VMCS_GUEST_DR7, v->st.dr7);
}

static void get_msrs(struct vcpu *v)
{
	struct vcpu_state *st = &v->st;

	st->sysenter_cs = vmread(VMCS_GUEST_SYSENTER_CS);
	st->sysenter_esp = vmread(VMCS_GUEST_SYSENTER_ESP);
	st->sysenter_eip = vmread(VMCS_GUEST_SYSENTER_EIP);
	st->pat = vmread(VMCS_GUEST_PAT);
	st->star = rdmsr(MSR_IA32_STAR);
	st->lstar = rdmsr(MSR_IA32_LSTAR);
	st->cstar = rdmsr(MSR_IA32_CSTAR);
	st->sfmask = rdmsr(MSR_IA32_FMASK);
	st->kernel_gs_base = rdmsr(MSR_IA32_KERNEL_GS_BASE);
	if (vmx_controls.proc2 & PROC2_RDTSCP)
		st->tsc_aux = rdmsr(MSR_IA32_TSC_AUX);
}

/* The MSRs that no entry and no exit switches. */
static void load_msrs(const struct vcpu_state *st)
{
	wrmsr(MSR_IA32_STAR, st->star);
	wrmsr(MSR_IA32_LSTAR, st->lstar);
	wrmsr(MSR_IA32_CSTAR, st->cstar);
	wrmsr(MSR_IA32_FMASK, st->sfmask);
	wrmsr(MSR_IA32_KERNEL_GS_BASE, st->kernel_gs_base);
	if (vmx_controls.proc2 & PROC2_RDTSCP)
		wrmsr(MSR_IA32_TSC_AUX, st->tsc_aux);
}

static void set_msrs(struct vcpu *v)
{
	const struct vcpu_state *st = &v->st;

	vmwrite(VMCS_GUEST_SYSENTER_CS, st->sysenter_cs);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, st->sysenter_esp);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, st->sysenter_eip);
	vmwrite(VMCS_GUEST_PAT, st->pat);
	load_msrs(st);
}

void vmx_load_live(const struct vcpu *v)
{
	load_msrs(&v->st);
	load_debug_registers(&v->st);
	write_cr2(v->st.cr2);
}

static void get_intr(struct vcpu *v)
{
	v->st.interruptibility = (uint32_t)vmread(VMCS_GUEST_INTERRUPTIBILITY);
}

static void set_intr(struct vcpu *v)
{
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, v->st.interruptibility);
}

static const struct {
	uint32_t group;
	void (*get)(struct vcpu *v);
	void (*set)(struct vcpu *v);
} groups[] = {
	{ST_RIP, get_rip, set_rip}, {ST_CRS, get_crs, set_crs},	   {ST_SEGS, get_segs, set_segs},
	{ST_DRS, get_drs, set_drs}, {ST_MSRS, get_msrs, set_msrs}, {ST_INTR, get_intr, set_intr},
};

void vmx_get_state(struct vcpu *v, uint32_t wanted)
{
	wanted &= ~v->st_valid;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (wanted & groups[i].group)
			groups[i].get(v);
	v->st_valid |= wanted;
}

void vmx_set_state(struct vcpu *v, uint32_t wanted)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (wanted & groups[i].group)
			groups[i].set(v);
	v->st_valid |= wanted;
}

uint64_t vmx_dr7(struct vcpu *v)
{
	(void)v;
	return vmread(VMCS_GUEST_DR7);
}

uint8_t vmx_cpl(struct vcpu *v)
{
	(void)v;
	return SEG_ATTR_DPL(vmread(VMCS_GUEST_SS_ATTR));
}
