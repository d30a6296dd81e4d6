/* links: config/parse.c config/values.c config/schema.c config/text.c config/suggest.c lib/fmt.c lib/strbuf.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/parser.h"
#include "lib/assert.h"
#include "lib/util.h"

void assert_failed(const char *file, int line, const char *what)
{
	mock_assert(false, what, file, line);
	abort();
}

/* One parsed file: what the parser took, and what it said, "LINE:COLUMN: TEXT" a line. */
static struct {
	struct config config;
	size_t errors;
	char said[65536];
	size_t said_len;
	void *blocks[4096];
	size_t block_count;
	size_t allowed; /* allocations until there is no more */
	char *text;	/* the file, in a block of its own so that ASan sees its end */
} run;

static void *take(void *ctx, size_t size)
{
	assert_null(ctx);
	if (run.allowed == 0 || run.block_count == ARRAY_SIZE(run.blocks))
		return NULL;
	run.allowed--;
	run.blocks[run.block_count] = malloc(size);
	memset(run.blocks[run.block_count], 0xa5, size);
	return run.blocks[run.block_count++];
}

static void say(void *ctx, struct config_pos pos, const char *text)
{
	size_t room = sizeof(run.said) - run.said_len;

	assert_null(ctx);
	assert_true(strlen(text) + 30 < room);
	run.said_len += (size_t)snprintf(run.said + run.said_len, room, "%u:%u: %s\n", pos.line,
					 pos.column, text);
}

static const struct config_memory memory = {take, NULL};

static void clean(void)
{
	while (run.block_count > 0)
		free(run.blocks[--run.block_count]);
	free(run.text);
	run.text = NULL;
	run.said_len = 0;
	run.said[0] = 0;
	run.allowed = SIZE_MAX;
}

static int teardown(void **state)
{
	(void)state;
	clean();
	return 0;
}

static void parse_bytes(const char *text, size_t size)
{
	size_t allowed = run.allowed;

	clean();
	run.allowed = allowed ? allowed : SIZE_MAX;
	run.text = malloc(size ? size : 1);
	memcpy(run.text, text, size);
	run.errors = config_parse(&run.config, "t.cfg", run.text, size, &memory, say, NULL);
	run.allowed = SIZE_MAX;
}

/* TEXT is good. */
static void parse_good(const char *text)
{
	parse_bytes(text, strlen(text));
	assert_string_equal(run.said, "");
	assert_int_equal(run.errors, 0);
}

