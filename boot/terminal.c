#include "boot/terminal.h"

#include "lib/util.h"

enum { BS = 8, TAB, LF, VT, FF, CR, CAN = 24, ESC = 27, DEL = 127 };

/* Where in a control sequence the next byte is. */
enum { TEXT, ESCAPE, ONE_MORE, CSI, STRING };

#define TAB_WIDTH 8u
/* No screen has that many columns: what is beyond is cut. */
#define PARAM_MAX 9999u

enum { DEFAULT_FG = 7, DEFAULT_BG = 0, BRIGHT = 8 };

/* ---- cells ---- */

static uint32_t *row_of(const struct terminal *t, unsigned int y)
{
	return t->cells + (READ_ONCE(t->top) + y) % t->rows * t->columns;
}

static void clear(struct terminal *t, unsigned int y, unsigned int from, unsigned int to)
{
	uint32_t *row = row_of(t, y);

	for (unsigned int x = from; x < to; x++)
		WRITE_ONCE(row[x], CELL_BLANK);
}

static void clear_rows(struct terminal *t, unsigned int from, unsigned int to)
{
	for (unsigned int y = from; y < to; y++)
		clear(t, y, 0, t->columns);
}

static void go(struct terminal *t, unsigned int x, unsigned int y)
{
	WRITE_ONCE(t->x, MIN(x, t->columns - 1));
	WRITE_ONCE(t->y, MIN(y, t->rows - 1));
	t->wrap = false;
}

static void line_feed(struct terminal *t)
{
	unsigned int y = t->y + 1;

	if (y == t->rows) {
		y--;
		WRITE_ONCE(t->top, (t->top + 1) % t->rows);
		clear(t, y, 0, t->columns);
	}
	go(t, t->x, y);
}

static void reverse_line_feed(struct terminal *t)
{
	if (t->y > 0) {
		go(t, t->x, t->y - 1);
		return;
	}
	WRITE_ONCE(t->top, (t->top + t->rows - 1) % t->rows);
	clear(t, 0, 0, t->columns);
	t->wrap = false;
}

static void plain(struct terminal *t)
{
	t->fg = DEFAULT_FG;
	t->bg = DEFAULT_BG;
	t->bold = t->inverse = false;
}

static uint32_t cell_of(const struct terminal *t, uint32_t code)
{
	uint8_t fg = t->bold && t->fg < BRIGHT ? t->fg + BRIGHT : t->fg;

	return t->inverse ? CELL(code, t->bg, fg) : CELL(code, fg, t->bg);
}

static void print(struct terminal *t, uint32_t code)
{
	if (t->wrap) {
		go(t, 0, t->y);
		line_feed(t);
	}
	WRITE_ONCE(row_of(t, t->y)[t->x], cell_of(t, code));
	if (t->x + 1 == t->columns)
		t->wrap = true;
	else
		WRITE_ONCE(t->x, t->x + 1);
}

uint32_t terminal_cell(const struct terminal *t, unsigned int x, unsigned int y)
{
	uint32_t cell = READ_ONCE(row_of(t, y)[x]);

	if (x != READ_ONCE(t->x) || y != READ_ONCE(t->y))
		return cell;
	return CELL(CELL_CODE(cell), CELL_BG(cell), CELL_FG(cell));
}

static void reset(struct terminal *t)
{
	plain(t);
	clear_rows(t, 0, t->rows);
	go(t, 0, 0);
	t->saved_x = t->saved_y = 0;
}

void terminal_init(struct terminal *t, uint32_t *cells, unsigned int columns, unsigned int rows)
{
	*t = (struct terminal){.cells = cells, .columns = columns, .rows = rows};
	reset(t);
}

/* ---- control sequences: ECMA-48 8.3 ---- */

static unsigned int param(const struct terminal *t, unsigned int i, unsigned int none)
{
	return i < t->param_count && t->params[i] ? t->params[i] : none;
}

static void up(struct terminal *t)
{
	go(t, t->x, t->y - MIN(param(t, 0, 1), t->y));
}

static void down(struct terminal *t)
{
	go(t, t->x, t->y + param(t, 0, 1));
}

