/* A table of ranges, each with what reading and writing mean. SDM vol. 4; APM vol. 2 appendix A. */
#include "core/msr.h"

#include "arch/x86/cpu.h"
#include "arch/x86/msr.h"
#include "arch/x86/tsc.h"
#include "core/cpuid.h"
#include "core/exits.h"
#include "core/lapic.h"
#include "core/pvclock.h"
#include "core/vm.h"
#include "emul/walk.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"

#define MTRR_VARIABLE		8u
#define MTRRCAP			(BIT(10) | BIT(8) | MTRR_VARIABLE) /* WC, fixed ranges, count */
#define MTRR_DEF_TYPE_MASK	0xcffu
#define HWCR_TSC_FREQ_SEL	BIT(24)
#define DE_CFG_LFENCE_SERIALIZE BIT(1)

void msr_reset(struct vcpu *v)
{
	v->tsc_adjust = 0;
	/* As firmware hands over: MTRRs on, all memory write-back. */
	v->mtrr_def = BIT(11) | MT_WB;
	memset(v->mtrr_fixed, 0, sizeof(v->mtrr_fixed));
	memset(v->mtrr_var, 0, sizeof(v->mtrr_var));
	v->misc_enable = MISC_ENABLE_FAST_STRING | MISC_ENABLE_BTS_UNAVAILABLE |
			 MISC_ENABLE_PEBS_UNAVAILABLE;
	v->mcg_status = 0;
	v->pvclock_gpa = 0;
}

typedef int msr_read_fn(struct vcpu *v, uint32_t index, uint64_t *value);
typedef int msr_write_fn(struct vcpu *v, uint32_t index, uint64_t value);

static int read_zero(struct vcpu *v, uint32_t index, uint64_t *value)
{
	(void)v;
	(void)index;
	*value = 0;
	return 0;
}

static int write_ignore(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)v;
	(void)index;
	(void)value;
	return 0;
}

/* Registers whose only writable value is 0. */
static int write_zero(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)v;
	(void)index;
	return value ? -EPERM : 0;
}

static int read_tsc(struct vcpu *v, uint32_t index, uint64_t *value)
{
	(void)index;
	*value = tsc_now() + v->tsc_offset;
	return 0;
}

static void move_tsc(struct vcpu *v, uint64_t delta)
{
	lapic_timer_take_back(v);
	v->tsc_offset += delta;
	v->tsc_adjust += delta;
	hv->set_tsc_offset(v, v->tsc_offset);
	lapic_tsc_moved(v, delta);
	pvclock_update(v);
}

/* WRMSR to the TSC adds the same to IA32_TSC_ADJUST (SDM vol. 3B 18.17.3). */
static int write_tsc(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	move_tsc(v, value - (tsc_now() + v->tsc_offset));
	return 0;
}

static int write_tsc_adjust(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	move_tsc(v, value - v->tsc_adjust);
	return 0;
}

static int write_deadline(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	lapic_deadline_write(v, value);
	return 0;
}

static int write_apic_base(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	return lapic_set_base(v, value);
}

static int read_x2apic(struct vcpu *v, uint32_t index, uint64_t *value)
{
	return lapic_msr_read(v, index, value);
}

static int write_x2apic(struct vcpu *v, uint32_t index, uint64_t value)
{
	return lapic_msr_write(v, index, value);
}

static int read_efer(struct vcpu *v, uint32_t index, uint64_t *value)
{
	(void)index;
	hv->get_state(v, ST_CRS);
	*value = v->st.efer;
	return 0;
}

static int write_efer(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	return efer_write(v, value);
}

static bool memtype_valid(uint8_t type)
{
	return type == MT_UC || type == MT_WC || type == MT_WT || type == MT_WP || type == MT_WB;
}