static size_t count_lines(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

/* TEXT has these errors and no others. */
static void parse_bad_bytes(const char *text, size_t size, const char *errors)
{
	parse_bytes(text, size);
	assert_string_equal(run.said, errors);
	assert_int_equal(run.errors, count_lines(errors));
}

static void parse_bad(const char *text, const char *errors)
{
	parse_bad_bytes(text, strlen(text), errors);
}

#define VM "[vm web]\nmemory = 512M\nvcpus = 2\nkernel = vmlinuz\n"

/* ---- good files ---- */

static void the_documented_example(void **state)
{
	const struct config_vm *vm;

	(void)state;
	parse_good("[socle]\n"
		   "console = com1\n"
		   "\n"
		   "[vm web]\n"
		   "memory = 512M\n"
		   "vcpus = 2\n"
		   "cpus = 1-2\n"
		   "kernel = vmlinuz\n"
		   "initrd = initrd.gz\n"
		   "cmdline = console=ttyS0 quiet\n");
	assert_string_equal(run.config.file, "t.cfg");
	assert_int_equal(run.config.socle.console_count, 1);
	assert_int_equal(run.config.socle.consoles[0].kind, CONFIG_CONSOLE_COM);
	assert_int_equal(run.config.socle.consoles[0].address, 1);
	assert_int_equal(run.config.vm_count, 1);
	vm = &run.config.vms[0];
	assert_string_equal(vm->name, "web");
	assert_true(vm->memory == MIB(512));
	assert_int_equal(vm->vcpus, 2);
	assert_true(vm->has_cpus);
	assert_int_equal(vm->cpus_count, 1);
	assert_int_equal(vm->cpus[0].first, 1);
	assert_int_equal(vm->cpus[0].last, 2);
	assert_string_equal(vm->kernel, "vmlinuz");
	assert_string_equal(vm->initrd, "initrd.gz");
	assert_string_equal(vm->cmdline, "console=ttyS0 quiet");
}

static void what_the_file_does_not_say_has_its_default(void **state)
{
	const struct config_socle *socle = &run.config.socle;
	const struct config_vm *vm;

	(void)state;
	parse_good(VM);
	assert_int_equal(socle->section.line, 0);
	assert_int_equal(socle->console_count, 0);
	assert_int_equal(socle->log, LOG_INFO);
	assert_int_equal(socle->escape, 0x1d);
	assert_int_equal(socle->on_panic, CONFIG_PANIC_HALT);
	assert_true(socle->mitigations);
	assert_int_equal(socle->slice_us, 10000);
	vm = &run.config.vms[0];
	assert_false(vm->has_cpus);
	assert_int_equal(vm->cpus_count, 0);
	assert_int_equal(vm->kind, CONFIG_KIND_AUTO);
	assert_null(vm->initrd);
	assert_int_equal(vm->module_count, 0);
	assert_string_equal(vm->cmdline, "");
	assert_int_equal(vm->on_reboot, CONFIG_ACTION_RESTART);
	assert_int_equal(vm->on_crash, CONFIG_ACTION_STOP);
	assert_true(vm->autostart);
	assert_int_equal(vm->weight, 100);
	assert_int_equal(vm->cap, 0);
	assert_int_equal(vm->platform, CONFIG_PLATFORM_PC);
	assert_int_equal(vm->console, CONFIG_VM_CONSOLE_SHARED);
	assert_int_equal(vm->debug_exit, 0);
	assert_int_equal(vm->debug_console, 0);
	assert_false(vm->hpet);
	assert_false(vm->com2);
	assert_int_equal(vm->fw_cfg_count, 0);
}

static void every_value_says_where_it_stands(void **state)
{
	const struct config_vm *vm;

	(void)state;
	parse_good("[socle]\nconsole = com2 ,\tmmio=0xfe032000\n\n"
		   "  [vm  web]\n"
		   "memory=512M\n"
		   "\tvcpus  =  1\n"
		   "kernel = k\xc3\xa9rnel\n"
		   "cpus = 1, 4-5\n");
	assert_int_equal(run.config.socle.section.line, 1);
	assert_int_equal(run.config.socle.section.column, 2);
	assert_int_equal(run.config.socle.consoles[0].pos.column, 11);
	assert_int_equal(run.config.socle.consoles[1].pos.line, 2);
	assert_int_equal(run.config.socle.consoles[1].pos.column, 18);
	vm = &run.config.vms[0];
	assert_int_equal(vm->section.line, 4);
	assert_int_equal(vm->section.column, 8);
	assert_int_equal(vm->pos[CONFIG_VM_MEMORY].line, 5);
	assert_int_equal(vm->pos[CONFIG_VM_MEMORY].column, 8);
	assert_int_equal(vm->pos[CONFIG_VM_VCPUS].line, 6);
	assert_int_equal(vm->pos[CONFIG_VM_VCPUS].column, 12);
	assert_int_equal(vm->pos[CONFIG_VM_KERNEL].line, 7);
	assert_int_equal(vm->pos[CONFIG_VM_CPUS].column, 8);
	assert_int_equal(vm->cpus[1].pos.line, 8);
	assert_int_equal(vm->cpus[1].pos.column, 11);
	assert_int_equal(vm->pos[CONFIG_VM_INITRD].line, 0);
	assert_int_equal(vm->pos[CONFIG_VM_INITRD].column, 0);
}

static void line_ends_marks_and_blanks(void **state)
{
	(void)state;
	parse_good("\xef\xbb\xbf[vm a]\r\nmemory = 2M\r\n\r\nvcpus = 1\r\n \t kernel \t= a b \t\r");
	assert_string_equal(run.config.vms[0].name, "a");
	assert_int_equal(run.config.vms[0].section.column, 5);
	assert_string_equal(run.config.vms[0].kernel, "a b");
}

/* Comments have lines of their own: a command line may hold both characters. */
static void comments(void **state)
{
	(void)state;
	parse_good("# one\n; two\n  # three [x] = y\n" VM "cmdline = a#b ; c # d\n#last");
	assert_string_equal(run.config.vms[0].cmdline, "a#b ; c # d");
}

static void text_is_kept_as_written(void **state)
{
	(void)state;
	parse_good("[vm a]\nmemory = 2M\nvcpus = 1\n"
		   "kernel = \\EFI\\Linux/\xd1\x8f\xd0\xb4\xd1\x80\xd0\xbe \xf0\x9f\x90\xa7\n"
		   "cmdline = \"a\"  'b'\t= \\x5b\n");
	assert_string_equal(run.config.vms[0].kernel,
			    "\\EFI\\Linux/\xd1\x8f\xd0\xb4\xd1\x80\xd0\xbe \xf0\x9f\x90\xa7");
	assert_string_equal(run.config.vms[0].cmdline, "\"a\"  'b'\t= \\x5b");
	parse_good(VM "cmdline =\n");
	assert_string_equal(run.config.vms[0].cmdline, "");
}

static void text_has_no_limit(void **state)
{
	static const size_t lengths[] = {255, 256, 4096, 65536, 3000000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		size_t head = strlen(VM "cmdline = ");
		char *text = malloc(head + lengths[i]);

		memcpy(text, VM "cmdline = ", head);
		memset(text + head, 'x', lengths[i]);
		parse_bytes(text, head + lengths[i]);
		assert_string_equal(run.said, "");
		assert_int_equal(strlen(run.config.vms[0].cmdline), lengths[i]);
		free(text);
	}
}

static void many_vms(void **state)
{
	enum { COUNT = 1000 };
	char *text = malloc(COUNT * 80);
	size_t len = 0;

	(void)state;
	for (int i = 0; i < COUNT; i++)
		len += (size_t)sprintf(text + len, "[vm n%d]\nmemory=2M\nvcpus=1\nkernel=k%d\n", i,
				       i);
	parse_bytes(text, len);
	assert_string_equal(run.said, "");
	assert_int_equal(run.config.vm_count, COUNT);
	assert_string_equal(run.config.vms[COUNT - 1].name, "n999");
	assert_string_equal(run.config.vms[COUNT - 1].kernel, "k999");
	len += (size_t)sprintf(text + len, "[vm n777]\nmemory=2M\nvcpus=1\nkernel=k\n");
	parse_bytes(text, len);
	assert_string_equal(run.said,
			    "4001:5: vm 'n777' is there twice; the first is in line 3109\n");
	free(text);
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{"2M", MIB(2)},
		{"2048K", MIB(2)},
		{"2097152", MIB(2)},
		{"1G", GIB(1)},
		{"1g", GIB(1)},
		{"0x200000", MIB(2)},
		{"0x10M", MIB(16)},
		{"1024G", GIB(1024)},
		{"17179869183G", GIB(17179869183)},
		{"18446744073707454464K", 0},
		{"510m", MIB(510)},
	};
	char text[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		sprintf(text, "[vm a]\nmemory = %s\nvcpus = 1\nkernel = k\n", cases[i].text);
		parse_bytes(text, strlen(text));
		assert_int_equal(run.errors, cases[i].bytes == 0);
		assert_true(run.config.vms[0].memory == cases[i].bytes);
	}
}

