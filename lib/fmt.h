/*
 * Formatted output to a callback. Understands %d %i %u %x %X %c %s %p %% with flags '-', '0', '#',
 * a width and a precision (numbers or '*'), and the length modifiers hh, h, l, ll, z, all as C11
 * 7.21.6.1 has them. An unknown conversion is printed as it stands and takes no argument. %p is 0x
 * and hexadecimal digits; a NULL for %s is "(null)".
 */
#ifndef LIB_FMT_H
#define LIB_FMT_H

#include <stdarg.h>
#include <stddef.h>

/* Takes LEN bytes of TEXT (not terminated). Called several times for one format. */
typedef void fmt_put(void *ctx, const char *text, size_t len);

void fmt_vprintf(fmt_put *put, void *ctx, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));

#endif
