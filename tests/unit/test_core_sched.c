/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/* Whose turn it is on a core, and pauses: the cores' own loops. */
#include "tests/unit/support/loop_vms.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/devtimer.h"
#include "core/lapic.h"
#include "core/lapic_page.h"
#include "core/lifecycle.h"
#include "core/sched.h"
#include "lib/err.h"
#include "lib/log.h"

#define SLICE (SCHED_SLICE_US * 1000ull)

static const struct fake_step hlt[] = {{.exit = {EXIT_HLT, .insn_len = 1}}};

/* ---- turns ---- */

static void test_alone_is_never_sliced(void **state)
{
	(void)state;
	script(a, 0, busy, 1);
	vm_start(a);
	fake_machine_run(0, 1000 * MS);
	assert_int_equal(of(a)->guest_ticks, 1000 * MS);
	assert_int_equal(a->vcpu[0]->exits[EXIT_DEADLINE], 0);
	assert_int_equal(of(a)->loads, 1);
	assert_int_equal(machine.cpu[0].vm_switches, 1);
}

static void test_two_share_alike(void **state)
{
	(void)state;
	script(a, 0, busy, 1);
	script(b, 0, busy, 1);
	vm_start(a);
	vm_start(b);
	fake_machine_run(0, 1000 * MS);
	assert_in_range(of(a)->guest_ticks, 500 * MS - SLICE, 500 * MS + SLICE);
	assert_int_equal(of(a)->guest_ticks + of(b)->guest_ticks, 1000 * MS);
	/* In slices of 10 ms. */
	assert_in_range(of(a)->loads, 48, 53);
	assert_in_range(of(b)->loads, 48, 53);
	/* Each turn is another VM's: predictions and caches of the last one are told to go. */
	assert_int_equal(machine.cpu[0].switches, of(a)->loads + of(b)->loads);
	assert_int_equal(machine.cpu[0].vm_switches, of(a)->loads + of(b)->loads);
}

/*
 * However many interrupts a VM sends to its vCPU on another core: that core's guest is left once
 * until the vCPU has looked.
 */
static void test_a_flood_of_requests_is_one_kick(void **state)
{
	(void)state;
	fake_hv_start(a);
	machine.here = 1;
	sched_attentive(true);
	machine.here = 0;
	machine.cpu[1].kicks = 0;
	for (unsigned int i = 0; i < 1000; i++)
		vcpu_request(a->vcpu[1], REQ_IRQ);
	assert_int_equal(machine.cpu[1].kicks, 1);
	vcpu_request(a->vcpu[1], REQ_NMI);
	assert_int_equal(machine.cpu[1].kicks, 2);
	/* What does not come from guests always gets through. */
	vcpu_request(a->vcpu[1], REQ_STOP);
	vcpu_request(a->vcpu[1], REQ_STOP);
	assert_int_equal(machine.cpu[1].kicks, 4);
	vcpu_ask(a->vcpu[1], ASK_DUMP);
	vcpu_ask(a->vcpu[1], ASK_DUMP);
	assert_true(machine.cpu[1].kicks >= 6);
}

static void test_two_share_by_the_host_timer(void **state)
{
	(void)state;
	hv_caps.features = 0;
	test_two_share_alike(state);
}

/* An interrupt that waits would end each turn before its first instruction. */
static void test_late_timer_leaves_a_turn(void **state)
{
	(void)state;
	hv_caps.features = 0;
	fake.tsc = SLICE;
	a->vcpu[0]->timer_deadline = 1;
	assert_true(sched_deadline(a->vcpu[0]) < fake.tsc);
	assert_in_range(machine.cpu[0].timer, fake.tsc + 1000, fake.tsc + 20000);
	sched_rearm(a->vcpu[0], fake.tsc + 1);
	assert_in_range(machine.cpu[0].timer, fake.tsc + 1000, fake.tsc + 20000);
	/* What is not late is not put off. */
	sched_rearm(a->vcpu[0], fake.tsc + SLICE);
	assert_int_equal(machine.cpu[0].timer, fake.tsc + SLICE);
}

