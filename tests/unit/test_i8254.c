/* links: devices/i8254.c core/devtimer.c core/bus.c core/clock.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
/* The interval timer by the 8254's data sheet. The host's TSC runs 1000 times as fast. */
#include "tests/unit/support/fake_core.h"

#include "devices/i8254.h"

#define HZ 1193182ULL

static struct vm *vm;
static struct i8254 pit;
static uint64_t ticks;

/* An interrupt controller that masks nothing. */
static void listen(void *dev, unsigned int gsi, bool level)
{
	(void)dev;
	(void)gsi;
	(void)level;
}

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(1);
	vm->sink[vm->sink_count++] = (struct irq_sink){.set_line = listen};
	fake.hz = HZ * 1000;
	ticks = 1000000;
	fake.tsc = ticks * 1000;
	assert_int_equal(i8254_init(&pit, vm), 0);
	i8254_reset(&pit);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

/* Time goes on, and timers expire as the run loop lets them. */
static void pass(uint64_t n)
{
	uint64_t end = fake.tsc + n * 1000;

	while (vm->timers_at && vm->timers_at <= end) {
		fake.tsc = MAX(fake.tsc, vm->timers_at);
		dev_timers_run(vm);
	}
	fake.tsc = end;
}

static void program(unsigned int counter, unsigned int access, unsigned int mode, unsigned int bcd)
{
	fake_out(vm, 0x43, 1, counter << 6 | access << 4 | mode << 1 | bcd);
}

static void count(unsigned int counter, uint16_t n)
{
	fake_out(vm, (uint16_t)(0x40 + counter), 1, n & 0xff);
	fake_out(vm, (uint16_t)(0x40 + counter), 1, n >> 8);
}

static unsigned int read16(unsigned int counter)
{
	unsigned int low = (unsigned int)fake_in(vm, (uint16_t)(0x40 + counter), 1);

	return low | (unsigned int)fake_in(vm, (uint16_t)(0x40 + counter), 1) << 8;
}

static unsigned int status(unsigned int counter)
{
	fake_out(vm, 0x43, 1, 0xe0u | 2u << counter);
	return (unsigned int)fake_in(vm, (uint16_t)(0x40 + counter), 1);
}

static bool out2(void)
{
	return fake_in(vm, 0x61, 1) & 0x20;
}

/* Mode 0: the output is low until N + 1 ticks after the count was written. */
static void interrupt_on_terminal_count(void **state)
{
	(void)state;
	program(0, 3, 0, 0);
	assert_false(fake.line[2]);
	assert_int_equal(status(0), 0x70);
	count(0, 100);
	pass(1);
	assert_int_equal(read16(0), 100);
	pass(99);
	assert_int_equal(read16(0), 1);
	assert_false(fake.line[2]);
	assert_int_equal(status(0), 0x30);
	pass(1);
	assert_int_equal(read16(0), 0);
	assert_true(fake.line[2]);
	assert_int_equal(status(0), 0xb0);
	/* It goes on from all ones, and asks once. */
	pass(1);
	assert_int_equal(read16(0), 0xffff);
	pass(200000);
	assert_int_equal(fake.rises[2], 1);
	/* A new count lowers the output. */
	count(0, 50);
	assert_false(fake.line[2]);
	pass(51);
	assert_int_equal(fake.rises[2], 2);
}

/* The first of two bytes stops the count (mode 0, item 1). */
static void half_a_count(void **state)
{
	(void)state;
	program(0, 3, 0, 0);
	count(0, 100);
	pass(41);
	fake_out(vm, 0x40, 1, 10);
	pass(1000);
	assert_false(fake.line[2]);
	assert_int_equal(read16(0), 60);
	fake_out(vm, 0x40, 1, 0);
	pass(11);
	assert_true(fake.line[2]);
}

static void rate_generator(void **state)
{
	(void)state;
	program(0, 3, 2, 0);
	assert_int_equal(status(0), 0xf4);
	count(0, 100);
	fake.rises[2] = 0;
	pass(1);
	assert_int_equal(read16(0), 100);
	pass(99);
	assert_int_equal(read16(0), 1);
	assert_int_equal(status(0) & 0x80, 0);
	assert_int_equal(fake.rises[2], 0);
	pass(1);
	assert_int_equal(read16(0), 100);
	assert_int_equal(status(0) & 0x80, 0x80);
	assert_int_equal(fake.rises[2], 1);
	pass(1000);
	assert_int_equal(fake.rises[2], 11);
	/* A new count waits for the end of the period. */
	pass(50);
	count(0, 1000);
	assert_int_equal(status(0) & 0x40, 0x40);
	assert_int_equal(read16(0), 50);
	pass(50);
	assert_int_equal(read16(0), 1000);
	assert_int_equal(status(0) & 0x40, 0);
	assert_int_equal(fake.rises[2], 12);
	pass(999);
	assert_int_equal(fake.rises[2], 12);
	pass(1);
	assert_int_equal(fake.rises[2], 13);
}