/* Every byte of the PAT is a memory type, UC- included (SDM vol. 3A 12.12.2). */
static bool pat_valid(uint64_t pat)
{
	for (int i = 0; i < 8; i++) {
		uint8_t type = (uint8_t)(pat >> i * 8);

		if (!memtype_valid(type) && type != MT_UC_MINUS)
			return false;
	}
	return true;
}

/* MSRs that are fields of struct vcpu_state, for where the back end has them trapped. */
static const struct {
	uint32_t index;
	uint16_t offset;
	enum { ANY, CANONICAL, LOW32, PAT } rule;
} state_msrs[] = {
	{MSR_IA32_SYSENTER_CS, offsetof(struct vcpu_state, sysenter_cs), LOW32},
	{MSR_IA32_SYSENTER_ESP, offsetof(struct vcpu_state, sysenter_esp), CANONICAL},
	{MSR_IA32_SYSENTER_EIP, offsetof(struct vcpu_state, sysenter_eip), CANONICAL},
	{MSR_IA32_PAT, offsetof(struct vcpu_state, pat), PAT},
	{MSR_IA32_STAR, offsetof(struct vcpu_state, star), ANY},
	{MSR_IA32_LSTAR, offsetof(struct vcpu_state, lstar), CANONICAL},
	{MSR_IA32_CSTAR, offsetof(struct vcpu_state, cstar), CANONICAL},
	{MSR_IA32_FMASK, offsetof(struct vcpu_state, sfmask), LOW32},
	{MSR_IA32_KERNEL_GS_BASE, offsetof(struct vcpu_state, kernel_gs_base), CANONICAL},
	{MSR_IA32_TSC_AUX, offsetof(struct vcpu_state, tsc_aux), LOW32},
};

static uint64_t *state_field(struct vcpu *v, uint32_t index, int *rule)
{
	for (size_t i = 0; i < ARRAY_SIZE(state_msrs); i++) {
		if (state_msrs[i].index == index) {
			*rule = (int)state_msrs[i].rule;
			return (uint64_t *)((char *)&v->st + state_msrs[i].offset);
		}
	}
	return NULL;
}

static int read_state(struct vcpu *v, uint32_t index, uint64_t *value)
{
	int rule = ANY;
	const uint64_t *field = state_field(v, index, &rule);

	if (!field)
		return -EPERM;
	hv->get_state(v, ST_MSRS);
	*value = *field;
	return 0;
}

static int write_state(struct vcpu *v, uint32_t index, uint64_t value)
{
	int rule = ANY;
	uint64_t *field = state_field(v, index, &rule);

	hv->get_state(v, ST_MSRS | ST_CRS);
	if (!field || (rule == CANONICAL && !walk_canonical(value, v->st.cr4)) ||
	    (rule == LOW32 && value >> 32) || (rule == PAT && !pat_valid(value)))
		return -EPERM;
	*field = value;
	hv->set_state(v, ST_MSRS);
	return 0;
}

static int read_seg_base(struct vcpu *v, uint32_t index, uint64_t *value)
{
	hv->get_state(v, ST_SEGS);
	*value = v->st.seg[index == MSR_IA32_FS_BASE ? SEG_FS : SEG_GS].base;
	return 0;
}

static int write_seg_base(struct vcpu *v, uint32_t index, uint64_t value)
{
	hv->get_state(v, ST_SEGS | ST_CRS);
	if (!walk_canonical(value, v->st.cr4))
		return -EPERM;
	v->st.seg[index == MSR_IA32_FS_BASE ? SEG_FS : SEG_GS].base = value;
	hv->set_state(v, ST_SEGS);
	return 0;
}

/* 0 until the first other value is written, which gives the register to the guest. */
static int read_spec_ctrl(struct vcpu *v, uint32_t index, uint64_t *value)
{
	(void)index;
	*value = 0;
	return cpuid_spec_ctrl_mask(v->vm) ? 0 : -EPERM;
}

