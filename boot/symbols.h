/*
 * Names of Socle's own functions. The table is made when linking (tools/mksymbols.py): its start
 * addresses ascend.
 */
#ifndef BOOT_SYMBOLS_H
#define BOOT_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

struct symbols {
	const uint32_t *start; /* bytes from the image's start, COUNT of them */
	const char *names;     /* one behind the other, each with its zero */
	uint32_t count;
};

/* Of this image: made when linking. Data alone, so that the second link moves no function. */
#define SYMBOLS_MADE __attribute__((visibility("hidden")))
extern const uint32_t symbols_start[] SYMBOLS_MADE, symbols_count SYMBOLS_MADE;
extern const char symbols_names[] SYMBOLS_MADE;

/* The function that OFFSET is in or behind, and how far into it; NULL: before the first one. */
const char *symbols_find(const struct symbols *s, uint32_t offset, uint32_t *into);

#endif