/* Mode 3: by two, high for (N + 1) / 2, low for (N - 1) / 2. */
static void square_wave(void **state)
{
	static const struct {
		unsigned int at, count;
		bool high;
	} steps[] = {{0, 6, true},  {1, 4, true},  {2, 2, true},  {3, 0, true},
		     {4, 6, false}, {5, 4, false}, {6, 2, false}, {7, 6, true}};

	(void)state;
	fake_out(vm, 0x61, 1, 1);
	program(2, 3, 3, 0);
	count(2, 7);
	pass(1);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		assert_int_equal(read16(2), steps[i].count);
		assert_int_equal(out2(), steps[i].high);
		pass(1);
	}
	program(0, 3, 3, 0);
	count(0, 1000);
	fake.rises[2] = 0;
	pass(10001);
	assert_int_equal(fake.rises[2], 10);
}

/* As firmware leaves it: 18.2 interrupts a second. */
static void the_pc_s_tick(void **state)
{
	(void)state;
	fake.rises[2] = 0;
	pass(HZ + 100);
	assert_int_equal(fake.rises[2], 18);
	assert_int_equal(status(0) & 0x3f, 0x36);
}

/* Mode 1, on the counter that has a gate. */
static void one_shot(void **state)
{
	(void)state;
	program(2, 3, 1, 0);
	count(2, 100);
	assert_true(out2());
	pass(500);
	assert_true(out2());
	fake_out(vm, 0x61, 1, 1);
	pass(1);
	assert_false(out2());
	pass(99);
	assert_false(out2());
	pass(1);
	assert_true(out2());
	/* Again before its end: from the beginning. */
	fake_out(vm, 0x61, 1, 0);
	fake_out(vm, 0x61, 1, 1);
	pass(50);
	fake_out(vm, 0x61, 1, 0);
	fake_out(vm, 0x61, 1, 1);
	pass(100);
	assert_false(out2());
	pass(1);
	assert_true(out2());
}

/* A count that is written behind a one-shot's end waits for the next trigger, and moves nothing. */
static void one_shot_is_written_anew(void **state)
{
	(void)state;
	program(2, 3, 1, 0);
	count(2, 100);
	fake_out(vm, 0x61, 1, 1);
	pass(120);
	count(2, 50);
	assert_true(out2());
	assert_int_equal(status(2) & 0xc0, 0xc0);
	fake_out(vm, 0x61, 1, 0);
	fake_out(vm, 0x61, 1, 1);
	pass(50);
	assert_false(out2());
	pass(1);
	assert_true(out2());
}

/* Mode 3: a new count is for the half that follows the one in which it was written. */
static void square_wave_is_written_anew(void **state)
{
	static const struct {
		unsigned int wait, first, rest; /* until the next fall or rise, and after that */
		bool high;
	} cases[] = {{30, 20, 10, true}, {70, 30, 10, false}};

	(void)state;
	fake_out(vm, 0x61, 1, 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		program(2, 3, 3, 0);
		count(2, 100);
		pass(1 + cases[i].wait);
		assert_int_equal(out2(), cases[i].high);
		count(2, 20);
		pass(cases[i].first - 1);
		assert_int_equal(out2(), cases[i].high);
		for (unsigned int half = 0; half < 4; half++) {
			pass(1);
			assert_int_equal(out2(), cases[i].high ^ !(half & 1));
			pass(cases[i].rest - 1);
			assert_int_equal(out2(), cases[i].high ^ !(half & 1));
		}
	}
	/* Its interrupts are where the output rises. */
	program(0, 3, 3, 0);
	count(0, 1000);
	pass(1 + 200);
	count(0, 400);
	fake.rises[2] = 0;
	pass(499);
	assert_int_equal(fake.rises[2], 0);
	pass(1);
	assert_int_equal(fake.rises[2], 1);
	pass(4000);
	assert_int_equal(fake.rises[2], 11);
}

static void software_strobe(void **state)
{
	(void)state;
	program(0, 3, 4, 0);
	count(0, 100);
	fake.rises[2] = 0;
	pass(101);
	assert_int_equal(status(0) & 0x80, 0);
	pass(1);
	assert_int_equal(status(0) & 0x80, 0x80);
	pass(100000);
	assert_int_equal(fake.rises[2], 1);
}

static void hardware_strobe(void **state)
{
	(void)state;
	program(2, 3, 5, 0);
	count(2, 10);
	pass(100);
	assert_true(out2());
	fake_out(vm, 0x61, 1, 1);
	pass(10);
	assert_true(out2());
	pass(1);
	assert_false(out2());
	pass(1);
	assert_true(out2());
}