static int write_spec_ctrl(struct vcpu *v, uint32_t index, uint64_t value)
{
	uint64_t mask = cpuid_spec_ctrl_mask(v->vm);

	(void)index;
	if (!mask || value & ~mask)
		return -EPERM;
	if (value)
		hv->pass_spec_ctrl(v, value);
	return 0;
}

static int write_pred_cmd(struct vcpu *v, uint32_t index, uint64_t value)
{
	if (!cpuid_has_ibpb(v->vm) || value & ~(uint64_t)PRED_CMD_IBPB)
		return -EPERM;
	if (value)
		wrmsr(index, value);
	return 0;
}

static int read_mtrrcap(struct vcpu *v, uint32_t index, uint64_t *value)
{
	(void)v;
	(void)index;
	*value = MTRRCAP;
	return 0;
}

static uint64_t *mtrr_field(struct vcpu *v, uint32_t index)
{
	if (index == MSR_IA32_MTRR_DEF_TYPE)
		return &v->mtrr_def;
	if (index < MSR_IA32_MTRR_FIX64K_00000)
		return &v->mtrr_var[index - MSR_IA32_MTRR_PHYSBASE(0)];
	if (index == MSR_IA32_MTRR_FIX64K_00000)
		return &v->mtrr_fixed[0];
	if (index < MSR_IA32_MTRR_FIX4K(0))
		return &v->mtrr_fixed[1 + index - MSR_IA32_MTRR_FIX16K_80000];
	return &v->mtrr_fixed[3 + index - MSR_IA32_MTRR_FIX4K(0)];
}

/*
 * MTRRs are kept for the guest to read back; what memory is really like is in the nested tables,
 * and a guest's PAT decides over the rest.
 */
static int read_mtrr(struct vcpu *v, uint32_t index, uint64_t *value)
{
	*value = *mtrr_field(v, index);
	return 0;
}

static int write_mtrr_def(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	if (value & ~(uint64_t)MTRR_DEF_TYPE_MASK || !memtype_valid((uint8_t)value))
		return -EPERM;
	v->mtrr_def = value;
	return 0;
}

static int write_mtrr_fixed(struct vcpu *v, uint32_t index, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		if (!memtype_valid((uint8_t)(value >> i * 8)))
			return -EPERM;
	*mtrr_field(v, index) = value;
	return 0;
}

static int write_mtrr_var(struct vcpu *v, uint32_t index, uint64_t value)
{
	uint64_t reserved = ~(BIT(cpuid_phys_width(v->vm)) - 1);

	reserved |= index & 1 ? 0x7ff : 0xf00;
	if (value & reserved || (!(index & 1) && !memtype_valid((uint8_t)value)))
		return -EPERM;
	*mtrr_field(v, index) = value;
	return 0;
}

static int write_misc_enable(struct vcpu *v, uint32_t index, uint64_t value)
{
	uint64_t writable = MISC_ENABLE_FAST_STRING | MISC_ENABLE_TCC | MISC_ENABLE_EIST |
			    MISC_ENABLE_LIMIT_CPUID | MISC_ENABLE_XTPR | MISC_ENABLE_XD_DISABLE;

	(void)index;
	if (cpuid_may_have_monitor(v->vm))
		writable |= MISC_ENABLE_MWAIT;
	if (value & MISC_ENABLE_LIMIT_CPUID)
		cpuid_may_be_limited(v->vm);
	/*
	 * Of MONITOR, XD and the limit CPUID tells; the others are kept for the guest to read back.
	 * The read-only bits keep what they are, whatever is written.
	 */
	v->misc_enable = (v->misc_enable & ~writable) | (value & writable);
	return 0;
}

static int read_microcode(struct vcpu *v, uint32_t index, uint64_t *value)
{
	(void)v;
	*value = rdmsr(index);
	return 0;
}

static int write_mcg_status(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	if (value & ~7ull)
		return -EPERM;
	v->mcg_status = value;
	return 0;
}

static int read_xss(struct vcpu *v, uint32_t index, uint64_t *value)
{
	(void)index;
	*value = v->xss;
	return cpuid_has_xsaves(v->vm) ? 0 : -EPERM;
}

