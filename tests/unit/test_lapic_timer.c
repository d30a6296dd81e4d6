/* links: core/lapic.c core/gmem.c core/lapic_irq.c core/lapic_timer.c tests/unit/support/fake_core.c */
/*
 * The APIC timer: SDM vol. 3A 11.5.4. The host's TSC runs at 3 GHz here, the timer's clock at 1
 * GHz.
 */
#include "tests/unit/support/fake_core.h"

#include "core/lapic.h"

#define HZ	     3000000000u
#define TIMER_VECTOR 0xec
#define PERIODIC     0x20000u
#define DEADLINE     0x40000u
#define MASKED	     0x10000u

static struct vm *vm;
static struct vcpu *cpu;

static uint32_t rd(uint32_t offset)
{
	uint64_t value;

	lapic_mmio(cpu, offset, false, 4, &value);
	return (uint32_t)value;
}

static void wr(uint32_t offset, uint32_t value)
{
	uint64_t wide = value;

	lapic_mmio(cpu, offset, true, 4, &wide);
}

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(1);
	cpu = vm->vcpu[0];
	fake.hz = HZ;
	fake.tsc = 1000000;
	lapic_reset(cpu, false);
	wr(APIC_SVR, 0x1ff);
	wr(APIC_TIMER_DCR, 0xb);
	fake_requests(cpu);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

/* Does the timer's interrupt come at the TSC as it is now? As the run loop does. */
static bool fires(void)
{
	int vector;

	if (cpu->timer_deadline && fake.tsc >= cpu->timer_deadline)
		lapic_timer_expired(cpu);
	lapic_sync(cpu);
	vector = lapic_next(cpu);
	if (vector < 0)
		return false;
	assert_int_equal(vector, TIMER_VECTOR);
	lapic_accept(cpu, TIMER_VECTOR);
	lapic_eoi(cpu);
	return true;
}

static void one_shot(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	wr(APIC_TIMER_ICR, 1000000);
	assert_int_equal(fake.rearms, 1);
	assert_int_equal(rd(APIC_TIMER_CCR), 1000000);
	fake.tsc += 3 * 400000;
	assert_int_equal(rd(APIC_TIMER_CCR), 600000);
	fake.tsc += 3 * 600000 - 1;
	assert_int_equal(rd(APIC_TIMER_CCR), 1);
	assert_false(fires());
	fake.tsc++;
	assert_int_equal(rd(APIC_TIMER_CCR), 0);
	assert_true(fires());
	assert_int_equal(rd(APIC_TIMER_CCR), 0);
	assert_int_equal(rd(APIC_TIMER_ICR), 1000000);
	fake.tsc += HZ;
	assert_false(fires());
}

/* No bus clock is faster than the processor: a TSC of 50 MHz is what the timer counts. */
static void not_faster_than_the_tsc(void **state)
{
	(void)state;
	fake.hz = 50000000;
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	wr(APIC_TIMER_ICR, 0x10000);
	fake.tsc += 0x8000;
	assert_int_equal(rd(APIC_TIMER_CCR), 0x8000);
	fake.tsc += 0x7fff;
	assert_false(fires());
	fake.tsc++;
	assert_true(fires());
}

static void zero_count_stops(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	wr(APIC_TIMER_ICR, 1000);
	wr(APIC_TIMER_ICR, 0);
	fake.tsc += HZ;
	assert_false(fires());
	assert_int_equal(rd(APIC_TIMER_CCR), 0);
}

static void dividers(void **state)
{
	static const struct {
		uint8_t dcr;
		uint32_t divider;
	} t[] = {{0x0, 2},  {0x1, 4},  {0x2, 8},   {0x3, 16},
		 {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};

	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
		wr(APIC_TIMER_DCR, t[i].dcr | 0xfffffff4);
		assert_int_equal(rd(APIC_TIMER_DCR), t[i].dcr);
		wr(APIC_TIMER_ICR, 50000);
		fake.tsc += 3ULL * 50000 * t[i].divider - 1;
		assert_int_equal(rd(APIC_TIMER_CCR), 1);
		assert_false(fires());
		fake.tsc++;
		assert_true(fires());
	}
}