/* One that sleeps leaves all of the core to the other, undisturbed. */
static void test_sleeping_costs_nothing(void **state)
{
	(void)state;
	script(a, 0, busy, 1);
	script(b, 0, hlt, 1);
	vm_start(a);
	vm_start(b);
	fake_machine_run(0, 1000 * MS);
	assert_int_equal(of(a)->guest_ticks, 1000 * MS);
	assert_int_equal(of(b)->loads, 1);
	assert_in_range(a->vcpu[0]->exits[EXIT_DEADLINE] + a->vcpu[0]->exits[EXIT_HOST_IRQ], 0, 3);
}

static uint64_t woke_at[64];
static unsigned int wakes;

/* Sleeps for 30 ms. */
static void nap(struct vcpu *v)
{
	fake_enable_timer(v);
	if (vapic_get(v, APIC_ISR + 0x70))
		lapic_eoi(v);
	woke_at[wakes++ % 64] = fake.tsc;
	lapic_deadline_write(v, fake.tsc + v->tsc_offset + 30 * MS);
	fake_guest(v)->rflags |= RFLAGS_IF;
}

static const struct fake_step napping[] = {
	{.guest = nap, .exit = {EXIT_HLT, .insn_len = 1}},
};

/* One that wakes by its timer waits a slice at most. */
static void test_sleeper_wakes_in_time(void **state)
{
	(void)state;
	wakes = 0;
	script(a, 0, busy, 1);
	script(b, 0, napping, 1);
	vm_start(a);
	vm_start(b);
	fake_machine_run(0, 1000 * MS);
	assert_in_range(wakes, 24, 34);
	for (unsigned int i = 1; i < wakes; i++)
		assert_in_range(woke_at[i] - woke_at[i - 1], 30 * MS, 30 * MS + SLICE);
}

/* Naps for a second, and has a second's work then. */
static void long_nap(struct vcpu *v)
{
	fake_enable_timer(v);
	lapic_deadline_write(v, fake.tsc + v->tsc_offset + 1000 * MS);
	fake_guest(v)->rflags |= RFLAGS_IF;
}

static const struct fake_step nap_and_work[] = {
	{.guest = long_nap, .exit = {EXIT_HLT, .insn_len = 1}},
	{.ticks = 1000 * MS},
	{.exit = {EXIT_HLT, .insn_len = 1}},
};

static uint64_t ran_last, longest_wait;

static void note_wait(struct vcpu *v)
{
	(void)v;
	longest_wait = MAX(longest_wait, fake.tsc - ran_last);
	ran_last = fake.tsc + MS;
}

static const struct fake_step waiting[] = {{.guest = note_wait, .ticks = MS}};

/* Whoever had the core alone for a while, in one turn, does not pay for it with as long a wait. */
static void test_time_alone_is_no_debt(void **state)
{
	(void)state;
	ran_last = longest_wait = 0;
	script(a, 0, waiting, 1);
	fake_script(b->vcpu[0], nap_and_work, 3);
	vm_start(a);
	vm_start(b);
	fake_machine_run(0, 2000 * MS);
	assert_in_range(of(b)->guest_ticks, 480 * MS, 520 * MS);
	assert_in_range(longest_wait, 5 * MS, 2 * SLICE);
}

/* PAUSE in a loop gives the core to whoever wants it, where the processor counts them. */
static void test_pause_yields(void **state)
{
	static const struct fake_step spin[] = {{.ticks = MS, .exit = {EXIT_PAUSE, .insn_len = 2}}};

	(void)state;
	hv_caps.features |= HV_F_PAUSE;
	script(a, 0, spin, 1);
	script(b, 0, spin, 1);
	vm_start(a);
	vm_start(b);
	fake_machine_run(0, 100 * MS);
	assert_in_range(of(a)->guest_ticks, 45 * MS, 55 * MS);
	assert_true(of(a)->loads > 30);
}

/* Each has its own FPU registers and XCR0: fake_hv.c looks at every entry. */
static void use_fpu(struct vcpu *v)
{
	fake_here()->fpu = fake_of(v)->fpu = 0x1000 * (v->vm->index + 1) + fake_of(v)->loads;
	v->xcr0 = v->vm->index ? 7 : 3;
	fake_here()->xcr0 = v->xcr0;
}

static void test_fpu_of_each(void **state)
{
	static const struct fake_step fpu[] = {{.guest = use_fpu, .ticks = 7 * MS}};

	(void)state;
	script(a, 0, fpu, 1);
	script(b, 0, fpu, 1);
	vm_start(a);
	vm_start(b);
	fake_machine_run(0, 200 * MS);
	assert_true(of(a)->loads > 5 && of(b)->loads > 5);
}