static int write_xss(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	if (!cpuid_has_xsaves(v->vm) || value & ~cpuid_xss_mask(v->vm))
		return -EPERM;
	v->xss = value;
	return 0;
}

static int read_hwcr(struct vcpu *v, uint32_t index, uint64_t *value)
{
	(void)v;
	(void)index;
	*value = HWCR_TSC_FREQ_SEL;
	return 0;
}

static int read_de_cfg(struct vcpu *v, uint32_t index, uint64_t *value)
{
	(void)v;
	(void)index;
	*value = DE_CFG_LFENCE_SERIALIZE;
	return 0;
}

static int write_system_time(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	return pvclock_set_system_time(v, value);
}

static int write_wall_clock(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	return pvclock_write_wall_clock(v, value);
}

static int read_pv_eoi(struct vcpu *v, uint32_t index, uint64_t *value)
{
	(void)index;
	*value = v->pv_eoi;
	return lapic_offers_pv_eoi() ? 0 : -EPERM;
}

static int write_pv_eoi(struct vcpu *v, uint32_t index, uint64_t value)
{
	(void)index;
	return lapic_set_pv_eoi(v, value);
}

enum msr_vendor { BOTH, INTEL, AMD };

#define FIELD(name) ((uint16_t)offsetof(struct vcpu, name))