static void choices(void **state)
{
	const struct config_vm *vm;

	(void)state;
	parse_good("[socle]\nlog = debug\non_panic = reboot\nconsole = none\n" VM
		   "kind = flat32\non_reboot = stop\non_crash = restart\nautostart = no\n"
		   "console = none\n");
	vm = &run.config.vms[0];
	assert_int_equal(run.config.socle.log, LOG_DEBUG);
	assert_int_equal(run.config.socle.on_panic, CONFIG_PANIC_REBOOT);
	assert_int_equal(run.config.socle.console_count, 1);
	assert_int_equal(run.config.socle.consoles[0].kind, CONFIG_CONSOLE_NONE);
	assert_int_equal(vm->kind, CONFIG_KIND_FLAT32);
	assert_int_equal(vm->on_reboot, CONFIG_ACTION_STOP);
	assert_int_equal(vm->on_crash, CONFIG_ACTION_RESTART);
	assert_false(vm->autostart);
	assert_int_equal(vm->console, CONFIG_VM_CONSOLE_NONE);
	parse_good(VM "console = com2\n");
	assert_int_equal(run.config.vms[0].console, CONFIG_VM_CONSOLE_COM2);
	parse_good(VM "console = com4\n");
	assert_int_equal(run.config.vms[0].console, CONFIG_VM_CONSOLE_COM4);
	parse_bad(VM "console = com1\n",
		  "5:11: unknown console value 'com1'; did you mean 'com2'?\n");
}

static void every_kind_that_is_supported(void **state)
{
	static const enum config_kind kinds[] = {CONFIG_KIND_LINUX, CONFIG_KIND_FLAT16,
						 CONFIG_KIND_FLAT32, CONFIG_KIND_FLAT64};
	char text[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		sprintf(text, VM "kind = %s\n", config_kind_name(kinds[i]));
		parse_good(text);
		assert_int_equal(run.config.vms[0].kind, kinds[i]);
	}
	assert_string_equal(config_kind_name(CONFIG_KIND_LINUX), "linux");
	assert_string_equal(config_kind_name(CONFIG_KIND_AUTO), "auto");
	assert_string_equal(config_action_name(CONFIG_ACTION_STOP), "stop");
}

