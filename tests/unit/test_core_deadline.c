/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/*
 * A vCPU that has the core's own IA32_TSC_DEADLINE (core/lapic_timer.c): when it has it, and that
 * each deadline is one interrupt, whoever has the register when it comes. The scripted back end
 * holds that nobody enters with another's.
 */
#include "tests/unit/support/fake_hv.h"

#include <string.h>

#include "arch/x86/desc.h"
#include "arch/x86/msr.h"
#include "core/lapic.h"
#include "core/lapic_page.h"
#include "core/lifecycle.h"
#include "core/msr.h"
#include "core/run.h"
#include "core/sched.h"

#define MS     1000000u /* of the fake's clock, which has 1 GHz */
#define VECTOR FAKE_TIMER_VECTOR
#define HALT                            \
	{                               \
		EXIT_HLT, .insn_len = 1 \
	}

static struct vm *vm;
static struct vcpu *v;

static struct fake_cpu *core(void)
{
	return &machine.cpu[0];
}

static int setup(void **state)
{
	(void)state;
	vm = fake_hv_vm(1, 1);
	v = vm->vcpu[0];
	machine.has_deadline = true;
	fake.tsc = MS;
	fake_hv_start(vm);
	fake_enable_timer(v);
	return 0;
}

static int setup_keeping(void **state)
{
	int err = setup(state);

	machine.keeps_deadline = true;
	return err;
}

static int teardown(void **state)
{
	(void)state;
	fake_hv_end();
	return 0;
}

/* ---- what the guest does ---- */

static void write_deadline(struct vcpu *c, uint64_t at)
{
	assert_true(fake_of(c)->has_deadline);
	fake_set_timer(at);
}

static void arm(struct vcpu *c)
{
	write_deadline(c, fake.tsc + 3 * MS);
}

static void arm_in_the_past(struct vcpu *c)
{
	write_deadline(c, 1);
}

static void arm_for_ever(struct vcpu *c)
{
	write_deadline(c, ~0ull);
}

static void end_and_arm(struct vcpu *c)
{
	/* 11.5.4.1: it reads as 0 when it has come. */
	assert_int_equal(core()->timer, 0);
	lapic_eoi(c);
	fake_guest(c)->rflags |= RFLAGS_IF;
	arm(c);
}

static void mask(struct vcpu *c)
{
	vapic_put(c, APIC_LVT_TIMER, LVT_MASKED | VECTOR | TIMER_TSC_DEADLINE << 17);
	arm(c);
}

/* Nothing of the guest's is on the core. */
static void assert_taken_back(void)
{
	assert_false(v->timer_lent);
	assert_false(fake_of(v)->has_deadline);
	assert_int_equal(core()->timer, 0);
	assert_int_equal(core()->vector, VEC_TIMER);
}

/* ---- while it runs ---- */

static void test_busy_guest(void **state)
{
	static const struct fake_step steps[] = {
		{.guest = arm, .ticks = 10 * MS},
		{.guest = end_and_arm, .ticks = 10 * MS},
	};

	(void)state;
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "irq236 irq236 end0 ");
	assert_int_equal(v->exits[EXIT_HOST_IRQ], 2);
	assert_int_equal(v->exits[EXIT_DEADLINE] + v->exits[EXIT_MSR], 0);
	assert_int_equal(fake.tsc, 21 * MS);
	assert_taken_back();
}

/* What was armed by an exit goes along. */
static void test_armed_before(void **state)
{
	static const struct fake_step steps[] = {{.ticks = 10 * MS}};

	(void)state;
	lapic_deadline_write(v, 4 * MS);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "irq236 end0 ");
	assert_int_equal(v->exits[EXIT_HOST_IRQ], 1);
	assert_int_equal(v->exits[EXIT_DEADLINE], 0);
}

static void test_masked(void **state)
{
	static const struct fake_step steps[] = {{.guest = mask, .ticks = 10 * MS}};

	(void)state;
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "end0 ");
	assert_int_equal(v->exits[EXIT_HOST_IRQ], 1);
}

static unsigned int kept;

static uint64_t keep_house(void)
{
	kept++;
	return fake.tsc + MS;
}

