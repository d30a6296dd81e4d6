/* links: tests/unit/support/vmx_caps.c arch/x86/paging.c lib/strbuf.c lib/fmt.c lib/log.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c */
/* What VT-x needs and has: SDM vol. 3D appendix A, on values of Bochs 2.7's corei7_skylake_x. */
#include "tests/unit/support/fake_core.h"
#include "tests/unit/support/fake_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "core/sched.h"
#include "lib/err.h"
#include "lib/strbuf.h"
#include "vmx/internal.h"

#define HIGH(bit)     ((uint64_t)(bit) << 32)
#define SKYLAKE	      0x50654u
#define FC_ON_LOCKED  (FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX)
#define FC_SMX_LOCKED (FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_IN_SMX)

_Noreturn void sched_loop(struct pcpu *cpu)
{
	(void)cpu;
	abort();
}

static char text[4096];
static struct strbuf lines;

static struct hv_caps skylake(void)
{
	struct hv_caps caps = {0};
	uint64_t *raw = caps.raw;

	raw[RAW_BASIC] = 0x00d810000000002b;
	raw[RAW_PIN] = 0x0000007f00000016;
	raw[RAW_PROC] = 0xf7f9fffe0401e172;
	raw[RAW_PROC2] = 0x02177fff00000000;
	raw[RAW_EXIT] = 0x007fffff00036dff;
	raw[RAW_ENTRY] = 0x0000ffff000011ff;
	raw[RAW_EPT_VPID] = 0x00000f0106334141;
	raw[RAW_MISC] = 0x600401e0;
	raw[RAW_CR0_FIXED0] = 0x80000021;
	raw[RAW_CR0_FIXED1] = 0xffffffff;
	raw[RAW_CR4_FIXED0] = 0x2000;
	raw[RAW_CR4_FIXED1] = 0x3727ff;
	raw[RAW_CPUID_1_EAX] = SKYLAKE;
	raw[RAW_80000001_EDX] = CPUID_80000001_EDX_NX;
	return caps;
}

static int check(struct hv_caps *caps)
{
	memset(&vmx_controls, 0, sizeof(vmx_controls));
	sb_init(&lines, text, sizeof(text));
	return vmx_check(caps, &lines);
}

static unsigned int line_count(void)
{
	unsigned int n = 0;

	for (const char *p = text; *p; p++)
		n += *p == '\n';
	return n;
}

static void test_skylake(void **state)
{
	struct hv_caps caps = skylake();
	const struct vmx_controls *c = &vmx_controls;

	(void)state;
	assert_int_equal(check(&caps), 0);
	assert_string_equal(text, "");
	assert_ptr_equal(caps.npt, &ept_format);
	assert_int_equal(caps.features, HV_F_DEADLINE | HV_F_NPT_1G | HV_F_NEXT_RIP |
						HV_F_APIC_REGISTERS | HV_F_VID | HV_F_X2APIC |
						HV_F_PAUSE | HV_F_EXEC_4K);
	assert_int_equal(c->revision, 0x2b);
	assert_int_equal(c->timer_shift, 0);
	/* Nothing is on that may not be, nothing off that must be on. */
	for (int i = 0; i < 5; i++) {
		const uint32_t values[] = {c->pin, c->proc, c->proc2, c->exit, c->entry};
		const int raw[] = {RAW_PIN, RAW_PROC, RAW_PROC2, RAW_EXIT, RAW_ENTRY};

		assert_int_equal(values[i] & ~(uint32_t)(caps.raw[raw[i]] >> 32), 0);
		assert_int_equal((uint32_t)caps.raw[raw[i]] & ~values[i], 0);
	}
	/* What is switched at run time starts off. */
	assert_int_equal(c->proc & (PROC_INTR_WINDOW | PROC_NMI_WINDOW | PROC_MOV_DR), 0);
	assert_int_equal(c->entry & ENTRY_IA32E, 0);
	/* MOV to CR3 exits where it must, and nowhere else: the TRUE controls let it be. */
	assert_int_equal(c->proc & PROC_CR3_LOAD, PROC_CR3_LOAD);
	caps.raw[RAW_PROC] = 0xf7f9fffe04006172;
	assert_int_equal(check(&caps), 0);
	assert_int_equal(c->proc & (PROC_CR3_LOAD | PROC_CR3_STORE), 0);
}

