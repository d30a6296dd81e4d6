/* See core/lineedit.h. */
#include "core/lineedit.h"

#include <stdbool.h>

#include "lib/string.h"
#include "lib/util.h"

#define CTRL(c) ((c)&0x1f)
#define ESC	0x1b
#define DEL	0x7f

void lineedit_begin(struct lineedit *l)
{
	l->len = l->cursor = 0;
	l->text[0] = '\0';
	l->escape = 0;
	l->back = 0;
}

static enum lineedit_event changed(bool is)
{
	return is ? LINEEDIT_CHANGED : LINEEDIT_NOTHING;
}

static bool insert(struct lineedit *l, const char *s, size_t n)
{
	if (n > sizeof(l->text) - 1 - l->len)
		return false;
	memmove(l->text + l->cursor + n, l->text + l->cursor, l->len - l->cursor + 1);
	memcpy(l->text + l->cursor, s, n);
	l->len += n;
	l->cursor += n;
	return true;
}

/* Takes away what is from FROM up to TO; the cursor is at FROM then. */
static bool cut(struct lineedit *l, size_t from, size_t to)
{
	if (from >= to)
		return false;
	memmove(l->text + from, l->text + to, l->len - to + 1);
	l->len -= to - from;
	l->cursor = from;
	return true;
}

static bool move(struct lineedit *l, size_t to)
{
	bool moved = to != l->cursor;

	l->cursor = to;
	return moved;
}

static size_t left(const struct lineedit *l)
{
	return l->cursor ? l->cursor - 1 : 0;
}

static size_t right(const struct lineedit *l)
{
	return MIN(l->cursor + 1, l->len);
}

/* Where the word before the cursor begins; blanks between belong to it when ALL. */
static size_t word_start(const struct lineedit *l, bool all)
{
	size_t at = l->cursor;

	while (all && at && l->text[at - 1] == ' ')
		at--;
	while (at && l->text[at - 1] != ' ')
		at--;
	return at;
}

/* ---- history ---- */

static void set_line(struct lineedit *l, const char *text)
{
	l->len = strnlen(text, sizeof(l->text) - 1);
	memmove(l->text, text, l->len);
	l->text[l->len] = '\0';
	l->cursor = l->len;
}

static char *history_line(struct lineedit *l, uint32_t back)
{
	return l->history[(l->lines - back) % LINEEDIT_HISTORY];
}

/* Empty lines, and the same again, are not worth a place. */
static void remember(struct lineedit *l)
{
	if (!l->len || (l->lines && !strcmp(history_line(l, 1), l->text)))
		return;
	memcpy(l->history[l->lines % LINEEDIT_HISTORY], l->text, l->len + 1);
	l->lines++;
}

static bool older(struct lineedit *l)
{
	if (l->back == MIN(l->lines, LINEEDIT_HISTORY))
		return false;
	if (!l->back)
		memcpy(l->typed, l->text, l->len + 1);
	l->back++;
	set_line(l, history_line(l, l->back));
	return true;
}

static bool newer(struct lineedit *l)
{
	if (!l->back)
		return false;
	l->back--;
	set_line(l, l->back ? history_line(l, l->back) : l->typed);
	return true;
}

/* ---- keys ---- */

/* The last byte of ESC [ or ESC O; for ESC [ n ~ the digit. */
static enum lineedit_event special(struct lineedit *l, uint8_t key)
{
	switch (key) {
	case 'A':
		return changed(older(l));
	case 'B':
		return changed(newer(l));
	case 'C':
		return changed(move(l, right(l)));
	case 'D':
		return changed(move(l, left(l)));
	case 'H':
	case '1':
	case '7':
		return changed(move(l, 0));
	case 'F':
	case '4':
	case '8':
		return changed(move(l, l->len));
	case '3':
		return changed(cut(l, l->cursor, right(l)));
	default:
		return LINEEDIT_NOTHING;
	}
}

