/* links: lib/strbuf.c lib/fmt.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/strbuf.h"

static void text_is_appended(void **state)
{
	char text[32];
	struct strbuf sb;

	(void)state;
	memset(text, 'x', sizeof(text));
	sb_init(&sb, text, sizeof(text));
	assert_string_equal(text, "");
	sb_puts(&sb, "vm ");
	sb_write(&sb, "website", 3);
	sb_putc(&sb, ':');
	sb_printf(&sb, " vcpu %u", 2);
	assert_string_equal(text, "vm web: vcpu 2");
	assert_int_equal(sb.len, 14);
	assert_false(sb.cut);
}

static void what_does_not_fit_is_left_out(void **state)
{
	char *text = malloc(8); /* ASan watches both ends */
	struct strbuf sb;

	(void)state;
	sb_init(&sb, text, 8);
	sb_puts(&sb, "1234567");
	assert_false(sb.cut);
	sb_puts(&sb, "");
	assert_false(sb.cut);
	sb_putc(&sb, '8');
	assert_true(sb.cut);
	assert_string_equal(text, "1234567");
	sb_reset(&sb);
	assert_false(sb.cut);
	sb_printf(&sb, "%s and %d", "word", 12345);
	assert_true(sb.cut);
	assert_string_equal(text, "word an");
	assert_int_equal(sb.len, 7);
	free(text);
}

static void a_buffer_of_one_holds_the_terminator(void **state)
{
	char text[1];
	struct strbuf sb;

	(void)state;
	sb_init(&sb, text, sizeof(text));
	sb_puts(&sb, "anything");
	assert_int_equal(text[0], 0);
	assert_int_equal(sb.len, 0);
	assert_true(sb.cut);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_appended),
		cmocka_unit_test(what_does_not_fit_is_left_out),
		cmocka_unit_test(a_buffer_of_one_holds_the_terminator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
