/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/* A VM's life from start to end, in the cores' own loops. */
#include "tests/unit/support/loop_vms.h"

#include <stdlib.h>
#include <string.h>

#include "core/lapic.h"
#include "core/lifecycle.h"
#include "core/sched.h"
#include "lib/err.h"
#include "lib/log.h"


/* ---- lives ---- */

static uint64_t woke_at[64];
static unsigned int wakes;

static void shut_down(struct vcpu *v)
{
	vm_end(v->vm, VM_END_SHUTDOWN, "");
}

static void reboot(struct vcpu *v)
{
	/* The memory of the next life knows nothing of this one. */
	assert_int_equal(v->vm->ram[0].hva[0x5000], 0);
	v->vm->ram[0].hva[0x5000] = 1;
	/* Its TSC is the machine's, however old that is. */
	assert_int_equal(fake_of(v)->tsc_offset, 0);
	fake.tsc += 12345;
	vm_end(v->vm, VM_END_REBOOT, "");
}

static const struct fake_step off[] = {{.guest = shut_down, .ticks = 1}};
static const struct fake_step reboots[] = {{.guest = reboot, .ticks = 1},
					   {.guest = reboot, .ticks = 1},
					   {.guest = shut_down, .ticks = 1}};
static const struct fake_step crashes[] = {
	{.exit = {EXIT_TRIPLE, 0}},
};

static void test_last_one_ends_the_machine(void **state)
{
	(void)state;
	fake_script(a->vcpu[0], off, 1);
	fake_script(b->vcpu[0], off, 1);
	vm_start(a);
	fake_machine_run(0, 10 * MS);
	assert_int_equal(a->state, VM_ENDED);
	assert_false(machine.off);
	vm_start(b);
	fake_machine_run(0, 20 * MS);
	assert_true(machine.off);
	assert_false(machine.on[0]);
	assert_non_null(strstr(machine.log, "socle: vm vm0: shut down\n"));
	assert_non_null(strstr(machine.log, "socle: all guests ended\n"));
}

static void test_reboot(void **state)
{
	(void)state;
	a->on_reboot = VM_POLICY_RESTART;
	fake_script(a->vcpu[0], reboots, 3);
	vm_start(a);
	fake_machine_run(0, 10 * MS);
	assert_int_equal(fake_hv.loads, 3);
	assert_int_equal(fake_hv.resets, 3);
	assert_int_equal(a->crashes, 0);
	assert_true(machine.off);
}

static void test_reboot_that_stops(void **state)
{
	(void)state;
	fake_script(a->vcpu[0], reboots, 3);
	vm_start(a);
	fake_machine_run(0, 10 * MS);
	assert_int_equal(fake_hv.loads, 1);
	assert_true(machine.off);
}

static void note_start(struct vcpu *v)
{
	(void)v;
	woke_at[wakes++ % 64] = fake.tsc;
}

static const struct fake_step crash_loop[] = {{.guest = note_start, .exit = {EXIT_TRIPLE, 0}}};

/* 100 ms, doubled each time, five times. */
static void test_crashes_in_a_row(void **state)
{
	(void)state;
	wakes = 0;
	a->on_crash = VM_POLICY_RESTART;
	script(a, 0, crash_loop, 1);
	vm_start(a);
	fake_machine_run(0, 100000 * MS);
	assert_int_equal(wakes, 6);
	for (unsigned int i = 1; i < wakes; i++)
		assert_in_range(woke_at[i] - woke_at[i - 1], 50 * MS << i, (50 * MS << i) + MS);
	assert_int_equal(fake_hv.dumps, 6);
	assert_non_null(strstr(machine.log, "crashed 6 times in a row: not started again"));
	assert_true(machine.off);
}

/* A minute's run makes the next crash the first one again. */
static void test_crashes_now_and_then(void **state)
{
	static const struct fake_step steps[] = {
		{.guest = note_start, .ticks = 61000 * MS, .exit = {EXIT_TRIPLE, 0}}};

	(void)state;
	wakes = 0;
	a->on_crash = VM_POLICY_RESTART;
	script(a, 0, steps, 1);
	vm_start(a);
	fake_machine_run(0, 700000 * MS);
	assert_true(wakes > 9);
	assert_int_equal(a->crashes, 1);
	assert_false(machine.off);
}