static void consoles(void **state)
{
	const struct config_console *c;

	(void)state;
	parse_good("[socle]\nconsole = com4,port=0x3f8, mmio = 0xfedc9000 ,com2\n" VM);
	assert_int_equal(run.config.socle.console_count, 4);
	c = run.config.socle.consoles;
	assert_int_equal(c[0].kind, CONFIG_CONSOLE_COM);
	assert_int_equal(c[0].address, 4);
	assert_int_equal(c[1].kind, CONFIG_CONSOLE_PORT);
	assert_int_equal(c[1].address, 0x3f8);
	assert_int_equal(c[2].kind, CONFIG_CONSOLE_MMIO);
	assert_true(c[2].address == 0xfedc9000);
	assert_int_equal(c[3].address, 2);
	parse_good("[socle]\nconsole = com1, screen\n" VM);
	assert_int_equal(run.config.socle.console_count, 2);
	assert_int_equal(run.config.socle.consoles[1].kind, CONFIG_CONSOLE_SCREEN);
}

static void processor_lists(void **state)
{
	const struct config_vm *vm;

	(void)state;
	parse_good(VM "cpus = 7, 0 - 2 ,4,65535\n");
	vm = &run.config.vms[0];
	assert_true(vm->has_cpus);
	assert_int_equal(vm->cpus_count, 4);
	assert_int_equal(vm->cpus[0].first, 7);
	assert_int_equal(vm->cpus[0].last, 7);
	assert_int_equal(vm->cpus[1].first, 0);
	assert_int_equal(vm->cpus[1].last, 2);
	assert_int_equal(vm->cpus[2].first, 4);
	assert_int_equal(vm->cpus[3].last, 65535);
	/* Each VM has a list of its own: the same processor may be in two. */
	parse_good(VM "cpus = 0-1\n[vm b]\nmemory=2M\nvcpus=1\nkernel=k\ncpus = 1\n");
}

/* ---- bad files ---- */