/* The first match counts; one of BOTH overlaps no other. */
static const struct msr_policy {
	uint32_t first, last;
	msr_read_fn *read;   /* NULL: #GP, or what is at FIELD of struct vcpu */
	msr_write_fn *write; /* NULL: #GP */
	enum msr_vendor vendor;
	uint16_t field; /* 0: none */
} policy[] = {
	{MSR_IA32_TSC_DEADLINE, MSR_IA32_TSC_DEADLINE, NULL, write_deadline, BOTH,
	 FIELD(tsc_deadline)},
	{MSR_IA32_X2APIC_FIRST, MSR_IA32_X2APIC_LAST, read_x2apic, write_x2apic, BOTH, 0},
	{MSR_IA32_APIC_BASE, MSR_IA32_APIC_BASE, NULL, write_apic_base, BOTH, FIELD(apic_base)},
	{MSR_IA32_TSC, MSR_IA32_TSC, read_tsc, write_tsc, BOTH, 0},
	{MSR_IA32_TSC_ADJUST, MSR_IA32_TSC_ADJUST, NULL, write_tsc_adjust, BOTH, FIELD(tsc_adjust)},
	{MSR_IA32_FS_BASE, MSR_IA32_GS_BASE, read_seg_base, write_seg_base, BOTH, 0},
	{MSR_IA32_EFER, MSR_IA32_EFER, read_efer, write_efer, BOTH, 0},
	{MSR_IA32_STAR, MSR_IA32_FMASK, read_state, write_state, BOTH, 0},
	{MSR_IA32_KERNEL_GS_BASE, MSR_IA32_TSC_AUX, read_state, write_state, BOTH, 0},
	{MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_EIP, read_state, write_state, BOTH, 0},
	{MSR_IA32_PAT, MSR_IA32_PAT, read_state, write_state, BOTH, 0},
	{MSR_IA32_SPEC_CTRL, MSR_IA32_SPEC_CTRL, read_spec_ctrl, write_spec_ctrl, BOTH, 0},
	{MSR_IA32_PRED_CMD, MSR_IA32_PRED_CMD, NULL, write_pred_cmd, BOTH, 0},
	{MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_WALL_CLOCK_NEW, read_zero, write_wall_clock, BOTH, 0},
	{MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_SYSTEM_TIME_NEW, NULL, write_system_time, BOTH,
	 FIELD(pvclock_gpa)},
	{MSR_KVM_PV_EOI_EN, MSR_KVM_PV_EOI_EN, read_pv_eoi, write_pv_eoi, BOTH, 0},
	/* P5 machine-check registers: aliases that always read as "no error" here. */
	{MSR_IA32_P5_MC_ADDR, MSR_IA32_P5_MC_TYPE, read_zero, write_zero, BOTH, 0},
	{MSR_IA32_PLATFORM_ID, MSR_IA32_PLATFORM_ID, read_zero, NULL, INTEL, 0},
	{MSR_IA32_BIOS_UPDT_TRIG, MSR_IA32_BIOS_UPDT_TRIG, NULL, write_ignore, INTEL, 0},
	{MSR_IA32_BIOS_SIGN_ID, MSR_IA32_BIOS_SIGN_ID, read_microcode, write_zero, BOTH, 0},
	{MSR_IA32_MTRRCAP, MSR_IA32_MTRRCAP, read_mtrrcap, NULL, BOTH, 0},
	{MSR_IA32_MTRR_PHYSBASE(0), MSR_IA32_MTRR_PHYSMASK(7), read_mtrr, write_mtrr_var, BOTH, 0},
	{MSR_IA32_MTRR_FIX64K_00000, MSR_IA32_MTRR_FIX64K_00000, read_mtrr, write_mtrr_fixed, BOTH,
	 0},
	{MSR_IA32_MTRR_FIX16K_80000, MSR_IA32_MTRR_FIX16K_A0000, read_mtrr, write_mtrr_fixed, BOTH,
	 0},
	{MSR_IA32_MTRR_FIX4K(0), MSR_IA32_MTRR_FIX4K(7), read_mtrr, write_mtrr_fixed, BOTH, 0},
	{MSR_IA32_MTRR_DEF_TYPE, MSR_IA32_MTRR_DEF_TYPE, read_mtrr, write_mtrr_def, BOTH, 0},
	{MSR_IA32_MISC_ENABLE, MSR_IA32_MISC_ENABLE, NULL, write_misc_enable, INTEL,
	 FIELD(misc_enable)},
	/* No banks: machine checks are the host's affair. */
	{MSR_IA32_MCG_CAP, MSR_IA32_MCG_CAP, read_zero, NULL, BOTH, 0},
	{MSR_IA32_MCG_STATUS, MSR_IA32_MCG_STATUS, NULL, write_mcg_status, BOTH, FIELD(mcg_status)},
	/* LBR, BTF and branch tracing are not offered. */
	{MSR_IA32_DEBUGCTL, MSR_IA32_DEBUGCTL, read_zero, write_zero, BOTH, 0},
	{MSR_LASTBRANCHFROMIP, MSR_LASTINTTOIP, read_zero, NULL, AMD, 0},
	{MSR_IA32_XSS, MSR_IA32_XSS, read_xss, write_xss, BOTH, 0},
	/*
	 * Counters 0 to 3 have no CPUID bit: kernels write to them unasked. That they keep no
	 * value tells that they count nothing.
	 */
	{MSR_AMD_PERFEVTSEL0, MSR_AMD_PERFCTR3, read_zero, write_ignore, AMD, 0},
	{MSR_AMD_SYSCFG, MSR_AMD_SYSCFG, read_zero, write_ignore, AMD, 0},
	{MSR_AMD_HWCR, MSR_AMD_HWCR, read_hwcr, write_ignore, AMD, 0},
	{MSR_AMD_TOP_MEM, MSR_AMD_TOP_MEM, read_zero, write_ignore, AMD, 0},
	{MSR_AMD_TOP_MEM2, MSR_AMD_TOP_MEM2, read_zero, write_ignore, AMD, 0},
	{MSR_AMD_NB_CFG, MSR_AMD_NB_CFG, read_zero, write_ignore, AMD, 0},
	{MSR_AMD_PATCH_LOADER, MSR_AMD_PATCH_LOADER, NULL, write_ignore, AMD, 0},
	{MSR_AMD_INT_PENDING, MSR_AMD_INT_PENDING, read_zero, write_ignore, AMD, 0},
	{MSR_AMD_VM_CR, MSR_AMD_VM_CR, read_zero, NULL, AMD, 0},
	{MSR_AMD_OSVW_ID_LENGTH, MSR_AMD_OSVW_STATUS, read_zero, write_ignore, AMD, 0},
	{MSR_AMD_MMIO_CONF_BASE, MSR_AMD_MMIO_CONF_BASE, read_zero, write_ignore, AMD, 0},
	/* Not LS_CFG: a kernel that can write it believes that it has stopped store bypass. */
	{MSR_AMD_IC_CFG, MSR_AMD_DC_CFG, read_zero, write_ignore, AMD, 0},
	{MSR_AMD_DE_CFG, MSR_AMD_DE_CFG, read_de_cfg, write_ignore, AMD, 0},
};