/* Each is one exit, and Socle's own clock goes on. */
static void test_storm(void **state)
{
	static const struct fake_step steps[] = {{.guest = arm_in_the_past, .ticks = MS / 10}};

	(void)state;
	kept = 0;
	sched_set_housekeeping(&core()->pcpu, keep_house);
	FAKE_SCRIPT(v, steps);
	fake_of(v)->repeat = true;
	fake_machine_run(0, 101 * MS);
	assert_in_range(kept, 99, 102);
	assert_in_range(v->exits[EXIT_HOST_IRQ], 990, 1001);
}

static unsigned int ticks;

static void tick(struct vcpu *c)
{
	if (vapic_get(c, APIC_ISR + 0x70)) {
		ticks++;
		lapic_eoi(c);
		arm(c);
	} else if (!core()->timer) {
		arm(c);
	}
	fake_guest(c)->rflags |= RFLAGS_IF;
}

/* A cap ends its turns, and what was armed then is late by the rest of a window at most. */
static void test_cap(void **state)
{
	static const struct fake_step steps[] = {{.guest = tick, .ticks = MS / 10}};

	(void)state;
	vm->cap = 50;
	ticks = 0;
	FAKE_SCRIPT(v, steps);
	fake_of(v)->repeat = true;
	fake_machine_run(0, 1001 * MS);
	assert_in_range(fake_of(v)->guest_ticks, 490 * MS, 510 * MS);
	assert_in_range(ticks, 150, 175);
	/* One a window, and each by the preemption timer. */
	assert_in_range(v->exits[EXIT_DEADLINE], 9, 11);
}

/* One that never comes, and what is left of it when the guest dies. */
static void test_crash_leaves_nothing(void **state)
{
	static const struct fake_step steps[] = {{.guest = arm_for_ever, .exit = {EXIT_TRIPLE, 0}}};

	(void)state;
	FAKE_RUN(v, steps);
	assert_int_equal(vm->end, VM_END_CRASH);
	assert_taken_back();
}

/* ---- while it sleeps ---- */

static uint64_t woke_at[64];
static unsigned int wakes;

static void nap(struct vcpu *c)
{
	fake_enable_timer(c);
	if (vapic_get(c, APIC_ISR + 0x70))
		lapic_eoi(c);
	woke_at[wakes++ % 64] = fake.tsc;
	if (fake_of(c)->has_deadline)
		fake_set_timer(fake.tsc + 30 * MS);
	else
		lapic_deadline_write(c, fake.tsc + c->tsc_offset + 30 * MS);
	fake_guest(c)->rflags |= RFLAGS_IF;
}

static void start_napping(void)
{
	static const struct fake_step napping[] = {{.guest = nap, .exit = HALT}};

	wakes = 0;
	FAKE_SCRIPT(v, napping);
	fake_of(v)->repeat = true;
}

/* HLT, and nothing else. */
static void test_idle_guest(void **state)
{
	(void)state;
	start_napping();
	fake_machine_run(0, 1000 * MS);
	assert_int_equal(wakes, 34);
	for (unsigned int i = 1; i < wakes; i++)
		assert_int_equal(woke_at[i] - woke_at[i - 1], 30 * MS);
	assert_int_equal(v->exits[EXIT_HLT], wakes);
	assert_int_equal(vcpu_exits(v), wakes);
	/* While nothing of Socle's is due the preemption timer stays where it is. */
	assert_int_equal(fake_of(v)->deadline, ~0ull);
}

/* Socle wakes for itself in between: the guest's deadline waits. */
static void test_idle_with_housekeeping(void **state)
{
	(void)state;
	kept = 0;
	sched_set_housekeeping(&core()->pcpu, keep_house);
	start_napping();
	fake_machine_run(0, 1000 * MS);
	assert_int_equal(wakes, 34);
	assert_in_range(kept, 990, 1001);
}

/* An idle core's clock goes on, too. */
static void run_until(uint64_t until)
{
	fake_machine_run(0, until);
	fake.tsc = until;
}

/* What is left of a deadline stands still, too; behind that the two TSCs differ. */
static void test_pause(void **state)
{
	(void)state;
	start_napping();
	run_until(11 * MS);
	assert_int_equal(vm_pause(vm), 0);
	run_until(500 * MS);
	assert_int_equal(vm_resume(vm), 0);
	run_until(1000 * MS);
	assert_int_equal(woke_at[0], MS);
	assert_int_equal(woke_at[1], 520 * MS);
	assert_int_equal(woke_at[2], 550 * MS);
	assert_false(v->timer_lent);
}

/* ---- one deadline, one interrupt ---- */