static void test_spec_ctrl(void **state)
{
	struct hv_caps caps = skylake();

	(void)state;
	caps.raw[RAW_CPUID_7_EDX] = CPUID_7_EDX_SSBD;
	assert_int_equal(check(&caps), 0);
	assert_true(caps.features & HV_F_SPEC_CTRL);
	caps.raw[RAW_CPUID_7_EDX] = CPUID_7_EDX_MD_CLEAR;
	assert_int_equal(check(&caps), 0);
	assert_false(caps.features & HV_F_SPEC_CTRL);
}

static const struct {
	int raw;
	uint32_t bit;
	const char *name;
} required[] = {
	{RAW_PIN, PIN_EXTERNAL_INTR, "external-interrupt exiting"},
	{RAW_PIN, PIN_NMI, "NMI exiting"},
	{RAW_PIN, PIN_VIRTUAL_NMI, "virtual NMIs"},
	{RAW_PROC, PROC_INTR_WINDOW, "interrupt-window exiting"},
	{RAW_PROC, PROC_TSC_OFFSET, "use TSC offsetting"},
	{RAW_PROC, PROC_HLT, "HLT exiting"},
	{RAW_PROC, PROC_MWAIT, "MWAIT exiting"},
	{RAW_PROC, PROC_RDPMC, "RDPMC exiting"},
	{RAW_PROC, PROC_TPR_SHADOW, "use TPR shadow"},
	{RAW_PROC, PROC_NMI_WINDOW, "NMI-window exiting"},
	{RAW_PROC, PROC_MOV_DR, "MOV-DR exiting"},
	{RAW_PROC, PROC_IO_BITMAPS, "use I/O bitmaps"},
	{RAW_PROC, PROC_MSR_BITMAPS, "use MSR bitmaps"},
	{RAW_PROC, PROC_MONITOR, "MONITOR exiting"},
	{RAW_PROC2, PROC2_EPT, "enable EPT"},
	{RAW_PROC2, PROC2_VPID, "enable VPID"},
	{RAW_PROC2, PROC2_UNRESTRICTED, "unrestricted guest"},
	{RAW_EXIT, EXIT_SAVE_DEBUG, "save debug controls"},
	{RAW_EXIT, EXIT_HOST_64, "host address-space size"},
	{RAW_EXIT, EXIT_SAVE_PAT, "save IA32_PAT"},
	{RAW_EXIT, EXIT_LOAD_PAT, "load IA32_PAT"},
	{RAW_EXIT, EXIT_SAVE_EFER, "save IA32_EFER"},
	{RAW_EXIT, EXIT_LOAD_EFER, "load IA32_EFER"},
	{RAW_ENTRY, ENTRY_LOAD_DEBUG, "load debug controls"},
	{RAW_ENTRY, ENTRY_IA32E, "IA-32e mode guest"},
	{RAW_ENTRY, ENTRY_LOAD_PAT, "load IA32_PAT"},
	{RAW_ENTRY, ENTRY_LOAD_EFER, "load IA32_EFER"},
};

static void assert_named(const char *name)
{
	char quoted[64];

	snprintf(quoted, sizeof(quoted), "'%s'", name);
	assert_non_null(strstr(text, quoted));
}

static void test_each_required_control(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
		struct hv_caps caps = skylake();

		caps.raw[required[i].raw] &= ~HIGH(required[i].bit);
		assert_int_equal(check(&caps), -ENODEV);
		assert_int_equal(line_count(), 1);
		assert_named(required[i].name);
	}
}

