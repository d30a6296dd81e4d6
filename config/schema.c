#include "config/parser.h"

#include "lib/util.h"

/* Every section, key and value there is. */

static const struct config_choice log_choices[] = {
	{"error", LOG_ERROR},
	{"warn", LOG_WARN},
	{"info", LOG_INFO},
	{"debug", LOG_DEBUG},
};

static const struct config_choice on_panic_choices[] = {
	{"halt", CONFIG_PANIC_HALT},
	{"reboot", CONFIG_PANIC_REBOOT},
};

static const struct config_choice mitigations_choices[] = {
	{"auto", true},
	{"off", false},
};

static const struct config_choice yes_no_choices[] = {
	{"yes", true},
	{"no", false},
};

static const struct config_choice kind_choices[] = {
	{"linux", CONFIG_KIND_LINUX},	      {"flat16", CONFIG_KIND_FLAT16},
	{"flat32", CONFIG_KIND_FLAT32},	      {"flat64", CONFIG_KIND_FLAT64},
	{"multiboot", CONFIG_KIND_MULTIBOOT}, {"pvh", CONFIG_KIND_PVH},
};

static const struct config_choice action_choices[] = {
	{"restart", CONFIG_ACTION_RESTART},
	{"stop", CONFIG_ACTION_STOP},
};

static const struct config_choice platform_choices[] = {
	{"pc", CONFIG_PLATFORM_PC},
	{"minimal", CONFIG_PLATFORM_MINIMAL},
};

static const struct config_choice vm_console_choices[] = {
	{"shared", CONFIG_VM_CONSOLE_SHARED}, {"none", CONFIG_VM_CONSOLE_NONE},
	{"com2", CONFIG_VM_CONSOLE_COM2},     {"com3", CONFIG_VM_CONSOLE_COM3},
	{"com4", CONFIG_VM_CONSOLE_COM4},
};

#define CONSOLE(kind, address) ((kind) << CONFIG_CONSOLE_KIND_SHIFT | (address))
static const struct config_choice console_choices[] = {
	{"com1", CONSOLE(CONFIG_CONSOLE_COM, 1)},  {"com2", CONSOLE(CONFIG_CONSOLE_COM, 2)},
	{"com3", CONSOLE(CONFIG_CONSOLE_COM, 3)},  {"com4", CONSOLE(CONFIG_CONSOLE_COM, 4)},
	{"none", CONSOLE(CONFIG_CONSOLE_NONE, 0)}, {"screen", CONSOLE(CONFIG_CONSOLE_SCREEN, 0)},
};

#define CHOICES(c) .parse = config_parse_choice, .choices = (c), .choice_count = ARRAY_SIZE(c)
#define FIELD(type, member) \
	.offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define SOCLE(member) FIELD(config_socle, member)
#define VM(member)    FIELD(config_vm, member)

static const struct config_key socle_keys[] = {
	[CONFIG_SOCLE_CONSOLE] = {"console", .parse = config_parse_consoles, SOCLE(consoles),
				  .choices = console_choices,
				  .choice_count = ARRAY_SIZE(console_choices)},
	[CONFIG_SOCLE_LOG] = {"log", CHOICES(log_choices), SOCLE(log)},
	[CONFIG_SOCLE_ESCAPE] = {"escape", .parse = config_parse_escape, SOCLE(escape)},
	[CONFIG_SOCLE_ON_PANIC] = {"on_panic", CHOICES(on_panic_choices), SOCLE(on_panic)},
	[CONFIG_SOCLE_MITIGATIONS] = {"mitigations", CHOICES(mitigations_choices),
				      SOCLE(mitigations)},
	[CONFIG_SOCLE_SLICE] = {"slice", .parse = config_parse_duration, SOCLE(slice_us),
				.min = 100, .max = 1000000},
};