/* What the interrupt handler leaves for the run loop. */
static bool came(void)
{
	fake_irq_window();
	return fake_requests(v) & REQ_TIMER;
}

static void test_comes_before_it_is_read(void **state)
{
	(void)state;
	lapic_timer_lend(v);
	write_deadline(v, fake.tsc + 5);
	fake.tsc += 10;
	lapic_timer_take_back(v);
	assert_taken_back();
	assert_int_equal(v->timer_deadline, 0);
	assert_true(came());
	assert_false(came());
}

static void pass(void)
{
	fake.tsc += 10;
}

static void test_comes_while_it_is_read(void **state)
{
	(void)state;
	lapic_timer_lend(v);
	write_deadline(v, fake.tsc + 5);
	machine.read_deadline = pass;
	lapic_timer_take_back(v);
	machine.read_deadline = NULL;
	assert_taken_back();
	assert_int_equal(v->timer_deadline, 0);
	assert_true(came());
}

static void test_comes_after_it_is_taken_back(void **state)
{
	(void)state;
	lapic_timer_lend(v);
	write_deadline(v, fake.tsc + 5);
	lapic_timer_take_back(v);
	assert_taken_back();
	assert_int_equal(v->timer_deadline, fake.tsc + 5);
	fake.tsc += 10;
	assert_false(came());
	lapic_timer_expired(v);
	assert_true(fake_requests(v) & REQ_IRQ);
}

/* A guest may get as far as that before the interrupt makes it exit. Returns the second one. */
static uint64_t arm_again(void)
{
	uint64_t second = fake.tsc + 100;

	lapic_timer_lend(v);
	write_deadline(v, fake.tsc + 5);
	fake.tsc += 10;
	write_deadline(v, second);
	return second;
}

static void test_armed_again_before_the_exit(void **state)
{
	uint64_t second = arm_again();

	(void)state;
	assert_true(came());
	assert_int_equal(core()->timer, second);
	lapic_timer_take_back(v);
	assert_int_equal(v->timer_deadline, second);
}

/* The same, and the first is not handled before the second is taken back. */
static void test_armed_again_and_taken_back(void **state)
{
	uint64_t second = arm_again();

	(void)state;
	lapic_timer_take_back(v);
	assert_int_equal(v->timer_deadline, second);
	assert_true(came());
}

/* Socle's own, which has come just when the guest gets the register, is not the guest's. */
static void test_socles_own_comes_late(void **state)
{
	(void)state;
	fake_set_timer(fake.tsc + 5);
	fake.tsc += 10;
	lapic_timer_lend(v);
	assert_true(core()->came);
	assert_false(came());
	/* Nor is one that is still to come. */
	lapic_timer_take_back(v);
	fake_set_timer(fake.tsc + 5);
	lapic_timer_lend(v);
	fake.tsc += 10;
	assert_false(came());
}

static bool posted(uint8_t vector)
{
	return v->posted[vector / 64] >> vector % 64 & 1;
}

/* What came before a write of the timer's entry came by the old one: a mask is too late for it. */
static void test_came_before_the_entry_changes(void **state)
{
	const uint32_t entries[] = {VECTOR + 1, LVT_MASKED | VECTOR | TIMER_TSC_DEADLINE << 17,
				    (VECTOR + 1) | TIMER_TSC_DEADLINE << 17};

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t value = entries[i];

		fake_enable_timer(v);
		lapic_timer_lend(v);
		write_deadline(v, fake.tsc + 5);
		fake.tsc += 10;
		lapic_mmio(v, APIC_LVT_TIMER, true, 4, &value);
		assert_taken_back();
		assert_true(posted(VECTOR));
		assert_false(posted(VECTOR + 1));
		/* And once. */
		assert_false(came());
		memset(v->posted, 0, sizeof(v->posted));
	}
}

/* A timer that is not due goes on under the new entry. */
static void test_entry_changes_before_it_comes(void **state)
{
	uint64_t value = LVT_MASKED | VECTOR | TIMER_TSC_DEADLINE << 17;

	(void)state;
	lapic_timer_lend(v);
	write_deadline(v, fake.tsc + 5);
	lapic_mmio(v, APIC_LVT_TIMER, true, 4, &value);
	assert_int_equal(v->tsc_deadline, fake.tsc + 5);
	lapic_timer_lend(v);
	assert_int_equal(core()->timer, fake.tsc + 5);
	assert_false(posted(VECTOR));
	lapic_timer_take_back(v);
}

