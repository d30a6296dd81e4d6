/* links: devices/hpet.c core/bus.c core/devtimer.c core/clock.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
/* IA-PC HPET specification 1.0a: registers, and the ways in which comparators interrupt. */
#include "tests/unit/support/fake_core.h"

#include "core/bus.h"
#include "core/devtimer.h"
#include "devices/hpet.h"

#define CONFIG	    0x010
#define STATUS	    0x020
#define COUNTER	    0x0f0
#define T_CONFIG(n) (0x100 + 0x20 * (n))
#define T_VALUE(n)  (0x108 + 0x20 * (n))

#define LEVEL	 0x002
#define ON	 0x004
#define PERIODIC 0x008
#define VAL_SET	 0x040
#define BITS_32	 0x100
#define ROUTE(n) ((n) << 9)

/* The host's TSC runs at 1 GHz: a tick has 40. */
#define TICK 40

static struct vm *vm;
static struct hpet hpet;
static unsigned int replaced, restored;

static void replace(void *ctx, bool on)
{
	assert_ptr_equal(ctx, &hpet);
	replaced += on;
	restored += !on;
}

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(1);
	vm->state = VM_RUNNING;
	fake.tsc = 12345678;
	replaced = restored = 0;
	assert_int_equal(hpet_init(&hpet, vm, replace, &hpet), 0);
	hpet_reset(&hpet);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

static uint64_t get(uint64_t reg, uint8_t size)
{
	uint64_t value = 0x5555555555555555;

	bus_mmio(vm->vcpu[0], HPET_GPA + reg, false, size, &value);
	return value;
}

static void put(uint64_t reg, uint8_t size, uint64_t value)
{
	bus_mmio(vm->vcpu[0], HPET_GPA + reg, true, size, &value);
}

/* Time goes by, timers expire when they are due. */
static void pass(uint64_t ticks)
{
	uint64_t end = fake.tsc + ticks * TICK;

	while (vm->timers_at && vm->timers_at <= end) {
		fake.tsc = MAX(fake.tsc, vm->timers_at);
		dev_timers_run(vm);
	}
	fake.tsc = end;
}

static void capabilities(void **state)
{
	(void)state;
	assert_int_equal(get(0, 8) >> 32, 40000000); /* fs */
	assert_int_equal(get(4, 4), 40000000);
	/* Revision 1, three timers of 64 bits, legacy replacement. */
	assert_int_equal(get(0, 4) & 0xffff, 0xa201);
	put(0, 8, 0);
	assert_int_equal(get(0, 4) & 0xffff, 0xa201);
	for (unsigned int n = 0; n < 3; n++)
		assert_int_equal(get(T_CONFIG(n), 8), 0x00f0000000000030);
	assert_int_equal(get(T_CONFIG(3), 8), 0);
	/* No narrow and no crooked accesses. */
	assert_int_equal(get(0, 2), 0);
	assert_int_equal(get(0, 1), 0);
	assert_int_equal(get(4, 8), 0);
}

static void counter(void **state)
{
	(void)state;
	assert_int_equal(get(COUNTER, 8), 0);
	pass(1000);
	assert_int_equal(get(COUNTER, 8), 0);
	put(COUNTER, 8, 0xfffffff0);
	put(CONFIG, 4, 1);
	pass(100);
	assert_int_equal(get(COUNTER, 8), 0x100000054);
	assert_int_equal(get(COUNTER, 4), 0x54);
	assert_int_equal(get(COUNTER + 4, 4), 1);
	put(CONFIG, 4, 0);
	pass(100);
	assert_int_equal(get(COUNTER, 8), 0x100000054);
	put(COUNTER + 4, 4, 7);
	assert_int_equal(get(COUNTER, 8), 0x700000054);
	put(COUNTER, 4, 8);
	assert_int_equal(get(COUNTER, 8), 0x700000008);
	hpet_reset(&hpet);
	assert_int_equal(get(COUNTER, 8), 0);
}

