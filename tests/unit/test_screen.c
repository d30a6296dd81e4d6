/* links: boot/terminal.c */
/*
 * What a stream of bytes makes of a terminal's cells, and the cells of a framebuffer. The
 * framebuffer here is memory of exactly the size that the firmware would name, so that the
 * sanitizers see each pixel beyond it.
 */
/* Included, not linked: a screen lasts for ever, and every test wants one of its own. */
#include "boot/screen.c"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COLUMNS 20u
#define ROWS	5u

static uint64_t now, tick;

uint64_t tsc_now(void)
{
	return now += tick;
}

/* ---- the terminal ---- */

static struct terminal term;

static void put_bytes(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		terminal_put(&term, (uint8_t)bytes[i]);
}

static void put(const char *text)
{
	put_bytes(text, strlen(text));
}

static void begin(void)
{
	static uint32_t cells[COLUMNS * ROWS];

	terminal_init(&term, cells, COLUMNS, ROWS);
}

/* A row without the blanks at its end; what is not ASCII as '?'. */
static const char *row(unsigned int y)
{
	static char text[COLUMNS + 1];
	unsigned int end = 0;

	for (unsigned int x = 0; x < COLUMNS; x++) {
		uint32_t code = CELL_CODE(terminal_cell(&term, x, y));

		text[x] = code < 0x80 ? (char)code : '?';
		if (code != ' ')
			end = x + 1;
	}
	text[end] = '\0';
	return text;
}

static void expect_rows(const char *a, const char *b, const char *c, const char *d, const char *e)
{
	assert_string_equal(row(0), a);
	assert_string_equal(row(1), b);
	assert_string_equal(row(2), c);
	assert_string_equal(row(3), d);
	assert_string_equal(row(4), e);
}

static void lines_wrap_and_scroll(void **state)
{
	(void)state;
	begin();
	put("0123456789012345678\r\nx");
	expect_rows("0123456789012345678", "x", "", "", "");
	/* A line as long as the screen is wide makes no empty one after it. */
	begin();
	put("01234567890123456789\r\nx");
	expect_rows("01234567890123456789", "x", "", "", "");
	begin();
	put("01234567890123456789ab\r\nx");
	expect_rows("01234567890123456789", "ab", "x", "", "");
	put("\r\ny\r\nz\r\n");
	expect_rows("ab", "x", "y", "z", "");
	for (int i = 0; i < 1000; i++)
		put(i % 2 ? "odd\r\n" : "even\r\n");
	expect_rows("even", "odd", "even", "odd", "");
}

static void control_characters(void **state)
{
	(void)state;
	begin();
	put("abc\b\bX\r\n\tT\tU\rV\r\nbell\a\x7f!\n.");
	expect_rows("aXc", "V       T       U", "bell!", "     .", "");
	put("\r\b\b>\t\t\t\t<");
	assert_string_equal(row(3), ">    .             <");
}

/* What busybox's shell writes while a line is edited. */
static void a_shell_edits_its_line(void **state)
{
	(void)state;
	begin();
	put("\x1b[6n# ecoxx");
	put("\b\b\x1b[J");
	assert_string_equal(row(0), "# eco");
	put("\x1b[1Dho");
	assert_string_equal(row(0), "# echo");
	put("\r\x1b[4C\x1b[K");
	assert_string_equal(row(0), "# ec");
	put("ho it\r\n");
	expect_rows("# echo it", "", "", "", "");
}

static void the_cursor_is_positioned(void **state)
{
	(void)state;
	begin();
	put("\x1b[3;5Ha\x1b[Hb\x1b[99999999;99999999Hc\x1b[2A\x1b[3Dd\x1b[Ee\x1b[2Ff\x1b[7Gg\x1b["
	    "2dh");
	expect_rows("b", "f     gh", "    a           d", "e", "                   c");
	put("\x1b[99A\x1b[99DA\x1b[99B\x1b[99CB\x1b[2;2H\x1b[s\x1b[H\x1b[uC\x1b"
	    "7\x1b[5;1H\x1b"
	    "8D");
	expect_rows("A", "fCD   gh", "    a           d", "e", "                   B");
	put("\x1b[1;4H\x1b[4294967295Cr\x1b[1;4H\x1b[4294967296Br");
	expect_rows("A                  r", "fCD   gh", "    a           d", "e",
		    "   r               B");
	begin();
	put("one\x1b[H\x1bMzero\x1b[5;1Hfour\x1b"
	    "Efive");
	expect_rows("one", "", "", "four", "five");
}

