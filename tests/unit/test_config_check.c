/* links: config/check.c config/parse.c config/values.c config/schema.c config/text.c config/suggest.c lib/fmt.c lib/strbuf.c */
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
#include "lib/assert.h"

void assert_failed(const char *file, int line, const char *what)
{
	mock_assert(false, what, file, line);
	abort();
}

static struct {
	struct config config;
	_Alignas(16) char room[65536]; /* for what is parsed, one file at a time */
	size_t used;
	char said[4096]; /* "LINE:COLUMN: TEXT" for each error, a line each */
} run;

static void *take(void *ctx, size_t size)
{
	void *p = run.room + run.used;

	(void)ctx;
	run.used += (size + 15) / 16 * 16;
	return run.used <= sizeof(run.room) ? p : NULL;
}

static void say(void *ctx, struct config_pos pos, const char *text)
{
	size_t len = strlen(run.said);

	(void)ctx;
	snprintf(run.said + len, sizeof(run.said) - len, "%u:%u: %s\n", pos.line, pos.column, text);
}

static size_t parse(const char *text)
{
	static const struct config_memory memory = {take, NULL};

	run.used = 0;
	run.said[0] = 0;
	return config_parse(&run.config, "t.cfg", text, strlen(text), &memory, say, NULL);
}

static size_t count_lines(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

#define VM "[vm web]\nmemory = 512M\nvcpus = 2\nkernel = vmlinuz\n"

static void check(const char *text, uint32_t cpus, uint64_t memory_mib, const char *errors)
{
	struct config_machine machine = {.cpus = cpus, .memory_mib = memory_mib};

	assert_int_equal(parse(text), 0);
	assert_int_equal(config_check(&run.config, &machine, say, NULL), count_lines(errors));
	assert_string_equal(run.said, errors);
}

static void machine_that_fits(void **state)
{
	(void)state;
	check(VM, 2, 512, "");
	check(VM "cpus = 1-2\n", 3, 512, "");
	check(VM "[vm b]\nmemory=256M\nvcpus=2\nkernel=k\n", 2, 768, "");
	check("[vm a]\nmemory=1024G\nvcpus=128\nkernel=k\ncpus=0-4095\n", 0, 0, "");
}

static void nothing_that_would_start(void **state)
{
	(void)state;
	check("[socle]\nconsole=none\n[vm a]\nmemory=64M\nvcpus=1\nkernel=k\nautostart=no\n", 2,
	      512,
	      "7:11: no VM would be started: each has autostart = no, and with console = none "
	      "there is no monitor to start one\n");
	check("[vm a]\nmemory=64M\nvcpus=1\nkernel=k\nautostart=no\n", 2, 512, "");
	check("[socle]\nconsole=none\n" VM "[vm b]\nmemory=64M\nvcpus=1\nkernel=k\nautostart=no\n",
	      2, 1024, "");
	check(VM "[vm b]\nmemory=64M\nvcpus=1\nkernel=k\nautostart=no\n", 2, 1024, "");
}

static void a_port_has_one_owner(void **state)
{
	static const char b[] = "[vm b]\nmemory=64M\nvcpus=1\nkernel=k\n";
	char text[300];

	(void)state;
	check(VM "console = com2\n", 2, 512, "");
	sprintf(text, VM "console = com3\n%sconsole = com2\n", b);
	check(text, 2, 1024, "");
	sprintf(text, VM "console = none\n%sconsole = none\n", b);
	check(text, 2, 1024, "");
	sprintf(text, VM "console = com3\n%sconsole = com3\n", b);
	check(text, 2, 1024, "10:11: vm 'b' cannot have com3: it is vm 'web's\n");
	sprintf(text, "[socle]\nconsole = com1, com2\n" VM "console = com2\n");
	check(text, 2, 512, "7:11: vm 'web' cannot have com2: it is Socle's own console\n");
	sprintf(text, "[socle]\nconsole = port=0x2e8\n" VM "console = com4\n");
	check(text, 2, 512, "7:11: vm 'web' cannot have com4: it is Socle's own console\n");
	sprintf(text, "[socle]\nconsole = port=0x2f8\n" VM "console = com4\n");
	check(text, 2, 512, "");
}

static void machine_with_too_few_processors(void **state)
{
	(void)state;
	check(VM, 1, 0,
	      "3:9: vm 'web' does not fit: it has 2 vcpus, and this machine 1 processor\n");
	check(VM "cpus = 0, 2-3, 1 \n", 2, 0,
	      "5:11: vm 'web': there is no processor 2; this machine has 2, numbered from 0\n");
	check(VM "cpus = 0-5\n", 4, 0,
	      "5:8: vm 'web': there is no processor 4; this machine has 4, numbered from 0\n");
}

static void machine_with_too_little_memory(void **state)
{
	(void)state;
	check(VM, 2, 511,
	      "2:10: vm 'web' does not fit: its memory is 512M, and 511M of the machine's 511M for "
	      "guests are left\n");
	check("[vm a]\nmemory=1024G\nvcpus=1\nkernel=k\n" VM
	      "[vm c]\nmemory=600M\nvcpus=1\nkernel=k\nautostart=no\n",
	      2, 1000,
	      "2:8: vm 'a' does not fit: its memory is 1048576M, and 1000M of the machine's 1000M "
	      "for guests are left\n"
	      "10:8: vm 'c' does not fit: its memory is 600M, and 488M of the machine's 1000M for "
	      "guests are left\n");
}

/* After errors in the file the machine is still checked, and what is absent is left out. */
static void check_after_errors(void **state)
{
	static const char text[] = "[vm a]\nmemory = x\nvcpus = 9\n";
	struct config_machine machine = {.cpus = 2, .memory_mib = 64};

	(void)state;
	assert_int_equal(parse(text), 2);
	assert_int_equal(config_check(&run.config, &machine, say, NULL), 1);
	assert_non_null(strstr(run.said, "3:9: vm 'a' does not fit"));
}

static void collect(void *ctx, const char *text, size_t len)
{
	strncat(ctx, text, len);
}

static void the_printed_form(void **state)
{
	char line[200] = "";

	(void)state;
	config_print_error(collect, line, "EFI/BOOT/socle.cfg", (struct config_pos){12, 3},
			   "no such file: 100%");
	assert_string_equal(line, "socle: error: EFI/BOOT/socle.cfg:12:3: no such file: 100%");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine_that_fits),
		cmocka_unit_test(nothing_that_would_start),
		cmocka_unit_test(a_port_has_one_owner),
		cmocka_unit_test(machine_with_too_few_processors),
		cmocka_unit_test(machine_with_too_little_memory),
		cmocka_unit_test(check_after_errors),
		cmocka_unit_test(the_printed_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