static void right(struct terminal *t)
{
	go(t, t->x + param(t, 0, 1), t->y);
}

static void left(struct terminal *t)
{
	go(t, t->x - MIN(param(t, 0, 1), t->x), t->y);
}

static void next_line(struct terminal *t)
{
	down(t);
	go(t, 0, t->y);
}

static void previous_line(struct terminal *t)
{
	up(t);
	go(t, 0, t->y);
}

static void to_column(struct terminal *t)
{
	go(t, param(t, 0, 1) - 1, t->y);
}

static void to_row(struct terminal *t)
{
	go(t, t->x, param(t, 0, 1) - 1);
}

static void to_position(struct terminal *t)
{
	go(t, param(t, 1, 1) - 1, param(t, 0, 1) - 1);
}

static void erase_in_line(struct terminal *t)
{
	unsigned int what = param(t, 0, 0);

	if (what <= 2)
		clear(t, t->y, what == 0 ? t->x : 0, what == 1 ? t->x + 1 : t->columns);
}

static void erase_in_page(struct terminal *t)
{
	unsigned int what = param(t, 0, 0);

	if (what > 3)
		return;
	erase_in_line(t);
	if (what == 0)
		clear_rows(t, t->y + 1, t->rows);
	else
		clear_rows(t, 0, what == 1 ? t->y : t->rows);
}

/* What is right of the cursor moves by N to the right, or to the left. */
static void insert_characters(struct terminal *t)
{
	unsigned int n = MIN(param(t, 0, 1), t->columns - t->x);
	uint32_t *row = row_of(t, t->y);

	for (unsigned int x = t->columns; x-- > t->x + n;)
		WRITE_ONCE(row[x], row[x - n]);
	clear(t, t->y, t->x, t->x + n);
}

static void delete_characters(struct terminal *t)
{
	unsigned int n = MIN(param(t, 0, 1), t->columns - t->x);
	uint32_t *row = row_of(t, t->y);

	for (unsigned int x = t->x; x + n < t->columns; x++)
		WRITE_ONCE(row[x], row[x + n]);
	clear(t, t->y, t->columns - n, t->columns);
}

/* 38;5;N and 38;2;R;G;B name a colour of another palette. Returns how many parameters that took. */
static unsigned int other_colour(const struct terminal *t, unsigned int i, uint8_t *colour)
{
	if (param(t, i + 1, 0) != 5)
		return 4;
	if (param(t, i + 2, 0) < 16)
		*colour = (uint8_t)param(t, i + 2, 0);
	return 2;
}

static void one_rendition(struct terminal *t, unsigned int n)
{
	switch (n) {
	case 0:
		plain(t);
		break;
	case 1:
	case 22:
		t->bold = n == 1;
		break;
	case 7:
	case 27:
		t->inverse = n == 7;
		break;
	case 39:
		t->fg = DEFAULT_FG;
		break;
	case 49:
		t->bg = DEFAULT_BG;
		break;
	case 30 ... 37:
		t->fg = (uint8_t)(n - 30);
		break;
	case 40 ... 47:
		t->bg = (uint8_t)(n - 40);
		break;
	case 90 ... 97:
		t->fg = (uint8_t)(n - 90 + BRIGHT);
		break;
	case 100 ... 107:
		t->bg = (uint8_t)(n - 100 + BRIGHT);
		break;
	default:
		break;
	}
}

static void rendition(struct terminal *t)
{
	for (unsigned int i = 0; i < MAX(t->param_count, 1); i++) {
		unsigned int n = param(t, i, 0);

		if (n == 38 || n == 48)
			i += other_colour(t, i, n == 38 ? &t->fg : &t->bg);
		else
			one_rendition(t, n);
	}
}

static void save(struct terminal *t)
{
	t->saved_x = t->x;
	t->saved_y = t->y;
}

static void restore(struct terminal *t)
{
	go(t, t->saved_x, t->saved_y);
}