static void parts_are_erased(void **state)
{
	static const char fill[] = "aaaa\r\nbbbb\r\ncccc\r\ndddd\r\neeee\x1b[3;2H";

	(void)state;
	begin();
	put(fill);
	put("\x1b[K");
	expect_rows("aaaa", "bbbb", "c", "dddd", "eeee");
	put("\x1b[4;2H\x1b[1K");
	assert_string_equal(row(3), "  dd");
	put("\x1b[2K");
	assert_string_equal(row(3), "");
	begin();
	put(fill);
	put("\x1b[J");
	expect_rows("aaaa", "bbbb", "c", "", "");
	begin();
	put(fill);
	put("\x1b[1J");
	expect_rows("", "", "  cc", "dddd", "eeee");
	put("\x1b[2J");
	expect_rows("", "", "", "", "");
	begin();
	put("abcdef\x1b[3G\x1b[2@");
	assert_string_equal(row(0), "ab  cdef");
	put("\x1b[3P");
	assert_string_equal(row(0), "abdef");
	put("\x1b[99@\x1b[99P\x1b[1G\x1b[99P");
	assert_string_equal(row(0), "");
}

static void colours(void **state)
{
	(void)state;
	begin();
	put("a\x1b[31mb\x1b[1;44mc\x1b[0;7md\x1b[m\x1b[38;5;12;48;2;1;2;3me\x1b[32;41m\n\rf");
	assert_int_equal(terminal_cell(&term, 0, 0), CELL('a', 7, 0));
	assert_int_equal(terminal_cell(&term, 1, 0), CELL('b', 1, 0));
	assert_int_equal(terminal_cell(&term, 2, 0), CELL('c', 9, 4));
	assert_int_equal(terminal_cell(&term, 3, 0), CELL('d', 0, 7));
	assert_int_equal(terminal_cell(&term, 4, 0), CELL('e', 12, 0));
	/* The next line may be another guest's. */
	assert_int_equal(terminal_cell(&term, 0, 1), CELL('f', 7, 0));
	/* The cursor. */
	assert_int_equal(terminal_cell(&term, 1, 1), CELL(' ', 0, 7));
}

/* The Unicode Standard, 3.9: what is ill-formed is replaced, and what follows it is not lost. */
static void utf8(void **state)
{
	static const struct {
		const char *bytes;
		uint32_t codes[4];
	} cases[] = {
		{"\xc3\xa9|", {0xe9, '|'}},
		{"\xe2\x94\x80|", {0x2500, '|'}},
		{"\xf0\x9f\x98\x80|", {0x1f600, '|'}},
		{"\xf4\x8f\xbf\xbf|", {0x10ffff, '|'}},
		{"\xc3|", {0xfffd, '|'}},
		{"\xe2\x94|", {0xfffd, '|'}},
		{"\xe2\xc3\xa9|", {0xfffd, 0xe9, '|'}},
		{"\x80|", {0xfffd, '|'}},
		{"\xff|", {0xfffd, '|'}},
		{"\xc0\xaf|", {0xfffd, 0xfffd, '|'}},
		{"\xe0\x80|", {0xfffd, 0xfffd, '|'}},
		{"\xed\xa0|", {0xfffd, 0xfffd, '|'}},
		{"\xf4\x90|", {0xfffd, 0xfffd, '|'}},
		{"\xc3\x1b[1C|", {0xfffd, ' ', '|'}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin();
		put(cases[i].bytes);
		for (unsigned int x = 0; x < 4 && cases[i].codes[x]; x++)
			assert_int_equal(CELL_CODE(terminal_cell(&term, x, 0)), cases[i].codes[x]);
	}
}

static void other_sequences_are_swallowed(void **state)
{
	static const char *const sequences[] = {
		"\x1b[?2J",	  "\x1b[?5C",
		"\x1b[3 C",	  "\x1b[?25l",
		"\x1b[?1;2c",	  "\x1b[>4;1m",
		"\x1b[5n",	  "\x1b[1 q",
		"\x1b(B",	  "\x1b#8",
		"\x1b=",	  "\x1b]0;t\a",
		"\x1b]0;t\x1b\\", "\x1bPq\x1b\\",
		"\x1b[1;1;1y",	  "\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20z",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sequences); i++) {
		begin();
		put("a");
		put(sequences[i]);
		put("b");
		assert_string_equal(row(0), "ab");
	}
}

