#include "boot/symbols.h"

#include "lib/err.h"

static uint32_t take_size(const uint8_t **p)
{
	uint8_t size = *(*p)++;

	if (size)
		return size;
	*p += 2;
	return (uint32_t)((*p)[-2] | (*p)[-1] << 8);
}

int symbols_find(const struct symbols *s, uint32_t offset, uint32_t *into)
{
	const uint8_t *p = s->size;
	uint32_t number = 0, at = s->start, size;

	if (!s->count || offset < at)
		return -ENOENT;
	for (; number + 1 < s->count && offset - at >= (size = take_size(&p)); number++)
		at += size;
	*into = offset - at;
	return (int)number;
}

/* True where BYTE ends a name. Pairs are no more than a few deep: tools/mksymbols.py. */
static bool put(const struct symbols *s, uint8_t byte, struct strbuf *sb)
{
	const uint8_t *meaning;

	if (!byte)
		return true;
	meaning = s->meaning[byte - 1];
	if (meaning[0])
		return put(s, meaning[0], sb) || put(s, meaning[1], sb);
	if (sb)
		sb_putc(sb, (char)meaning[1]);
	return false;
}

void symbols_name(const struct symbols *s, unsigned int number, struct strbuf *sb)
{
	const uint8_t *name = s->names;

	while (number)
		number -= put(s, *name++, NULL);
	while (!put(s, *name++, sb))
		;
}
