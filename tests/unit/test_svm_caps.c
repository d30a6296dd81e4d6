/* links: svm/caps.c svm/cpu.c svm/vm.c arch/x86/paging.c lib/strbuf.c lib/fmt.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "lib/assert.h"
#include "lib/err.h"
#include "lib/strbuf.h"
#include "svm/internal.h"
#include "svm/svm.h"

_Noreturn void assert_failed(const char *file, int line, const char *what)
{
	fail_msg("%s:%d: %s", file, line, what);
	abort();
}

void *pages_alloc(size_t count)
{
	return memset(aligned_alloc(4096, count * 4096), 0, count * 4096);
}

void pages_free(void *pages, size_t count)
{
	(void)count;
	free(pages);
}

static char text[2048];
static struct strbuf lines;

/* A processor with all that Socle uses and a number of ASIDs that is soon at its end. */
static struct hv_caps complete(void)
{
	struct hv_caps caps = {0};

	caps.raw[SVM_RAW_80000001_ECX] = CPUID_80000001_ECX_SVM;
	caps.raw[SVM_RAW_80000001_EDX] =
		CPUID_80000001_EDX_NX | CPUID_80000001_EDX_PAGE1GB | CPUID_80000001_EDX_RDTSCP;
	caps.raw[SVM_RAW_8000000A_EBX] = 4;
	caps.raw[SVM_RAW_8000000A_EDX] = CPUID_8000000A_EDX_NP | CPUID_8000000A_EDX_NRIPS |
					 CPUID_8000000A_EDX_FLUSH_BY_ASID |
					 CPUID_8000000A_EDX_DECODE_ASSISTS;
	return caps;
}

static int check(struct hv_caps *caps)
{
	sb_init(&lines, text, sizeof(text));
	return svm_check(caps, &lines);
}

static int line_count(void)
{
	int n = 0;

	for (const char *p = text; *p; p++)
		n += *p == '\n';
	return n;
}

static void test_complete(void **state)
{
	struct hv_caps caps = complete();

	(void)state;
	assert_int_equal(check(&caps), 0);
	assert_string_equal(text, "");
	assert_int_equal(caps.features, HV_F_NEXT_RIP | HV_F_NPT_1G);
	assert_int_equal(caps.asid_count, 4);
	assert_ptr_equal(caps.npt, &npt_format);
	assert_true(svm_features.flush_by_asid && svm_features.decode_assists);
	assert_false(svm_features.virtual_nmi);
}

static void test_spec_ctrl(void **state)
{
	struct hv_caps caps = complete();

	(void)state;
	caps.raw[SVM_RAW_8000000A_EDX] |= CPUID_8000000A_EDX_SPEC_CTRL;
	assert_int_equal(check(&caps), 0);
	assert_true(caps.features & HV_F_SPEC_CTRL);
}

/* QEMU 7.2's TCG: nested paging and virtual GIF, nothing else. */
static void test_little(void **state)
{
	struct hv_caps caps = complete();

	(void)state;
	caps.raw[SVM_RAW_8000000A_EDX] = CPUID_8000000A_EDX_NP | CPUID_8000000A_EDX_VGIF;
	assert_int_equal(check(&caps), 0);
	assert_int_equal(caps.features, HV_F_NPT_1G);
	assert_false(svm_features.next_rip || svm_features.decode_assists ||
		     svm_features.flush_by_asid);
}

static void test_no_svm(void **state)
{
	struct hv_caps caps = {0};

	(void)state;
	assert_int_equal(check(&caps), -ENODEV);
	assert_int_equal(line_count(), 1);
	assert_non_null(strstr(text, "SVM (CPUID Fn8000_0001_ECX[2])"));
}

static void test_disabled(void **state)
{
	struct hv_caps caps = complete();

	(void)state;
	caps.raw[SVM_RAW_VM_CR] = VM_CR_SVMDIS | VM_CR_LOCK;
	assert_int_equal(check(&caps), -ENODEV);
	assert_non_null(strstr(text, "VM_CR.SVMDIS"));
	assert_non_null(strstr(text, "firmware setup"));
	/* Unlocked, turning the core on clears it. */
	caps.raw[SVM_RAW_VM_CR] = VM_CR_SVMDIS;
	assert_int_equal(check(&caps), 0);
	caps.raw[SVM_RAW_VM_CR] = VM_CR_LOCK;
	assert_int_equal(check(&caps), 0);
}

