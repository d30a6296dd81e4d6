/* links: tests/unit/support/fake_core.c */
/* A core's AMD-V, switched on and off, with registers of the test's own. */
#include "arch/x86/cpu.h"
#include "tests/unit/support/fake_core.h"

#include <string.h>

#include "arch/x86/msr.h"
#include "lib/err.h"
#include "svm/internal.h"

static uint64_t read_msr(uint32_t index);
static void write_msr(uint32_t index, uint64_t value);
static void save(uint64_t pa);

/* Included, not linked: the privileged instructions are the test's. */
#define rdmsr(index)	    read_msr(index)
#define wrmsr(index, value) write_msr(index, value)
#define svm_vmsave(pa)	    save(pa)
#include "svm/cpu.c"

struct svm_features svm_features;

static struct {
	uint64_t efer, vm_cr, hsave_pa, ratio, saved_to;
	unsigned int writes_of_ratio;
} core;
static struct pcpu cpu;

static uint64_t *msr(uint32_t index)
{
	switch (index) {
	case MSR_IA32_EFER:
		return &core.efer;
	case MSR_AMD_VM_CR:
		return &core.vm_cr;
	case MSR_AMD_VM_HSAVE_PA:
		return &core.hsave_pa;
	case MSR_AMD_TSC_RATIO:
		return &core.ratio;
	default:
		fail_msg("MSR %#x", index);
		return NULL;
	}
}

static uint64_t read_msr(uint32_t index)
{
	return *msr(index);
}

static void write_msr(uint32_t index, uint64_t value)
{
	/* The register to save to is there with EFER.SVME alone (15.30.4). */
	if (index == MSR_AMD_VM_HSAVE_PA && value)
		assert_true(core.efer & EFER_SVME);
	if (index == MSR_AMD_VM_CR)
		assert_false(core.vm_cr & VM_CR_LOCK);
	core.writes_of_ratio += index == MSR_AMD_TSC_RATIO;
	*msr(index) = value;
}

static void save(uint64_t pa)
{
	assert_true(core.efer & EFER_SVME);
	core.saved_to = pa;
}

static int setup(void **state)
{
	(void)state;
	memset(&core, 0, sizeof(core));
	memset(&cpu, 0, sizeof(cpu));
	core.efer = EFER_LMA | EFER_LME;
	svm_features = (struct svm_features){.asid_count = 8, .tsc_ratio = true};
	return 0;
}

static void test_on_and_off(void **state)
{
	const struct svm_cpu *c;

	(void)state;
	assert_int_equal(svm_cpu_on(&cpu), 0);
	c = cpu.hv_private;
	assert_non_null(c);
	assert_int_equal(core.efer, EFER_LMA | EFER_LME | EFER_SVME);
	assert_int_equal(core.hsave_pa, phys_of(c->host_save));
	assert_int_equal(core.saved_to, phys_of(&c->host));
	svm_cpu_off(&cpu);
	assert_int_equal(core.efer, EFER_LMA | EFER_LME);
	assert_int_equal(core.hsave_pa, 0);
	assert_null(cpu.hv_private);
}

/* 15.30.5: a guest's TSC is the machine's times the ratio, in 8.32 fixed point. */
static void test_a_tsc_ratio_that_was_left_behind(void **state)
{
	(void)state;
	core.ratio = 3ull << 31;
	assert_int_equal(svm_cpu_on(&cpu), 0);
	assert_int_equal(core.ratio, 1ull << 32);
	svm_cpu_off(&cpu);
}

static void test_no_tsc_ratio(void **state)
{
	(void)state;
	svm_features.tsc_ratio = false;
	assert_int_equal(svm_cpu_on(&cpu), 0);
	assert_int_equal(core.writes_of_ratio, 0);
	svm_cpu_off(&cpu);
}

static void test_disabled_and_not_locked(void **state)
{
	(void)state;
	core.vm_cr = VM_CR_SVMDIS;
	assert_int_equal(svm_cpu_on(&cpu), 0);
	assert_int_equal(core.vm_cr, 0);
	svm_cpu_off(&cpu);
}

static void test_disabled_and_locked(void **state)
{
	(void)state;
	core.vm_cr = VM_CR_SVMDIS | VM_CR_LOCK;
	assert_int_equal(svm_cpu_on(&cpu), -EPERM);
	assert_int_equal(core.efer, EFER_LMA | EFER_LME);
	assert_null(cpu.hv_private);
}

#define T(name) cmocka_unit_test_setup(test_##name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(on_and_off),		T(a_tsc_ratio_that_was_left_behind),
		T(no_tsc_ratio),	T(disabled_and_not_locked),
		T(disabled_and_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