/* ---- sleeping cores ---- */

static void test_core_sleeps_until_the_timer(void **state)
{
	(void)state;
	wakes = 0;
	script(a, 0, napping, 1);
	vm_start(a);
	fake_machine_run(0, 100 * MS);
	assert_int_equal(wakes, 4);
	assert_int_equal(woke_at[3], 90 * MS);
	assert_int_equal(machine.sleeps, 4);
}

static void post(void)
{
	fake.tsc += 5 * MS;
	if (machine.sleeps == 1)
		lapic_post(a->vcpu[0], 0x50, false);
}

/* From another core: it is asleep, so it is sent an interrupt. */
static void post_from_core_1(void)
{
	machine.here = 1;
	post();
	machine.here = 0;
}

static void test_kick_wakes_a_core(void **state)
{
	(void)state;
	machine.asleep = post_from_core_1;
	fake_script(a->vcpu[0], hlt, 1);
	vm_start(a);
	machine.cpu[0].kicks = 0;
	fake_machine_run(0, 100 * MS);
	assert_int_equal(machine.cpu[0].kicks, 1);
	assert_string_equal(fake_trace(), "reset0 +1 irq80 end0 ");
}

/* A core that is in nobody's guest and awake looks by itself. */
static void test_no_kick_for_nothing(void **state)
{
	(void)state;
	machine.here = 1;
	vcpu_request(a->vcpu[0], REQ_YIELD);
	assert_int_equal(machine.cpu[0].kicks, 0);
	machine.here = 0;
	vcpu_request(a->vcpu[0], REQ_YIELD);
	assert_int_equal(machine.cpu[0].kicks, 0);
}

/* ---- pauses ---- */

/* The fake machine stops in the middle of the guest's turn, which does not go on then; and before
 * the end where nobody has anything to do. */
static void run_until(uint64_t end)
{
	fake_machine_run(0, end);
	fake.tsc = MAX(fake.tsc, end);
	a->inside = 0;
}

/* What the guest saw of its TSC last, and the longest step that it made. */
static uint64_t seen_tsc, longest_step;

static void look_at_tsc(struct vcpu *v)
{
	uint64_t now = fake.tsc + fake_of(v)->tsc_offset;

	assert_true(now >= seen_tsc);
	longest_step = MAX(longest_step, now - seen_tsc);
	seen_tsc = now;
}

static const struct fake_step looking[] = {{.guest = look_at_tsc, .ticks = MS}};

static void start_looking(void)
{
	seen_tsc = longest_step = 0;
	script(a, 0, looking, 1);
	vm_start(a);
	run_until(50 * MS);
}

/* Minutes, of which the guest's TSC, and what counts with it, know nothing. */
static void test_pause_stops_the_clock(void **state)
{
	uint64_t ticks, last;

	(void)state;
	start_looking();
	assert_int_equal(vm_pause(a), 0);
	assert_int_equal(vm_pause(a), -EINVAL);
	last = seen_tsc;
	ticks = clock_ticks(a, 1000);
	run_until(300000 * MS);
	assert_int_equal(seen_tsc, last);
	assert_int_equal(vm_resume(a), 0);
	assert_in_range(clock_ticks(a, 1000), ticks, ticks + 1);
	run_until(300050 * MS);
	assert_in_range(longest_step, MS, 2 * MS);
	assert_in_range(seen_tsc, 98 * MS, 101 * MS);
	/* A second one adds to the first. */
	assert_int_equal(vm_pause(a), 0);
	run_until(400000 * MS);
	assert_int_equal(vm_resume(a), 0);
	run_until(400050 * MS);
	assert_in_range(longest_step, MS, 2 * MS);
	assert_in_range(seen_tsc, 147 * MS, 152 * MS);
	assert_int_equal(vm_resume(a), -EINVAL);
}

static uint64_t expired_at;

static void timer_expired(void *dev)
{
	(void)dev;
	expired_at = fake.tsc;
}

