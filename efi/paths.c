#include "efi/paths.h"

#include <stdbool.h>

#include "lib/err.h"
#include "lib/string.h"
#include "lib/util.h"

size_t path_length(const uint16_t *path)
{
	size_t n = 0;

	while (path[n])
		n++;
	return n;
}

static bool is_separator(uint16_t unit)
{
	return unit == '/' || unit == '\\';
}

static bool is_name(const uint16_t *name, size_t len, const char *what)
{
	if (len != strlen(what))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] != (uint8_t)what[i])
			return false;
	}
	return true;
}

int path_normalize(uint16_t *path)
{
	size_t from = 0, to = 0;

	/*
	 * Each name is written behind one separator and was read behind at least one, so TO never
	 * overtakes FROM.
	 */
	while (path[from]) {
		size_t start, len;

		while (is_separator(path[from]))
			from++;
		start = from;
		while (path[from] && !is_separator(path[from]))
			from++;
		len = from - start;
		if (len == 0 || is_name(path + start, len, "."))
			continue;
		if (is_name(path + start, len, "..")) {
			if (to == 0)
				return -EPERM;
			while (path[--to] != '\\')
				;
			continue;
		}
		path[to++] = '\\';
		memmove(path + to, path + start, len * sizeof(*path));
		to += len;
	}
	if (to == 0)
		path[to++] = '\\';
	path[to] = 0;
	return 0;
}

void path_parent(uint16_t *path)
{
	size_t n = path_length(path);

	while (n > 1 && path[n - 1] != '\\')
		n--;
	if (n > 1)
		n--;
	path[n] = 0;
}

size_t path_resolve_units(const uint16_t *folder, const char *text)
{
	/* A character of UTF-8 has at least as many bytes as UCS-2 has units for it. */
	return path_length(folder) + 1 + strlen(text) + 1;
}

int path_resolve(const uint16_t *folder, const char *text, uint16_t *out)
{
	size_t n = 0;

	if (!*text)
		return -EINVAL;
	if (!is_separator((uint8_t)*text)) {
		n = path_length(folder);
		memcpy(out, folder, n * sizeof(*out));
		out[n++] = '\\';
	}
	while (*text) {
		int32_t c = utf8_next(&text);

		if (c < 0)
			return c;
		if (c > 0xffff)
			return -ERANGE;
		out[n++] = (uint16_t)c;
	}
	out[n] = 0;
	return path_normalize(out);
}

/* Length of a sequence and the least code point it may stand for, by its first byte. */
static int lead(uint8_t byte, int32_t *bits, int32_t *least)
{
	static const struct {
		uint8_t mask, value;
		int32_t least;
	} forms[] = {{0x80, 0x00, 0},
		     {0xe0, 0xc0, 0x80},
		     {0xf0, 0xe0, 0x800},
		     {0xf8, 0xf0, 0x10000}};

	for (int i = 0; i < (int)ARRAY_SIZE(forms); i++) {
		if ((byte & forms[i].mask) == forms[i].value) {
			*bits = byte & (uint8_t)~forms[i].mask;
			*least = forms[i].least;
			return i + 1;
		}
	}
	return 0;
}

int32_t utf8_next(const char **text)
{
	const uint8_t *p = (const uint8_t *)*text;
	int32_t c = 0, least = 0;
	int len = lead(*p, &c, &least);

	(*text)++;
	if (len == 0)
		return -EINVAL;
	/* The terminating zero is no continuation byte: nothing behind it is read. */
	for (int i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return -EINVAL;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return -EINVAL;
	*text = (const char *)p + len;
	return c;
}

static void print_unit(struct strbuf *sb, uint16_t c)
{
	if (c >= 0xd800 && c <= 0xdfff) {
		sb_putc(sb, '?');
	} else if (c < 0x80) {
		sb_putc(sb, (char)c);
	} else if (c < 0x800) {
		sb_putc(sb, (char)(0xc0 | c >> 6));
		sb_putc(sb, (char)(0x80 | (c & 0x3f)));
	} else {
		sb_putc(sb, (char)(0xe0 | c >> 12));
		sb_putc(sb, (char)(0x80 | (c >> 6 & 0x3f)));
		sb_putc(sb, (char)(0x80 | (c & 0x3f)));
	}
}

void path_print(struct strbuf *sb, const uint16_t *path)
{
	while (*path)
		print_unit(sb, *path++);
}