static const struct {
	char final;
	void (*act)(struct terminal *t);
} sequences[] = {
	{'@', insert_characters},
	{'A', up},
	{'B', down},
	{'C', right},
	{'D', left},
	{'E', next_line},
	{'F', previous_line},
	{'G', to_column},
	{'H', to_position},
	{'J', erase_in_page},
	{'K', erase_in_line},
	{'P', delete_characters},
	{'d', to_row},
	{'f', to_position},
	{'m', rendition},
	{'s', save},
	{'u', restore},
};

static void act(struct terminal *t, uint8_t final)
{
	for (size_t i = 0; i < ARRAY_SIZE(sequences) && !t->unknown; i++)
		if (sequences[i].final == (char) final)
			sequences[i].act(t);
}

static void in_csi(struct terminal *t, uint8_t byte)
{
	unsigned int *value = &t->params[t->param_count - 1];

	if (byte >= '0' && byte <= '9') {
		*value = MIN(*value * 10 + byte - '0', PARAM_MAX);
	} else if (byte == ';' || byte == ':') {
		if (t->param_count < TERMINAL_PARAMS)
			t->params[t->param_count++] = 0;
	} else if (byte >= '@') {
		t->state = TEXT;
		act(t, byte);
	} else {
		t->unknown = true;
	}
}

static void begin_csi(struct terminal *t)
{
	t->state = CSI;
	t->unknown = false;
	t->params[0] = 0;
	t->param_count = 1;
}

static void after_escape(struct terminal *t, uint8_t byte)
{
	t->state = TEXT;
	switch (byte) {
	case '[':
		begin_csi(t);
		break;
	case ']':
	case 'P':
	case 'X':
	case '^':
	case '_':
		t->state = STRING;
		break;
	case ' ' ... '/':
		t->state = ONE_MORE;
		break;
	case '7':
		save(t);
		break;
	case '8':
		restore(t);
		break;
	case 'D':
		line_feed(t);
		break;
	case 'E':
		go(t, 0, t->y);
		line_feed(t);
		break;
	case 'M':
		reverse_line_feed(t);
		break;
	case 'c':
		reset(t);
		break;
	default:
		break;
	}
}

/* ---- bytes ---- */

/*
 * Any control character ends a sequence, so that no guest can swallow others' lines. Colours end
 * with the line: the next one may be another's.
 */
static void control(struct terminal *t, uint8_t byte)
{
	t->state = byte == ESC ? ESCAPE : TEXT;
	switch (byte) {
	case BS:
		go(t, t->x - (t->x > 0), t->y);
		break;
	case TAB:
		go(t, ALIGN_DOWN(t->x, TAB_WIDTH) + TAB_WIDTH, t->y);
		break;
	case LF:
	case VT:
	case FF:
		plain(t);
		line_feed(t);
		break;
	case CR:
		go(t, 0, t->y);
		break;
	default:
		break;
	}
}

/* The Unicode Standard, table 3-7: well-formed UTF-8. */
static void first_byte(struct terminal *t, uint8_t byte)
{
	t->low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
	t->high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
	if (byte < 0x80)
		print(t, byte);
	else if (byte < 0xc2 || byte > 0xf4)
		print(t, TERMINAL_REPLACEMENT);
	else
		t->left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
	t->code = byte & (0x3f >> t->left);
}

/* Whether BYTE goes on with the character that has begun. If not, that one is shown as broken. */
static bool next_byte(struct terminal *t, uint8_t byte)
{
	if (byte < t->low || byte > t->high) {
		t->left = 0;
		print(t, TERMINAL_REPLACEMENT);
		return false;
	}
	t->code = t->code << 6 | (byte & 0x3f);
	t->low = 0x80;
	t->high = 0xbf;
	if (--t->left == 0)
		print(t, t->code);
	return true;
}

void terminal_put(struct terminal *t, uint8_t byte)
{
	if (t->left && next_byte(t, byte))
		return;
	if (byte < ' ') {
		control(t, byte);
		return;
	}
	switch (t->state) {
	case ESCAPE:
		after_escape(t, byte);
		break;
	case ONE_MORE:
		t->state = TEXT;
		break;
	case CSI:
		in_csi(t, byte);
		break;
	case STRING:
		break;
	default:
		if (byte != DEL)
			first_byte(t, byte);
		break;
	}
}