static void largest_count(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	wr(APIC_TIMER_DCR, 0xa);
	wr(APIC_TIMER_ICR, 0xffffffff);
	assert_int_equal(rd(APIC_TIMER_CCR), 0xffffffff);
	fake.tsc += 3ULL * 128 * 0xffffffff - 1;
	assert_false(fires());
	fake.tsc++;
	assert_true(fires());
}

static void divider_changes_on_the_way(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	wr(APIC_TIMER_ICR, 1000000);
	fake.tsc += 3 * 400000;
	wr(APIC_TIMER_DCR, 0x0);
	assert_int_equal(rd(APIC_TIMER_CCR), 600000);
	fake.tsc += 3 * 2 * 600000 - 1;
	assert_false(fires());
	fake.tsc++;
	assert_true(fires());
}

static void periodic(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR | PERIODIC);
	wr(APIC_TIMER_ICR, 1000000);
	for (unsigned int i = 0; i < 5; i++) {
		fake.tsc += 3000000 - 1;
		assert_false(fires());
		fake.tsc++;
		assert_true(fires());
		assert_int_equal(rd(APIC_TIMER_CCR), 1000000);
	}
	/* Late by two periods and a half: one interrupt, and the beat stays. */
	fake.tsc += 3000000 * 7 / 2;
	assert_int_equal(rd(APIC_TIMER_CCR), 500000);
	assert_true(fires());
	assert_false(fires());
	fake.tsc += 1500000 - 1;
	assert_false(fires());
	fake.tsc++;
	assert_true(fires());
	/* One-shot now: the count that runs is the last. */
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	fake.tsc += 3000000;
	assert_true(fires());
	fake.tsc += 3000000;
	assert_false(fires());
}

/* A period shorter than an exit would leave the guest no time. */
static void shortest_period(void **state)
{
	uint64_t first;

	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR | PERIODIC);
	wr(APIC_TIMER_ICR, 1);
	fake.tsc += 3;
	first = fake.tsc;
	assert_true(fires());
	assert_true(cpu->timer_deadline - first >= 10000);
	fake.tsc += HZ;
	assert_true(fires());
	assert_true(cpu->timer_deadline > fake.tsc);
}

static void masked_counts_silently(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR | PERIODIC | MASKED);
	wr(APIC_TIMER_ICR, 1000000);
	fake.tsc += 3000000;
	assert_false(fires());
	fake.tsc += 1500000;
	assert_int_equal(rd(APIC_TIMER_CCR), 500000);
	wr(APIC_LVT_TIMER, TIMER_VECTOR | PERIODIC);
	assert_false(fires());
	fake.tsc += 1500000;
	assert_true(fires());
}

static void illegal_vector(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, 0x0f);
	wr(APIC_TIMER_ICR, 1000);
	fake.tsc += HZ;
	assert_false(fires());
	wr(APIC_ESR, 0);
	assert_int_equal(rd(APIC_ESR), 0x40);
}

static void tsc_deadline(void **state)
{
	(void)state;
	cpu->tsc_offset = -500000ULL;
	/* In another mode writes are ignored. */
	lapic_deadline_write(cpu, 1000000);
	assert_int_equal(cpu->tsc_deadline, 0);
	wr(APIC_LVT_TIMER, TIMER_VECTOR | DEADLINE);
	lapic_deadline_write(cpu, 900000);
	assert_int_equal(fake.rearms, 1);
	assert_int_equal(cpu->tsc_deadline, 900000);
	assert_int_equal(cpu->timer_deadline, 1400000);
	assert_int_equal(rd(APIC_TIMER_CCR), 0);
	fake.tsc = 1399999;
	assert_false(fires());
	fake.tsc++;
	assert_true(fires());
	assert_int_equal(cpu->tsc_deadline, 0);
	assert_false(fires());
}

static void tsc_deadline_edges(void **state)
{
	(void)state;
	cpu->tsc_offset = -500000ULL;
	wr(APIC_LVT_TIMER, TIMER_VECTOR | DEADLINE);
	/* In the past: at once. */
	lapic_deadline_write(cpu, 1);
	assert_true(fires());
	/* Zero disarms. */
	lapic_deadline_write(cpu, 600000);
	lapic_deadline_write(cpu, 0);
	fake.tsc += HZ;
	assert_false(fires());
	/* As good as never: does not wrap into the past. */
	lapic_deadline_write(cpu, ~0ULL);
	assert_false(fires());
	assert_int_equal(cpu->tsc_deadline, ~0ULL);
	assert_true(cpu->timer_deadline > fake.tsc + (1ULL << 62));
	cpu->tsc_offset = 500000;
	lapic_deadline_write(cpu, ~0ULL);
	assert_true(cpu->timer_deadline > fake.tsc + (1ULL << 62));
}

