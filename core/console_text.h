/*
 * Text for a terminal on which others write, too: what would move its cursor, change its state or
 * make it answer is left out.
 */
#ifndef CORE_CONSOLE_TEXT_H
#define CORE_CONSOLE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

/* Of one writer, over all that it writes; zeroed at first. */
struct console_text {
	uint8_t state;
	uint8_t before; /* the last byte that was text */
};

/*
 * Is BYTE, the next of T's, text? TAB, LF and CR are; other control characters, the sequences that
 * they begin (ECMA-48, and C1 characters as UTF-8) and what is in them are not.
 */
bool console_is_text(struct console_text *t, uint8_t byte);

#endif
