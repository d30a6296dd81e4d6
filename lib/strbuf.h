/*
 * Text built in a buffer of fixed size; what does not fit is left out and `cut` says so. Always
 * zero-terminated.
 */
#ifndef LIB_STRBUF_H
#define LIB_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf {
	char *text;
	size_t size; /* of the buffer, the terminating zero included */
	size_t len;  /* of the text */
	bool cut;    /* something did not fit */
};

/* BUF stays the caller's and must outlive SB; SIZE is at least 1. */
void sb_init(struct strbuf *sb, char *buf, size_t size);
void sb_reset(struct strbuf *sb);
void sb_putc(struct strbuf *sb, char c);
void sb_puts(struct strbuf *sb, const char *s);
void sb_write(struct strbuf *sb, const char *s, size_t len);
void sb_printf(struct strbuf *sb, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sb_vprintf(struct strbuf *sb, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/*
 * Tables of names are packed, since a pointer to each is more than most names are: NAMES are one
 * behind the other, each with its zero.
 */

/* The N-th of NAMES, from 0 on; they must be so many. */
const char *nth_name(const char *names, size_t n);
/* Appends the NAMES of the bits of VALUE, each behind a blank. They are of NAMED's bits, the lowest
 * first. */
void sb_bits(struct strbuf *sb, uint64_t value, uint64_t named, const char *names);

#endif
