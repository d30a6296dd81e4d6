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

/* What a model of INTEL's family 6 has, or has not, without saying so itself. */
enum {
	HAS_SKYLAKE_RETURNS = 1, /* where the return stack is empty: predicted as branches */
	HAS_MMIO = 2,		 /* MMIO stale data */
	HAS_RFDS = 4,
	HAS_GDS = 8,
	HAS_SRBDS = 16,
	NO_L1TF = 32,
	NO_MDS = 64
};

/*
 * INTEL-SA-00702 (retbleed), -00615 (MMIO stale data), -00898 (RFDS), -00828 (GDS), -00320 (SRBDS),
 * -00161 (L1TF), -00233 (MDS), and Intel's list of affected processors.
 */
static const struct {
	uint8_t model, flaws;
} models[] = {
	{0x37, NO_L1TF}, /* Silvermont, Airmont */
	{0x4a, NO_L1TF},
	{0x4c, NO_L1TF},
	{0x4d, NO_L1TF},
	{0x5a, NO_L1TF},
	{0x5d, NO_L1TF},
	{0x75, NO_L1TF},
	{0x57, NO_L1TF}, /* Xeon Phi */
	{0x85, NO_L1TF},
	{0x5c, NO_L1TF | NO_MDS | HAS_RFDS}, /* Goldmont */
	{0x5f, NO_L1TF | NO_MDS | HAS_RFDS},
	{0x7a, NO_L1TF | NO_MDS | HAS_RFDS},
	{0x86, HAS_MMIO | HAS_RFDS}, /* Tremont */
	{0x8a, HAS_MMIO | HAS_RFDS},
	{0x96, HAS_MMIO | HAS_RFDS},
	{0x9c, HAS_MMIO | HAS_RFDS},
	{0x97, HAS_RFDS}, /* Alder Lake, Raptor Lake, Gracemont */
	{0x9a, HAS_RFDS},
	{0xb7, HAS_RFDS},
	{0xba, HAS_RFDS},
	{0xbf, HAS_RFDS},
	{0xbe, HAS_RFDS},
	{0x3a, HAS_SRBDS}, /* Ivy Bridge, Haswell, Broadwell */
	{0x3c, HAS_SRBDS},
	{0x45, HAS_SRBDS},
	{0x46, HAS_SRBDS},
	{0x3d, HAS_SRBDS},
	{0x47, HAS_SRBDS},
	{0x4e, HAS_SKYLAKE_RETURNS | HAS_MMIO | HAS_GDS | HAS_SRBDS}, /* Skylake to Comet Lake */
	{0x5e, HAS_SKYLAKE_RETURNS | HAS_MMIO | HAS_GDS | HAS_SRBDS},
	{0x8e, HAS_SKYLAKE_RETURNS | HAS_MMIO | HAS_GDS | HAS_SRBDS},
	{0x9e, HAS_SKYLAKE_RETURNS | HAS_MMIO | HAS_GDS | HAS_SRBDS},
	{0x55, HAS_SKYLAKE_RETURNS | HAS_MMIO | HAS_GDS},
	{0xa5, HAS_SKYLAKE_RETURNS | HAS_MMIO | HAS_GDS},
	{0xa6, HAS_SKYLAKE_RETURNS | HAS_MMIO | HAS_GDS},
	{0x66, HAS_SKYLAKE_RETURNS}, /* Cannon Lake */
	{0x6a, HAS_MMIO | HAS_GDS},  /* Ice Lake, Tiger Lake, Rocket Lake */
	{0x6c, HAS_MMIO | HAS_GDS},
	{0x7e, HAS_MMIO | HAS_GDS},
	{0x8c, HAS_GDS},
	{0x8d, HAS_GDS},
	{0xa7, HAS_MMIO | HAS_GDS},
};

static uint8_t flaws_of(const struct mit_cpu *cpu)
{
	for (size_t i = 0; cpu->family == 6 && i < ARRAY_SIZE(models); i++)
		if (models[i].model == cpu->model)
			return models[i].flaws;
	return 0;
}

/*
 * With enhanced IBRS a guest steers the hypervisor's indirect branches no more, but by the history
 * of its own; and on the later ones of Skylake's kin by where they stand in a cache line (indirect
 * target selection, INTEL-SA-01153), which retpolines are no matter for.
 */
