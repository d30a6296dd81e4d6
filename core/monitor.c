/* See core/monitor.h. */
#include "core/monitor.h"

#include <stdbool.h>

#include "arch/x86/pages.h"
#include "arch/x86/percpu.h"
#include "arch/x86/tsc.h"
#include "core/clock.h"
#include "core/console.h"
#include "core/exit.h"
#include "core/lifecycle.h"
#include "core/lineedit.h"
#include "core/sched.h"
#include "core/vm.h"
#include "lib/log.h"
#include "lib/strbuf.h"
#include "lib/string.h"

#define PROMPT	  "socle> "
#define WORDS_MAX 3
/* Rates over a shorter time than this say nothing. */
#define RATE_MIN_NS 50000000ull

static struct {
	struct vm *const *vms;
	size_t count;
	bool open;
	char escape;
	struct lineedit line;
} mon;

/* ---- output ---- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	char text[256];
	struct strbuf sb;
	va_list args;

	sb_init(&sb, text, sizeof(text) - 1);
	va_start(args, format);
	sb_vprintf(&sb, format, args);
	va_end(args);
	text[sb.len] = '\n';
	console_monitor_write(text, sb.len + 1);
}

static void show_line(void)
{
	char text[sizeof(PROMPT) + LINEEDIT_SIZE];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	sb_puts(&sb, PROMPT);
	sb_puts(&sb, mon.line.text);
	console_monitor_line(text, sb.len, sizeof(PROMPT) - 1 + mon.line.cursor);
}

/* ---- what there is to see ---- */

static const char *state_of(const struct vm *vm)
{
	switch (__atomic_load_n(&vm->state, __ATOMIC_ACQUIRE)) {
	case VM_OFF:
		return "starting";
	case VM_RUNNING:
		return "running";
	case VM_PAUSED:
		return "paused";
	case VM_ENDING:
		return "ending";
	default:
		return vm->lives ? "ended" : "off";
	}
}

/* Time on its core, the turn that it has now included. */
static uint64_t ran(const struct vcpu *v, uint64_t now)
{
	uint64_t start = __atomic_load_n(&v->turn_start, __ATOMIC_ACQUIRE);

	return READ_ONCE(v->ran) + (start && start < now ? now - start : 0);
}

/* What VM has done since the last look, or since it was built when that is only just over. */
struct rates {
	uint64_t exits; /* a second */
	uint64_t share; /* of one processor, in thousandths */
};

static struct rates look(struct vm *vm, uint64_t now)
{
	struct vm_sample sum = {.at = now}, last = vm->sample;
	uint64_t past;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		sum.exits += vcpu_exits(vm->vcpu[i]);
		sum.ran += ran(vm->vcpu[i], now);
	}
	past = now - last.at;
	if (past < tsc_from_ns(RATE_MIN_NS))
		return (struct rates){vm->shown_exits, vm->shown_share};
	vm->sample = sum;
	vm->shown_exits = mul_div(sum.exits - last.exits, tsc_hz(), past);
	vm->shown_share = mul_div(sum.ran - last.ran, 1000, past);
	return (struct rates){vm->shown_exits, vm->shown_share};
}

static void put_cores(struct strbuf *sb, const struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		sb_printf(sb, "%s%u", i ? "," : "", vm->vcpu[i]->cpu->id);
}

bool monitor_status(size_t i, struct strbuf *line)
{
	if (i >= mon.count)
		return false;
	sb_printf(line, " %-16s %-8s  cpu ", mon.vms[i]->name, state_of(mon.vms[i]));
	put_cores(line, mon.vms[i]);
	return true;
}

static void list_one(struct vm *vm, uint64_t now)
{
	struct rates r = look(vm, now);
	char cores[40];
	struct strbuf sb;

	sb_init(&sb, cores, sizeof(cores));
	put_cores(&sb, vm);
	say("%-16s %-8s %5u  %-9s %9llu %5llu.%llu %5u%s", vm->name, state_of(vm), vm->vcpu_count,
	    cores, (unsigned long long)r.exits, (unsigned long long)r.share / 10,
	    (unsigned long long)r.share % 10, vm->lives,
	    console_focused() == vm ? "  typing goes here" : "");
}

static void cmd_list(struct vm *vm)
{
	uint64_t now = tsc_now();

	(void)vm;
	say("%-16s %-8s %5s  %-9s %9s %7s %5s", "NAME", "STATE", "VCPUS", "CORES", "EXITS/S",
	    "CPU %", "LIVES");
	for (size_t i = 0; i < mon.count; i++)
		list_one(mon.vms[i], now);
}

