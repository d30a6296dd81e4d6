/* links: core/lineedit.c */
/* The monitor's line: keys as a VT100 sends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/lineedit.h"

#define UP    "\x1b[A"
#define DOWN  "\x1b[B"
#define RIGHT "\x1b[C"
#define LEFT  "\x1b[D"

static struct lineedit l;

static int setup(void **state)
{
	(void)state;
	memset(&l, 0, sizeof(l));
	return 0;
}

/* Returns what the last key was. */
static enum lineedit_event type(const char *keys)
{
	enum lineedit_event e = LINEEDIT_NOTHING;

	for (; *keys; keys++) {
		e = lineedit_key(&l, (uint8_t)*keys);
		if (e == LINEEDIT_DONE)
			lineedit_begin(&l);
	}
	return e;
}

/* '|' stands for the cursor. */
static void expect(const char *line)
{
	const char *at = strchr(line, '|');
	char text[200];

	memcpy(text, line, (size_t)(at - line));
	strcpy(text + (at - line), at + 1);
	assert_string_equal(l.text, text);
	assert_int_equal(l.len, strlen(text));
	assert_int_equal(l.cursor, at - line);
}

static void typing_and_moving(void **state)
{
	(void)state;
	assert_int_equal(type("lst"), LINEEDIT_CHANGED);
	type(LEFT LEFT "i");
	expect("li|st");
	type("\x01"
	     "x");
	expect("x|list");
	type("\x05"
	     "y" LEFT LEFT RIGHT);
	expect("xlist|y");
	type("\x1b[H");
	expect("|xlisty");
	type("\x1b[4~");
	expect("xlisty|");
	type("\x1b[1;5D");
	expect("xlist|y");
	type("\x1b[F");
	assert_int_equal(type(RIGHT), LINEEDIT_NOTHING);
}

static void deleting(void **state)
{
	(void)state;
	type("one two  ");
	type("\x17");
	expect("one |");
	type("two\x7f\x08");
	expect("one t|");
	type("\x01\x04\x1b[3~");
	expect("|e t");
	type(RIGHT "\x0b");
	expect("e|");
	type(" x\x15");
	expect("|");
	assert_int_equal(type("\x7f"), LINEEDIT_NOTHING);
	assert_int_equal(type("\x04"), LINEEDIT_END);
}

static void one_enter_whatever_the_terminal_sends(void **state)
{
	(void)state;
	assert_int_equal(type("a\r"), LINEEDIT_DONE);
	assert_int_equal(type("\n"), LINEEDIT_NOTHING);
	assert_int_equal(type("b\n"), LINEEDIT_DONE);
	assert_int_equal(type("\n"), LINEEDIT_DONE);
	assert_int_equal(type("\x03"), LINEEDIT_CANCEL);
}

static void history(void **state)
{
	(void)state;
	type("first\rsecond\rsecond\r\rthi");
	type(UP);
	expect("second|");
	type(UP);
	expect("first|");
	assert_int_equal(type(UP), LINEEDIT_NOTHING);
	type("\x0e" DOWN);
	expect("thi|");
	assert_int_equal(type(DOWN), LINEEDIT_NOTHING);
	for (int i = 0; i < 40; i++) {
		char line[] = "line 00\r";

		line[5] = (char)('0' + i / 10);
		line[6] = (char)('0' + i % 10);
		type("\x15");
		type(line);
	}
	for (int i = 0; i < 40; i++)
		type(UP);
	expect("line 24|");
}

static void a_full_line_takes_no_more(void **state)
{
	(void)state;
	for (int i = 0; i < 300; i++)
		type("x");
	assert_int_equal(l.len, LINEEDIT_SIZE - 1);
	assert_int_equal(type("y"), LINEEDIT_NOTHING);
	/* Nor are bytes that a terminal cannot show taken. */
	type("\x15\x80\xff\x1b[5~");
	expect("|");
}

static const char *candidate(void *ctx, unsigned int i)
{
	static const char *const words[] = {"start", "stats", "stop", "list"};

	(void)ctx;
	return i < 4 ? words[i] : NULL;
}

static void completion(void **state)
{
	(void)state;
	assert_int_equal(type("s\t"), LINEEDIT_COMPLETE);
	assert_int_equal(lineedit_complete(&l, candidate, NULL), 3);
	expect("st|");
	assert_int_equal(lineedit_complete(&l, candidate, NULL), 3);
	assert_true(lineedit_fits(&l, "stop"));
	assert_false(lineedit_fits(&l, "list"));
	type("a");
	lineedit_complete(&l, candidate, NULL);
	expect("sta|");
	type("r");
	assert_int_equal(lineedit_complete(&l, candidate, NULL), 1);
	expect("start |");
	assert_int_equal(lineedit_word(&l), 1);
	type("l");
	lineedit_complete(&l, candidate, NULL);
	expect("start list |");
	type("z");
	assert_int_equal(lineedit_complete(&l, candidate, NULL), 0);
	assert_int_equal(lineedit_word(&l), 2);
	type("\x01");
	assert_int_equal(lineedit_word(&l), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(typing_and_moving, setup),
		cmocka_unit_test_setup(deleting, setup),
		cmocka_unit_test_setup(one_enter_whatever_the_terminal_sends, setup),
		cmocka_unit_test_setup(history, setup),
		cmocka_unit_test_setup(a_full_line_takes_no_more, setup),
		cmocka_unit_test_setup(completion, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
