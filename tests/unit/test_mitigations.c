/* links: arch/x86/mitigations.c lib/strbuf.c lib/fmt.c */
/* Which countermeasures a processor gets, for processors as CPUID describes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/mitigations.h"
#include "arch/x86/msr.h"

#define INTEL_MICROCODE                                                     \
	(CPUID_7_EDX_MD_CLEAR | CPUID_7_EDX_IBRS_IBPB | CPUID_7_EDX_STIBP | \
	 CPUID_7_EDX_L1D_FLUSH | CPUID_7_EDX_SSBD)

static const struct {
	const char *name;
	struct mit_cpu cpu;
	uint32_t wanted;
	const char *missing;
} processors[] = {
	{"Skylake-X, microcode of its first year",
	 {.intel = true, .family = 6, .model = 0x55, .leaf7_ebx = CPUID_7_EBX_RTM},
	 MIT_RETPOLINE | MIT_RSB,
	 "branch target injection, MDS, gather data sampling, L1TF"},
	{"Skylake-X",
	 {.intel = true,
	  .family = 6,
	  .model = 0x55,
	  .leaf7_ebx = CPUID_7_EBX_RTM,
	  .leaf7_edx = INTEL_MICROCODE,
	  .arch_capabilities = ARCH_CAP_GDS_CTRL},
	 MIT_IBPB | MIT_IBRS | MIT_RSB | MIT_VERW | MIT_L1D | MIT_GDS,
	 ""},
	{"Kaby Lake",
	 {.intel = true,
	  .family = 6,
	  .model = 0x9e,
	  .leaf7_edx = INTEL_MICROCODE | CPUID_7_EDX_SRBDS_CTRL,
	  .arch_capabilities = ARCH_CAP_GDS_CTRL},
	 MIT_IBPB | MIT_IBRS | MIT_RSB | MIT_VERW | MIT_L1D | MIT_GDS | MIT_SRBDS,
	 ""},
	{"Coffee Lake without MDS and TSX, whose RDRAND does not leak",
	 {.intel = true,
	  .family = 6,
	  .model = 0x9e,
	  .leaf7_edx = INTEL_MICROCODE,
	  .arch_capabilities = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_MDS_NO |
			       ARCH_CAP_FB_CLEAR | ARCH_CAP_GDS_CTRL},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_RETPOLINE | MIT_RSB | MIT_BHB | MIT_VERW | MIT_GDS,
	 ""},
	{"Haswell",
	 {.intel = true, .family = 6, .model = 0x3c, .leaf7_edx = INTEL_MICROCODE},
	 MIT_IBPB | MIT_RETPOLINE | MIT_RSB | MIT_VERW | MIT_L1D,
	 "SRBDS"},
	{"Haswell of servers, which has no SRBDS",
	 {.intel = true, .family = 6, .model = 0x3f, .leaf7_edx = INTEL_MICROCODE},
	 MIT_IBPB | MIT_RETPOLINE | MIT_RSB | MIT_VERW | MIT_L1D,
	 ""},
	{"one that says that its returns are predicted otherwise (RSBA)",
	 {.intel = true,
	  .family = 6,
	  .model = 0x3f,
	  .leaf7_edx = INTEL_MICROCODE,
	  .arch_capabilities = ARCH_CAP_RSBA | ARCH_CAP_MDS_NO | ARCH_CAP_SKIP_L1DFL_VMENTRY},
	 MIT_IBPB | MIT_IBRS | MIT_RSB,
	 ""},
	{"Cascade Lake: TSX leaks, MDS does not",
	 {.intel = true,
	  .family = 6,
	  .model = 0x55,
	  .leaf7_ebx = CPUID_7_EBX_RTM,
	  .leaf7_edx = INTEL_MICROCODE,
	  .arch_capabilities = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_MDS_NO |
			       ARCH_CAP_FB_CLEAR | ARCH_CAP_GDS_CTRL},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_RETPOLINE | MIT_RSB | MIT_BHB | MIT_VERW | MIT_GDS,
	 ""},
	{"Cascade Lake of before MMIO stale data, below a hypervisor that says ITS_NO",
	 {.intel = true,
	  .family = 6,
	  .model = 0x55,
	  .leaf7_edx = INTEL_MICROCODE,
	  .arch_capabilities = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_MDS_NO |
			       ARCH_CAP_BHI_NO | ARCH_CAP_GDS_NO | ARCH_CAP_ITS_NO},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_RSB,
	 "MMIO stale data"},
	{"Ice Lake: MMIO stale data",
	 {.intel = true,
	  .family = 6,
	  .model = 0x6a,
	  .leaf7_edx = INTEL_MICROCODE,
	  .arch_capabilities = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_MDS_NO |
			       ARCH_CAP_TAA_NO | ARCH_CAP_FB_CLEAR | ARCH_CAP_GDS_CTRL},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_RSB | MIT_VERW | MIT_BHB | MIT_GDS,
	 ""},
	{"Sapphire Rapids",
	 {.intel = true,
	  .family = 6,
	  .model = 0x8f,
	  .leaf7_edx = INTEL_MICROCODE,
	  .leaf7_2_edx = CPUID_7_2_EDX_BHI_CTRL,
	  .arch_capabilities = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_MDS_NO |
			       ARCH_CAP_TAA_NO | ARCH_CAP_PBRSB_NO},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_BHI,
	 ""},
	{"an Atom with register files that leak",
	 {.intel = true,
	  .family = 6,
	  .model = 0x9c,
	  .leaf7_edx = INTEL_MICROCODE,
	  .arch_capabilities = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_MDS_NO |
			       ARCH_CAP_BHI_NO | ARCH_CAP_PBRSB_NO | ARCH_CAP_RFDS_CLEAR |
			       ARCH_CAP_FB_CLEAR},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_VERW,
	 ""},
	{"Alder Lake without its small cores",
	 {.intel = true,
	  .family = 6,
	  .model = 0x97,
	  .leaf7_edx = INTEL_MICROCODE,
	  .leaf7_2_edx = CPUID_7_2_EDX_BHI_CTRL,
	  .arch_capabilities = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_MDS_NO |
			       ARCH_CAP_TAA_NO | ARCH_CAP_PBRSB_NO | ARCH_CAP_RFDS_NO},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_BHI,
	 ""},
	{"Alder Lake, microcode of before RFDS",
	 {.intel = true,
	  .family = 6,
	  .model = 0x97,
	  .leaf7_edx = INTEL_MICROCODE,
	  .leaf7_2_edx = CPUID_7_2_EDX_BHI_CTRL,
	  .arch_capabilities = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_MDS_NO |
			       ARCH_CAP_TAA_NO | ARCH_CAP_PBRSB_NO},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_BHI,
	 "RFDS"},
	{"Silvermont",
	 {.intel = true, .family = 6, .model = 0x37, .leaf7_edx = INTEL_MICROCODE},
	 MIT_IBPB | MIT_RETPOLINE | MIT_RSB | MIT_VERW,
	 ""},
	{"Zen 1",
	 {.amd = true, .family = 0x17, .model = 0x01, .ext8_ebx = CPUID_80000008_EBX_IBPB},
	 MIT_IBPB | MIT_RETPOLINE | MIT_RSB | MIT_IBPB_EXIT,
	 ""},
	{"Zen 2",
	 {.amd = true, .family = 0x17, .model = 0x31, .ext8_ebx = CPUID_80000008_EBX_IBPB},
	 MIT_IBPB | MIT_RETPOLINE | MIT_RSB | MIT_IBPB_EXIT | MIT_ZENBLEED,
	 ""},
	{"Zen 3, whose microcode may be of before SRSO",
	 {.amd = true, .family = 0x19, .model = 0x01, .ext8_ebx = CPUID_80000008_EBX_IBPB},
	 MIT_IBPB | MIT_RETPOLINE | MIT_RSB | MIT_IBPB_EXIT,
	 "return prediction (SRSO), TSA"},
	{"Zen 4",
	 {.amd = true,
	  .family = 0x19,
	  .model = 0x11,
	  .ext8_ebx = CPUID_80000008_EBX_IBPB,
	  .ext21_eax = CPUID_80000021_EAX_AUTO_IBRS | CPUID_80000021_EAX_IBPB_BRTYPE |
		       CPUID_80000021_EAX_VERW_CLEAR,
	  .ext21_ecx = CPUID_80000021_ECX_TSA_L1_NO},
	 MIT_IBPB | MIT_AUTO_IBRS | MIT_IBPB_EXIT | MIT_VERW,
	 ""},
	{"Zen 4 without TSA",
	 {.amd = true,
	  .family = 0x19,
	  .model = 0x11,
	  .ext8_ebx = CPUID_80000008_EBX_IBPB,
	  .ext21_eax = CPUID_80000021_EAX_AUTO_IBRS | CPUID_80000021_EAX_IBPB_BRTYPE,
	  .ext21_ecx = CPUID_80000021_ECX_TSA_SQ_NO | CPUID_80000021_ECX_TSA_L1_NO},
	 MIT_IBPB | MIT_AUTO_IBRS | MIT_IBPB_EXIT,
	 ""},
	{"one of AMD's without the flaw",
	 {.amd = true,
	  .family = 0x1a,
	  .ext8_ebx = CPUID_80000008_EBX_IBPB,
	  .ext21_eax = CPUID_80000021_EAX_AUTO_IBRS | CPUID_80000021_EAX_SRSO_NO},
	 MIT_IBPB | MIT_AUTO_IBRS,
	 ""},
	{"family 10h, which has no IBPB",
	 {.amd = true, .family = 0x10},
	 MIT_RETPOLINE | MIT_RSB,
	 "branch target injection"},
	{"QEMU's own", {.amd = true, .family = 6, .model = 6}, 0, ""},
	{"a vendor that nobody knows", {.family = 7}, MIT_RETPOLINE | MIT_RSB, ""},
};

static void each_processor_gets_what_it_needs(void **state)
{
	char text[200];
	struct strbuf missing;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(processors); i++) {
		uint32_t got;

		sb_init(&missing, text, sizeof(text));
		got = mitigations_choose(&processors[i].cpu, &missing);
		if (got != processors[i].wanted)
			fail_msg("%s: %#x, not %#x", processors[i].name, got, processors[i].wanted);
		assert_string_equal(text, processors[i].missing);
	}
}

static void names(void **state)
{
	char text[700];
	struct strbuf sb;

	(void)state;
	sb_init(&sb, text, sizeof(text));
	mitigations_names(0, &sb);
	assert_string_equal(text, "none");
	sb_reset(&sb);
	mitigations_names(MIT_IBPB | MIT_AUTO_IBRS, &sb);
	assert_string_equal(text, "IBPB for another VM (Spectre v2), automatic IBRS (Spectre v2)");
	sb_reset(&sb);
	mitigations_names(~0u, &sb);
	assert_false(sb.cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_processor_gets_what_it_needs),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