static void without_a_vm(void **state)
{
	static const char *const files[] = {"", "\n", "# nothing\n", "[socle]\nlog = info\n",
					    "\xef\xbb\xbf"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		parse_bad(files[i], "1:1: there is no VM: a section [vm NAME] is needed\n");
}

static void syntax(void **state)
{
	(void)state;
	parse_bad("memory = 2M\nvcpus = 1\n" VM,
		  "1:1: a section, [socle] or [vm NAME], must come first\n");
	parse_bad(VM "  nonsense\n = 5\n", "5:3: expected KEY = VALUE, [SECTION] or a comment\n"
					   "6:2: a key is missing before '='\n");
	parse_bad(VM "initrd =\ncmdline = \ncpus=  \n", "5:9: key 'initrd' has no value\n"
							"7:6: key 'cpus' has no value\n");
	parse_bad("[vm web\nmemory = 512M\nvcpus = 2\nkernel = k\n",
		  "1:8: the section's ']' is missing\n");
	parse_bad("[socle] x\n[vm web] # y\nmemory = 512M\nvcpus = 2\nkernel = k\n",
		  "1:9: nothing may stand behind a section's ']'\n"
		  "2:10: a comment needs a line of its own\n");
}

static void sections(void **state)
{
	(void)state;
	parse_bad("[]\n" VM, "1:2: unknown section ''; known: socle, vm\n");
	parse_bad("[soclr]\nx = y\n[VM b]\n" VM,
		  "1:2: unknown section 'soclr'; did you mean 'socle'?\n"
		  "3:2: unknown section 'VM'; did you mean 'vm'?\n");
	parse_bad("[machine web]\nmemory = 2M\n",
		  "1:2: unknown section 'machine'; known: socle, vm\n");
	parse_bad("[socle x]\n[socle]\nlog = info\nlog = info\n" VM,
		  "1:8: [socle] takes no name\n"
		  "2:2: [socle] is there twice; the first is in line 1\n"
		  "4:1: key 'log' is there twice; the first is in line 3\n");
}

static void names(void **state)
{
	(void)state;
	parse_good("[vm abcdefghijklmnopqrstuvwxyz01234]\nmemory=2M\nvcpus=1\nkernel=k\n");
	assert_int_equal(strlen(run.config.vms[0].name), 31);
	parse_good("[vm A.b_c-9]\nmemory=2M\nvcpus=1\nkernel=k\n");
	assert_string_equal(run.config.vms[0].name, "A.b_c-9");
	parse_bad("[vm abcdefghijklmnopqrstuvwxyz012345]\nmemory=2M\nvcpus=1\nkernel=k\n",
		  "1:5: a VM's name has at most 31 characters, not 32\n");
	parse_bad("[vm]\nmemory=2M\nvcpus=1\nkernel=k\n[vm ]\nmemory=2M\nvcpus=1\n",
		  "1:4: a VM needs a name: [vm NAME]\n"
		  "5:4: a VM needs a name: [vm NAME]\n"
		  "5:4: vm '' lacks the key 'kernel'\n");
	parse_bad("[vm my web]\nmemory=2M\nvcpus=1\nkernel=k\n[vm b\xc3\xbc]\nmemory=2M\nvcpus=1\n",
		  "1:7: a VM's name is made of a-z A-Z 0-9 . _ - alone\n"
		  "5:6: a VM's name is made of a-z A-Z 0-9 . _ - alone\n"
		  "5:5: vm 'b' lacks the key 'kernel'\n");
}

static void two_vms_of_one_name(void **state)
{
	(void)state;
	parse_bad(VM VM, "5:5: vm 'web' is there twice; the first is in line 1\n");
	parse_bad(VM VM "[vm Web]\nmemory = 2M\nvcpus = 1\nkernel = k\n" VM,
		  "5:5: vm 'web' is there twice; the first is in line 1\n"
		  "13:5: vm 'web' is there twice; the first is in line 1\n");
}

static void missing_keys(void **state)
{
	(void)state;
	parse_bad("[vm a]\n[vm b]\nvcpus = 1\n", "1:5: vm 'a' lacks the key 'memory'\n"
						 "1:5: vm 'a' lacks the key 'vcpus'\n"
						 "1:5: vm 'a' lacks the key 'kernel'\n"
						 "2:5: vm 'b' lacks the key 'memory'\n"
						 "2:5: vm 'b' lacks the key 'kernel'\n");
}

static void keys_twice(void **state)
{
	(void)state;
	parse_bad(VM "memory = 2M\ncmdline =\ncmdline = b\n",
		  "5:1: key 'memory' is there twice; the first is in line 2\n"
		  "7:1: key 'cmdline' is there twice; the first is in line 6\n");
	assert_true(run.config.vms[0].memory == MIB(512));
	assert_int_equal(run.config.vms[0].pos[CONFIG_VM_MEMORY].line, 2);
}

/* The nearest known key; all of them where none is near. One mistake is one error. */
static void unknown_keys(void **state)
{
	(void)state;
	parse_bad("[vm a]\nmemroy = 2M\nVCPUS = 1\nkernal = k\ncmd_line = x\noncrash = stop\n",
		  "2:1: unknown key 'memroy'; did you mean 'memory'?\n"
		  "3:1: unknown key 'VCPUS'; did you mean 'vcpus'?\n"
		  "4:1: unknown key 'kernal'; did you mean 'kernel'?\n"
		  "5:1: unknown key 'cmd_line'; did you mean 'cmdline'?\n"
		  "6:1: unknown key 'oncrash'; did you mean 'on_crash'?\n");
	parse_bad(VM "floppy = a\n",
		  "5:1: unknown key 'floppy'; known: memory, vcpus, kernel, kind, initrd, module, "
		  "cmdline, cpus, weight, cap, autostart, on_reboot, on_crash, "
		  "platform, console, debug_exit, debug_console, hpet, com2, fw_cfg.NAME\n");
	parse_bad("[socle]\nloglevel = info\n" VM,
		  "2:1: unknown key 'loglevel'; known: console, log, escape, on_panic, "
		  "mitigations, slice\n");
	/* Two letters that changed places are one mistake, also in a word that short. */
	parse_bad("[socle]\nlgo = info\n" VM, "2:1: unknown key 'lgo'; did you mean 'log'?\n");
	parse_bad("[socle]\nmemory = 2M\n" VM "log = info\n",
		  "2:1: key 'memory' belongs into [vm NAME]\n"
		  "7:1: key 'log' belongs into [socle]\n");
}

static void long_words_are_cut_in_messages(void **state)
{
	char text[400] = VM;

	(void)state;
	memset(text + strlen(text), 'q', 200);
	strcat(text, " = 1\n");
	parse_bytes(text, strlen(text));
	assert_int_equal(run.errors, 1);
	assert_non_null(strstr(run.said, "unknown key 'qqqqqqqqqq"));
	assert_non_null(strstr(run.said, "qqq...'; known: "));
	assert_true(run.said_len < 280);
}

static void bad_memory(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{"0", "memory must not be 0"},
		{"0M", "memory must not be 0"},
		{"3", "memory = 3 bytes is not a multiple of 2M; the next one is 2M"},
		{"512", "memory = 512 bytes is not a multiple of 2M; the next one is 2M"},
		{"511M", "memory = 511M is not a multiple of 2M; the next one is 512M"},
		{"1048575K", "memory = 1048575K is not a multiple of 2M; the next one is 1G"},
		{"18446744073709551615",
		 "memory = 18446744073709551615 bytes is not a multiple of 2M"},
		{"18446744073709551616",
		 "memory = 18446744073709551616 is more than 64 bits can count"},
		{"17179869184G", "memory = 17179869184G is more than 64 bits can count"},
		{"-2M", "memory = -2M is not a size; it must be a number with K, M or G behind it, "
			"such as 512M"},
		{"M", "memory = M is not a size; it must be a number with K, M or G behind it, "
		      "such as 512M"},
		{"512 M", "memory = 512 M is not a size; it must be a number with K, M or G behind "
			  "it, such as 512M"},
		{"512MB", "memory = 512MB is not a size; it must be a number with K, M or G behind "
			  "it, such as 512M"},
		{"0x", "memory = 0x is not a size; it must be a number with K, M or G behind it, "
		       "such as 512M"},
		{"1.5G", "memory = 1.5G is not a size; it must be a number with K, M or G behind "
			 "it, such as 512M"},
	};
	char text[200], said[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		sprintf(text, "[vm a]\nmemory = %s\nvcpus = 1\nkernel = k\n", cases[i].text);
		sprintf(said, "2:10: %s\n", cases[i].said);
		parse_bad(text, said);
	}
}