/* ---- who has it ---- */

static bool lends(void)
{
	lapic_timer_lend(v);
	return v->timer_lent;
}

static void test_not_in_another_mode(void **state)
{
	(void)state;
	v->timer_mode = TIMER_ONE_SHOT;
	assert_false(lends());
	v->timer_mode = TIMER_PERIODIC;
	assert_false(lends());
	v->timer_mode = TIMER_TSC_DEADLINE;
	assert_true(lends());
	lapic_timer_take_back(v);
}

static void test_not_in_another_tsc(void **state)
{
	(void)state;
	v->tsc_offset = 1;
	assert_false(lends());
}

/* There Socle's own timer is the core's. */
static void test_not_without_preemption_timer(void **state)
{
	(void)state;
	hv_caps.features = 0;
	assert_false(lends());
}

static void test_not_where_the_machine_has_none(void **state)
{
	(void)state;
	machine.has_deadline = false;
	assert_false(lends());
}

/* Another's deadlines may need the core's timer at any time. */
static void test_not_beside_another(void **state)
{
	(void)state;
	fake_hv_vm(1, 1);
	assert_false(lends());
}

static void test_tsc_moves(void **state)
{
	(void)state;
	fake.tsc = 5000;
	assert_true(lends());
	write_deadline(v, 7000);
	assert_int_equal(msr_write(v, MSR_IA32_TSC, 5400), 0);
	assert_taken_back();
	assert_int_equal(v->tsc_deadline, 7000);
	assert_int_equal(v->timer_deadline, 6600);
	assert_false(lends());
	/* The way back. */
	assert_int_equal(msr_write(v, MSR_IA32_TSC_ADJUST, 0), 0);
	assert_true(lends());
	assert_int_equal(core()->timer, 7000);
	lapic_timer_take_back(v);
}

/* 11.5.4.1: a change of mode disarms. */
static void test_mode_changes(void **state)
{
	(void)state;
	assert_true(lends());
	write_deadline(v, fake.tsc + 5);
	vapic_timer_write_lvt(v, VECTOR | TIMER_ONE_SHOT << 17);
	assert_taken_back();
	assert_int_equal(v->timer_deadline, 0);
	vapic_timer_write_lvt(v, VECTOR | TIMER_TSC_DEADLINE << 17);
	assert_int_equal(v->tsc_deadline, 0);
}

/* Its vector and its mask are the guest's affair, and looked at when the time has come. */
static void test_vector_changes(void **state)
{
	(void)state;
	assert_true(lends());
	write_deadline(v, fake.tsc + 5);
	vapic_timer_write_lvt(v, LVT_MASKED | 0x55 | TIMER_TSC_DEADLINE << 17);
	assert_true(v->timer_lent);
	assert_int_equal(core()->timer, fake.tsc + 5);
	lapic_timer_take_back(v);
}

static void test_reset(void **state)
{
	(void)state;
	assert_true(lends());
	write_deadline(v, fake.tsc + 5);
	lapic_reset(v, true);
	assert_taken_back();
	assert_int_equal(v->timer_deadline, 0);
}

#define T(name)                                           \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

/* With a register that keeps what has come. */
#define K(name)                                                              \
	{                                                                    \
#name " (Bochs)", test_##name, setup_keeping, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(busy_guest),
		K(busy_guest),
		T(armed_before),
		T(masked),
		K(masked),
		T(storm),
		K(storm),
		T(cap),
		T(crash_leaves_nothing),
		T(idle_guest),
		K(idle_guest),
		T(idle_with_housekeeping),
		T(pause),
		T(comes_before_it_is_read),
		K(comes_before_it_is_read),
		T(comes_while_it_is_read),
		K(comes_while_it_is_read),
		T(comes_after_it_is_taken_back),
		T(armed_again_before_the_exit),
		K(armed_again_before_the_exit),
		T(armed_again_and_taken_back),
		T(socles_own_comes_late),
		T(came_before_the_entry_changes),
		T(entry_changes_before_it_comes),
		T(not_in_another_mode),
		T(not_in_another_tsc),
		T(not_without_preemption_timer),
		T(not_where_the_machine_has_none),
		T(not_beside_another),
		T(tsc_moves),
		T(mode_changes),
		T(vector_changes),
		T(reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
