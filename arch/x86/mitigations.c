/* The half of arch/x86/mitigations.h that only decides. */
#include "arch/x86/mitigations.h"

#include <stddef.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"

struct chosen {
	uint32_t mask;
	struct strbuf *missing;
};

static void use(struct chosen *c, uint32_t bit, bool offered, const char *flaw)
{
	if (offered)
		c->mask |= bit;
	else
		sb_printf(c->missing, "%s%s", c->missing->len ? ", " : "", flaw);
}

/*
 * Skylake and its successors up to Comet Lake: where the return stack runs empty they predict
 * returns by the branch predictor, so that retpolines are no help (INTEL-SA-00702).
 */
static bool predicts_returns(const struct mit_cpu *cpu)
{
	static const uint8_t models[] = {0x4e, 0x55, 0x5e, 0x66, 0x8e, 0x9e, 0xa5, 0xa6};

	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		if (cpu->family == 6 && cpu->model == models[i])
			return true;
	return cpu->arch_capabilities & ARCH_CAP_RSBA;
}

static void choose_intel_branches(const struct mit_cpu *cpu, struct chosen *c)
{
	uint64_t cap = cpu->arch_capabilities;

	use(c, MIT_IBPB, cpu->leaf7_edx & CPUID_7_EDX_IBRS_IBPB, "branch target injection");
	if (cap & ARCH_CAP_IBRS_ALL) {
		c->mask |= MIT_IBRS_ALWAYS | (cap & ARCH_CAP_PBRSB_NO ? 0 : MIT_RSB);
		if (cap & ARCH_CAP_BHI_NO)
			return;
		c->mask |= cpu->leaf7_2_edx & CPUID_7_2_EDX_BHI_CTRL ? MIT_BHI : MIT_RETPOLINE;
		return;
	}
	c->mask |= MIT_RSB;
	if (predicts_returns(cpu) && cpu->leaf7_edx & CPUID_7_EDX_IBRS_IBPB)
		c->mask |= MIT_IBRS;
	else
		c->mask |= MIT_RETPOLINE;
}

/*
 * MDS, TAA, MMIO stale data and RFDS are all met by a VERW that clears, which MD_CLEAR, FB_CLEAR or
 * RFDS_CLEAR promises (INTEL-SA-00233, -00270, -00615, -00898).
 */
static void choose_intel_buffers(const struct mit_cpu *cpu, struct chosen *c)
{
	uint64_t cap = cpu->arch_capabilities;
	bool clears = cpu->leaf7_edx & CPUID_7_EDX_MD_CLEAR ||
		      cap & (ARCH_CAP_FB_CLEAR | ARCH_CAP_RFDS_CLEAR);

	if (!(cap & ARCH_CAP_MDS_NO))
		use(c, MIT_VERW, clears, "MDS");
	else if (cpu->leaf7_ebx & CPUID_7_EBX_RTM && !(cap & ARCH_CAP_TAA_NO))
		use(c, MIT_VERW, clears, "TAA");
	if (cap & (ARCH_CAP_FB_CLEAR | ARCH_CAP_RFDS_CLEAR))
		c->mask |= MIT_VERW;
}

static void choose_intel(const struct mit_cpu *cpu, struct chosen *c)
{
	uint64_t cap = cpu->arch_capabilities;

	choose_intel_branches(cpu, c);
	choose_intel_buffers(cpu, c);
	/* INTEL-SA-00161 */
	if (!(cap & (ARCH_CAP_RDCL_NO | ARCH_CAP_SKIP_L1DFL_VMENTRY)))
		use(c, MIT_L1D, cpu->leaf7_edx & CPUID_7_EDX_L1D_FLUSH, "L1TF");
}

/*
 * Returns that are predicted from branches of the guest's: AMD-SB-1037 (families 15h to 18h),
 * AMD-SB-7005 (17h to 1Ah, unless the processor says otherwise). IBPB covers returns as well where
 * IBPB_BRTYPE says so, and always did on families up to 18h.
 */
static void choose_amd_returns(const struct mit_cpu *cpu, struct chosen *c)
{
	bool ibpb = cpu->ext8_ebx & CPUID_80000008_EBX_IBPB;

	if (cpu->family >= 0x15 && cpu->family <= 0x18)
		use(c, MIT_IBPB_EXIT, ibpb, "return prediction (retbleed, SRSO)");
	else if (cpu->family >= 0x19 && !(cpu->ext21_eax & CPUID_80000021_EAX_SRSO_NO))
		use(c, MIT_IBPB_EXIT, ibpb && cpu->ext21_eax & CPUID_80000021_EAX_IBPB_BRTYPE,
		    "return prediction (SRSO)");
}

static void choose_amd(const struct mit_cpu *cpu, struct chosen *c)
{
	/* None of before family 0Fh has 64 bits. */
	if (cpu->family < 0xf)
		return;
	use(c, MIT_IBPB, cpu->ext8_ebx & CPUID_80000008_EBX_IBPB, "branch target injection");
	c->mask |= cpu->ext21_eax & CPUID_80000021_EAX_AUTO_IBRS ? MIT_AUTO_IBRS
								 : MIT_RETPOLINE | MIT_RSB;
	choose_amd_returns(cpu, c);
}

uint32_t mitigations_choose(const struct mit_cpu *cpu, struct strbuf *missing)
{
	struct chosen c = {.missing = missing};

	if (cpu->intel)
		choose_intel(cpu, &c);
	else if (cpu->amd)
		choose_amd(cpu, &c);
	else
		c.mask = MIT_RETPOLINE | MIT_RSB;
	return c.mask;
}

void mitigations_names(uint32_t mask, struct strbuf *sb)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {
		{MIT_VERW, "VERW before entries (MDS, TAA, MMIO stale data, RFDS)"},
		{MIT_L1D, "L1D flush for another vCPU (L1TF)"},
		{MIT_IBPB, "IBPB for another VM (Spectre v2)"},
		{MIT_IBRS_ALWAYS, "enhanced IBRS (Spectre v2)"},
		{MIT_AUTO_IBRS, "automatic IBRS (Spectre v2)"},
		{MIT_IBRS, "IBRS after exits (Spectre v2, retbleed)"},
		{MIT_RETPOLINE, "retpolines (Spectre v2)"},
		{MIT_BHI, "BHI_DIS_S (branch history injection)"},
		{MIT_RSB, "return stack filled after exits (SpectreRSB)"},
		{MIT_IBPB_EXIT, "IBPB after exits (retbleed, SRSO)"},
	};
	size_t before = sb->len;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (mask & names[i].bit)
			sb_printf(sb, "%s%s", sb->len > before ? ", " : "", names[i].name);
	if (sb->len == before)
		sb_puts(sb, "none");
}
