/* links: lib/strbuf.c lib/fmt.c tests/unit/support/mce.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c lib/log.c */
/* Machine checks on a made-up core with three banks. */
#include "tests/unit/support/fake_machine.h"
#include "tests/unit/support/fake_core.h"

#include "arch/x86/mce.h"
#include "arch/x86/msr.h"
#include "core/sched.h"

#define UNCORRECTED (MCI_STATUS_VAL | MCI_STATUS_UC | MCI_STATUS_EN)
#define CORRECTED   (MCI_STATUS_VAL | MCI_STATUS_EN)
#define SER_P	    (1u << 24)
#define RIPV	    1u
#define BANK(n)	    (MSR_IA32_MC0_CTL + 4 * (n))

_Noreturn void sched_loop(struct pcpu *cpu)
{
	(void)cpu;
	fake_machine_stop();
}

int wrmsr_safe(uint32_t index, uint64_t value)
{
	fake_set_msr(index, value);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	fake_machine_reset(1);
	fake_set_leaf(1, 0, 0, 0, 0, 1u << 7 | 1u << 14);
	fake_set_msr(MSR_IA32_MCG_CAP, 3 | 1u << 8);
	fake_set_msr(MSR_IA32_MCG_STATUS, RIPV);
	for (uint32_t i = 0; i < 12; i++)
		fake_set_msr(BANK(0) + i, 0);
	return 0;
}

static void banks_are_switched_on(void **state)
{
	(void)state;
	mce_init_cpu();
	assert_true(fake_rdmsr(MSR_IA32_MCG_CTL) == ~0ull);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(fake_rdmsr(BANK(i)) == ~0ull);
}

/* RDMSR of a register that is not there would fail this test. */
static void without_machine_checks_nothing_is_touched(void **state)
{
	struct mce_error e;
	unsigned int next = 0;

	(void)state;
	machine.msrs = 0;
	fake_set_leaf(1, 0, 0, 0, 0, 1u << 7);
	mce_init_cpu();
	assert_false(mce_next(&next, true, &e));
	assert_int_equal(machine.msrs, 0);
}

static void errors_are_found_once(void **state)
{
	struct mce_error e;
	unsigned int next = 0;

	(void)state;
	fake_set_msr(BANK(1) + 1, CORRECTED | MCI_STATUS_ADDRV | 0x136);
	fake_set_msr(BANK(1) + 2, 0x12340);
	fake_set_msr(BANK(1) + 3, 0x99);
	assert_true(mce_next(&next, true, &e));
	assert_int_equal(e.bank, 1);
	assert_int_equal(e.addr, 0x12340);
	assert_int_equal(e.misc, 0);
	assert_false(mce_next(&next, true, &e));
	next = 0;
	assert_false(mce_next(&next, true, &e));
}

static void assert_goes_on(uint64_t status, uint64_t cap, uint64_t mcg_status, bool goes_on)
{
	fake_set_msr(MSR_IA32_MCG_CAP, 3 | cap);
	fake_set_msr(MSR_IA32_MCG_STATUS, mcg_status);
	fake_set_msr(BANK(2) + 1, status);
	assert_int_equal(!mce_cannot_continue(), goes_on);
}

/* SDM vol. 3B tables 16-6 to 16-8. */
static void what_can_be_gone_on_with(void **state)
{
	(void)state;
	assert_goes_on(CORRECTED, 0, RIPV, true);
	assert_goes_on(0, 0, RIPV, true);
	assert_goes_on(0, 0, 0, false);
	assert_goes_on(UNCORRECTED, 0, RIPV, false);
	assert_goes_on(UNCORRECTED & ~MCI_STATUS_EN, 0, RIPV, true);
	assert_goes_on(UNCORRECTED | MCI_STATUS_PCC, SER_P, RIPV, false);
	/* UCNA, SRAO, SRAR */
	assert_goes_on(UNCORRECTED, SER_P, RIPV, true);
	assert_goes_on(UNCORRECTED | MCI_STATUS_S, SER_P, RIPV, true);
	assert_goes_on(UNCORRECTED | MCI_STATUS_S | MCI_STATUS_AR, SER_P, RIPV, false);
}

static void assert_says(uint64_t status, const char *wanted)
{
	const struct mce_error e = {.status = status, .addr = 0x1000, .misc = 0x22, .bank = 4};
	char text[200];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	mce_describe(&e, &sb);
	assert_string_equal(text, wanted);
}

static void words_for_errors(void **state)
{
	(void)state;
	assert_says(CORRECTED | 0x9f,
		    "bank 4: memory controller error, corrected, status 900000000000009f");
	assert_says(CORRECTED | 0x1136, "bank 4: cache error, corrected, status 9000000000001136");
	assert_says(UNCORRECTED | MCI_STATUS_PCC | MCI_STATUS_ADDRV | MCI_STATUS_OVER | 0x0e0b,
		    "bank 4: I/O error, uncorrected, processor context corrupt, others lost, "
		    "address 1000, status f600000000000e0b");
	assert_says(UNCORRECTED | MCI_STATUS_MISCV | 0x0800,
		    "bank 4: bus or interconnect error, uncorrected, status b800000000000800, "
		    "misc 22");
	assert_says(CORRECTED | 0x0010, "bank 4: TLB error, corrected, status 9000000000000010");
	assert_says(CORRECTED | 0x0005,
		    "bank 4: internal parity error, corrected, status 9000000000000005");
	assert_says(CORRECTED | 0x0200,
		    "bank 4: error of the model's own, corrected, status 9000000000000200");
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(banks_are_switched_on), TEST(without_machine_checks_nothing_is_touched),
		TEST(errors_are_found_once), TEST(what_can_be_gone_on_with),
		TEST(words_for_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
