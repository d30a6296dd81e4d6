/*
 * Names of Socle's own functions. The table is made when linking (tools/mksymbols.py): its start
 * addresses ascend.
 */
#ifndef BOOT_SYMBOLS_H
#define BOOT_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/strbuf.h"

struct symbols {
	uint32_t start;	      /* of the first function: bytes from the image's start */
	const uint8_t *size;  /* up to the next one, each a byte; or 0 and two, the low one first */
	const uint8_t *names; /* one behind the other, each with its zero */
	/* What bytes of names from 1 on stand for: 0 and a letter, or two bytes of names. */
	const uint8_t (*meaning)[2];
	uint32_t count;
};

/* Of this image: made when linking. Data alone, so that the second link moves no function. */
#define SYMBOLS_MADE __attribute__((visibility("hidden")))
extern const uint32_t symbols_start SYMBOLS_MADE, symbols_count SYMBOLS_MADE;
extern const uint8_t symbols_size[] SYMBOLS_MADE, symbols_names[] SYMBOLS_MADE;
extern const uint8_t symbols_meaning[][2] SYMBOLS_MADE;

static inline struct symbols symbols_own(void)
{
	return (struct symbols){symbols_start, symbols_size, symbols_names, symbols_meaning,
				symbols_count};
}

/*
 * The number of the function that OFFSET is in, the last one where it is behind all, and how far
 * into it; -ENOENT: before the first one.
 */
int symbols_find(const struct symbols *s, uint32_t offset, uint32_t *into);
/* Appends the name of function NUMBER to SB. */
void symbols_name(const struct symbols *s, unsigned int number, struct strbuf *sb);

#endif