static void test_all_at_once(void **state)
{
	struct hv_caps caps = skylake();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(required); i++)
		caps.raw[required[i].raw] &= ~HIGH(required[i].bit);
	caps.raw[RAW_FEATURE_CONTROL] = FEATURE_CONTROL_LOCK;
	caps.raw[RAW_EPT_VPID] = 0;
	assert_int_equal(check(&caps), -ENODEV);
	for (size_t i = 0; i < ARRAY_SIZE(required); i++)
		assert_named(required[i].name);
	assert_non_null(strstr(text, "IA32_FEATURE_CONTROL"));
}

/* Old processors: one line says what the others follow from, and the EPT MSR is not looked at. */
static void test_no_secondary_controls(void **state)
{
	struct hv_caps caps = skylake();

	(void)state;
	caps.raw[RAW_PROC] &= ~HIGH(PROC_SECONDARY);
	caps.raw[RAW_PROC2] = 0;
	caps.raw[RAW_EPT_VPID] = 0;
	assert_int_equal(check(&caps), -ENODEV);
	assert_named("activate secondary controls");
	assert_named("enable EPT");
	assert_null(strstr(text, "INVEPT"));
	assert_int_equal(line_count(), 4);
}

static void test_ept_capabilities(void **state)
{
	static const struct {
		uint64_t bits;
		const char *name;
	} needs[] = {
		{EPT_CAP_WALK4, "page-walk length of 4"},
		{EPT_CAP_WB, "write-back memory type"},
		{EPT_CAP_2M, "2-MByte pages"},
		{EPT_CAP_INVEPT, "without INVEPT\n"},
		{EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL, "INVEPT of one or all"},
		{VPID_CAP_INVVPID, "without INVVPID\n"},
		{VPID_CAP_SINGLE | VPID_CAP_ALL, "INVVPID of one or all"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		struct hv_caps caps = skylake();

		caps.raw[RAW_EPT_VPID] &= ~needs[i].bits;
		assert_int_equal(check(&caps), -ENODEV);
		assert_int_equal(line_count(), 1);
		assert_non_null(strstr(text, needs[i].name));
	}
}

/* Where one context cannot be flushed alone, all are. */
static void test_flush_types(void **state)
{
	struct hv_caps caps = skylake();

	(void)state;
	assert_int_equal(check(&caps), 0);
	assert_int_equal(vmx_controls.invept_type, 1);
	assert_int_equal(vmx_controls.invvpid_type, 1);
	caps.raw[RAW_EPT_VPID] &= ~(EPT_CAP_INVEPT_SINGLE | VPID_CAP_SINGLE);
	assert_int_equal(check(&caps), 0);
	assert_int_equal(vmx_controls.invept_type, 2);
	assert_int_equal(vmx_controls.invvpid_type, 2);
}

static void test_feature_control(void **state)
{
	struct hv_caps caps = skylake();

	(void)state;
	/* Unlocked, with or without the bit: turning the core on sets and locks it. */
	caps.raw[RAW_FEATURE_CONTROL] = 0;
	assert_int_equal(check(&caps), 0);
	caps.raw[RAW_FEATURE_CONTROL] = FC_ON_LOCKED;
	assert_int_equal(check(&caps), 0);
	caps.raw[RAW_FEATURE_CONTROL] = FEATURE_CONTROL_LOCK;
	assert_int_equal(check(&caps), -ENODEV);
	assert_non_null(strstr(text, "firmware setup"));
	assert_null(strstr(text, "SMX"));
	caps.raw[RAW_FEATURE_CONTROL] = FC_SMX_LOCKED;
	assert_int_equal(check(&caps), -ENODEV);
	assert_non_null(strstr(text, "inside SMX alone"));
}

static void test_vmcs_memory_type(void **state)
{
	struct hv_caps caps = skylake();

	(void)state;
	caps.raw[RAW_BASIC] &= ~(0xfull << 50);
	assert_int_equal(check(&caps), -ENODEV);
	assert_non_null(strstr(text, "write-back"));
}

/* An exit would set the timer back: without "save" it is of no use, and the other way round. */
static void test_preemption_timer_needs_both(void **state)
{
	struct hv_caps caps = skylake();

	(void)state;
	caps.raw[RAW_EXIT] &= ~HIGH(EXIT_SAVE_TIMER);
	assert_int_equal(check(&caps), 0);
	assert_false(caps.features & HV_F_DEADLINE);
	assert_false(vmx_controls.pin & PIN_PREEMPTION_TIMER);
	caps = skylake();
	caps.raw[RAW_PIN] &= ~HIGH(PIN_PREEMPTION_TIMER);
	assert_int_equal(check(&caps), 0);
	assert_false(caps.features & HV_F_DEADLINE);
	assert_false(vmx_controls.exit & EXIT_SAVE_TIMER);
}

static void test_optional_controls(void **state)
{
	static const struct {
		uint32_t bit, feature;
		bool set;
	} cases[] = {
		{PROC2_RDTSCP, HV_F_NO_RDTSCP, true},
		{PROC2_INVPCID, HV_F_NO_INVPCID, true},
		{PROC2_XSAVES, HV_F_NO_XSAVES, true},
		{PROC2_APIC_REGISTERS, HV_F_VID | HV_F_APIC_REGISTERS | HV_F_X2APIC, false},
		{PROC2_VID, HV_F_VID | HV_F_APIC_REGISTERS | HV_F_X2APIC, false},
		{PROC2_APIC_ACCESS, HV_F_VID | HV_F_APIC_REGISTERS, false},
		{PROC2_X2APIC, HV_F_X2APIC, false},
		{PROC2_PAUSE_LOOP, HV_F_PAUSE, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hv_caps caps = skylake();

		caps.raw[RAW_PROC2] &= ~HIGH(cases[i].bit);
		assert_int_equal(check(&caps), 0);
		assert_int_equal(caps.features & cases[i].feature,
				 cases[i].set ? cases[i].feature : 0);
	}
}

/* INTEL-SA-00210: models by family 6, and what the processor says of itself. */
static void test_itlb_multihit(void **state)
{
	static const struct {
		uint32_t signature;
		uint64_t arch_capabilities;
		bool has;
	} cases[] = {
		{SKYLAKE, 0, true},
		{SKYLAKE, ARCH_CAP_IF_PSCHANGE_MC_NO, false},
		{SKYLAKE, ARCH_CAP_RDCL_NO, true},
		{0x306a9, 0, true},  /* Ivy Bridge */
		{0x506c9, 0, false}, /* Goldmont */
		{0x90661, 0, false}, /* Elkhart Lake, Tremont */
		{0x106ca, 0, false}, /* Bonnell */
		{0x00f61, 0, false}, /* no family 6 */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hv_caps caps = skylake();

		caps.raw[RAW_CPUID_1_EAX] = cases[i].signature;
		caps.raw[RAW_ARCH_CAPABILITIES] = cases[i].arch_capabilities;
		assert_int_equal(check(&caps), 0);
		assert_int_equal(!!(caps.features & HV_F_EXEC_4K), cases[i].has);
	}
}

/* ---- on the core ---- */

static void set_common_msrs(void)
{
	fake_machine_reset(1);
	fake_set_leaf(0, 0, 0x16, 0, 0, 0);
	fake_set_leaf(1, 0, SKYLAKE, 0, CPUID_1_ECX_VMX, 0);
	fake_set_msr(MSR_IA32_FEATURE_CONTROL, 5);
	fake_set_msr(MSR_IA32_VMX_MISC, 7);
	for (uint32_t i = MSR_IA32_VMX_CR0_FIXED0; i <= MSR_IA32_VMX_CR4_FIXED1; i++)
		fake_set_msr(i, i);
}

/* A processor without the TRUE controls and without secondary ones: their MSRs raise #GP. */
static void test_probe_reads_what_there_is(void **state)
{
	struct hv_caps caps = {0};

	(void)state;
	set_common_msrs();
	fake_set_msr(MSR_IA32_VMX_BASIC, 0x0018100000000004);
	fake_set_msr(MSR_IA32_VMX_PINBASED_CTLS, 0x11);
	fake_set_msr(MSR_IA32_VMX_PROCBASED_CTLS, 0x12);
	fake_set_msr(MSR_IA32_VMX_EXIT_CTLS, 0x13);
	fake_set_msr(MSR_IA32_VMX_ENTRY_CTLS, 0x14);
	vmx_probe(&caps);
	assert_int_equal(caps.raw[RAW_PIN], 0x11);
	assert_int_equal(caps.raw[RAW_PROC], 0x12);
	assert_int_equal(caps.raw[RAW_EXIT], 0x13);
	assert_int_equal(caps.raw[RAW_ENTRY], 0x14);
	assert_int_equal(caps.raw[RAW_FEATURE_CONTROL], 5);
	assert_int_equal(caps.raw[RAW_PROC2], 0);
}

static void test_probe_prefers_true_controls(void **state)
{
	struct hv_caps caps = {0};

	(void)state;
	set_common_msrs();
	fake_set_leaf(7, 0, 0, 0, 0, CPUID_7_EDX_ARCH_CAPABILITIES);
	fake_set_msr(MSR_IA32_ARCH_CAPABILITIES, 0x99);
	fake_set_msr(MSR_IA32_VMX_BASIC, 0x00d8100000000004);
	fake_set_msr(MSR_IA32_VMX_TRUE_PINBASED_CTLS, 0x21);
	fake_set_msr(MSR_IA32_VMX_TRUE_PROCBASED_CTLS, HIGH(PROC_SECONDARY));
	fake_set_msr(MSR_IA32_VMX_TRUE_EXIT_CTLS, 0x23);
	fake_set_msr(MSR_IA32_VMX_TRUE_ENTRY_CTLS, 0x24);
	fake_set_msr(MSR_IA32_VMX_PROCBASED_CTLS2, HIGH(PROC2_VPID));
	fake_set_msr(MSR_IA32_VMX_EPT_VPID_CAP, 0x26);
	vmx_probe(&caps);
	assert_int_equal(caps.raw[RAW_PIN], 0x21);
	assert_int_equal(caps.raw[RAW_EXIT], 0x23);
	assert_int_equal(caps.raw[RAW_ENTRY], 0x24);
	assert_int_equal(caps.raw[RAW_PROC2], HIGH(PROC2_VPID));
	assert_int_equal(caps.raw[RAW_EPT_VPID], 0x26);
	assert_int_equal(caps.raw[RAW_ARCH_CAPABILITIES], 0x99);
}

static void test_present(void **state)
{
	(void)state;
	set_common_msrs();
	assert_true(vmx_present());
	fake_set_leaf(1, 0, SKYLAKE, 0, ~(uint32_t)CPUID_1_ECX_VMX, 0);
	assert_false(vmx_present());
}

/* ---- other cores ---- */

static void test_compare(void **state)
{
	struct hv_caps first = skylake(), mine = skylake();

	(void)state;
	sb_init(&lines, text, sizeof(text));
	/* FEATURE_CONTROL may be unlocked on one core and not on another. */
	mine.raw[RAW_FEATURE_CONTROL] = FC_ON_LOCKED;
	assert_int_equal(vmx_compare(&first, &mine, &lines), 0);
	assert_string_equal(text, "");
	mine.raw[RAW_EPT_VPID] ^= EPT_CAP_1G;
	mine.raw[RAW_BASIC]++;
	assert_int_equal(vmx_compare(&first, &mine, &lines), -EINVAL);
	assert_int_equal(line_count(), 2);
	assert_non_null(strstr(text, "IA32_VMX_BASIC is d810000000002c, and d810000000002b on"));
	assert_non_null(strstr(text, "IA32_VMX_EPT_VPID_CAP is f0106314141, and f0106334141"));
}

/* As the two kinds of cores of a hybrid processor may. */
static void test_compare_leaves_out_what_is_not_used(void **state)
{
	struct hv_caps first = skylake(), mine = skylake();

	(void)state;
	sb_init(&lines, text, sizeof(text));
	mine.raw[RAW_PROC2] ^= HIGH(BIT(26)); /* user wait and pause */
	mine.raw[RAW_PROC] ^= HIGH(BIT(27));  /* monitor trap flag */
	mine.raw[RAW_ENTRY] ^= HIGH(BIT(18)); /* load IA32_RTIT_CTL */
	mine.raw[RAW_MISC] ^= BIT(14);	      /* processor trace in VMX operation */
	mine.raw[RAW_EPT_VPID] ^= BIT(21);    /* accessed and dirty flags */
	assert_int_equal(vmx_compare(&first, &mine, &lines), 0);
	assert_string_equal(text, "");
	mine.raw[RAW_PROC2] ^= HIGH(PROC2_VID);
	mine.raw[RAW_MISC]++;	      /* the rate of the preemption timer */
	mine.raw[RAW_EXIT] ^= BIT(0); /* a control that must be on here alone */
	assert_int_equal(vmx_compare(&first, &mine, &lines), -EINVAL);
	assert_int_equal(line_count(), 3);
}

static void test_no_execute(void **state)
{
	struct hv_caps caps = skylake();

	(void)state;
	caps.raw[RAW_80000001_EDX] = 0;
	assert_int_equal(check(&caps), -ENODEV);
	assert_int_equal(line_count(), 1);
	assert_non_null(strstr(text, "Execute Disable Bit"));
}

/* Erratum AAU65 and its like. */
static void test_false_timer(void **state)
{
	struct hv_caps caps = skylake();

	(void)state;
	caps.raw[RAW_CPUID_1_EAX] = 0x20655;
	assert_int_equal(check(&caps), 0);
	assert_false(caps.features & HV_F_DEADLINE);
	assert_false(vmx_controls.pin & PIN_PREEMPTION_TIMER);
	assert_false(vmx_controls.exit & EXIT_SAVE_TIMER);
}

/* What the report and the monitor say of the processor: nothing that it lacks. */
static void test_description(void **state)
{
	struct hv_caps caps = skylake();

	(void)state;
	caps.features = HV_F_DEADLINE | HV_F_NPT_1G;
	caps.raw[RAW_FEATURE_CONTROL] = FC_ON_LOCKED;
	sb_init(&lines, text, sizeof(text));
	vmx_describe(&caps, &lines);
	assert_string_equal(text, "VT-x with EPT, VPID, unrestricted guest, VMX-preemption timer,"
				  " 1-GByte EPT pages\n"
				  "IA32_FEATURE_CONTROL is 5: locked, VMX outside SMX is on\n");
	caps.raw[RAW_FEATURE_CONTROL] = 0;
	sb_init(&lines, text, sizeof(text));
	vmx_describe(&caps, &lines);
	assert_non_null(strstr(text, "is 0: unlocked, will be set to VMX on and locked\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_skylake),
		cmocka_unit_test(test_spec_ctrl),
		cmocka_unit_test(test_each_required_control),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_no_secondary_controls),
		cmocka_unit_test(test_ept_capabilities),
		cmocka_unit_test(test_flush_types),
		cmocka_unit_test(test_feature_control),
		cmocka_unit_test(test_vmcs_memory_type),
		cmocka_unit_test(test_preemption_timer_needs_both),
		cmocka_unit_test(test_optional_controls),
		cmocka_unit_test(test_itlb_multihit),
		cmocka_unit_test(test_probe_reads_what_there_is),
		cmocka_unit_test(test_probe_prefers_true_controls),
		cmocka_unit_test(test_present),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_description),
		cmocka_unit_test(test_compare_leaves_out_what_is_not_used),
		cmocka_unit_test(test_no_execute),
		cmocka_unit_test(test_false_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