static void test_crash_that_stops(void **state)
{
	(void)state;
	fake_script(a->vcpu[0], crashes, 1);
	script(b, 0, busy, 1);
	vm_start(a);
	vm_start(b);
	fake_machine_run(0, 500 * MS);
	assert_int_equal(a->state, VM_ENDED);
	assert_non_null(strstr(machine.log, "socle: vm vm0: crashed: triple fault\n"));
	/* The neighbour has all that is left. */
	assert_int_equal(b->state, VM_RUNNING);
	assert_in_range(of(b)->guest_ticks, 480 * MS, 500 * MS);
}

/* ---- what is left of a VM ---- */

static size_t left_of(const struct vm *vm)
{
	size_t n = 0;

	for (unsigned int i = 0; i < vm->ram_count; i++)
		for (uint64_t k = 0; k < vm->ram[i].size; k++)
			n += !!vm->ram[i].hva[k];
	return n;
}

static void write_and_shut_down(struct vcpu *v)
{
	v->vm->ram[0].hva[0x5000] = 1;
	v->vm->ram[0].hva[FAKE_RAM - 1] = 1;
	shut_down(v);
}

static void write_and_reboot(struct vcpu *v)
{
	write_and_shut_down(v);
	v->vm->end = VM_END_REBOOT;
}

static void write_byte(struct vcpu *v)
{
	v->vm->ram[0].hva[0x5000] = 1;
}

/* Whichever way it ended. A neighbour goes on, and the machine with it. */
static void test_nothing_is_left(void **state)
{
	static const struct fake_step ways[][1] = {
		{{.guest = write_and_shut_down, .ticks = 1}},
		{{.guest = write_and_reboot, .ticks = 1}},
		{{.guest = write_byte, .exit = {EXIT_TRIPLE, 0}}},
	};

	(void)state;
	script(b, 0, busy, 1);
	vm_start(b);
	a->state = VM_ENDED;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		fake_script(a->vcpu[0], ways[i], 1);
		assert_int_equal(vm_start_again(a), 0);
		fake_machine_run(0, fake.tsc + 30 * MS);
		assert_int_equal(a->lives, i + 1);
		assert_int_equal(a->state, VM_ENDED);
		assert_int_equal(left_of(a), 0);
	}
	assert_int_equal(b->state, VM_RUNNING);
}

/* It waits for its next life after a crash, and is stopped. */
static void test_nothing_is_left_of_a_crash(void **state)
{
	static const struct fake_step steps[] = {{.guest = write_byte, .exit = {EXIT_TRIPLE, 0}}};

	(void)state;
	a->on_crash = VM_POLICY_RESTART;
	script(a, 0, steps, 1);
	vm_start(a);
	fake_machine_run(0, 50 * MS);
	assert_int_equal(a->state, VM_OFF);
	assert_int_equal(vm_stop(a), 0);
	assert_false(machine.off);
	fake_machine_run(0, 60 * MS);
	assert_int_equal(left_of(a), 0);
	assert_true(machine.off);
}

#define MUCH MIB(31)

/* Others have their turns between pieces of 8 MiB; the VM counts until the last one. */
static void zero_in_pieces(uint64_t before)
{
	unsigned int pieces = 0;

	for (; !lifecycle_all_ended() && pieces < 100; pieces++) {
		uint64_t left = left_of(a);

		assert_false(lifecycle_start(a->vcpu[0]));
		assert_in_range(left - left_of(a), 1, MIB(8));
	}
	assert_int_equal(pieces, (before + MIB(8) - 1) / MIB(8));
	assert_int_equal(left_of(a), 0);
}