static void choose_with_enhanced_ibrs(const struct mit_cpu *cpu, struct chosen *c)
{
	uint64_t cap = cpu->arch_capabilities;

	c->mask |= MIT_IBRS_ALWAYS | (cap & ARCH_CAP_PBRSB_NO ? 0 : MIT_RSB);
	if (flaws_of(cpu) & HAS_SKYLAKE_RETURNS && !(cap & ARCH_CAP_ITS_NO))
		c->mask |= MIT_RETPOLINE;
	if (!(cap & ARCH_CAP_BHI_NO))
		c->mask |= cpu->leaf7_2_edx & CPUID_7_2_EDX_BHI_CTRL ? MIT_BHI : MIT_BHB;
}

/*
 * Where the return stack of Skylake and its kin runs empty they predict returns by the branch
 * predictor, so that retpolines are no help.
 */
static void choose_intel_branches(const struct mit_cpu *cpu, struct chosen *c)
{
	bool offered = cpu->leaf7_edx & CPUID_7_EDX_IBRS_IBPB;

	use(c, MIT_IBPB, offered, "branch target injection");
	if (cpu->arch_capabilities & ARCH_CAP_IBRS_ALL) {
		choose_with_enhanced_ibrs(cpu, c);
		return;
	}
	c->mask |= MIT_RSB;
	if (offered &&
	    (flaws_of(cpu) & HAS_SKYLAKE_RETURNS || cpu->arch_capabilities & ARCH_CAP_RSBA))
		c->mask |= MIT_IBRS;
	else
		c->mask |= MIT_RETPOLINE;
}

/*
 * MDS, TAA, MMIO stale data and RFDS are all met by a VERW that clears, which MD_CLEAR, FB_CLEAR or
 * RFDS_CLEAR promises. What is free of MDS clears its fill buffers only where FB_CLEAR says so.
 */
static void choose_intel_buffers(const struct mit_cpu *cpu, struct chosen *c)
{
	const uint64_t no_mmio = ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO;
	uint64_t cap = cpu->arch_capabilities;
	uint8_t flaws = flaws_of(cpu);
	bool clears = cpu->leaf7_edx & CPUID_7_EDX_MD_CLEAR;
	bool mds = !(cap & ARCH_CAP_MDS_NO || flaws & NO_MDS);

	if (mds)
		use(c, MIT_VERW, clears, "MDS");
	else if (cpu->leaf7_ebx & CPUID_7_EBX_RTM && !(cap & ARCH_CAP_TAA_NO))
		use(c, MIT_VERW, clears, "TAA");
	if (!mds && flaws & HAS_MMIO && (cap & no_mmio) != no_mmio)
		use(c, MIT_VERW, cap & ARCH_CAP_FB_CLEAR, "MMIO stale data");
	if (flaws & HAS_RFDS && !(cap & ARCH_CAP_RFDS_NO))
		use(c, MIT_VERW, cap & ARCH_CAP_RFDS_CLEAR, "RFDS");
	if (cap & (ARCH_CAP_FB_CLEAR | ARCH_CAP_RFDS_CLEAR))
		c->mask |= MIT_VERW;
}

/*
 * Microcode that is new enough does what is needed about gathers and about RDRAND, unless it is
 * told not to. SRBDS is where MDS is, and where TSX is that leaks.
 */
static void choose_intel_microcode(const struct mit_cpu *cpu, struct chosen *c)
{
	uint64_t cap = cpu->arch_capabilities;
	uint8_t flaws = flaws_of(cpu);
	bool rtm = cpu->leaf7_ebx & CPUID_7_EBX_RTM;

	if (flaws & HAS_GDS && !(cap & ARCH_CAP_GDS_NO))
		use(c, MIT_GDS, cap & ARCH_CAP_GDS_CTRL, "gather data sampling");
	if (flaws & HAS_SRBDS && (rtm || !(cap & ARCH_CAP_MDS_NO)))
		use(c, MIT_SRBDS, cpu->leaf7_edx & CPUID_7_EDX_SRBDS_CTRL, "SRBDS");
}

static void choose_intel(const struct mit_cpu *cpu, struct chosen *c)
{
	uint64_t cap = cpu->arch_capabilities;

	choose_intel_branches(cpu, c);
	choose_intel_buffers(cpu, c);
	choose_intel_microcode(cpu, c);
	if (!(cap & (ARCH_CAP_RDCL_NO | ARCH_CAP_SKIP_L1DFL_VMENTRY)) && !(flaws_of(cpu) & NO_L1TF))
		use(c, MIT_L1D, cpu->leaf7_edx & CPUID_7_EDX_L1D_FLUSH, "L1TF");
}

