#include "lib/strbuf.h"

#include "lib/fmt.h"
#include "lib/string.h"
#include "lib/util.h"

void sb_init(struct strbuf *sb, char *buf, size_t size)
{
	sb->text = buf;
	sb->size = size;
	sb_reset(sb);
}

void sb_reset(struct strbuf *sb)
{
	sb->len = 0;
	sb->cut = false;
	sb->text[0] = 0;
}

void sb_write(struct strbuf *sb, const char *s, size_t len)
{
	size_t room = sb->size - 1 - sb->len;

	if (len > room) {
		len = room;
		sb->cut = true;
	}
	memcpy(sb->text + sb->len, s, len);
	sb->len += len;
	sb->text[sb->len] = 0;
}

void sb_putc(struct strbuf *sb, char c)
{
	sb_write(sb, &c, 1);
}

void sb_puts(struct strbuf *sb, const char *s)
{
	sb_write(sb, s, strlen(s));
}

static void put(void *ctx, const char *text, size_t len)
{
	sb_write(ctx, text, len);
}

void sb_vprintf(struct strbuf *sb, const char *format, va_list args)
{
	fmt_vprintf(put, sb, format, args);
}

void sb_printf(struct strbuf *sb, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	sb_vprintf(sb, format, args);
	va_end(args);
}

const char *nth_name(const char *names, size_t n)
{
	while (n--)
		names += strlen(names) + 1;
	return names;
}

void sb_bits(struct strbuf *sb, uint64_t value, uint64_t named, const char *names)
{
	for (; named; named &= named - 1, names = nth_name(names, 1))
		if (value & named & -named)
			sb_printf(sb, " %s", names);
}