static void test_all_at_once(void **state)
{
	struct hv_caps caps = complete();

	(void)state;
	caps.raw[SVM_RAW_VM_CR] = VM_CR_SVMDIS | VM_CR_LOCK;
	caps.raw[SVM_RAW_8000000A_EDX] &= ~CPUID_8000000A_EDX_NP;
	caps.raw[SVM_RAW_8000000A_EBX] = 1;
	assert_int_equal(check(&caps), -ENODEV);
	assert_int_equal(line_count(), 3);
	assert_non_null(strstr(text, "NP, nested paging"));
	assert_non_null(strstr(text, "NASID"));
}

static void test_intercepts_only_of_known_instructions(void **state)
{
	struct hv_caps caps = complete();

	(void)state;
	check(&caps);
	assert_int_equal(svm_features.word4, 0);
	assert_int_equal(svm_features.word5, 0);
	caps.raw[SVM_RAW_80000008_EBX] = BIT(4) | CPUID_80000008_EBX_INVLPGB;
	check(&caps);
	assert_int_equal(svm_features.word4, INTERCEPT_RDPRU);
	assert_int_equal(svm_features.word5,
			 INTERCEPT_INVLPGB | INTERCEPT_INVLPGB_ILLEGAL | INTERCEPT_TLBSYNC);
}

static void test_compare(void **state)
{
	struct hv_caps first = complete(), other = complete();

	(void)state;
	sb_init(&lines, text, sizeof(text));
	other.raw[SVM_RAW_8000000A_EDX] |= CPUID_8000000A_EDX_LBR_VIRT; /* not used */
	assert_int_equal(svm_compare(&first, &other, &lines), 0);
	assert_string_equal(text, "");
	other.raw[SVM_RAW_8000000A_EDX] &= ~CPUID_8000000A_EDX_DECODE_ASSISTS;
	other.raw[SVM_RAW_8000000A_EBX] = 2;
	assert_int_equal(svm_compare(&first, &other, &lines), -EINVAL);
	assert_int_equal(line_count(), 2);
	assert_non_null(strstr(text, "DecodeAssists"));
	assert_non_null(strstr(text, "ASIDs"));
}

/* Three vCPUs on a core of four ASIDs (0 is the host's), as cpu_on() leaves it. */
struct asid_bed {
	struct svm_cpu *cpu[2];
	struct svm_vcpu *vcpu[4];
	struct vm vm;
};

static int set_up_asids(void **state)
{
	struct asid_bed *bed = calloc(1, sizeof(*bed));
	struct hv_caps caps = complete();

	check(&caps);
	for (int i = 0; i < 2; i++) {
		bed->cpu[i] = pages_alloc(4);
		bed->cpu[i]->asid_generation = 1;
		bed->cpu[i]->asid_next = svm_features.asid_count;
	}
	for (int i = 0; i < 4; i++) {
		bed->vcpu[i] = pages_alloc(8);
		bed->vcpu[i]->cpu = bed->cpu[0];
	}
	bed->vm.npt.root = 0x123000;
	svm_vm_init(&bed->vm);
	*state = bed;
	return 0;
}

static int tear_down_asids(void **state)
{
	struct asid_bed *bed = *state;

	for (int i = 0; i < 2; i++)
		free(bed->cpu[i]);
	for (int i = 0; i < 4; i++)
		free(bed->vcpu[i]);
	free(bed->vm.hv);
	free(bed);
	return 0;
}

static void expect_entry(struct asid_bed *bed, int i, uint32_t asid, uint32_t tlb_control)
{
	svm_prepare_asid(bed->vcpu[i], bed->vm.hv);
	assert_int_equal(bed->vcpu[i]->vmcb.asid, asid);
	assert_int_equal(bed->vcpu[i]->vmcb.tlb_control, tlb_control);
}

static void test_asids(void **state)
{
	struct asid_bed *bed = *state;

	expect_entry(bed, 0, 1, TLB_FLUSH_ALL);
	expect_entry(bed, 0, 1, TLB_KEEP);
	expect_entry(bed, 1, 2, TLB_KEEP);
	expect_entry(bed, 2, 3, TLB_KEEP);
	/* None is left: everything goes, and the others' numbers may be given away. */
	expect_entry(bed, 3, 1, TLB_FLUSH_ALL);
	expect_entry(bed, 0, 2, TLB_KEEP);
	expect_entry(bed, 3, 1, TLB_KEEP);
}

