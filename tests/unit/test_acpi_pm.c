/* links: devices/acpi_pm.c core/devtimer.c core/bus.c core/clock.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
/* ACPI 6.5, 4.8.3: the fixed hardware that the FADT names. */
#include "tests/unit/support/fake_core.h"

#include "core/clock.h"
#include "core/devtimer.h"
#include "devices/acpi_pm.h"

#define PM1_STS 0x600
#define PM1_EN	0x602
#define PM1_CNT 0x604
#define PM_TMR	0x608

static struct vm *vm;
static struct acpi_pm pm;

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(1);
	fake.hz = 2000000000;
	assert_int_equal(acpi_pm_init(&pm, vm), 0);
	acpi_pm_reset(&pm);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

static void timer_runs_at_its_rate(void **state)
{
	uint32_t first = (uint32_t)fake_in(vm, PM_TMR, 4);

	(void)state;
	fake.tsc += 2000000000;
	assert_int_equal((uint32_t)fake_in(vm, PM_TMR, 4) - first, 3579545);
	fake.tsc += 1000000000;
	assert_int_equal((uint32_t)fake_in(vm, PM_TMR, 4) - first, 3579545 * 3 / 2);
	/* 32 bits wide, and read only. */
	fake.tsc = 2000000000ULL * 1300;
	assert_int_equal(fake_in(vm, PM_TMR, 4), (uint32_t)(3579545ULL * 1300));
	fake_out(vm, PM_TMR, 4, 0);
	assert_int_equal(fake_in(vm, PM_TMR, 4), (uint32_t)(3579545ULL * 1300));
	assert_int_equal(fake_in(vm, PM_TMR + 1, 1), (uint32_t)(3579545ULL * 1300) >> 8 & 0xff);
	assert_int_equal(fake_in(vm, PM_TMR + 2, 2), (uint32_t)(3579545ULL * 1300) >> 16);
}

static void sci_is_always_enabled(void **state)
{
	(void)state;
	assert_int_equal(fake_in(vm, PM1_CNT, 2), 1);
	fake_out(vm, PM1_CNT, 2, 0);
	assert_int_equal(fake_in(vm, PM1_CNT, 2), 1);
	/* SLP_EN and GBL_RLS are write-only, the type stays. */
	fake_out(vm, PM1_CNT, 2, 0x3c06);
	assert_int_equal(fake_in(vm, PM1_CNT, 2), 0x1c03);
	assert_int_equal(fake.ends, 0);
}

static void soft_off(void **state)
{
	(void)state;
	fake_out(vm, PM1_CNT, 2, 0x0000);
	assert_int_equal(fake.ends, 0);
	fake_out(vm, PM1_CNT, 2, 0x2000);
	assert_int_equal(fake.ends, 1);
	assert_int_equal(fake.end, VM_END_SHUTDOWN);
	/* By bytes the same, and other types of sleep do nothing. */
	fake_out(vm, PM1_CNT + 1, 1, 0x24);
	assert_int_equal(fake.ends, 1);
	fake_out(vm, PM1_CNT + 1, 1, 0x20);
	assert_int_equal(fake.ends, 2);
}

static void timer_status(void **state)
{
	(void)state;
	assert_int_equal(fake_in(vm, PM1_STS, 2), 0);
	fake.tsc = 2000000000ULL * 600; /* 2^31 ticks take 599.9 s */
	assert_int_equal(fake_in(vm, PM1_STS, 2), 1);
	assert_false(fake.line[ACPI_SCI_GSI]);
	fake_out(vm, PM1_EN, 2, 0xffff);
	assert_int_equal(fake_in(vm, PM1_EN, 2), 0x0721);
	assert_true(fake.line[ACPI_SCI_GSI]);
	/* Writing 0 leaves it, writing 1 clears. */
	fake_out(vm, PM1_STS, 2, 0xfffe);
	assert_int_equal(fake_in(vm, PM1_STS, 2), 1);
	fake_out(vm, PM1_STS, 1, 1);
	assert_int_equal(fake_in(vm, PM1_STS, 2), 0);
	assert_false(fake.line[ACPI_SCI_GSI]);
	fake.tsc = 2000000000ULL * 1200;
	assert_int_equal(fake_in(vm, PM1_STS, 4), 0x07210001);
	assert_true(fake.line[ACPI_SCI_GSI]);
	acpi_pm_reset(&pm);
	assert_false(fake.line[ACPI_SCI_GSI]);
	assert_int_equal(fake_in(vm, PM1_STS, 4), 0);
}

/* The system control interrupt comes when the timer overflows, without anybody looking. */
static void overflow_interrupts(void **state)
{
	uint64_t overflow = clock_tsc_of(vm, 1ULL << 31, ACPI_PM_TMR_HZ);

	(void)state;
	vm->state = VM_RUNNING;
	assert_int_equal(vm->timers_at, 0);
	fake_out(vm, PM1_EN, 2, 1);
	assert_int_equal(vm->timers_at, overflow);
	fake.tsc = overflow - 1;
	dev_timers_run(vm);
	assert_false(fake.line[ACPI_SCI_GSI]);
	fake.tsc = overflow;
	dev_timers_run(vm);
	assert_true(fake.line[ACPI_SCI_GSI]);
	/* Until that is answered there is no next one. */
	assert_int_equal(vm->timers_at, 0);
	fake_out(vm, PM1_STS, 2, 1);
	assert_false(fake.line[ACPI_SCI_GSI]);
	assert_int_equal(vm->timers_at, clock_tsc_of(vm, 2ULL << 31, ACPI_PM_TMR_HZ));
	fake_out(vm, PM1_EN, 2, 0);
	assert_int_equal(vm->timers_at, 0);
	fake_out(vm, PM1_EN, 2, 1);
	acpi_pm_reset(&pm);
	assert_int_equal(vm->timers_at, 0);
}

static void enable_bytes(void **state)
{
	(void)state;
	fake_out(vm, PM1_EN + 1, 1, 0x01);
	fake_out(vm, PM1_EN, 1, 0x20);
	assert_int_equal(fake_in(vm, PM1_EN, 2), 0x0120);
	fake_out(vm, PM1_EN + 1, 1, 0x00);
	assert_int_equal(fake_in(vm, PM1_EN, 2), 0x0020);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(timer_runs_at_its_rate), T(sci_is_always_enabled), T(soft_off),
		T(timer_status),	   T(enable_bytes),	     T(overflow_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
