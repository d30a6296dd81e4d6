/* links: core/lineedit.c core/console_own.c core/console_text.c core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/*
 * The monitor: what is typed, what it says, and what becomes of the VMs. "alpha" spins, "alps" does
 * not start by itself, "beta" sleeps.
 */
/* Included, not linked: every test has a console and a monitor of its own. */
#include "core/console.c"
#undef PROMPT
#include "core/monitor.c"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/support/fake_hv.h"

#define MS     1000000ull
#define ESCAPE "\x1d"
#define VMS    3u

static struct {
	char sent[1 << 18];
	unsigned int count;
	const char *typed;
	size_t left;
} port;

static struct vm *vms[VMS];

size_t pages_used(void)
{
	return 10;
}

size_t pages_total(void)
{
	return 100;
}

size_t pages_peak(void)
{
	return 20;
}

static unsigned int tx_room(void *ctx)
{
	(void)ctx;
	return 16;
}

static void tx(void *ctx, uint8_t byte)
{
	(void)ctx;
	assert_true(port.count < sizeof(port.sent) - 1);
	port.sent[port.count++] = (char)byte;
}

static bool rx(void *ctx, uint8_t *byte)
{
	(void)ctx;
	if (!port.left)
		return false;
	port.left--;
	*byte = (uint8_t)*port.typed++;
	return true;
}

static void tx_irq(void *ctx, bool on)
{
	(void)ctx;
	(void)on;
}

static void input(void *dev, uint8_t byte)
{
	(void)byte;
	(*(unsigned int *)dev)++;
}

static unsigned int input_room(void *dev)
{
	(void)dev;
	return 4;
}

static void output_room(void *dev)
{
	(void)dev;
}

static unsigned int got[VMS];

static int setup(void **state)
{
	static const struct console_port ops = {tx_room, tx, rx, tx_irq, NULL};
	static const char *const names[VMS] = {"alpha", "alps", "beta"};
	static const struct fake_step busy[] = {{.ticks = MS}};
	static const struct fake_step hlt[] = {{.exit = {EXIT_HLT, .insn_len = 1}}};

	(void)state;
	memset(&con, 0, sizeof(con));
	memset(&mon, 0, sizeof(mon));
	memset(&port, 0, sizeof(port));
	memset(got, 0, sizeof(got));
	for (size_t i = 0; i < VMS; i++) {
		struct console_client c = {input, input_room, output_room, &got[i]};

		vms[i] = fake_hv_vm(1, 1);
		strcpy(vms[i]->name, names[i]);
		vms[i]->memory = MIB(2);
		fake_script(vms[i]->vcpu[0], i == 2 ? hlt : busy, 1);
		fake_of(vms[i]->vcpu[0])->repeat = true;
		assert_int_equal(console_attach(vms[i], &c), 0);
	}
	/* It is stopped before its first life has begun. */
	vm_start(vms[1]);
	assert_int_equal(vm_stop(vms[1]), 0);
	console_init(&ops);
	console_use_irq();
	assert_int_equal(monitor_init(vms, VMS, 0x1d), 0);
	log_set_sink(console_write_log, NULL);
	vm_start(vms[0]);
	vm_start(vms[2]);
	fake_machine_run(0, 100 * MS);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_set_sink(NULL, NULL);
	assert_int_equal(console_lock.next, console_lock.owner);
	free(con.mon.ring);
	for (size_t i = 0; i < VMS; i++)
		free(vms[i]->console);
	fake_hv_end();
	fake_sched_forget();
	fake_lifecycle_forget();
	return 0;
}

static void run_ms(unsigned int ms)
{
	fake_machine_run(0, fake.tsc + ms * MS);
	fake.tsc = MAX(fake.tsc, machine.until);
	for (size_t i = 0; i < VMS; i++)
		vms[i]->inside = 0;
	(void)fake_trace();
	console_tick();
}

/* COUNT bytes of KEYS are typed; returns all that came out until the cores have had time. */
static const char *type_bytes(const char *keys, size_t count)
{
	port.count = 0;
	port.typed = keys;
	port.left = count;
	console_irq();
	run_ms(30);
	port.sent[port.count] = '\0';
	return port.sent;
}

static const char *type(const char *keys)
{
	return type_bytes(keys, strlen(keys));
}