static void test_asid_clean_bit(void **state)
{
	struct asid_bed *bed = *state;

	expect_entry(bed, 0, 1, TLB_FLUSH_ALL);
	bed->vcpu[0]->vmcb.clean = CLEAN_ALL;
	expect_entry(bed, 0, 1, TLB_KEEP);
	assert_int_equal(bed->vcpu[0]->vmcb.clean, CLEAN_ALL);
	bed->vcpu[0]->asid_generation = 0;
	expect_entry(bed, 0, 2, TLB_KEEP);
	assert_int_equal(bed->vcpu[0]->vmcb.clean, CLEAN_ALL & ~CLEAN_ASID);
}

static void test_npt_flush(void **state)
{
	struct asid_bed *bed = *state;

	expect_entry(bed, 0, 1, TLB_FLUSH_ALL);
	expect_entry(bed, 1, 2, TLB_KEEP);
	svm_npt_flush(&bed->vm);
	expect_entry(bed, 0, 1, TLB_FLUSH_ASID);
	expect_entry(bed, 0, 1, TLB_KEEP);
	expect_entry(bed, 1, 2, TLB_FLUSH_ASID);
}

/* Without flush by ASID an ASID that nothing has used since the last full flush is as good. */
static void test_npt_flush_without_flush_by_asid(void **state)
{
	struct asid_bed *bed = *state;

	svm_features.flush_by_asid = false;
	expect_entry(bed, 0, 1, TLB_FLUSH_ALL);
	svm_npt_flush(&bed->vm);
	expect_entry(bed, 0, 2, TLB_KEEP);
	bed->vcpu[0]->flush = true;
	expect_entry(bed, 0, 3, TLB_KEEP);
	bed->vcpu[0]->flush = true;
	expect_entry(bed, 0, 1, TLB_FLUSH_ALL);
}

static bool port_traps(const struct vm *vm, uint32_t port)
{
	const struct svm_vm *m = vm->hv;

	return m->iopm[port / 8] >> port % 8 & 1;
}

static void test_pio_trap(void **state)
{
	struct asid_bed *bed = *state;

	assert_true(port_traps(&bed->vm, 0) && port_traps(&bed->vm, 0xffff));
	/* An access of 4 bytes at FFFFh looks at three bits more (15.10.1). */
	assert_true(port_traps(&bed->vm, 0x10002));
	svm_pio_trap(&bed->vm, 0x3f6, 3, false);
	assert_true(port_traps(&bed->vm, 0x3f5) && port_traps(&bed->vm, 0x3f9));
	assert_false(port_traps(&bed->vm, 0x3f6) || port_traps(&bed->vm, 0x3f8));
	svm_pio_trap(&bed->vm, 0x3f7, 1, true);
	assert_true(port_traps(&bed->vm, 0x3f7));
	assert_false(port_traps(&bed->vm, 0x3f8));
}

/* Under a host with 57-bit linear addresses the nested tables have one level more. */
static void test_nested_root(void **state)
{
	struct asid_bed *bed = *state;
	const struct svm_vm *m = bed->vm.hv;

	assert_int_equal(svm_nested_root(&bed->vm), 0x123000);
	svm_features.la57 = true;
	assert_int_equal(svm_nested_root(&bed->vm), (uintptr_t)m->top);
	assert_int_equal(m->top[0], 0x123000 | 0x27); /* present, writable, user, accessed */
	for (int i = 1; i < 512; i++)
		assert_int_equal(m->top[i], 0);
}

/* What the report and the monitor say of the processor: one line each, nothing that it lacks. */
static void test_description(void **state)
{
	struct hv_caps caps = complete();

	(void)state;
	sb_init(&lines, text, sizeof(text));
	svm_describe(&caps, &lines);
	assert_string_equal(text, "AMD-V with NP, nested paging (CPUID Fn8000_000A_EDX[0]);"
				  " NRIPS, next-RIP save; FlushByAsid; DecodeAssists\n"
				  "VM_CR is 0: SVM is not disabled\n");
	caps.raw[SVM_RAW_VM_CR] = VM_CR_SVMDIS;
	sb_init(&lines, text, sizeof(text));
	svm_describe(&caps, &lines);
	assert_non_null(strstr(text, "VM_CR is 10: SVMDIS is not locked, will be cleared\n"));
}

#define ASID_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_asids, tear_down_asids)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_little),
		cmocka_unit_test(test_spec_ctrl),
		cmocka_unit_test(test_no_svm),
		cmocka_unit_test(test_disabled),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_intercepts_only_of_known_instructions),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_description),
		ASID_TEST(test_asids),
		ASID_TEST(test_asid_clean_bit),
		ASID_TEST(test_npt_flush),
		ASID_TEST(test_npt_flush_without_flush_by_asid),
		ASID_TEST(test_pio_trap),
		ASID_TEST(test_nested_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