/*
 * Returns that are predicted from branches of the guest's: AMD-SB-1037 (families 15h to 18h),
 * AMD-SB-7005 (17h to 1Ah, unless the processor says otherwise). IBPB covers returns as well where
 * IBPB_BRTYPE says so, and always did on families up to 18h. On family 19h that bit may be missing
 * with good microcode, too: IBPB is used, and the user told that it may not do.
 */
static void choose_amd_returns(const struct mit_cpu *cpu, struct chosen *c)
{
	bool ibpb = cpu->ext8_ebx & CPUID_80000008_EBX_IBPB;

	if (cpu->family >= 0x15 && cpu->family <= 0x18) {
		use(c, MIT_IBPB_EXIT, ibpb, "return prediction (retbleed, SRSO)");
	} else if (cpu->family >= 0x19 && !(cpu->ext21_eax & CPUID_80000021_EAX_SRSO_NO)) {
		c->mask |= ibpb ? MIT_IBPB_EXIT : 0;
		use(c, 0, ibpb && cpu->ext21_eax & CPUID_80000021_EAX_IBPB_BRTYPE,
		    "return prediction (SRSO)");
	}
}

/* Zen 2, by AMD-SB-7008. DE_CFG's bit does no harm where the microcode is new enough. */
static bool is_zen_2(const struct mit_cpu *cpu)
{
	static const struct {
		uint8_t first, last;
	} ranges[] = {{0x30, 0x4f}, {0x60, 0x7f}, {0x90, 0x91}, {0xa0, 0xaf}};

	for (size_t i = 0; cpu->family == 0x17 && i < ARRAY_SIZE(ranges); i++)
		if (cpu->model >= ranges[i].first && cpu->model <= ranges[i].last)
			return true;
	return false;
}

/* Transient scheduler attacks (AMD-SB-7029): Zen 3 and Zen 4. */
static bool has_tsa(const struct mit_cpu *cpu)
{
	const uint32_t no = CPUID_80000021_ECX_TSA_SQ_NO | CPUID_80000021_ECX_TSA_L1_NO;

	return cpu->family == 0x19 && (cpu->ext21_ecx & no) != no;
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
	if (is_zen_2(cpu))
		c->mask |= MIT_ZENBLEED;
	if (has_tsa(cpu))
		use(c, MIT_VERW, cpu->ext21_eax & CPUID_80000021_EAX_VERW_CLEAR, "TSA");
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

/* In the order that they are said in. */
#define NAMES(F)                                                                  \
	F(MIT_VERW, "VERW before entries (MDS, TAA, MMIO stale data, RFDS, TSA)") \
	F(MIT_L1D, "L1D flush for another vCPU (L1TF)")                           \
	F(MIT_IBPB, "IBPB for another VM (Spectre v2)")                           \
	F(MIT_IBRS_ALWAYS, "enhanced IBRS (Spectre v2)")                          \
	F(MIT_AUTO_IBRS, "automatic IBRS (Spectre v2)")                           \
	F(MIT_IBRS, "IBRS after exits (Spectre v2, retbleed)")                    \
	F(MIT_RETPOLINE, "retpolines (Spectre v2)")                               \
	F(MIT_BHI, "BHI_DIS_S (branch history injection)")                        \
	F(MIT_BHB, "branch history cleared after exits")                          \
	F(MIT_RSB, "return stack filled after exits (SpectreRSB)")                \
	F(MIT_IBPB_EXIT, "IBPB after exits (retbleed, SRSO)")                     \
	F(MIT_GDS, "microcode (gather data sampling)")                            \
	F(MIT_SRBDS, "microcode (SRBDS)")                                         \
	F(MIT_ZENBLEED, "DE_CFG[9] (Zenbleed)")

#define BIT_OF(bit, name) bit,
#define NAME(bit, name)	  name "\0"

void mitigations_names(uint32_t mask, struct strbuf *sb)
{
	static const uint16_t bits[] = {NAMES(BIT_OF)};
	size_t before = sb->len;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
		if (mask & bits[i])
			sb_printf(sb, "%s%s", sb->len > before ? ", " : "",
				  nth_name(NAMES(NAME), i));
	if (sb->len == before)
		sb_puts(sb, "none");
}
