#include "core/console_text.h"

enum { TAB = 9, LF = 10, CR = 13, ESC = 27, DEL = 127 };

/* Where in a control sequence the next byte is: ECMA-48 5.3, 5.4, 5.6. */
enum { TEXT, ESCAPE, ONE_MORE, CSI, STRING };

/* U+0080 to U+009F begin sequences, too; their second byte alone does on terminals of 8 bits. */
static bool is_c1(uint8_t before, uint8_t byte)
{
	return byte >= 0x80 && byte < 0xa0 && (before < 0x80 || before == 0xc2);
}

static uint8_t after_escape(uint8_t byte)
{
	switch (byte) {
	case '[':
		return CSI;
	case ']':
	case 'P':
	case 'X':
	case '^':
	case '_':
		return STRING;
	case ' ' ... '/':
		return ONE_MORE;
	default:
		return TEXT;
	}
}

/* Any control character ends a sequence: nobody swallows a line by what never ends. */
static bool is_text(struct console_text *t, uint8_t byte)
{
	if (byte < ' ' || byte == DEL) {
		t->state = byte == ESC ? ESCAPE : TEXT;
		return byte == TAB || byte == LF || byte == CR;
	}
	switch (t->state) {
	case ESCAPE:
		t->state = after_escape(byte);
		return false;
	case ONE_MORE:
		t->state = byte < '0' ? ONE_MORE : TEXT;
		return false;
	case CSI:
		t->state = byte < '@' ? CSI : TEXT;
		return false;
	case STRING:
		return false;
	default:
		return !is_c1(t->before, byte);
	}
}

bool console_is_text(struct console_text *t, uint8_t byte)
{
	bool text = is_text(t, byte);

	/* The terminal puts together what reaches it: C2 85 9B without the second byte is CSI. */
	if (text)
		t->before = byte;
	return text;
}