static const struct config_key vm_keys[] = {
	[CONFIG_VM_MEMORY] = {"memory", .parse = config_parse_size, VM(memory),
			      .multiple_of = MIB(2), .required = true},
	/* A bound beyond any machine's, so that nothing that counts vCPUs overflows. */
	[CONFIG_VM_VCPUS] = {"vcpus", .parse = config_parse_uint, VM(vcpus), .min = 1,
			     .max = CONFIG_VCPUS_MAX, .required = true},
	[CONFIG_VM_KERNEL] = {"kernel", .parse = config_parse_text, VM(kernel), .required = true},
	[CONFIG_VM_KIND] = {"kind", CHOICES(kind_choices), VM(kind)},
	[CONFIG_VM_INITRD] = {"initrd", .parse = config_parse_text, VM(initrd)},
	[CONFIG_VM_MODULE] = {"module", .parse = config_parse_modules, VM(modules),
			      .repeats = true},
	[CONFIG_VM_CMDLINE] = {"cmdline", .parse = config_parse_text, VM(cmdline),
			       .may_be_empty = true},
	[CONFIG_VM_CPUS] = {"cpus", .parse = config_parse_cpus, VM(cpus)},
	[CONFIG_VM_WEIGHT] = {"weight", .parse = config_parse_uint, VM(weight), .min = 1,
			      .max = 10000},
	/* Percent of one processor: a VM with several may use more than 100. */
	[CONFIG_VM_CAP] = {"cap", .parse = config_parse_uint, VM(cap), .min = 1,
			   .max = 100 * CONFIG_CPUS_MAX},
	[CONFIG_VM_AUTOSTART] = {"autostart", CHOICES(yes_no_choices), VM(autostart)},
	[CONFIG_VM_ON_REBOOT] = {"on_reboot", CHOICES(action_choices), VM(on_reboot)},
	[CONFIG_VM_ON_CRASH] = {"on_crash", CHOICES(action_choices), VM(on_crash)},
	[CONFIG_VM_PLATFORM] = {"platform", CHOICES(platform_choices), VM(platform)},
	[CONFIG_VM_CONSOLE] = {"console", CHOICES(vm_console_choices), VM(console)},
	[CONFIG_VM_DEBUG_EXIT] = {"debug_exit", .parse = config_parse_uint, VM(debug_exit),
				  .min = 1, .max = UINT16_MAX},
	[CONFIG_VM_DEBUG_CONSOLE] = {"debug_console", .parse = config_parse_uint, VM(debug_console),
				     .min = 1, .max = UINT16_MAX},
	[CONFIG_VM_HPET] = {"hpet", CHOICES(yes_no_choices), VM(hpet)},
	[CONFIG_VM_COM2] = {"com2", CHOICES(yes_no_choices), VM(com2)},
	[CONFIG_VM_FW_CFG] = {"fw_cfg.NAME", .prefix = sizeof("fw_cfg.") - 1,
			      .parse = config_parse_fw_cfg, VM(fw_cfg), .repeats = true},
};
_Static_assert(ARRAY_SIZE(socle_keys) == CONFIG_SOCLE_KEY_COUNT, "a row for each key");
_Static_assert(ARRAY_SIZE(vm_keys) == CONFIG_VM_KEY_COUNT, "a row for each key");

const struct config_section config_sections[] = {
	[CONFIG_SECTION_SOCLE] = {"socle", false, socle_keys, ARRAY_SIZE(socle_keys)},
	[CONFIG_SECTION_VM] = {"vm", true, vm_keys, ARRAY_SIZE(vm_keys)},
};

const struct config_socle config_socle_default = {
	.log = LOG_INFO,
	.escape = 0x1d,
	.on_panic = CONFIG_PANIC_HALT,
	.mitigations = true,
	.slice_us = 10000,
};

const struct config_vm config_vm_default = {
	.kind = CONFIG_KIND_AUTO,
	.cmdline = "",
	.on_reboot = CONFIG_ACTION_RESTART,
	.on_crash = CONFIG_ACTION_STOP,
	.autostart = true,
	.weight = 100,
	.platform = CONFIG_PLATFORM_PC,
	.console = CONFIG_VM_CONSOLE_SHARED,
};

static const char *choice_name(const struct config_choice *choices, size_t count, uint64_t value)
{
	for (size_t i = 0; i < count; i++) {
		if (choices[i].value == value)
			return choices[i].name;
	}
	return NULL;
}

const char *config_kind_name(enum config_kind kind)
{
	const char *name = choice_name(kind_choices, ARRAY_SIZE(kind_choices), kind);

	return name ? name : "auto";
}

const char *config_action_name(enum config_action action)
{
	return choice_name(action_choices, ARRAY_SIZE(action_choices), action);
}
