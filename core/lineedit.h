/*
 * One line of text being typed at a terminal: editing, history, completion. Keys come in byte by
 * byte, as a VT100 sends them; what is to be seen is text, len and cursor. No output, no globals.
 */
#ifndef CORE_LINEEDIT_H
#define CORE_LINEEDIT_H

#include <stddef.h>
#include <stdint.h>

#define LINEEDIT_SIZE	 80u
#define LINEEDIT_HISTORY 16u

enum lineedit_event {
	LINEEDIT_NOTHING,  /* the byte is part of a key, or the key did nothing */
	LINEEDIT_CHANGED,  /* the line or the cursor is different */
	LINEEDIT_DONE,	   /* Enter: text is the line; lineedit_begin() comes next */
	LINEEDIT_CANCEL,   /* Ctrl-C: the line is not wanted */
	LINEEDIT_END,	   /* Ctrl-D in an empty line */
	LINEEDIT_COMPLETE, /* Tab: lineedit_complete() is wanted */
	LINEEDIT_REDRAW	   /* Ctrl-L */
};

struct lineedit {
	char text[LINEEDIT_SIZE]; /* zero-terminated */
	size_t len, cursor;
	uint8_t escape; /* how far into an escape sequence: 0, ESC, '[', 'O', or a digit of it */
	uint8_t last;	/* byte before this one: LF after CR is one Enter */
	char history[LINEEDIT_HISTORY][LINEEDIT_SIZE]; /* a ring */
	uint32_t lines;				       /* ever put into it */
	uint32_t back;		   /* lines back from the newest; 0: the one typed */
	char typed[LINEEDIT_SIZE]; /* the line typed, while BACK is not 0 */
};

/* An empty line; the history stays. A zeroed struct is a valid start. */
void lineedit_begin(struct lineedit *l);

enum lineedit_event lineedit_key(struct lineedit *l, uint8_t byte);

/* The number of the word, from 0, that the cursor is in or behind. */
unsigned int lineedit_word(const struct lineedit *l);

/*
 * Completes the word before the cursor. CANDIDATE gives the I-th word that could stand there, NULL
 * behind the last. What all that fit have in common is added, and a space when there is one only.
 * Returns how many fit.
 */
unsigned int lineedit_complete(struct lineedit *l,
			       const char *(*candidate)(void *ctx, unsigned int i), void *ctx);

/* Does WORD begin with what stands before the cursor of its word? For listing what fits. */
int lineedit_fits(const struct lineedit *l, const char *word);

#endif
