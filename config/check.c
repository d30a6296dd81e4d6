#include "config/config.h"

#include "lib/strbuf.h"
#include "lib/util.h"

#define MESSAGE_SIZE 256

struct check {
	const struct config *config;
	const struct config_machine *machine;
	config_report *report;
	void *report_ctx;
	size_t errors;
};

static void check_error(struct check *c, struct config_pos pos, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void check_error(struct check *c, struct config_pos pos, const char *format, ...)
{
	char text[MESSAGE_SIZE];
	struct strbuf sb;
	va_list args;

	sb_init(&sb, text, sizeof(text));
	va_start(args, format);
	sb_vprintf(&sb, format, args);
	va_end(args);
	c->errors++;
	c->report(c->report_ctx, pos, text);
}

static void check_vcpus(struct check *c, const struct config_vm *vm)
{
	uint32_t cpus = c->machine->cpus;

	if (vm->vcpus > cpus)
		check_error(c, vm->pos[CONFIG_VM_VCPUS],
			    "vm '%s' does not fit: it has %u vcpus, and this machine %u "
			    "processor%s",
			    vm->name, vm->vcpus, cpus, cpus == 1 ? "" : "s");
}

static void check_cpu_list(struct check *c, const struct config_vm *vm)
{
	uint32_t cpus = c->machine->cpus;

	for (size_t i = 0; i < vm->cpus_count; i++) {
		const struct config_cpu_range *range = &vm->cpus[i];

		if (range->last >= cpus)
			check_error(c, range->pos,
				    "vm '%s': there is no processor %u; this machine has %u, "
				    "numbered from 0",
				    vm->name, MAX(range->first, cpus), cpus);
	}
}

/* In the file's order: the first that is too large is at fault, and the next may still fit. */
static void check_memory(struct check *c)
{
	uint64_t total = c->machine->memory_mib;
	uint64_t left = total;

	for (size_t i = 0; i < c->config->vm_count; i++) {
		const struct config_vm *vm = &c->config->vms[i];
		uint64_t wanted = vm->memory / MIB(1);

		if (wanted <= left)
			left -= wanted;
		else
			check_error(c, vm->pos[CONFIG_VM_MEMORY],
				    "vm '%s' does not fit: its memory is %luM, and %luM of the "
				    "machine's %luM for guests are left",
				    vm->name, wanted, left, total);
	}
}

/* Without a console there is no monitor, and so nothing that could start one later. */
static void check_autostart(struct check *c)
{
	const struct config_socle *socle = &c->config->socle;

	if (!socle->console_count || socle->consoles[0].kind != CONFIG_CONSOLE_NONE)
		return;
	for (size_t i = 0; i < c->config->vm_count; i++)
		if (c->config->vms[i].autostart)
			return;
	if (c->config->vm_count)
		check_error(c, c->config->vms[0].pos[CONFIG_VM_AUTOSTART],
			    "no VM would be started: each has autostart = no, and with console = "
			    "none there is no monitor to start one");
}

static bool is_own_port(const struct config_vm *vm)
{
	return vm->console >= CONFIG_VM_CONSOLE_COM2 && vm->console <= CONFIG_VM_CONSOLE_COM4;
}

/* Does [socle] name comN, N being 2 to 4, by that name or by its address? */
static bool is_socles(const struct config_socle *socle, unsigned int n)
{
	static const uint16_t base[] = {[2] = 0x2f8, [3] = 0x3e8, [4] = 0x2e8};

	for (size_t i = 0; i < socle->console_count; i++) {
		const struct config_console *c = &socle->consoles[i];

		if ((c->kind == CONFIG_CONSOLE_COM && c->address == n) ||
		    (c->kind == CONFIG_CONSOLE_PORT && c->address == base[n]))
			return true;
	}
	return false;
}

/* A port is one VM's, or Socle's own console. */
static void check_console(struct check *c, size_t index)
{
	const struct config_vm *vm = &c->config->vms[index];
	unsigned int n = 2 + vm->console - CONFIG_VM_CONSOLE_COM2;

	if (!is_own_port(vm))
		return;
	if (is_socles(&c->config->socle, n))
		check_error(c, vm->pos[CONFIG_VM_CONSOLE],
			    "vm '%s' cannot have com%u: it is Socle's own console", vm->name, n);
	for (size_t i = 0; i < index; i++)
		if (c->config->vms[i].console == vm->console)
			check_error(c, vm->pos[CONFIG_VM_CONSOLE],
				    "vm '%s' cannot have com%u: it is vm '%s's", vm->name, n,
				    c->config->vms[i].name);
}

size_t config_check(const struct config *config, const struct config_machine *machine,
		    config_report *report, void *report_ctx)
{
	struct check c = {
		.config = config,
		.machine = machine,
		.report = report,
		.report_ctx = report_ctx,
	};

	for (size_t i = 0; i < config->vm_count && machine->cpus > 0; i++) {
		check_vcpus(&c, &config->vms[i]);
		check_cpu_list(&c, &config->vms[i]);
	}
	if (machine->memory_mib > 0)
		check_memory(&c);
	check_autostart(&c);
	for (size_t i = 0; i < config->vm_count; i++)
		check_console(&c, i);
	return c.errors;
}

static void print(fmt_put *put, void *ctx, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void print(fmt_put *put, void *ctx, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fmt_vprintf(put, ctx, format, args);
	va_end(args);
}

void config_print_error(fmt_put *put, void *put_ctx, const char *file, struct config_pos pos,
			const char *text)
{
	print(put, put_ctx, "socle: error: %s:%u:%u: %s", file, pos.line, pos.column, text);
}