static void stats_of(const struct vm *vm, unsigned int reason)
{
	uint64_t count = 0, cost = 0, timed = 0;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		count += READ_ONCE(vm->vcpu[i]->exits[reason]);
		timed += READ_ONCE(vm->vcpu[i]->timed_exits[reason]);
		cost += READ_ONCE(vm->vcpu[i]->exit_cost[reason]);
	}
	if (!count)
		return;
	if (timed)
		say("%-26s %12llu %12llu", exit_name(reason), (unsigned long long)count,
		    (unsigned long long)(tsc_to_ns(cost) / timed));
	else
		say("%-26s %12llu %12s", exit_name(reason), (unsigned long long)count, "-");
}

static void cmd_stats(struct vm *vm)
{
	say("%-26s %12s %12s", "EXIT", "COUNT", "MEAN NS");
	for (unsigned int i = 0; i < EXIT_COUNT; i++)
		stats_of(vm, i);
	if (!__atomic_exchange_n(&vm->timed, true, __ATOMIC_ACQ_REL))
		say("times are taken from now on: ask again");
}

static void mem_of(const struct vm *vm)
{
	say("%-16s %8llu MiB", vm->name, (unsigned long long)vm->memory / MIB(1));
	for (unsigned int i = 0; i < vm->ram_count; i++) {
		uint64_t at = (uint64_t)(uintptr_t)vm->ram[i].hva;

		say("  %10llx to %10llx, the machine's %10llx to %10llx",
		    (unsigned long long)vm->ram[i].gpa,
		    (unsigned long long)(vm->ram[i].gpa + vm->ram[i].size - 1),
		    (unsigned long long)at, (unsigned long long)(at + vm->ram[i].size - 1));
	}
}

static void cmd_mem(struct vm *vm)
{
	(void)vm;
	for (size_t i = 0; i < mon.count; i++)
		mem_of(mon.vms[i]);
	say("%-16s %8zu KiB used of %zu, at most %zu", "Socle's own",
	    pages_used() * PAGE_SIZE / 1024, pages_total() * PAGE_SIZE / 1024,
	    pages_peak() * PAGE_SIZE / 1024);
}

static void cmd_log(struct vm *vm)
{
	if (vm->console)
		console_monitor_log(vm);
}

/* Each vCPU's core prints, when it gets to it. */
static void cmd_dump(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_ask(vm->vcpu[i], ASK_DUMP);
}

/* ---- what can be done ---- */

static void leave(void)
{
	mon.open = false;
	for (size_t i = 0; i < mon.count; i++)
		if (console_on_line(mon.vms[i]) && console_skipped(mon.vms[i]))
			log_info("vm %s: %u bytes of its output were not shown", mon.vms[i]->name,
				 console_skipped(mon.vms[i]));
	console_monitor_open(false);
	lifecycle_hold(false);
}

static void cmd_attach(struct vm *vm)
{
	if (!console_on_line(vm)) {
		say("vm %s is not on this console", vm->name);
		return;
	}
	console_focus(vm);
	log_info("typing goes to vm %s; ^%c opens the monitor", vm->name, mon.escape + '@');
	leave();
}

static void cmd_quit(struct vm *vm)
{
	(void)vm;
	leave();
}

/* Success is reported by the VM's own core, once it is there. */
static bool done(const struct vm *vm, int err, const char *what)
{
	if (err)
		say("vm %s cannot be %s: it is %s", vm->name, what, state_of(vm));
	return !err;
}

static void cmd_pause(struct vm *vm)
{
	if (done(vm, vm_pause(vm), "paused"))
		log_info("vm %s: paused", vm->name);
}

static void cmd_resume(struct vm *vm)
{
	if (done(vm, vm_resume(vm), "resumed"))
		log_info("vm %s: resumed", vm->name);
}

static void cmd_reset(struct vm *vm)
{
	done(vm, vm_reset(vm), "reset");
}

static void cmd_stop(struct vm *vm)
{
	done(vm, vm_stop(vm), "stopped");
}

static void cmd_start(struct vm *vm)
{
	done(vm, vm_start_again(vm), "started");
}

static void cmd_help(struct vm *vm);