/* Its timers are late by as much, but for those of the time of day. */
static void test_pause_delays_timers(void **state)
{
	static struct dev_timer timer, day;

	(void)state;
	timer = (struct dev_timer){.expired = timer_expired};
	day = (struct dev_timer){.expired = timer_expired, .of_day = true};
	dev_timer_add(a, &timer);
	dev_timer_add(a, &day);
	expired_at = 0;
	wakes = 0;
	script(a, 0, napping, 1);
	vm_start(a);
	run_until(20 * MS);
	dev_timer_set(a, &timer, 45 * MS);
	assert_int_equal(wakes, 1);
	assert_int_equal(vm_pause(a), 0);
	run_until(1020 * MS);
	assert_int_equal(wakes, 1);
	assert_int_equal(vm_resume(a), 0);
	/* Its nap of 30 ms had 10 to go, the device's timer 25. */
	run_until(1100 * MS);
	assert_in_range(woke_at[1], 1030 * MS, 1031 * MS);
	assert_in_range(expired_at, 1045 * MS, 1046 * MS);
	dev_timer_set(a, &day, 1110 * MS);
	assert_int_equal(vm_pause(a), 0);
	run_until(2000 * MS);
	assert_int_equal(vm_resume(a), 0);
	run_until(2001 * MS);
	assert_in_range(expired_at, 2000 * MS, 2001 * MS);
}

/* Another core has decided that A's next life begins in 100 ms. */
static void start_a_later(void)
{
	machine.arming = NULL;
	machine.here = 1;
	a->start_at = fake.tsc + 100 * MS;
	vm_start(a);
	machine.here = 0;
}

/* What comes while a core is about to sleep until something else, and is not due yet, is no less
 * in time. */
static void test_news_while_falling_asleep(void **state)
{
	static const struct fake_step start[] = {{.guest = note_wait}, {.ticks = MS}};
	static struct dev_timer timer;

	(void)state;
	timer = (struct dev_timer){.expired = timer_expired};
	b = fake_hv_vm(2, 1);
	assert_ptr_equal(b->vcpu[0]->cpu, a->vcpu[0]->cpu);
	dev_timer_add(b, &timer);
	fake_script(a->vcpu[0], start, 2);
	fake_script(b->vcpu[0], hlt, 1);
	vm_start(b);
	run_until(MS);
	sched_attentive(false); /* it was stopped in its sleep */
	ran_last = 0;
	dev_timer_set(b, &timer, 1000 * MS);
	machine.arming = start_a_later;
	fake_machine_run(0, 900 * MS);
	assert_in_range(ran_last, 101 * MS, 103 * MS);
}

/* Another core has an interrupt for B, which is halted. */
static void post_to_b(void)
{
	machine.arming = NULL;
	machine.here = 1;
	lapic_post(b->vcpu[0], 0x50, false);
	machine.here = 0;
}

/* What comes for a neighbour while a core is about to enter a guest, and has just seen that the
 * neighbour sleeps, ends the guest's turn with its slice. */
static void test_news_while_entering(void **state)
{
	static const struct fake_step wake[] = {{.exit = {EXIT_HLT, .insn_len = 1}},
						{.guest = note_wait},
						{.ticks = MS}};

	(void)state;
	b = fake_hv_vm(2, 1);
	assert_ptr_equal(b->vcpu[0]->cpu, a->vcpu[0]->cpu);
	script(a, 0, busy, 1);
	fake_script(b->vcpu[0], wake, 3);
	vm_start(b);
	vm_start(a);
	run_until(30 * MS);
	sched_attentive(false); /* it was stopped in the guest */
	ran_last = 0;
	machine.arming = post_to_b;
	fake_machine_run(0, 900 * MS);
	assert_in_range(ran_last, 30 * MS, 31 * MS + SLICE);
}

/* The pause is over before the vCPU, which another core still runs, has seen it. */
static void pause_and_resume(struct vcpu *v)
{
	look_at_tsc(v);
	machine.here = 1;
	assert_int_equal(vm_pause(v->vm), 0);
	fake.tsc += MS;
	look_at_tsc(v);
	assert_int_equal(vm_resume(v->vm), 0);
	machine.here = 0;
	look_at_tsc(v);
}

