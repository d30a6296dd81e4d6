#include "boot/symbols.h"

#include "lib/err.h"

int symbols_find(const struct symbols *s, uint32_t offset, uint32_t *into)
{
	uint32_t number = 0, at = s->start;

	if (!s->count || offset < at)
		return -ENOENT;
	for (; number + 1 < s->count && offset - at >= s->size[number]; number++)
		at += s->size[number];
	*into = offset - at;
	return (int)number;
}

/* Pairs are no more than a few deep: tools/mksymbols.py. */
static void put(const struct symbols *s, uint8_t byte, struct strbuf *sb)
{
	if (byte < SYMBOLS_PAIRS) {
		sb_putc(sb, (char)byte);
		return;
	}
	put(s, s->pair[byte - SYMBOLS_PAIRS][0], sb);
	put(s, s->pair[byte - SYMBOLS_PAIRS][1], sb);
}

void symbols_name(const struct symbols *s, unsigned int number, struct strbuf *sb)
{
	const uint8_t *name = s->names;

	while (number)
		number -= !*name++;
	while (*name)
		put(s, *name++, sb);
}