/* Where an MSR of BOTH was found last, by some of its number's bits: any core. */
static uint8_t found[64];

static noinline const struct msr_policy *search(const struct vcpu *v, uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(policy); i++) {
		const struct msr_policy *p = &policy[i];

		if (index - p->first > p->last - p->first)
			continue;
		if (p->vendor == BOTH) {
			WRITE_ONCE(found[index % ARRAY_SIZE(found)], (uint8_t)i);
			return p;
		}
		if ((p->vendor == AMD) == cpuid_is_amd(v->vm))
			return p;
	}
	return NULL;
}

static always_inline const struct msr_policy *find(const struct vcpu *v, uint32_t index)
{
	const struct msr_policy *p = &policy[READ_ONCE(found[index % ARRAY_SIZE(found)])];

	if (likely(index - p->first <= p->last - p->first))
		return p;
	return search(v, index);
}

/* Kernels probe MSRs by the hundred; each unknown one is worth one line. */
static noinline void log_once(struct vcpu *v, uint32_t index, const char *what)
{
	uint32_t hash = index * 0x9e3779b1u >> 24;
	uint64_t bit = BIT(hash & 63);
	uint64_t old =
		__atomic_fetch_or(&v->vm->unknown_msr_logged[hash >> 6], bit, __ATOMIC_RELAXED);

	if (!(old & bit))
		log_debug("vm %s: vcpu %u: %s of MSR %x: #GP", v->vm->name, v->id, what, index);
}

static always_inline int do_read(struct vcpu *v, uint32_t index, uint64_t *value)
{
	const struct msr_policy *p = find(v, index);

	if (likely(p && p->field)) {
		*value = *(const uint64_t *)(const void *)((const char *)v + p->field);
		return 0;
	}
	if (likely(p && p->read))
		return p->read(v, index, value);
	log_once(v, index, "read");
	return -EPERM;
}

static always_inline int do_write(struct vcpu *v, uint32_t index, uint64_t value)
{
	const struct msr_policy *p = find(v, index);

	if (likely(p && p->write))
		return p->write(v, index, value);
	log_once(v, index, "write");
	return -EPERM;
}

int msr_read(struct vcpu *v, uint32_t index, uint64_t *value)
{
	return do_read(v, index, value);
}

int msr_write(struct vcpu *v, uint32_t index, uint64_t value)
{
	return do_write(v, index, value);
}

enum act exit_rdmsr(struct vcpu *v)
{
	uint64_t value;

	if (do_read(v, (uint32_t)v->gpr[RCX], &value)) {
		vcpu_gp(v);
		return ACT_STAY;
	}
	v->gpr[RAX] = (uint32_t)value;
	v->gpr[RDX] = value >> 32;
	return ACT_NEXT;
}

enum act exit_wrmsr(struct vcpu *v)
{
	uint64_t value = v->gpr[RDX] << 32 | (uint32_t)v->gpr[RAX];

	if (do_write(v, (uint32_t)v->gpr[RCX], value)) {
		vcpu_gp(v);
		return ACT_STAY;
	}
	return ACT_NEXT;
}