static void test_clock_never_goes_back(void **state)
{
	static const struct fake_step steps[] = {{.guest = pause_and_resume, .ticks = MS}};

	(void)state;
	seen_tsc = longest_step = 0;
	/* Another has its turns: it enters anew again and again. */
	b = fake_hv_vm(2, 1);
	script(a, 0, steps, 1);
	script(b, 0, busy, 1);
	vm_start(b);
	vm_start(a);
	run_until(50 * MS);
	assert_in_range(seen_tsc, 48 * MS, 52 * MS);
}

/* A life that ended while it was paused leaves nothing to the next. */
static void test_pause_ends_with_its_life(void **state)
{
	(void)state;
	start_looking();
	assert_int_equal(vm_pause(a), 0);
	run_until(1000 * MS);
	assert_int_equal(vm_resume(a), 0);
	assert_int_equal(vm_pause(a), 0);
	assert_int_equal(vm_reset(a), 0);
	seen_tsc = 0;
	run_until(1050 * MS);
	assert_int_equal(a->lives, 2);
	assert_in_range(seen_tsc, 1048 * MS, 1051 * MS);
}

#define T(name, setup)                                    \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

/* ---- what another core can know ---- */

static void ask(struct vcpu *v)
{
	sched_ask(v->cpu);
}

static void stop(struct vcpu *v)
{
	(void)v;
	fake_machine_stop();
}

#define ASKED                                    \
	{.guest = ask, .exit = {EXIT_HOST_IRQ}}, \
	{                                        \
		.ticks = MS                      \
	}

/* Core 0 is asked, out of its guest, which then goes on with STEPS. */
static bool is_inside_after(const struct fake_step *steps, unsigned int count)
{
	const struct pcpu *cpu = a->vcpu[0]->cpu;

	fake_script(a->vcpu[0], steps, count);
	vm_start(a);
	fake_machine_run(0, fake.tsc + 100 * MS);
	assert_true(sched_answered(cpu));
	return sched_inside(cpu);
}

static void test_spinning_guest_is_not_asked_again(void **state)
{
	static const struct fake_step spinning[] = {ASKED, {.guest = stop}};

	(void)state;
	assert_true(is_inside_after(spinning, ARRAY_SIZE(spinning)));
	/* One that has left the guest may hang: it counts exits first. */
	a->vcpu[0]->exits[EXIT_PIO]++;
	assert_false(sched_inside(a->vcpu[0]->cpu));
	a->vcpu[0]->exits[EXIT_PIO]--;
	sched_attentive(false);
	assert_false(sched_inside(a->vcpu[0]->cpu));
}

static void test_guest_that_has_exited_is_asked_again(void **state)
{
	static const struct fake_step exiting[] = {
		ASKED, {.exit = {EXIT_CPUID, .insn_len = 2}, .inner = true}, {.guest = stop}};

	(void)state;
	assert_false(is_inside_after(exiting, ARRAY_SIZE(exiting)));
}

/* What is in the registers is the guest's still. */
static void test_idle_core_is_not_inside(void **state)
{
	static const struct fake_step halting[] = {ASKED, {.exit = {EXIT_HLT, .insn_len = 1}}};

	(void)state;
	assert_false(is_inside_after(halting, ARRAY_SIZE(halting)));
	a->vcpu[0]->exits[EXIT_HLT]--;
	assert_false(sched_inside(a->vcpu[0]->cpu));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(alone_is_never_sliced, setup_one),
		T(two_share_alike, setup_two),
		T(two_share_by_the_host_timer, setup_two),
		T(late_timer_leaves_a_turn, setup_two),
		T(sleeping_costs_nothing, setup_two),
		T(sleeper_wakes_in_time, setup_two),
		T(time_alone_is_no_debt, setup_two),
		T(pause_yields, setup_two),
		T(fpu_of_each, setup_two),
		T(core_sleeps_until_the_timer, setup_one),
		T(kick_wakes_a_core, setup_smp),
		T(news_while_falling_asleep, setup_smp),
		T(news_while_entering, setup_smp),
		T(no_kick_for_nothing, setup_smp),
		T(pause_stops_the_clock, setup_one),
		T(pause_delays_timers, setup_one),
		T(clock_never_goes_back, setup_smp),
		T(pause_ends_with_its_life, setup_one),
		T(a_flood_of_requests_is_one_kick, setup_smp),
		T(spinning_guest_is_not_asked_again, setup_one),
		T(guest_that_has_exited_is_asked_again, setup_one),
		T(idle_core_is_not_inside, setup_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
