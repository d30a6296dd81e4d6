/* links: tests/unit/support/errata.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c lib/log.c lib/fmt.c */
/* What is written to a core because its processor has a flaw. */
#include "tests/unit/support/fake_machine.h"
#include "tests/unit/support/fake_core.h"

#include "arch/x86/errata.h"
#include "arch/x86/msr.h"
#include "core/sched.h"

#define SVM		  (1u << 2)
#define C1E_BITS	  (3ull << 27)
#define OTHER_BITS	  0x1234ull
#define SIGNATURE(family) (0xf00u | ((family)-0xf) << 20)

static bool there;
static unsigned int writes;

_Noreturn void sched_loop(struct pcpu *cpu)
{
	(void)cpu;
	fake_machine_stop();
}

int rdmsr_safe(uint32_t index, uint64_t *value)
{
	*value = there ? fake_rdmsr(index) : 0;
	return there ? 0 : -5;
}

int wrmsr_safe(uint32_t index, uint64_t value)
{
	fake_set_msr(index, value);
	writes++;
	return 0;
}

/* A processor with SVM, or without, of this CPUID 1 EAX; its register has all of its bits set. */
static void make(uint32_t signature, uint32_t svm)
{
	fake_machine_reset(1);
	fake_set_leaf(1, 0, signature, 0, 0, 0);
	fake_set_leaf(0x80000000, 0, 0x80000001, 0, 0, 0);
	fake_set_leaf(0x80000001, 0, 0, 0, svm, 0);
	fake_set_msr(MSR_AMD_INT_PENDING, C1E_BITS | OTHER_BITS);
	there = true;
	writes = 0;
}

/* C1E stops the timers of the processors that have it so. */
static void c1e_is_off(void **state)
{
	(void)state;
	for (uint32_t family = 0xf; family <= 0x11; family++) {
		make(SIGNATURE(family), SVM);
		errata_init_cpu();
		assert_int_equal(fake_rdmsr(MSR_AMD_INT_PENDING), OTHER_BITS);
		errata_init_cpu();
		assert_int_equal(writes, 1);
	}
}

static void others_are_left_alone(void **state)
{
	(void)state;
	make(SIGNATURE(0x17), SVM);
	errata_init_cpu();
	make(0x106a5, 0); /* an Intel processor, family 6 */
	errata_init_cpu();
	make(0xf41, 0); /* and one of family 0Fh */
	errata_init_cpu();
	make(SIGNATURE(0xf), SVM);
	there = false;
	errata_init_cpu();
	assert_int_equal(writes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c1e_is_off),
		cmocka_unit_test(others_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