static void tsc_moves_under_a_deadline(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR | DEADLINE);
	lapic_deadline_write(cpu, 2000000);
	cpu->tsc_offset += 300000;
	lapic_tsc_moved(cpu, 300000);
	assert_int_equal(cpu->tsc_deadline, 2000000);
	assert_int_equal(cpu->timer_deadline, 1700000);
	/* Jumped past it. */
	cpu->tsc_offset += 5000000;
	lapic_tsc_moved(cpu, 5000000);
	assert_true(fires());
}

static void mode_changes_disarm(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	wr(APIC_TIMER_ICR, 1000000);
	wr(APIC_LVT_TIMER, TIMER_VECTOR | DEADLINE);
	fake.tsc += HZ;
	assert_false(fires());
	/* The initial count takes no writes now. */
	wr(APIC_TIMER_ICR, 5000);
	assert_int_equal(rd(APIC_TIMER_ICR), 0);
	lapic_deadline_write(cpu, fake.tsc + 5000);
	wr(APIC_TIMER_ICR, 0);
	assert_int_equal(cpu->tsc_deadline, fake.tsc + 5000);
	wr(APIC_LVT_TIMER, TIMER_VECTOR | PERIODIC);
	assert_int_equal(cpu->tsc_deadline, 0);
	fake.tsc += HZ;
	assert_false(fires());
	/* The mode reserved by the manual does nothing. */
	wr(APIC_LVT_TIMER, TIMER_VECTOR | PERIODIC | DEADLINE);
	wr(APIC_TIMER_ICR, 5000);
	lapic_deadline_write(cpu, fake.tsc + 5000);
	fake.tsc += HZ;
	assert_false(fires());
}

static void reset_disarms(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR | DEADLINE);
	lapic_deadline_write(cpu, fake.tsc + 5000);
	lapic_reset(cpu, true);
	assert_int_equal(cpu->timer_deadline, 0);
	assert_int_equal(cpu->tsc_deadline, 0);
	wr(APIC_SVR, 0x1ff);
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	/* The divider is 2 after reset. */
	wr(APIC_TIMER_ICR, 100000);
	fake.tsc += 3 * 2 * 100000 - 1;
	assert_false(fires());
	fake.tsc++;
	assert_true(fires());
}

/* An interrupt that is due comes, though the timer is set anew before anything has looked at it. */
static void due_before_it_is_set_anew(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	wr(APIC_TIMER_ICR, 1000);
	fake.tsc += HZ;
	wr(APIC_TIMER_ICR, 0);
	assert_true(fires());
	assert_false(fires());
	wr(APIC_LVT_TIMER, TIMER_VECTOR | 0x40000);
	lapic_deadline_write(cpu, 1);
	lapic_deadline_write(cpu, ~0ULL);
	assert_true(fires());
	assert_false(fires());
	assert_int_equal(cpu->tsc_deadline, ~0ULL);
}

/* A count that has ended is not made periodic, and has its interrupt by the entry of its time. */
static void due_before_its_mode_changes(void **state)
{
	(void)state;
	wr(APIC_LVT_TIMER, TIMER_VECTOR);
	wr(APIC_TIMER_ICR, 100000);
	fake.tsc += 3 * 100000 + 1;
	assert_int_equal(rd(APIC_TIMER_CCR), 0);
	wr(APIC_LVT_TIMER, (TIMER_VECTOR + 1) | PERIODIC);
	assert_int_equal(rd(APIC_TIMER_CCR), 0);
	assert_true(fires());
	fake.tsc += HZ;
	assert_false(fires());
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_shot),
		T(not_faster_than_the_tsc),
		T(zero_count_stops),
		T(dividers),
		T(largest_count),
		T(divider_changes_on_the_way),
		T(periodic),
		T(shortest_period),
		T(masked_counts_silently),
		T(illegal_vector),
		T(tsc_deadline),
		T(tsc_deadline_edges),
		T(tsc_moves_under_a_deadline),
		T(mode_changes_disarm),
		T(reset_disarms),
		T(due_before_it_is_set_anew),
		T(due_before_its_mode_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