/* A guest that begins a sequence and does not end it hides nothing of the next line. */
static void a_line_ends_every_sequence(void **state)
{
	static const char *const starts[] = {"\x1b",  "\x1b[", "\x1b[12", "\x1b]",
					     "\x1bP", "\x1b(", "\xe2\x94"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		begin();
		put(starts[i]);
		put("\r\nsocle: seen");
		assert_string_equal(row(1), "socle: seen");
	}
}

/* Whatever comes, cells hold characters and colours, and the sanitizers find nothing. */
static void any_bytes(void **state)
{
	static const char likely[] =
		"\x1b[]0123456789;?@ABCDEFGHJKPdfmsu78cMED\r\n\b\t\xe2\x94\x80";

	(void)state;
	begin();
	srand(1);
	for (int i = 0; i < 300000; i++)
		terminal_put(&term, rand() % 4
					    ? (uint8_t)likely[(size_t)rand() % (sizeof(likely) - 1)]
					    : (uint8_t)rand());
	for (unsigned int i = 0; i < COLUMNS * ROWS; i++)
		assert_in_range(CELL_CODE(term.cells[i]), ' ', 0x10ffff);
	put("\x1b\\\x1b"
	    "cfirst");
	expect_rows("first", "", "", "", "");
}

/* ---- the screen ---- */

#define RGB .red = 0xff, .green = 0xff00, .blue = 0xff0000, .reserved = 0xff000000
#define BGR .red = 0xff0000, .green = 0xff00, .blue = 0xff, .reserved = 0xff000000

static uint8_t *pixels;

/* A framebuffer of its exact size, full of what the firmware left. */
static struct boot_framebuffer make(struct boot_framebuffer fb, unsigned int bytes)
{
	fb.size = (uint64_t)fb.stride * fb.height * bytes;
	pixels = malloc(fb.size);
	assert_non_null(pixels);
	memset(pixels, 0x5a, fb.size);
	fb.base = (uintptr_t)pixels;
	return fb;
}

static void *open_screen(const struct boot_framebuffer *fb, unsigned int status)
{
	size_t size = screen_memory(fb);
	void *memory = malloc(size);

	assert_true(size > 0);
	assert_non_null(memory);
	memset(&screen, 0, sizeof(screen));
	memset(memory, 0, size);
	tick = 0;
	screen_open(fb, status, memory);
	return memory;
}

static void write_text(const char *text)
{
	while (*text)
		screen_put((uint8_t)*text++);
}

static uint32_t pixel(const struct boot_framebuffer *fb, unsigned int bytes, unsigned int x,
		      unsigned int y)
{
	uint32_t value = 0;

	memcpy(&value, pixels + ((size_t)y * fb->stride + x) * bytes, bytes);
	return value;
}

/* Each pixel of the cell is the glyph's, in these colours. */
static void expect_glyph(const struct boot_framebuffer *fb, unsigned int bytes, unsigned int scale,
			 unsigned int column, unsigned int line, uint32_t code, uint32_t fg,
			 uint32_t bg)
{
	const struct glyph *glyph = find_glyph(code);

	assert_int_equal(glyph->code, code);
	for (unsigned int y = 0; y < FONT_HEIGHT * scale; y++)
		for (unsigned int x = 0; x < FONT_WIDTH * scale; x++)
			assert_int_equal(pixel(fb, bytes, column * FONT_WIDTH * scale + x,
					       line * FONT_HEIGHT * scale + y),
					 glyph->rows[y / scale] & 0x80u >> x / scale ? fg : bg);
}