static void bad_vcpus(void **state)
{
	(void)state;
	parse_bad(
		"[vm a]\nmemory = 2M\nvcpus = 0\nkernel = k\n[vm b]\nmemory = 2M\nkernel = k\n"
		"vcpus = two\n[vm c]\nmemory = 2M\nkernel = k\nvcpus = 65537\n[vm d]\nmemory = 2M\n"
		"kernel = k\nvcpus = 99999999999999999999\n",
		"3:9: vcpus = 0 is out of range: 1 to 128\n"
		"8:9: vcpus = two is not a number\n"
		"12:9: vcpus = 65537 is out of range: 1 to 128\n"
		"16:9: vcpus = 99999999999999999999 is out of range: 1 to 128\n");
}

static void bad_choices(void **state)
{
	(void)state;
	parse_bad("[socle]\nlog = inof\non_panic = explode\n" VM
		  "kind = bzImage\nautostart = maybe\n"
		  "on_crash = reboot\n",
		  "2:7: unknown log value 'inof'; did you mean 'info'?\n"
		  "3:12: unknown on_panic value 'explode'; known: halt, reboot\n"
		  "8:8: unknown kind value 'bzImage'; known: linux, flat16, flat32, flat64, "
		  "multiboot, pvh\n"
		  "9:13: unknown autostart value 'maybe'; known: yes, no\n"
		  "10:12: unknown on_crash value 'reboot'; known: restart, stop\n");
}

static void bad_consoles(void **state)
{
	(void)state;
	parse_bad("[socle]\nconsole = com1,, com5 ,com1\n" VM,
		  "2:16: console has an empty entry\n"
		  "2:18: unknown console value 'com5'; did you mean 'com1'?\n"
		  "2:24: console names com1 twice\n");
	parse_bad("[socle]\nconsole = com1, port=0x3f8, none\n" VM,
		  "2:17: console names port=0x3f8 twice\n"
		  "2:11: console = none cannot have other entries beside it\n");
	parse_bad("[socle]\nconsole = port=0, port=0xfff9, port=x, mmio=0x10000000000000, "
		  "prot=1\n" VM,
		  "2:16: port = 0 is out of range: 1 to 65528\n"
		  "2:24: port = 0xfff9 is out of range: 1 to 65528\n"
		  "2:37: port = x is not a number\n"
		  "2:45: mmio = 0x10000000000000 is out of range: 1 to 4503599627370488\n"
		  "2:63: unknown console value 'prot'; did you mean 'port'?\n");
	parse_bad("[socle]\nconsole = "
		  "port=1,port=2,port=3,port=4,port=5,port=6,port=7,port=8,port=9\n" VM,
		  "2:67: console has more than 8 entries\n");
}

static void bad_processor_lists(void **state)
{
	(void)state;
	parse_bad(VM "cpus = 1-2,2\n", "5:12: cpus names processor 2 twice\n");
	assert_false(run.config.vms[0].has_cpus);
	parse_bad(VM "cpus = 4-1, , x, 1-, 65536\n",
		  "5:8: cpus = 4-1 runs backwards; write 1-4\n"
		  "5:12: cpus: a number is missing\n"
		  "5:15: cpus = x is not a number\n"
		  "5:20: cpus: a number is missing\n"
		  "5:22: cpus = 65536 is out of range: 0 to 65535\n");
	parse_bad(VM "cpus = 3\n", "3:9: vm 'web' has 2 vcpus, and cpus names only 1\n");
	parse_bad(VM "cpus = 0-65535,0-65535\n", "5:16: cpus names processor 0 twice\n");
}

