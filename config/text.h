/* Pieces of the file's text: neither copied nor terminated. */
#ifndef CONFIG_TEXT_H
#define CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	const char *p;
	size_t len;
};

/* Decodes one character of UTF-8 (RFC 3629) from P into *C. Returns its bytes, 0 if it is none. */
size_t utf8_decode(const char *p, size_t len, uint32_t *c);

/* The number of characters in T, which is valid UTF-8. */
uint32_t text_chars(struct text t);

bool text_equals(struct text t, const char *s);
bool text_starts_with(struct text t, const char *s);

/* What stands before or behind P, which is a place in T. */
struct text text_before(struct text t, const char *p);
struct text text_from(struct text t, const char *p);

/* Without the spaces and tabs at both ends. */
struct text text_trim(struct text t);

/* Cuts the part before the first SEPARATOR off *REST, trimmed. False when *REST was used up. */
bool text_split(struct text *rest, char separator, struct text *part);

/* A number, decimal or 0x and hexadecimal. Errors: -EINVAL (not a number), -ERANGE (64 bits). */
int text_number(struct text t, uint64_t *value);

/* A number with K, M, G or nothing behind it. Errors as text_number(). */
int text_size(struct text t, uint64_t *value);

/* T for a message: cut after some 50 bytes, zero-terminated. Returns Q's text. */
struct quoted {
	char text[64];
};
const char *text_quote(struct quoted *q, struct text t);

#endif