/* ECMA-48 5.4: parameters are digits and ';', the final byte is from '@' up. */
static enum lineedit_event sequence(struct lineedit *l, uint8_t byte)
{
	uint8_t state = l->escape;

	if (state == ESC) {
		l->escape = byte == '[' || byte == 'O' ? byte : 0;
		return LINEEDIT_NOTHING;
	}
	if (byte >= '0' && byte <= '9' && state == '[') {
		l->escape = byte;
		return LINEEDIT_NOTHING;
	}
	if (byte == ';' || (byte >= '0' && byte <= '9'))
		return LINEEDIT_NOTHING;
	l->escape = 0;
	if (byte == '~')
		return special(l, state);
	return special(l, byte);
}

static enum lineedit_event enter(struct lineedit *l)
{
	remember(l);
	return LINEEDIT_DONE;
}

static enum lineedit_event control(struct lineedit *l, uint8_t byte)
{
	switch (byte) {
	case CTRL('A'):
		return changed(move(l, 0));
	case CTRL('B'):
		return changed(move(l, left(l)));
	case CTRL('C'):
		return LINEEDIT_CANCEL;
	case CTRL('D'):
		if (!l->len)
			return LINEEDIT_END;
		return changed(cut(l, l->cursor, right(l)));
	case CTRL('E'):
		return changed(move(l, l->len));
	case CTRL('F'):
		return changed(move(l, right(l)));
	case CTRL('H'):
	case DEL:
		return changed(cut(l, left(l), l->cursor));
	case CTRL('I'):
		return LINEEDIT_COMPLETE;
	case CTRL('J'):
	case CTRL('M'):
		return enter(l);
	case CTRL('K'):
		return changed(cut(l, l->cursor, l->len));
	case CTRL('L'):
		return LINEEDIT_REDRAW;
	case CTRL('N'):
		return changed(newer(l));
	case CTRL('P'):
		return changed(older(l));
	case CTRL('U'):
		return changed(cut(l, 0, l->cursor));
	case CTRL('W'):
		return changed(cut(l, word_start(l, true), l->cursor));
	case ESC:
		l->escape = ESC;
		return LINEEDIT_NOTHING;
	default:
		return LINEEDIT_NOTHING;
	}
}

enum lineedit_event lineedit_key(struct lineedit *l, uint8_t byte)
{
	uint8_t last = l->last;
	char c = (char)byte;

	l->last = byte;
	if (l->escape)
		return sequence(l, byte);
	if (byte == '\n' && last == '\r')
		return LINEEDIT_NOTHING;
	if (byte < ' ' || byte == DEL)
		return control(l, byte);
	return changed(byte < DEL && insert(l, &c, 1));
}

/* ---- completion ---- */

unsigned int lineedit_word(const struct lineedit *l)
{
	unsigned int words = 0;

	for (size_t i = 0; i < word_start(l, false); i++)
		words += l->text[i] != ' ' && l->text[i + 1] == ' ';
	return words;
}

int lineedit_fits(const struct lineedit *l, const char *word)
{
	size_t start = word_start(l, false);

	return !strncmp(word, l->text + start, l->cursor - start);
}

static size_t common(const char *a, const char *b, size_t max)
{
	size_t n = 0;

	while (n < max && a[n] && a[n] == b[n])
		n++;
	return n;
}

unsigned int lineedit_complete(struct lineedit *l,
			       const char *(*candidate)(void *ctx, unsigned int i), void *ctx)
{
	size_t have = l->cursor - word_start(l, false), same = 0;
	const char *first = NULL, *word;
	unsigned int fit = 0;

	for (unsigned int i = 0; (word = candidate(ctx, i)); i++) {
		if (!lineedit_fits(l, word))
			continue;
		same = first ? common(first, word, same) : strlen(word);
		first = first ? first : word;
		fit++;
	}
	if (!fit)
		return 0;
	insert(l, first + have, same - have);
	if (fit == 1 && l->text[l->cursor] != ' ')
		insert(l, " ", 1);
	return fit;
}
