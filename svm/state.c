/* The guest's state between the VMCB and struct vcpu_state (APM vol. 2 15.5.1, appendix B). */
#include "svm/internal.h"

#include "arch/x86/cpu.h"
#include "arch/x86/msr.h"
#include "core/gva.h"
#include "lib/assert.h"

#define CR0_CACHE (CR0_CD | CR0_NW)

/*
 * The segment registers in the VMCB; those that VMLOAD and VMSAVE move are never cached by clean
 * bits.
 */
static const struct {
	uint16_t offset;
	uint16_t clean;
} segs[SEG_COUNT] = {
	[SEG_ES] = {offsetof(struct vmcb, es), CLEAN_SEG},
	[SEG_CS] = {offsetof(struct vmcb, cs), CLEAN_SEG},
	[SEG_SS] = {offsetof(struct vmcb, ss), CLEAN_SEG},
	[SEG_DS] = {offsetof(struct vmcb, ds), CLEAN_SEG},
	[SEG_FS] = {offsetof(struct vmcb, fs), 0},
	[SEG_GS] = {offsetof(struct vmcb, gs), 0},
	[SEG_LDTR] = {offsetof(struct vmcb, ldtr), 0},
	[SEG_TR] = {offsetof(struct vmcb, tr), 0},
};

static struct vmcb_seg *seg_in(struct vmcb *b, unsigned int seg)
{
	return (struct vmcb_seg *)((uint8_t *)b + segs[seg].offset);
}

static uint16_t pack_attr(uint32_t attr)
{
	uint32_t packed = (attr & 0xff) | (attr >> 4 & 0xf00);

	/* A segment that cannot be used is one that is not present (15.5.1). */
	if (attr & SEG_ATTR_UNUSABLE)
		packed &= ~(uint32_t)SEG_ATTR_P;
	return (uint16_t)packed;
}

static uint32_t unpack_attr(uint16_t packed, uint32_t limit)
{
	uint32_t attr = (packed & 0xffu) | (packed & 0xf00u) << 4;

	if (!(attr & SEG_ATTR_P))
		attr |= SEG_ATTR_UNUSABLE;
	/* Some processors do not keep G; the limit in bytes tells where it matters. */
	return limit > 0xfffff ? attr | SEG_ATTR_G : attr;
}

static void get_rip(struct vcpu *v, struct svm_vcpu *s)
{
	const struct vmcb *b = &s->vmcb;

	v->st.rip = b->rip;
	v->st.rflags = b->rflags;
	if (s->stepping)
		v->st.rflags = (b->rflags & ~RFLAGS_TF) | (s->step_rflags & RFLAGS_TF);
	v->gpr[RSP] = b->rsp;
}

static void set_rip(struct vcpu *v, struct svm_vcpu *s)
{
	struct vmcb *b = &s->vmcb;

	svm_cancel_step(s);
	b->rip = v->st.rip;
	b->rflags = v->st.rflags;
	b->rsp = v->gpr[RSP];
}

static void get_crs(struct vcpu *v, struct svm_vcpu *s)
{
	const struct vmcb *b = &s->vmcb;

	v->st.cr0 = b->cr0 | s->cr0_cache;
	v->st.cr2 = b->cr2;
	v->st.cr3 = b->cr3;
	v->st.cr4 = s->cr4;
	v->st.efer = b->efer & ~EFER_SVME;
}

/*
 * Does the paging mode or the root change? VMRUN flushes nothing for a VMCB that was written to
 * (15.16).
 */
static bool changes_paging(const struct vmcb *b, uint64_t cr0, uint64_t cr3, uint64_t cr4,
			   uint64_t efer)
{
	return (b->cr0 ^ cr0) & (CR0_PG | CR0_WP) || b->cr3 != cr3 || b->cr4 != cr4 ||
	       b->efer != efer;
}