static void test_zeroed_in_pieces(void **state)
{
	uint8_t *much = malloc(MUCH);

	(void)state;
	a->ram[a->ram_count++] = (struct vm_ram){MIB(16), MUCH, much};
	memset(much, 0xff, MUCH);
	memset(a->ram[0].hva, 0xff, FAKE_RAM);
	vm_start(a);
	assert_int_equal(vm_stop(a), 0);
	zero_in_pieces(FAKE_RAM + MUCH);
	a->ram_count--;
	free(much);
}

static void test_load_fails(void **state)
{
	(void)state;
	fake_hv.load_error = -ENOENT;
	fake_script(a->vcpu[0], off, 1);
	vm_start(a);
	fake_machine_run(0, 10 * MS);
	fake_machine_run(1, 10 * MS);
	fake_machine_run(0, 10 * MS);
	assert_int_equal(of(a)->entries, 0);
	assert_int_equal(a->state, VM_ENDED);
	assert_non_null(strstr(machine.log, "vm vm0: cannot be loaded: the file is gone"));
}

/* ---- lives of more than one vCPU ---- */

static void start_both(void)
{
	script(a, 0, busy, 1);
	script(a, 1, busy, 1);
	vm_start(a);
	fake_machine_run(0, fake.tsc + MS);
	vcpu_request(a->vcpu[1], REQ_SIPI);
	fake_machine_run(1, fake.tsc + MS);
	assert_int_equal(a->vcpu[1]->activity, VCPU_ACTIVE);
	assert_int_equal(a->running_vcpus, 2);
}

static void test_ends_when_all_have_parked(void **state)
{
	(void)state;
	start_both();
	vm_end(a, VM_END_SHUTDOWN, "");
	fake_machine_run(0, fake.tsc + MS);
	assert_int_equal(a->running_vcpus, 1);
	assert_int_equal(a->state, VM_ENDING);
	fake_machine_run(1, fake.tsc + MS);
	assert_int_equal(a->running_vcpus, 0);
	assert_int_equal(a->state, VM_ENDED);
	/* Core 0 zeroes its memory; both leave, core 0 last. */
	fake_machine_run(0, fake.tsc + MS);
	assert_false(machine.on[0]);
	assert_true(machine.on[1]);
	fake_machine_run(1, fake.tsc + MS);
	fake_machine_run(0, fake.tsc + MS);
	assert_true(machine.off);
	assert_false(machine.on[0] || machine.on[1]);
}

/*
 * Started again before its memory was zeroed: the machine goes off when that life is over, and not
 * before.
 */
static void test_started_before_it_is_gone(void **state)
{
	(void)state;
	start_both();
	assert_int_equal(vm_stop(a), 0);
	fake_machine_run(0, fake.tsc + MS);
	fake_machine_run(1, fake.tsc + MS);
	assert_int_equal(a->state, VM_ENDED);
	assert_false(lifecycle_all_ended());
	assert_int_equal(vm_start_again(a), 0);
	fake_machine_run(0, fake.tsc + MS);
	assert_int_equal(a->state, VM_RUNNING);
	assert_int_equal(vm_stop(a), 0);
	for (unsigned int i = 0; i < 4; i++)
		fake_machine_run(!(i % 2), fake.tsc + MS);
	assert_true(machine.off);
}

/* The first end counts. */
static void test_two_ends(void **state)
{
	(void)state;
	start_both();
	a->on_crash = VM_POLICY_RESTART;
	vm_end(a, VM_END_CRASH, "one");
	vm_end(a, VM_END_SHUTDOWN, "two");
	assert_int_equal(a->end, VM_END_CRASH);
	assert_string_equal(a->end_why, "one");
}

/*
 * A vCPU that has not come out of the guest yet when the other one is parked sends it INIT and
 * start-up: they are not for the next life.
 */
