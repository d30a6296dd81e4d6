#include "config/text.h"

#include "lib/err.h"
#include "lib/string.h"
#include "lib/util.h"

/*
 * RFC 3629 3: the first byte tells the length, the range of the character forbids overlong forms.
 */
static const struct {
	uint8_t mask, lead;
	uint32_t first, last;
} utf8_forms[] = {
	{0x80, 0x00, 0x00, 0x7f},
	{0xe0, 0xc0, 0x80, 0x7ff},
	{0xf0, 0xe0, 0x800, 0xffff},
	{0xf8, 0xf0, 0x10000, 0x10ffff},
};

static size_t utf8_form(uint8_t lead)
{
	for (size_t i = 0; i < ARRAY_SIZE(utf8_forms); i++) {
		if ((lead & utf8_forms[i].mask) == utf8_forms[i].lead)
			return i;
	}
	return ARRAY_SIZE(utf8_forms);
}

size_t utf8_decode(const char *p, size_t len, uint32_t *c)
{
	uint8_t lead = (uint8_t)*p;
	size_t form = utf8_form(lead);
	uint32_t value;

	if (form == ARRAY_SIZE(utf8_forms) || form >= len)
		return 0;
	value = lead & (uint8_t)~utf8_forms[form].mask;
	for (size_t i = 1; i <= form; i++) {
		uint8_t next = (uint8_t)p[i];

		if ((next & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (next & 0x3f);
	}
	if (value < utf8_forms[form].first || value > utf8_forms[form].last)
		return 0;
	if (value >= 0xd800 && value <= 0xdfff)
		return 0; /* surrogates are UTF-16's */
	*c = value;
	return form + 1;
}

static bool continues(char c)
{
	return ((uint8_t)c & 0xc0) == 0x80;
}

uint32_t text_chars(struct text t)
{
	uint32_t count = 0;

	for (size_t i = 0; i < t.len; i++)
		count += !continues(t.p[i]);
	return count;
}

bool text_equals(struct text t, const char *s)
{
	return t.len == strlen(s) && memcmp(t.p, s, t.len) == 0;
}

bool text_starts_with(struct text t, const char *s)
{
	size_t len = strlen(s);

	return t.len >= len && memcmp(t.p, s, len) == 0;
}

struct text text_before(struct text t, const char *p)
{
	return (struct text){t.p, (size_t)(p - t.p)};
}

struct text text_from(struct text t, const char *p)
{
	return (struct text){p, t.len - (size_t)(p - t.p)};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct text text_trim(struct text t)
{
	while (t.len > 0 && is_blank(t.p[t.len - 1]))
		t.len--;
	while (t.len > 0 && is_blank(t.p[0])) {
		t.p++;
		t.len--;
	}
	return t;
}

bool text_split(struct text *rest, char separator, struct text *part)
{
	const char *end;

	if (!rest->p)
		return false;
	end = memchr(rest->p, separator, rest->len);
	if (end) {
		*part = text_trim(text_before(*rest, end));
		*rest = text_from(*rest, end + 1);
	} else {
		*part = text_trim(*rest);
		*rest = (struct text){NULL, 0};
	}
	return true;
}

static unsigned int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned int)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned int)(c - 'A') + 10;
	return UINT32_MAX;
}

int text_number(struct text t, uint64_t *value)
{
	bool hex = text_starts_with(t, "0x") || text_starts_with(t, "0X");
	unsigned int base = hex ? 16 : 10;
	size_t i = hex ? 2 : 0;
	bool overflow = false;
	uint64_t v = 0;

	if (i == t.len)
		return -EINVAL;
	for (; i < t.len; i++) {
		unsigned int digit = digit_value(t.p[i]);

		if (digit >= base)
			return -EINVAL;
		overflow |= __builtin_mul_overflow(v, base, &v);
		overflow |= __builtin_add_overflow(v, digit, &v);
	}
	if (overflow)
		return -ERANGE;
	*value = v;
	return 0;
}

/* 0 for a character that is no unit. */
static unsigned int unit_shift(char c)
{
	switch (c) {
	case 'K':
	case 'k':
		return 10;
	case 'M':
	case 'm':
		return 20;
	case 'G':
	case 'g':
		return 30;
	default:
		return 0;
	}
}

int text_size(struct text t, uint64_t *value)
{
	unsigned int shift = t.len > 0 ? unit_shift(t.p[t.len - 1]) : 0;
	uint64_t v;
	int err;

	if (shift)
		t.len--;
	err = text_number(t, &v);
	if (err)
		return err;
	if (v > UINT64_MAX >> shift)
		return -ERANGE;
	*value = v << shift;
	return 0;
}

const char *text_quote(struct quoted *q, struct text t)
{
	static const char dots[] = "...";
	size_t len = t.len;

	if (len < sizeof(q->text)) {
		memcpy(q->text, t.p, len);
		q->text[len] = 0;
		return q->text;
	}
	len = sizeof(q->text) - sizeof(dots);
	while (len > 0 && continues(t.p[len]))
		len--;
	memcpy(q->text, t.p, len);
	memcpy(q->text + len, dots, sizeof(dots));
	return q->text;
}