static void set_crs(struct vcpu *v, struct svm_vcpu *s)
{
	struct vmcb *b = &s->vmcb;
	uint64_t cr0 = v->st.cr0 & ~CR0_CACHE;
	uint64_t cr4 = v->st.cr4 | CR4_MCE;
	uint64_t efer = v->st.efer | EFER_SVME;

	s->cr0_cache = v->st.cr0 & CR0_CACHE;
	s->cr4 = v->st.cr4;
	s->flush = s->flush || changes_paging(b, cr0, v->st.cr3, cr4, efer);
	vmcb_set_cr0(b, cr0);
	vmcb_set_cr2(b, v->st.cr2);
	vmcb_set_cr3(b, v->st.cr3);
	vmcb_set_cr4(b, cr4);
	vmcb_set_efer(b, efer);
	/*
	 * Where the hardware's register differs from the guest's, reads exit; then any write of CR0
	 * does, too.
	 */
	vmcb_set_intercepts(b, WORD_CR, CR_READ(0) | CR_WRITE(0) | CR_READ(4),
			    (s->cr0_cache ? CR_READ(0) | CR_WRITE(0) : 0) |
				    (s->cr4 & CR4_MCE ? 0 : CR_READ(4)));
}

static void get_segs(struct vcpu *v, struct svm_vcpu *s)
{
	struct vmcb *b = &s->vmcb;

	for (unsigned int i = 0; i < SEG_COUNT; i++) {
		const struct vmcb_seg *seg = seg_in(b, i);

		v->st.seg[i] = (struct vcpu_seg){
			.selector = seg->selector,
			.attr = unpack_attr(seg->attrib, seg->limit),
			.limit = seg->limit,
			.base = seg->base,
		};
	}
	/* CPL has a field of its own; for core/ it is SS's DPL. */
	v->st.seg[SEG_SS].attr = (v->st.seg[SEG_SS].attr & ~0x60u) | (uint32_t)(b->cpl & 3) << 5;
	v->st.gdtr = (struct vcpu_table){b->gdtr.base, (uint16_t)b->gdtr.limit};
	v->st.idtr = (struct vcpu_table){b->idtr.base, (uint16_t)b->idtr.limit};
}

static void set_table(struct vmcb *b, struct vmcb_seg *reg, const struct vcpu_table *table)
{
	vmcb_set_seg(b, reg, &(struct vmcb_seg){.limit = table->limit, .base = table->base},
		     CLEAN_DT);
}

static void set_segs(struct vcpu *v, struct svm_vcpu *s)
{
	struct vmcb *b = &s->vmcb;

	for (unsigned int i = 0; i < SEG_COUNT; i++) {
		const struct vcpu_seg *seg = &v->st.seg[i];
		struct vmcb_seg packed = {seg->selector, pack_attr(seg->attr), seg->limit,
					  seg->base};

		vmcb_set_seg(b, seg_in(b, i), &packed, segs[i].clean);
	}
	vmcb_set_cpl(b, (uint8_t)SEG_ATTR_DPL(v->st.seg[SEG_SS].attr));
	set_table(b, &b->gdtr, &v->st.gdtr);
	set_table(b, &b->idtr, &v->st.idtr);
}

/* DR0 to DR3 are in the processor while the vCPU is loaded: VMRUN switches DR6 and DR7 alone. */
static void get_drs(struct vcpu *v, struct svm_vcpu *s)
{
	if (s->loaded) {
		s->dr[0] = read_dr0();
		s->dr[1] = read_dr1();
		s->dr[2] = read_dr2();
		s->dr[3] = read_dr3();
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(s->dr); i++)
		v->st.dr[i] = s->dr[i];
	v->st.dr6 = s->vmcb.dr6;
	v->st.dr7 = s->vmcb.dr7;
}

static void set_drs(struct vcpu *v, struct svm_vcpu *s)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(s->dr); i++)
		s->dr[i] = v->st.dr[i];
	if (s->loaded)
		svm_load_debug_registers(s);
	vmcb_set_dr6(&s->vmcb, v->st.dr6);
	vmcb_set_dr7(&s->vmcb, v->st.dr7);
}

/* What the VMCB keeps by itself, beside the state of the same name. */
#define MSRS(X)         \
	X(sysenter_cs)  \
	X(sysenter_esp) \
	X(sysenter_eip) \
	X(star)         \
	X(lstar)        \
	X(cstar)        \
	X(sfmask)       \
	X(kernel_gs_base)

static void get_msrs(struct vcpu *v, struct svm_vcpu *s)
{
#define GET(name) v->st.name = s->vmcb.name;
	MSRS(GET)
#undef GET
	v->st.tsc_aux = s->tsc_aux;
	v->st.pat = s->vmcb.g_pat;
}