static void pixels_are_the_font_s(void **state)
{
	static const struct {
		struct boot_framebuffer fb;
		unsigned int bytes, scale;
		uint32_t grey, red;
	} cases[] = {
		{{.width = 170, .height = 85, .stride = 192, RGB}, 4, 1, 0xaaaaaa, 0x0000aa},
		{{.width = 170, .height = 85, .stride = 170, BGR}, 4, 1, 0xaaaaaa, 0xaa0000},
		{{.width = 170,
		  .height = 85,
		  .stride = 171,
		  .red = 0xf800,
		  .green = 0x7e0,
		  .blue = 0x1f},
		 2,
		 1,
		 0xa554,
		 0xa000},
		{{.width = 161,
		  .height = 81,
		  .stride = 161,
		  .red = 0xff0000,
		  .green = 0xff00,
		  .blue = 0xff},
		 3,
		 1,
		 0xaaaaaa,
		 0xaa0000},
		{{.width = 2560, .height = 1600, .stride = 2560, BGR}, 4, 2, 0xaaaaaa, 0xaa0000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct boot_framebuffer fb = make(cases[i].fb, cases[i].bytes);
		void *memory = open_screen(&fb, 0);

		write_text("A\x1b[31m\xc3\xa9\n\rxyz\b");
		assert_true(screen_draw(~0ull));
		expect_glyph(&fb, cases[i].bytes, cases[i].scale, 0, 0, 'A', cases[i].grey, 0);
		expect_glyph(&fb, cases[i].bytes, cases[i].scale, 1, 0, 0xe9, cases[i].red, 0);
		expect_glyph(&fb, cases[i].bytes, cases[i].scale, 1, 1, 'y', cases[i].grey, 0);
		expect_glyph(&fb, cases[i].bytes, cases[i].scale, 2, 1, 'z', 0, cases[i].grey);
		expect_glyph(&fb, cases[i].bytes, cases[i].scale, 19, 4, ' ', cases[i].grey, 0);
		assert_int_equal(pixel(&fb, cases[i].bytes, fb.width - 1, fb.height - 1), 0);
		free(memory);
		free(pixels);
	}
}

static void what_the_font_lacks_is_replaced(void **state)
{
	(void)state;
	unpack_font();
	assert_int_equal(find_glyph(0x1f600)->code, TERMINAL_REPLACEMENT);
	assert_int_equal(find_glyph(0x7f)->code, TERMINAL_REPLACEMENT);
	for (uint32_t code = ' '; code < 0x7f; code++)
		assert_int_equal(find_glyph(code)->code, code);
}

/* Blocks of pixels; what looks like another character is packed as that one's number. */
static void the_font_is_unpacked(void **state)
{
	static const uint8_t lower[FONT_HEIGHT] = {[8 ... 15] = 0xff};
	static const uint8_t blank[FONT_HEIGHT];

	(void)state;
	unpack_font();
	assert_memory_equal(find_glyph(0x2584)->rows, lower, FONT_HEIGHT);
	assert_memory_equal(find_glyph(' ')->rows, blank, FONT_HEIGHT);
	assert_memory_equal(find_glyph(0x391)->rows, find_glyph('A')->rows, FONT_HEIGHT);
	for (size_t i = 1; i < FONT_COUNT; i++)
		assert_true(font[i - 1].code < font[i].code);
}

/* Only what has changed is drawn; all of it after a panic. */
static void what_is_drawn_stays(void **state)
{
	struct boot_framebuffer fb =
		make((struct boot_framebuffer){.width = 160, .height = 80, .stride = 160, BGR}, 4);
	void *memory = open_screen(&fb, 0);

	(void)state;
	write_text("ab");
	screen_draw(~0ull);
	memset(pixels, 0x11, 4);
	write_text("c");
	screen_draw(~0ull);
	expect_glyph(&fb, 4, 1, 2, 0, 'c', 0xaaaaaa, 0);
	assert_int_equal(pixel(&fb, 4, 0, 0), 0x11111111);
	screen_redraw();
	expect_glyph(&fb, 4, 1, 0, 0, 'a', 0xaaaaaa, 0);
	expect_glyph(&fb, 4, 1, 2, 0, 'c', 0xaaaaaa, 0);
	free(memory);
	free(pixels);
}

/* A guest does not wait for a whole screen; the screen is whole in the end, whatever is written. */
static void drawing_is_done_in_pieces(void **state)
{
	struct boot_framebuffer fb =
		make((struct boot_framebuffer){.width = 160, .height = 80, .stride = 160, BGR}, 4);
	void *memory = open_screen(&fb, 0);
	unsigned int pieces = 1;

	(void)state;
	for (int i = 0; i < 4; i++)
		write_text("01234567890123456789");
	tick = 1;
	while (!screen_draw(now + 10)) {
		if (pieces++ == 2)
			write_text("\x1b[HX");
		assert_in_range(pieces, 1, 12);
	}
	assert_in_range(pieces, 8, 12);
	expect_glyph(&fb, 4, 1, 0, 0, 'X', 0xaaaaaa, 0);
	expect_glyph(&fb, 4, 1, 18, 3, '8', 0xaaaaaa, 0);
	now = 0;
	assert_true(screen_draw(0));
	assert_int_equal(now, 0);
	free(memory);
	free(pixels);
}

static void status_rows_do_not_scroll(void **state)
{
	struct boot_framebuffer fb =
		make((struct boot_framebuffer){.width = 160, .height = 80, .stride = 160, BGR}, 4);
	void *memory = open_screen(&fb, 2);

	(void)state;
	screen_status(0, "one");
	screen_status(1, "a name that is longer than the screen is wide");
	screen_status(2, "not there");
	write_text("a\r\nb\r\nc\r\nd");
	screen_draw(~0ull);
	expect_glyph(&fb, 4, 1, 0, 0, 'b', 0xaaaaaa, 0);
	expect_glyph(&fb, 4, 1, 0, 2, 'd', 0xaaaaaa, 0);
	expect_glyph(&fb, 4, 1, 0, 3, 'o', 0, 0xaaaaaa);
	expect_glyph(&fb, 4, 1, 3, 3, ' ', 0, 0xaaaaaa);
	expect_glyph(&fb, 4, 1, 19, 4, 'e', 0, 0xaaaaaa);
	screen_status(0, "1");
	screen_draw(~0ull);
	expect_glyph(&fb, 4, 1, 1, 3, ' ', 0, 0xaaaaaa);
	free(memory);
	free(pixels);
}

/* The firmware's word is believed where it holds together, and pixels beyond its memory are not
   touched. */
static void sizes_are_checked(void **state)
{
	static const struct boot_framebuffer good = {.base = 0xc0000000,
						     .size = 800 * 600 * 4,
						     .width = 800,
						     .height = 600,
						     .stride = 800,
						     RGB};
	struct boot_framebuffer fb = good;

	(void)state;
	assert_int_equal(screen_bytes(&good), 800 * 600 * 4);
	assert_int_equal(screen_memory(&good), 100 * 37 * 4 * 2);
	fb.base = 0;
	assert_int_equal(screen_bytes(&fb), 0);
	assert_int_equal(screen_memory(&fb), 0);
	fb = good;
	fb.stride = 799;
	assert_int_equal(screen_bytes(&fb), 0);
	fb = good;
	fb.red = fb.green = fb.blue = fb.reserved = 0;
	assert_int_equal(screen_bytes(&fb), 0);
	fb = good;
	fb.width = 100;
	assert_int_equal(screen_bytes(&fb), 0);
	fb = good;
	fb.base = ~0ull - 4096;
	assert_int_equal(screen_bytes(&fb), 0);
	fb = good;
	fb.size = 800 * 300 * 4 + 1;
	assert_int_equal(screen_bytes(&fb), 800 * 300 * 4);
	assert_int_equal(screen_memory(&fb), 100 * 18 * 4 * 2);
	fb.size = 800 * 40 * 4;
	assert_int_equal(screen_bytes(&fb), 0);
	fb = good;
	fb.width = fb.height = fb.stride = UINT32_MAX;
	fb.size = UINT64_MAX - fb.base;
	assert_in_range(screen_memory(&fb), 1, 512 * 256 * 8);
}

static void without_a_screen_nothing_happens(void **state)
{
	(void)state;
	memset(&screen, 0, sizeof(screen));
	write_text("lost\r\n");
	assert_true(screen_draw(~0ull));
	screen_redraw();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_wrap_and_scroll),
		cmocka_unit_test(control_characters),
		cmocka_unit_test(a_shell_edits_its_line),
		cmocka_unit_test(the_cursor_is_positioned),
		cmocka_unit_test(parts_are_erased),
		cmocka_unit_test(colours),
		cmocka_unit_test(utf8),
		cmocka_unit_test(other_sequences_are_swallowed),
		cmocka_unit_test(a_line_ends_every_sequence),
		cmocka_unit_test(any_bytes),
		cmocka_unit_test(pixels_are_the_font_s),
		cmocka_unit_test(what_the_font_lacks_is_replaced),
		cmocka_unit_test(the_font_is_unpacked),
		cmocka_unit_test(what_is_drawn_stays),
		cmocka_unit_test(drawing_is_done_in_pieces),
		cmocka_unit_test(status_rows_do_not_scroll),
		cmocka_unit_test(sizes_are_checked),
		cmocka_unit_test(without_a_screen_nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