static void what_is_not_text(void **state)
{
	static const char nul[] = VM "cmdline = a\0b\nautostart = no\0\n";
	static const struct {
		const char *bytes, *said;
	} bad[] = {
		{"\xff", "byte 0xff: the file is not UTF-8"},
		{"\x80", "byte 0x80: the file is not UTF-8"},
		{"\xc3", "byte 0xc3: the file is not UTF-8"},
		{"\xc0\xaf", "byte 0xc0: the file is not UTF-8"},	  /* overlong */
		{"\xe0\x80\xaf", "byte 0xe0: the file is not UTF-8"},	  /* overlong */
		{"\xed\xa0\x80", "byte 0xed: the file is not UTF-8"},	  /* surrogate */
		{"\xf4\x90\x80\x80", "byte 0xf4: the file is not UTF-8"}, /* over 10ffff */
		{"\xf8\x88\x80\x80\x80", "byte 0xf8: the file is not UTF-8"},
		{"\xe2\x82", "byte 0xe2: the file is not UTF-8"},
		{"\x1b[2J", "control character 0x1b"},
		{"\x7f", "control character 0x7f"},
		{"\xc2\x9b", "control character 0x9b"},
		{"\r", "control character 0x0d"},
	};
	char text[200], said[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		/* Columns count characters: the umlaut before it is one. */
		sprintf(text, VM "cmdline = \xc3\xbc%s x\n", bad[i].bytes);
		sprintf(said, "5:12: %s\n", bad[i].said);
		parse_bad(text, said);
		sprintf(text, VM "# \xc3\xbc%s x\n", bad[i].bytes);
		sprintf(said, "5:4: %s\n", bad[i].said);
		parse_bad(text, said);
	}
	parse_bad_bytes(nul, sizeof(nul) - 1,
			"5:12: control character 0x00\n"
			"6:15: control character 0x00\n");
	parse_bad_bytes("\xff\xfe[\0v\0m\0", 8, "1:1: the file is UTF-16; save it as UTF-8\n");
}

/* A line that is cut at a bad character says so, and nothing that follows from it. */
static void damage_is_one_error(void **state)
{
	(void)state;
	parse_bad("[vm w\xff]\nmemory = \xff\nvcpus = 1\nkernel = k\n",
		  "1:6: byte 0xff: the file is not UTF-8\n"
		  "2:10: byte 0xff: the file is not UTF-8\n");
	parse_bad("[v\xff]\nmemory = 1\n" VM, "1:3: byte 0xff: the file is not UTF-8\n");
}

/* ---- the keys of devices ---- */

static void names_of_files(void **state)
{
	char long_name[] = "fw_cfg.opt/0123456789012345678901234567890123456789012345678901x = f\n";
	char text[4096] = VM;

	(void)state;
	parse_bad(VM "fw_cfg.etc/x = f\nfw_cfg.opt/ = f\nfw_cfg.opt/a b = f\n"
		     "fw_cfg.opt/x = f\nfw_cfg.opt/x = g\n",
		  "5:8: a file's name must begin with opt/, as in fw_cfg.opt/NAME\n"
		  "6:8: a file's name must begin with opt/, as in fw_cfg.opt/NAME\n"
		  "7:13: a file's name is made of ASCII characters without spaces\n"
		  "9:8: there is a file 'opt/x' already, in line 8\n");
	strcat(text, long_name);
	parse_bad(text, "5:8: a file's name has at most 55 characters, not 57\n");
	/* 55 of them, and as many files as there can be. */
	strcpy(strchr(long_name, 'x'), "");
	long_name[62] = 0;
	strcpy(text, VM);
	strcat(strcat(text, long_name), " = f\n");
	for (int i = 1; i <= CONFIG_FW_CFG_MAX; i++)
		sprintf(text + strlen(text), "fw_cfg.opt/%d = f\n", i);
	parse_bad(text, "37:1: a VM has at most 32 files of fw_cfg\n");
	assert_int_equal(run.config.vms[0].fw_cfg_count, 32);
	assert_int_equal(strlen(run.config.vms[0].fw_cfg[0].name), 55);
}