static const struct command {
	const char *name;
	void (*run)(struct vm *vm);
	bool takes_vm;
	const char *help;
} commands[] = {
	{"list", cmd_list, false, "the VMs; rates are since the last list"},
	{"attach", cmd_attach, true, "typing goes to it, and the monitor closes"},
	{"log", cmd_log, true, "the last 64 KiB it has printed"},
	{"pause", cmd_pause, true, "its processors stand still"},
	{"resume", cmd_resume, true, "they go on"},
	{"reset", cmd_reset, true, "starts it afresh, whatever it does"},
	{"stop", cmd_stop, true, "switches it off"},
	{"start", cmd_start, true, "switches it on again, from the files read at boot"},
	{"stats", cmd_stats, true, "its exits, by reason"},
	{"dump", cmd_dump, true, "registers and VMCS or VMCB of its vCPUs"},
	{"mem", cmd_mem, false, "memory of the VMs, where it is, and of Socle itself"},
	{"help", cmd_help, false, "this"},
	{"quit", cmd_quit, false, "closes the monitor, as the escape key does"},
};

static void cmd_help(struct vm *vm)
{
	(void)vm;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		say("%-7s %-5s %s", commands[i].name, commands[i].takes_vm ? "NAME" : "",
		    commands[i].help);
}

/* ---- the line ---- */

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static struct vm *find_vm(const char *name)
{
	for (size_t i = 0; i < mon.count; i++)
		if (!strcmp(mon.vms[i]->name, name))
			return mon.vms[i];
	return NULL;
}

static unsigned int split(char *text, char *words[WORDS_MAX])
{
	unsigned int n = 0;

	while (n < WORDS_MAX) {
		while (*text == ' ')
			*text++ = '\0';
		if (!*text)
			break;
		words[n++] = text;
		while (*text && *text != ' ')
			text++;
	}
	return n;
}

static void execute(char *text)
{
	char *words[WORDS_MAX];
	unsigned int n = split(text, words);
	const struct command *c = n ? find_command(words[0]) : NULL;
	struct vm *vm = NULL;

	if (!n)
		return;
	if (!c) {
		say("%s: no such command; help lists them", words[0]);
		return;
	}
	if (n != (c->takes_vm ? 2u : 1u)) {
		say("usage: %s%s", c->name, c->takes_vm ? " NAME" : "");
		return;
	}
	if (c->takes_vm)
		vm = find_vm(words[1]);
	if (c->takes_vm && !vm)
		say("%s: no such VM; list shows them", words[1]);
	else
		c->run(vm);
}

static const char *command_name(void *ctx, unsigned int i)
{
	(void)ctx;
	return i < ARRAY_SIZE(commands) ? commands[i].name : NULL;
}

static const char *vm_name(void *ctx, unsigned int i)
{
	(void)ctx;
	return i < mon.count ? mon.vms[i]->name : NULL;
}

/* Where several fit and nothing could be added, they are listed. */
static void complete(void)
{
	const char *(*candidate)(void *ctx, unsigned int i) =
		lineedit_word(&mon.line) ? vm_name : command_name;
	size_t before = mon.line.len;
	const char *word;

	if (lineedit_complete(&mon.line, candidate, NULL) < 2 || mon.line.len != before)
		return;
	console_monitor_enter();
	for (unsigned int i = 0; (word = candidate(NULL, i)); i++)
		if (lineedit_fits(&mon.line, word))
			say("  %s", word);
}

void monitor_open(void)
{
	mon.open = true;
	lifecycle_hold(true);
	console_monitor_open(true);
	sched_keep_house_now();
	lineedit_begin(&mon.line);
	show_line();
}

static void key(uint8_t byte)
{
	switch (lineedit_key(&mon.line, byte)) {
	case LINEEDIT_DONE:
		console_monitor_enter();
		execute(mon.line.text);
		lineedit_begin(&mon.line);
		break;
	case LINEEDIT_CANCEL:
		console_monitor_enter();
		lineedit_begin(&mon.line);
		break;
	case LINEEDIT_COMPLETE:
		complete();
		break;
	case LINEEDIT_REDRAW:
		console_monitor_enter();
		break;
	case LINEEDIT_END:
		leave();
		break;
	default:
		break;
	}
	if (mon.open)
		show_line();
}

static void typed(int k)
{
	if (k != CONSOLE_ESCAPE)
		key((uint8_t)k);
	else if (mon.open)
		leave();
	else
		monitor_open();
}

int monitor_init(struct vm *const *vms, size_t count, uint8_t escape)
{
	mon.vms = vms;
	mon.count = count;
	mon.escape = (char)escape;
	for (size_t i = 0; i < count; i++)
		vms[i]->sample.at = tsc_now();
	return console_set_monitor(escape, typed);
}