static void assert_says(const char *keys, const char *text)
{
	const char *said = type(keys);

	if (!strstr(said, text)) {
		print_error("\"%s\" not in \"%s\"\n", text, said);
		fail();
	}
}

static void the_key_opens_and_closes(void **state)
{
	(void)state;
	type("to a guest");
	assert_true(got[0] > 0);
	got[0] = 0;
	assert_says(ESCAPE, "socle> ");
	assert_true(mon.open);
	assert_says("help\r", "help");
	assert_int_equal(got[0], 0);
	type(ESCAPE);
	assert_false(mon.open);
	type("abc");
	assert_int_equal(got[0], 3);
}

static void help_has_every_command(void **state)
{
	const char *said;

	(void)state;
	type(ESCAPE);
	said = type("help\r");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		assert_non_null(strstr(said, commands[i].help));
}

static void list_shows_states(void **state)
{
	const char *said, *at;
	double share;

	(void)state;
	type(ESCAPE "list\r");
	run_ms(1000);
	said = type("list\r");
	/* Its share of the processor: all but what the test's own turns take. */
	at = strstr(said, "alpha            running      1  0 ");
	assert_non_null(at);
	share = strtod(at + 53, NULL);
	assert_true(share > 80 && share < 101);
	assert_non_null(strstr(said, "     1  typing goes here\r\n"));
	assert_non_null(strstr(said, "alps             off          1  0 "));
	assert_non_null(strstr(said, "  0.0     0\r\n"));
	assert_non_null(strstr(said, "beta             running"));
}

static void attach_moves_typing(void **state)
{
	(void)state;
	type(ESCAPE);
	assert_says("attach beta\r", "socle: typing goes to vm beta; ^] opens the monitor\r\n");
	assert_false(mon.open);
	type("x");
	assert_int_equal(got[0], 0);
	assert_int_equal(got[2], 1);
}

static void log_prints_what_was_written(void **state)
{
	(void)state;
	for (const char *p = "one line\r\nanother"; *p; p++)
		assert_true(console_put(vms[2], (uint8_t)*p));
	run_ms(1000);
	type(ESCAPE);
	assert_says("log beta\r", "one line\r\nanother\r\n");
	assert_null(strstr(type("log alpha\r"), "line"));
}

static void pause_and_resume(void **state)
{
	uint64_t ticks;

	(void)state;
	type(ESCAPE);
	assert_says("pause alpha\r", "socle: vm alpha: paused\r\n");
	ticks = fake_of(vms[0]->vcpu[0])->guest_ticks;
	run_ms(100);
	assert_int_equal(fake_of(vms[0]->vcpu[0])->guest_ticks, ticks);
	assert_says("pause alpha\r", "vm alpha cannot be paused: it is paused\r\n");
	assert_says("list\r", "alpha            paused");
	assert_says("resume alpha\r", "socle: vm alpha: resumed\r\n");
	assert_true(fake_of(vms[0]->vcpu[0])->guest_ticks > ticks);
	assert_says("resume alpha\r", "vm alpha cannot be resumed: it is running\r\n");
}

static void lives(void **state)
{
	(void)state;
	type(ESCAPE);
	assert_says("start alpha\r", "vm alpha cannot be started: it is running\r\n");
	assert_says("reset alpha\r", "socle: vm alpha: started\r\n");
	assert_int_equal(vms[0]->lives, 2);
	assert_says("stop alpha\r", "socle: vm alpha: stopped\r\n");
	assert_says("list\r", "alpha            ended");
	assert_says("stop alpha\r", "vm alpha cannot be stopped: it is ended\r\n");
	assert_says("reset alpha\r", "vm alpha cannot be reset: it is ended\r\n");
	assert_says("start alpha\r", "socle: vm alpha: started\r\n");
	assert_int_equal(vms[0]->lives, 3);
	assert_says("start alps\r", "socle: vm alps: started\r\n");
}

static void stats_counts_exits(void **state)
{
	const char *said;

	(void)state;
	type(ESCAPE);
	said = type("stats beta\r");
	assert_non_null(strstr(said, "times are taken from now on"));
	assert_non_null(strstr(said, exit_name(EXIT_HLT)));
	assert_string_equal(exit_name(EXIT_HLT), "HLT");
	assert_string_equal(exit_name(EXIT_MSR), "RDMSR, WRMSR");
	assert_string_equal(exit_name(EXIT_UNKNOWN), "unknown");
	assert_true(vms[2]->timed);
	assert_null(strstr(type("stats beta\r"), "times are taken"));
}