static void every_key_of_a_vm(void **state)
{
	static const char text[] =
		"[socle]\nescape = ^A\nmitigations = off\nslice = 500 us\nconsole = screen\n" VM
		"weight = 5\ncap = 250\nplatform = minimal\nhpet = yes\ncom2 = yes\n"
		"debug_exit = 0xf4\ndebug_console = 0xe9\nkind = multiboot\nconsole = com3\n"
		"module = a b\nfw_cfg.opt/x = f\nmodule = c\nmodule = d\nfw_cfg.opt/y.z = g\n";
	const struct config_vm *vm;

	(void)state;
	parse_bytes(text, strlen(text));
	assert_string_equal(run.said, "");
	assert_int_equal(run.config.socle.escape, 1);
	assert_false(run.config.socle.mitigations);
	assert_int_equal(run.config.socle.slice_us, 500);
	assert_int_equal(run.config.socle.consoles[0].kind, CONFIG_CONSOLE_SCREEN);
	vm = &run.config.vms[0];
	assert_int_equal(vm->weight, 5);
	assert_int_equal(vm->cap, 250);
	assert_int_equal(vm->platform, CONFIG_PLATFORM_MINIMAL);
	assert_true(vm->hpet);
	assert_true(vm->com2);
	assert_int_equal(vm->debug_exit, 0xf4);
	assert_int_equal(vm->debug_console, 0xe9);
	assert_int_equal(vm->kind, CONFIG_KIND_MULTIBOOT);
	assert_int_equal(vm->console, CONFIG_VM_CONSOLE_COM3);
	assert_int_equal(vm->module_count, 3);
	assert_string_equal(vm->modules[0].text, "a b");
	assert_string_equal(vm->modules[2].text, "d");
	assert_int_equal(vm->modules[2].pos.line, 22);
	assert_int_equal(vm->modules[2].pos.column, 10);
	assert_int_equal(vm->fw_cfg_count, 2);
	assert_string_equal(vm->fw_cfg[0].name, "opt/x");
	assert_string_equal(vm->fw_cfg[1].name, "opt/y.z");
	assert_string_equal(vm->fw_cfg[1].text, "g");
}

static void several_errors(void **state)
{
	static const char slice[] = "[socle]\nslice = 2000 ms\n" VM;
	static const char text[] = "[socle]\nescape = x\nslice = 10\nslice = 1\n" VM
				   "fw_cfg. = f\nweight = 0\ndebug_exit = 65536\n";

	(void)state;
	parse_bytes(text, strlen(text));
	assert_string_equal(run.said,
			    "2:10: escape = x is not a key such as ^] or ^A\n"
			    "3:9: slice = 10 is not a time, such as 10 ms or 500 us\n"
			    "4:1: key 'slice' is there twice; the first is in line 3\n"
			    "9:1: unknown key 'fw_cfg.'; known: memory, vcpus, kernel, kind, "
			    "initrd, module, cmdline, cpus, weight, cap, autostart, on_reboot, "
			    "on_crash, platform, console, debug_exit, debug_console, hpet, com2, "
			    "fw_cfg.NAME\n"
			    "10:10: weight = 0 is out of range: 1 to 10000\n"
			    "11:14: debug_exit = 65536 is out of range: 1 to 65535\n");
	parse_bytes(slice, strlen(slice));
	assert_string_equal(run.said, "2:9: slice = 2000 is out of range: 1 to 1000\n");
}

/* ---- memory that ends ---- */

static void out_of_memory_is_an_error(void **state)
{
	static const char text[] = "[socle]\nconsole = com1\n" VM "cpus = 1,2,3\ncmdline = x\n";
	size_t allowed = 1;

	(void)state;
	for (;; allowed++) {
		run.allowed = allowed;
		parse_bytes(text, strlen(text));
		if (run.errors == 0)
			break;
		assert_int_equal(run.errors, 1);
		assert_non_null(strstr(run.said, ":1: out of memory while reading the file"));
		assert_int_not_equal(run.said[0], '0');
	}
	assert_in_range(allowed, 6, 20);
	assert_string_equal(run.config.vms[0].cmdline, "x");
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_documented_example),
		TEST(what_the_file_does_not_say_has_its_default),
		TEST(every_value_says_where_it_stands),
		TEST(line_ends_marks_and_blanks),
		TEST(comments),
		TEST(text_is_kept_as_written),
		TEST(text_has_no_limit),
		TEST(many_vms),
		TEST(sizes),
		TEST(choices),
		TEST(every_kind_that_is_supported),
		TEST(consoles),
		TEST(processor_lists),
		TEST(without_a_vm),
		TEST(syntax),
		TEST(sections),
		TEST(names),
		TEST(two_vms_of_one_name),
		TEST(missing_keys),
		TEST(keys_twice),
		TEST(unknown_keys),
		TEST(long_words_are_cut_in_messages),
		TEST(bad_memory),
		TEST(bad_vcpus),
		TEST(bad_choices),
		TEST(bad_consoles),
		TEST(bad_processor_lists),
		TEST(what_is_not_text),
		TEST(damage_is_one_error),
		TEST(names_of_files),
		TEST(every_key_of_a_vm),
		TEST(several_errors),
		TEST(out_of_memory_is_an_error),
	};

	run.allowed = SIZE_MAX;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