static void set_msrs(struct vcpu *v, struct svm_vcpu *s)
{
#define SET(name) s->vmcb.name = v->st.name;
	MSRS(SET)
#undef SET
	vmcb_set_g_pat(&s->vmcb, v->st.pat);
	if (s->loaded && svm_features.tsc_aux && s->tsc_aux != v->st.tsc_aux)
		wrmsr(MSR_IA32_TSC_AUX, v->st.tsc_aux);
	s->tsc_aux = v->st.tsc_aux;
}

/* One bit stands for both shadows (15.21.5); it is reported as the stronger of the two. */
static void get_intr(struct vcpu *v, struct svm_vcpu *s)
{
	v->st.interruptibility = (s->vmcb.int_state & INT_STATE_SHADOW ? INTR_MOV_SS : 0) |
				 (svm_nmi_blocked(s) ? INTR_NMI_BLOCKED : 0);
}

static void set_intr(struct vcpu *v, struct svm_vcpu *s)
{
	uint32_t i = v->st.interruptibility;

	s->vmcb.int_state = i & (INTR_STI | INTR_MOV_SS) ? INT_STATE_SHADOW : 0;
	svm_set_nmi_blocked(s, i & INTR_NMI_BLOCKED);
}

static const struct {
	uint32_t group;
	void (*get)(struct vcpu *v, struct svm_vcpu *s);
	void (*set)(struct vcpu *v, struct svm_vcpu *s);
} groups_of_state[] = {
	{ST_RIP, get_rip, set_rip}, {ST_CRS, get_crs, set_crs},	   {ST_SEGS, get_segs, set_segs},
	{ST_DRS, get_drs, set_drs}, {ST_MSRS, get_msrs, set_msrs}, {ST_INTR, get_intr, set_intr},
};

void svm_get_state(struct vcpu *v, uint32_t groups)
{
	uint32_t wanted = groups & ~v->st_valid;

	for (size_t i = 0; wanted && i < ARRAY_SIZE(groups_of_state); i++)
		if (wanted & groups_of_state[i].group)
			groups_of_state[i].get(v, svm_of(v));
	v->st_valid |= groups;
}

void svm_set_state(struct vcpu *v, uint32_t groups)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups_of_state); i++)
		if (groups & groups_of_state[i].group)
			groups_of_state[i].set(v, svm_of(v));
	v->st_valid |= groups;
}

uint64_t svm_dr7(struct vcpu *v)
{
	return svm_of(v)->vmcb.dr7;
}

uint8_t svm_cpl(struct vcpu *v)
{
	return svm_of(v)->vmcb.cpl & 3;
}

const uint8_t *svm_code(const struct vcpu *v, unsigned int size)
{
	const struct svm_vcpu *s = svm_of(v);
	const struct vmcb *b = &s->vmcb;
	const struct gva_key key = {
		.cr0 = b->cr0 | s->cr0_cache,
		.cr3 = b->cr3,
		.cr4 = s->cr4,
		.efer = b->efer & ~EFER_SVME,
		.access = GVA_ACCESS(b->cpl & 3, false, false),
	};

	return gva_code(v, svm_in_64bit_code(b) ? b->rip : (uint32_t)(b->cs.base + b->rip), size,
			&key);
}

void svm_debug_trap(struct vcpu *v, uint64_t dr6)
{
	struct vmcb *b = &svm_of(v)->vmcb;

	vmcb_set_dr6(b, b->dr6 | dr6);
	v->st_valid &= ~(uint32_t)ST_DRS;
	vcpu_exception(v, EXC_DB, false, 0);
}

static noinline void skip_in_step(struct vcpu *v, unsigned int len)
{
	svm_cancel_step(svm_of(v));
	svm_skip_insn(v, len);
}

void svm_skip_insn(struct vcpu *v, unsigned int len)
{
	struct svm_vcpu *s = svm_of(v);
	struct vmcb *b = &s->vmcb;

	assert(len > 0 && len <= 15);
	if (unlikely(s->stepping)) {
		skip_in_step(v, len);
		return;
	}
	b->rip += len;
	if (unlikely(!svm_in_64bit_code(b)))
		b->rip = (uint32_t)b->rip;
	b->int_state &= ~INT_STATE_SHADOW;
	v->st_valid &= ~(uint32_t)(ST_RIP | ST_INTR);
	/* As the processor makes it after the instruction (13.1.4). */
	if (unlikely(b->rflags & (RFLAGS_TF | RFLAGS_RF))) {
		b->rflags &= ~RFLAGS_RF;
		if (b->rflags & RFLAGS_TF)
			svm_debug_trap(v, DR6_BS);
	}
}