static void dump_of_what_runs_and_what_never_did(void **state)
{
	(void)state;
	type(ESCAPE);
	assert_says("dump alpha\r", "vm alpha: vcpu 0: runs\r\n");
	assert_says("dump beta\r", "vm beta: vcpu 0: is halted\r\n");
	assert_int_equal(fake_hv.dumps, 2);
	assert_says("dump alps\r", "vm alps: vcpu 0: was never started\r\n");
	assert_int_equal(fake_hv.dumps, 2);
}

static void mem_counts(void **state)
{
	(void)state;
	type(ESCAPE);
	assert_says("mem\r", "alpha                   2 MiB\r\n");
	assert_says("mem\r", "40 KiB used of 400");
}

static void quit_closes(void **state)
{
	(void)state;
	type(ESCAPE "quit\r");
	assert_false(mon.open);
	type(ESCAPE "\x04"); /* Ctrl-D */
	assert_false(mon.open);
}

static void what_is_wrong_with_a_line(void **state)
{
	(void)state;
	type(ESCAPE);
	assert_says("lost\r", "lost: no such command; help lists them\r\n");
	assert_says("LIST\r", "LIST: no such command");
	assert_says("stop\r", "usage: stop NAME\r\n");
	assert_says("stop alpha beta\r", "usage: stop NAME\r\n");
	assert_says("list alpha\r", "usage: list\r\n");
	assert_says("stop alph\r", "alph: no such VM; list shows them\r\n");
	assert_says("   stop    nobody   \r", "nobody: no such VM");
	assert_null(strstr(type("\r   \r"), "no such"));
	assert_int_equal(vms[0]->state, VM_RUNNING);
}

static void completion(void **state)
{
	const char *said;

	(void)state;
	type(ESCAPE);
	assert_says("pau\tal\ts\t\r", "pause alps \r\n");
	said = type("st\t");
	assert_non_null(strstr(said, "  stop\r\n"));
	assert_non_null(strstr(said, "  start\r\n"));
	assert_non_null(strstr(said, "  stats\r\n"));
	assert_null(strstr(said, "list"));
	assert_says("op alpha\r", "socle: vm alpha: stopped\r\n");
	type("dump zzz\t\t\r");
}

/* All bytes there are, lines without end, and escape sequences cut short. */
static void garbage(void **state)
{
	char bytes[600];
	uint32_t seed = 1;

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	type(ESCAPE);
	type_bytes(bytes, 250);
	type_bytes(bytes, 250);
	assert_says("\r", "no such command");
	for (unsigned int round = 0; round < 300; round++) {
		for (size_t i = 0; i < 200; i++) {
			seed = seed * 1664525 + 1013904223;
			bytes[i] = (char)(seed >> 24);
		}
		type_bytes(bytes, 200);
	}
	if (mon.open)
		type(ESCAPE);
	type(ESCAPE);
	assert_says("\x15list\r", "NAME ");
}

/* While it is open the machine stays on. */
static void the_last_vm(void **state)
{
	(void)state;
	type(ESCAPE);
	type("stop alpha\r");
	assert_says("stop beta\r", "socle: vm beta: stopped\r\n");
	assert_false(lifecycle_all_ended());
	assert_says("start alps\r", "socle: vm alps: started\r\n");
	type("stop alps\r");
	assert_null(strstr(port.sent, "all guests ended"));
	port.count = 0;
	leave();
	port.sent[port.count] = '\0';
	assert_non_null(strstr(port.sent, "socle: all guests ended\r\n"));
	assert_true(lifecycle_all_ended());
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_key_opens_and_closes),
		T(help_has_every_command),
		T(list_shows_states),
		T(attach_moves_typing),
		T(log_prints_what_was_written),
		T(pause_and_resume),
		T(lives),
		T(stats_counts_exits),
		T(dump_of_what_runs_and_what_never_did),
		T(mem_counts),
		T(quit_closes),
		T(what_is_wrong_with_a_line),
		T(completion),
		T(garbage),
		T(the_last_vm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