/* Mode 0 with the gate low: the count stands still. */
static void the_gate(void **state)
{
	(void)state;
	fake_out(vm, 0x61, 1, 1);
	program(2, 3, 0, 0);
	count(2, 1000);
	pass(101);
	assert_int_equal(read16(2), 900);
	fake_out(vm, 0x61, 1, 0);
	pass(5000);
	assert_int_equal(read16(2), 900);
	assert_false(out2());
	fake_out(vm, 0x61, 1, 1);
	pass(899);
	assert_false(out2());
	pass(1);
	assert_true(out2());
	/* Mode 2 begins anew. */
	program(2, 3, 2, 0);
	count(2, 1000);
	pass(501);
	fake_out(vm, 0x61, 1, 0);
	assert_true(out2());
	pass(500);
	assert_int_equal(read16(2), 500);
	fake_out(vm, 0x61, 1, 1);
	pass(1);
	assert_int_equal(read16(2), 1000);
}

/* As Linux's quick_pit_calibrate() and pit_calibrate_tsc() use counter 2. */
static void calibration(void **state)
{
	uint64_t start;

	(void)state;
	fake_out(vm, 0x61, 1, (fake_in(vm, 0x61, 1) & ~2ULL) | 1);
	fake_out(vm, 0x43, 1, 0xb0);
	fake_out(vm, 0x42, 1, 0xff);
	fake_out(vm, 0x42, 1, 0xff);
	start = fake.tsc;
	while (!out2())
		pass(1);
	assert_int_equal((fake.tsc - start) / 1000, 65536);
}

static void accesses(void **state)
{
	(void)state;
	program(2, 1, 2, 0);
	fake_out(vm, 0x61, 1, 1);
	fake_out(vm, 0x42, 1, 200);
	pass(1);
	assert_int_equal(fake_in(vm, 0x42, 1), 200);
	assert_int_equal(fake_in(vm, 0x42, 1), 200);
	program(2, 2, 2, 0);
	fake_out(vm, 0x42, 1, 2);
	pass(1);
	assert_int_equal(fake_in(vm, 0x42, 1), 2);
	pass(1);
	assert_int_equal(fake_in(vm, 0x42, 1), 1);
	pass(511);
	assert_int_equal(fake_in(vm, 0x42, 1), 2);
	assert_int_equal(fake_in(vm, 0x43, 1), 0xff);
}

static void bcd(void **state)
{
	(void)state;
	fake_out(vm, 0x61, 1, 1);
	program(2, 3, 2, 1);
	count(2, 0x1000);
	pass(2);
	assert_int_equal(read16(2), 0x0999);
	program(2, 3, 0, 1);
	count(2, 0);
	pass(2);
	assert_int_equal(read16(2), 0x9999);
}

/* A latched count stays until it is read; latching again changes nothing. */
static void latches(void **state)
{
	(void)state;
	program(0, 3, 2, 0);
	count(0, 1000);
	pass(101);
	fake_out(vm, 0x43, 1, 0x00);
	pass(100);
	fake_out(vm, 0x43, 1, 0x00);
	assert_int_equal(read16(0), 900);
	assert_int_equal(read16(0), 800);
	/* Status and count of two counters at once; the status comes first. */
	pass(1);
	fake_out(vm, 0x43, 1, 0xc0 | 2 << 0 | 2 << 1);
	pass(10);
	assert_int_equal(fake_in(vm, 0x40, 1), 0xb4);
	assert_int_equal(read16(0), 799);
	assert_int_equal(fake_in(vm, 0x41, 1) & 0x3f, 0x36);
	assert_int_equal(read16(0), 789);
}

/* A period so short that a guest could do nothing else does not stop the machine. */
static void short_periods(void **state)
{
	(void)state;
	program(0, 1, 2, 0);
	fake_out(vm, 0x40, 1, 2);
	fake.rises[2] = 0;
	pass(HZ / 10);
	assert_in_range(fake.rises[2], 4000, 5100);
}

static void port_61(void **state)
{
	(void)state;
	fake_out(vm, 0x61, 1, 0xff);
	assert_int_equal(fake_in(vm, 0x61, 1) & 0xcf, 0x0f);
	fake_out(vm, 0x61, 1, 0xf4);
	assert_int_equal(fake_in(vm, 0x61, 1) & 0xcf, 0x04);
	assert_int_equal((fake_in(vm, 0x61, 1) ^ fake_in(vm, 0x61, 1)) & 0x10, 0x10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(interrupt_on_terminal_count),
		TEST(half_a_count),
		TEST(rate_generator),
		TEST(square_wave),
		TEST(the_pc_s_tick),
		TEST(one_shot),
		TEST(one_shot_is_written_anew),
		TEST(square_wave_is_written_anew),
		TEST(software_strobe),
		TEST(hardware_strobe),
		TEST(the_gate),
		TEST(calibration),
		TEST(accesses),
		TEST(bcd),
		TEST(latches),
		TEST(short_periods),
		TEST(port_61),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
