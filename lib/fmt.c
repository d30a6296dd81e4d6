#include "lib/fmt.h"

#include <stdbool.h>
#include <stdint.h>

#include "lib/string.h"
#include "lib/util.h"

/* A 64-bit number in decimal. */
#define DIGITS_MAX 20

/* One conversion: what stands between '%' and the conversion's letter. */
struct spec {
	bool left, zero, alternate;
	bool has_precision;
	size_t width;
	size_t precision;
	unsigned int size; /* of the argument, bytes */
};

struct output {
	fmt_put *put;
	void *ctx;
};

/*
 * va_list is an array on x86-64 and decays as a parameter; in a struct it can be handed on by
 * address.
 */
struct arguments {
	va_list list;
};

static void repeat(const struct output *out, char c, size_t count)
{
	char block[16];

	memset(block, c, sizeof(block));
	while (count > 0) {
		size_t len = MIN(count, sizeof(block));

		out->put(out->ctx, block, len);
		count -= len;
	}
}

static void put_text(const struct output *out, const char *text, size_t len)
{
	if (len > 0)
		out->put(out->ctx, text, len);
}

/* PREFIX (sign or 0x), zeros, then the text, all within the width. */
static void put_padded(const struct output *out, const struct spec *spec, const char *prefix,
		       size_t zeros, const char *text, size_t len)
{
	size_t prefix_len = strlen(prefix);
	size_t total = prefix_len + zeros + len;
	size_t pad = spec->width > total ? spec->width - total : 0;

	if (!spec->left)
		repeat(out, ' ', pad);
	put_text(out, prefix, prefix_len);
	repeat(out, '0', zeros);
	put_text(out, text, len);
	if (spec->left)
		repeat(out, ' ', pad);
}

static void put_number(const struct output *out, const struct spec *spec, const char *prefix,
		       uint64_t value, unsigned int base, char letter_a)
{
	char digits[DIGITS_MAX];
	size_t start = sizeof(digits);
	size_t len, zeros = 0;
	size_t wanted = spec->precision;

	while (value > 0) {
		unsigned int digit = value % base;

		digits[--start] = digit < 10 ? '0' + digit : letter_a + (digit - 10);
		value /= base;
	}
	len = sizeof(digits) - start;
	if (!spec->has_precision) {
		wanted = 1;
		if (spec->zero && !spec->left && spec->width > strlen(prefix))
			wanted = MAX(wanted, spec->width - strlen(prefix));
	}
	if (wanted > len)
		zeros = wanted - len;
	put_padded(out, spec, prefix, zeros, digits + start, len);
}

static uint64_t unsigned_argument(const struct spec *spec, struct arguments *args)
{
	if (spec->size == 8)
		return va_arg(args->list, uint64_t);
	return va_arg(args->list, unsigned int) & (BIT(spec->size * 8) - 1);
}

static int64_t signed_argument(const struct spec *spec, struct arguments *args)
{
	unsigned int unused = 64 - spec->size * 8;

	return (int64_t)(unsigned_argument(spec, args) << unused) >> unused;
}

static void put_signed(const struct output *out, const struct spec *spec, struct arguments *args)
{
	int64_t value = signed_argument(spec, args);

	if (value < 0)
		put_number(out, spec, "-", -(uint64_t)value, 10, 0);
	else
		put_number(out, spec, "", value, 10, 0);
}

static void put_hex(const struct output *out, const struct spec *spec, struct arguments *args,
		    char conversion)
{
	uint64_t value = unsigned_argument(spec, args);
	const char *prefix = conversion == 'X' ? "0X" : "0x";

	if (!spec->alternate || value == 0)
		prefix = "";
	put_number(out, spec, prefix, value, 16, conversion == 'X' ? 'A' : 'a');
}

static void put_string(const struct output *out, const struct spec *spec, struct arguments *args)
{
	const char *s = va_arg(args->list, const char *);

	if (!s)
		s = "(null)";
	put_padded(out, spec, "", 0, s,
		   strnlen(s, spec->has_precision ? spec->precision : SIZE_MAX));
}

