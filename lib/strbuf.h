/*
 * Text built in a buffer of fixed size; what does not fit is left out and `cut` says so. Always
 * zero-terminated.
 */
#ifndef LIB_STRBUF_H
#define LIB_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

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

#endif