static void test_requests_of_a_former_life(void **state)
{
	(void)state;
	start_both();
	a->on_reboot = VM_POLICY_RESTART;
	vm_end(a, VM_END_REBOOT, "");
	fake_machine_run(1, fake.tsc + MS);
	assert_int_equal(a->vcpu[1]->activity, VCPU_PARKED);
	vcpu_request(a->vcpu[1], REQ_INIT | REQ_SIPI);
	vcpu_nmi(a->vcpu[1]);
	fake_of(a->vcpu[1])->entries = 0;
	fake_machine_run(0, fake.tsc + MS);
	fake_machine_run(1, fake.tsc + MS);
	fake_machine_run(1, fake.tsc + MS);
	assert_int_equal(a->state, VM_RUNNING);
	assert_int_equal(a->vcpu[1]->activity, VCPU_WAIT_SIPI);
	assert_int_equal(fake_of(a->vcpu[1])->entries, 0);
	assert_false(a->vcpu[1]->nmi_pending);
	/* The first NMI of this life is alone. */
	vcpu_nmi(a->vcpu[1]);
	vcpu_request(a->vcpu[1], REQ_SIPI);
	fake_machine_run(1, fake.tsc + MS);
	assert_true(fake_of(a->vcpu[1])->entries > 0);
	assert_false(a->vcpu[1]->nmi_pending);
}

static void start_the_other(struct vcpu *v)
{
	struct apic_msg msg = {.dest = 1, .delivery = APIC_INIT};

	lapic_send(v->vm, v, &msg);
	msg.delivery = APIC_STARTUP;
	msg.vector = 0x12;
	lapic_send(v->vm, v, &msg);
}

/* The other core is busy elsewhere when the guest starts its processor: it comes later. */
static void test_started_before_its_core_came(void **state)
{
	static const struct fake_step starts[] = {{.guest = start_the_other, .ticks = 1},
						  {.ticks = 10 * MS}};

	(void)state;
	fake_script(a->vcpu[0], starts, 2);
	script(a, 1, busy, 1);
	vm_start(a);
	fake_machine_run(0, fake.tsc + MS);
	assert_int_equal(a->vcpu[1]->activity, VCPU_PARKED);
	fake_machine_run(1, fake.tsc + MS);
	assert_int_equal(a->vcpu[1]->activity, VCPU_ACTIVE);
	assert_true(fake_of(a->vcpu[1])->entries > 0);
	assert_int_equal(a->vcpu[1]->sipi_vector, 0x12);
}

static unsigned int lines_with(const char *text)
{
	unsigned int n = 0;

	for (const char *p = machine.log; (p = strstr(p, text)); p++)
		n++;
	return n;
}

static void reboot_again(struct vcpu *v)
{
	(void)fake_trace();
	vm_end(v->vm, VM_END_REBOOT, "");
}

/* A guest that reboots at once, for ever: the log stays readable for the others. */
static void test_messages_of_a_vm_are_rationed(void **state)
{
	static const struct fake_step reboots[] = {{.guest = reboot_again, .ticks = 10000}};

	(void)state;
	log_set_level(LOG_DEBUG);
	a->on_reboot = VM_POLICY_RESTART;
	script(a, 0, reboots, 1);
	vm_start(a);
	fake_machine_run(0, 2 * MS);
	assert_true(a->lives > 100);
	assert_in_range(lines_with("vm vm0: started") + lines_with("vm vm0: rebooted"), 10, 70);
	assert_in_range(lines_with("vm vm0: exits: "), 1, 140);
	/* They come back with time. */
	fake.tsc += 1000 * MS;
	fake_machine_run(0, fake.tsc + MS);
	assert_true(lines_with("were not said") >= 1);
}

#define T(name, setup)                                    \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(last_one_ends_the_machine, setup_two),
		T(reboot, setup_one),
		T(reboot_that_stops, setup_one),
		T(crashes_in_a_row, setup_one),
		T(crashes_now_and_then, setup_one),
		T(crash_that_stops, setup_two),
		T(nothing_is_left, setup_two),
		T(nothing_is_left_of_a_crash, setup_one),
		T(zeroed_in_pieces, setup_one),
		T(started_before_it_is_gone, setup_smp),
		T(load_fails, setup_smp),
		T(messages_of_a_vm_are_rationed, setup_one),
		T(ends_when_all_have_parked, setup_smp),
		T(two_ends, setup_smp),
		T(requests_of_a_former_life, setup_smp),
		T(started_before_its_core_came, setup_smp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