static void put_char(const struct output *out, const struct spec *spec, struct arguments *args)
{
	char c = (char)va_arg(args->list, int);

	put_padded(out, spec, "", 0, &c, 1);
}

/* Returns whether CONVERSION is known. */
static bool convert(const struct output *out, const struct spec *spec, char conversion,
		    struct arguments *args)
{
	switch (conversion) {
	case 'd':
	case 'i':
		put_signed(out, spec, args);
		return true;
	case 'u':
		put_number(out, spec, "", unsigned_argument(spec, args), 10, 0);
		return true;
	case 'x':
	case 'X':
		put_hex(out, spec, args, conversion);
		return true;
	case 'p':
		put_number(out, spec, "0x", (uintptr_t)va_arg(args->list, void *), 16, 'a');
		return true;
	case 's':
		put_string(out, spec, args);
		return true;
	case 'c':
		put_char(out, spec, args);
		return true;
	case '%':
		put_text(out, "%", 1);
		return true;
	default:
		return false;
	}
}

static const char *parse_flags(const char *p, struct spec *spec)
{
	for (;; p++) {
		if (*p == '-')
			spec->left = true;
		else if (*p == '0')
			spec->zero = true;
		else if (*p == '#')
			spec->alternate = true;
		else
			return p;
	}
}

/*
 * Digits or '*'; a negative '*' comes back as such. Absurd numbers stop growing: nobody pads by
 * more than that.
 */
static const char *parse_count(const char *p, struct arguments *args, int *count)
{
	*count = 0;
	if (*p == '*') {
		*count = va_arg(args->list, int);
		return p + 1;
	}
	for (; *p >= '0' && *p <= '9'; p++) {
		if (*count < 100000)
			*count = *count * 10 + (*p - '0');
	}
	return p;
}

static const char *parse_width(const char *p, struct spec *spec, struct arguments *args)
{
	int count;

	p = parse_count(p, args, &count);
	/* C11 7.21.6.1: a negative width argument is the flag '-' and the width. */
	spec->left |= count < 0;
	spec->width = count < 0 ? -(size_t)count : (size_t)count;
	return p;
}

static const char *parse_precision(const char *p, struct spec *spec, struct arguments *args)
{
	int count;

	if (*p != '.')
		return p;
	p = parse_count(p + 1, args, &count);
	/* A negative precision argument is as if there were none. */
	spec->has_precision = count >= 0;
	spec->precision = count >= 0 ? (size_t)count : 0;
	return p;
}

static const char *parse_length(const char *p, struct spec *spec)
{
	spec->size = sizeof(int);
	if (p[0] == 'h') {
		spec->size = p[1] == 'h' ? 1 : 2;
		return p + (p[1] == 'h' ? 2 : 1);
	}
	if (p[0] == 'l' || p[0] == 'z') {
		spec->size = 8;
		return p + (p[0] == 'l' && p[1] == 'l' ? 2 : 1);
	}
	return p;
}

/* One conversion from its '%' on. Returns the place behind it. */
static const char *put_conversion(const struct output *out, const char *percent,
				  struct arguments *args)
{
	struct spec spec = {0};
	const char *p = percent + 1;

	p = parse_flags(p, &spec);
	p = parse_width(p, &spec, args);
	p = parse_precision(p, &spec, args);
	p = parse_length(p, &spec);
	if (convert(out, &spec, *p, args))
		return p + 1;
	if (*p)
		p++;
	put_text(out, percent, (size_t)(p - percent));
	return p;
}

void fmt_vprintf(fmt_put *put, void *ctx, const char *format, va_list list)
{
	struct output out = {put, ctx};
	struct arguments args;

	va_copy(args.list, list);
	while (*format) {
		const char *percent = strchr(format, '%');
		size_t len = percent ? (size_t)(percent - format) : strlen(format);

		put_text(&out, format, len);
		format += len;
		if (percent)
			format = put_conversion(&out, percent, &args);
	}
	va_end(args.list);
}