static void one_shot(void **state)
{
	(void)state;
	put(CONFIG, 8, 1);
	put(T_CONFIG(0), 8, ON | ROUTE(20));
	put(T_VALUE(0), 8, get(COUNTER, 8) + 1000);
	pass(999);
	assert_int_equal(fake.rises[20], 0);
	pass(1);
	assert_int_equal(fake.rises[20], 1);
	assert_int_equal(get(STATUS, 8), 0); /* edges have no status */
	pass(100000000);
	assert_int_equal(fake.rises[20], 1);
	/* Without its interrupt it counts in silence. */
	put(T_CONFIG(0), 8, ROUTE(20));
	assert_false(fake.line[20]);
	put(T_VALUE(0), 8, get(COUNTER, 8) + 1000);
	pass(2000);
	assert_int_equal(fake.rises[20], 1);
	/* A value that the counter has reached is of the next round. */
	put(T_CONFIG(0), 8, ON | ROUTE(20));
	put(T_VALUE(0), 8, get(COUNTER, 8) - 1);
	pass(100000);
	assert_int_equal(fake.rises[20], 1);
}

static void periodic(void **state)
{
	(void)state;
	/* As drivers do: halted, first match and period, then on. */
	put(T_CONFIG(1), 4, ON | PERIODIC | VAL_SET | ROUTE(21));
	put(T_VALUE(1), 8, 5000);
	put(T_VALUE(1), 8, 1000);
	put(CONFIG, 4, 1);
	pass(4999);
	assert_int_equal(fake.rises[21], 0);
	pass(1);
	assert_int_equal(fake.rises[21], 1);
	pass(999);
	assert_int_equal(fake.rises[21], 1);
	pass(1);
	assert_int_equal(fake.rises[21], 2);
	pass(10000);
	assert_int_equal(fake.rises[21], 12);
	/* The register shows the next match. */
	assert_int_equal(get(T_VALUE(1), 8), get(COUNTER, 8) + 1000);
	/* Periods that pass unseen are one interrupt, and the next is in its place. */
	fake.tsc += 5500 * TICK;
	dev_timers_run(vm);
	assert_int_equal(fake.rises[21], 13);
	pass(500);
	assert_int_equal(fake.rises[21], 14);
	put(CONFIG, 4, 0);
	assert_false(fake.line[21]);
	pass(10000);
	assert_int_equal(fake.rises[21], 14);
}

static void short_periods_leave_time(void **state)
{
	(void)state;
	put(T_CONFIG(0), 4, ON | PERIODIC | VAL_SET | ROUTE(20));
	put(T_VALUE(0), 8, 1);
	put(CONFIG, 4, 1);
	pass(25000); /* a millisecond */
	assert_in_range(fake.rises[20], 45, 51);
	/* No period: one interrupt. */
	put(T_CONFIG(0), 4, ON | PERIODIC | VAL_SET | ROUTE(20));
	put(T_VALUE(0), 8, 0);
	fake.rises[20] = 0;
	pass(25000);
	assert_int_equal(fake.rises[20], 0);
}

static void level(void **state)
{
	(void)state;
	put(CONFIG, 8, 1);
	put(T_CONFIG(2), 8, ON | LEVEL | ROUTE(22));
	put(T_VALUE(2), 8, get(COUNTER, 8) + 500);
	pass(500);
	assert_true(fake.line[22]);
	assert_int_equal(get(STATUS, 8), 4);
	put(STATUS, 8, 3);
	assert_true(fake.line[22]);
	put(STATUS, 4, 4);
	assert_false(fake.line[22]);
	assert_int_equal(get(STATUS, 8), 0);
	/* The status is kept without the interrupt, too. */
	put(T_CONFIG(2), 8, LEVEL | ROUTE(22));
	put(T_VALUE(2), 8, get(COUNTER, 8) + 500);
	pass(500);
	assert_int_equal(get(STATUS, 8), 4);
	assert_false(fake.line[22]);
	put(T_CONFIG(2), 8, ON | LEVEL | ROUTE(22));
	assert_true(fake.line[22]);
	put(CONFIG, 8, 0);
	assert_false(fake.line[22]);
}

