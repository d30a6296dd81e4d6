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
	 "branch target injection, MDS, L1TF"},
	{"Skylake-X",
	 {.intel = true,
	  .family = 6,
	  .model = 0x55,
	  .leaf7_ebx = CPUID_7_EBX_RTM,
	  .leaf7_edx = INTEL_MICROCODE},
	 MIT_IBPB | MIT_IBRS | MIT_RSB | MIT_VERW | MIT_L1D,
	 ""},
	{"Haswell",
	 {.intel = true, .family = 6, .model = 0x3c, .leaf7_edx = INTEL_MICROCODE},
	 MIT_IBPB | MIT_RETPOLINE | MIT_RSB | MIT_VERW | MIT_L1D,
	 ""},
	{"one that says that its returns are predicted otherwise (RSBA)",
	 {.intel = true,
	  .family = 6,
	  .model = 0x3c,
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
	  .arch_capabilities =
		  ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_MDS_NO | ARCH_CAP_BHI_NO},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_RSB | MIT_VERW,
	 ""},
	{"Ice Lake: MMIO stale data",
	 {.intel = true,
	  .family = 6,
	  .model = 0x6a,
	  .leaf7_edx = INTEL_MICROCODE,
	  .arch_capabilities = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_MDS_NO |
			       ARCH_CAP_TAA_NO | ARCH_CAP_FB_CLEAR},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_RSB | MIT_VERW | MIT_RETPOLINE,
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
			       ARCH_CAP_BHI_NO | ARCH_CAP_PBRSB_NO | ARCH_CAP_RFDS_CLEAR},
	 MIT_IBPB | MIT_IBRS_ALWAYS | MIT_VERW,
	 ""},
	{"Zen 2",
	 {.amd = true, .family = 0x17, .model = 0x31, .ext8_ebx = CPUID_80000008_EBX_IBPB},
	 MIT_IBPB | MIT_RETPOLINE | MIT_RSB | MIT_IBPB_EXIT,
	 ""},
	{"Zen 3, microcode of before SRSO",
	 {.amd = true, .family = 0x19, .model = 0x01, .ext8_ebx = CPUID_80000008_EBX_IBPB},
	 MIT_IBPB | MIT_RETPOLINE | MIT_RSB,
	 "return prediction (SRSO)"},
	{"Zen 4",
	 {.amd = true,
	  .family = 0x19,
	  .model = 0x11,
	  .ext8_ebx = CPUID_80000008_EBX_IBPB,
	  .ext21_eax = CPUID_80000021_EAX_AUTO_IBRS | CPUID_80000021_EAX_IBPB_BRTYPE},
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