static void shared_level(void **state)
{
	(void)state;
	put(CONFIG, 8, 1);
	for (unsigned int n = 0; n < 2; n++) {
		put(T_CONFIG(n), 8, ON | LEVEL | ROUTE(23));
		put(T_VALUE(n), 8, get(COUNTER, 8) + 500);
	}
	pass(500);
	assert_int_equal(get(STATUS, 8), 3);
	put(STATUS, 8, 1);
	assert_true(fake.line[23]);
	put(STATUS, 8, 2);
	assert_false(fake.line[23]);
}

static void width_32(void **state)
{
	(void)state;
	put(COUNTER, 8, 0x5fffffff0);
	put(CONFIG, 8, 1);
	put(T_CONFIG(0), 8, ON | BITS_32 | ROUTE(20));
	put(T_VALUE(0), 8, 0x900000010);
	assert_int_equal(get(T_VALUE(0), 8), 0x10);
	pass(0x20);
	assert_int_equal(fake.rises[20], 1);
	/* A comparator that stays matches in each round of 32 bits (2.3.9.2.1). */
	pass(0xffffffff);
	assert_int_equal(fake.rises[20], 1);
	pass(1);
	assert_int_equal(fake.rises[20], 2);
}

static void halves(void **state)
{
	(void)state;
	put(T_VALUE(0), 4, 0x11);
	put(T_VALUE(0) + 4, 4, 0x22);
	assert_int_equal(get(T_VALUE(0), 8), 0x2200000011);
	assert_int_equal(get(T_VALUE(0) + 4, 4), 0x22);
	/* VAL_SET holds for one write. */
	put(T_CONFIG(0), 4, PERIODIC | VAL_SET);
	assert_int_equal(get(T_CONFIG(0), 4) & VAL_SET, VAL_SET);
	put(T_VALUE(0), 4, 0x33);
	assert_int_equal(get(T_CONFIG(0), 4) & VAL_SET, 0);
	put(T_VALUE(0), 4, 0x44);
	assert_int_equal(get(T_VALUE(0), 8), 0x2200000033);
}

static void routes(void **state)
{
	(void)state;
	put(T_CONFIG(0), 8, ON | ROUTE(20));
	put(T_CONFIG(0), 8, ON | ROUTE(5));
	assert_int_equal(get(T_CONFIG(0), 4) >> 9 & 31, 20);
	put(T_CONFIG(0), 8, ON | ROUTE(21));
	assert_int_equal(get(T_CONFIG(0), 4) >> 9 & 31, 21);
	/* Without any there is no interrupt. */
	put(CONFIG, 8, 1);
	put(T_CONFIG(1), 8, ON);
	put(T_VALUE(1), 8, get(COUNTER, 8) + 500);
	pass(500);
	for (unsigned int i = 0; i < FAKE_GSIS; i++)
		assert_int_equal(fake.rises[i], 0);
}

static void legacy_replacement(void **state)
{
	(void)state;
	put(CONFIG, 8, 3);
	assert_int_equal(replaced, 1);
	put(CONFIG, 8, 3);
	assert_int_equal(replaced, 1);
	for (unsigned int n = 0; n < 3; n++) {
		put(T_CONFIG(n), 8, ON | ROUTE(20));
		put(T_VALUE(n), 8, get(COUNTER, 8) + 500);
	}
	pass(500);
	/* IRQ 0 is the I/O APIC's input 2. */
	assert_int_equal(fake.rises[2], 1);
	assert_int_equal(fake.rises[8], 1);
	assert_int_equal(fake.rises[20], 1);
	put(CONFIG, 8, 1);
	assert_int_equal(restored, 1);
	assert_false(fake.line[2]);
	put(CONFIG, 8, 3);
	hpet_reset(&hpet);
	assert_int_equal(restored, 2);
	assert_int_equal(get(CONFIG, 8), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(capabilities),
		T(counter),
		T(one_shot),
		T(periodic),
		T(short_periods_leave_time),
		T(level),
		T(shared_level),
		T(width_32),
		T(halves),
		T(routes),
		T(legacy_replacement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
