/*
 * A terminal of text cells, as far as what comes out of a serial line wants one: lines that wrap
 * and scroll, and the control sequences (ECMA-48, DEC VT102) that shells and Linux write. What it
 * does not know it swallows. It answers nothing, and draws nothing.
 *
 * One writer at a time. Others may read cells meanwhile: what they see may be of two moments, and
 * never out of bounds.
 */
#ifndef BOOT_TERMINAL_H
#define BOOT_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

/* A cell: the character's Unicode code, and the colours of ECMA-48's 16 in and behind it. */
#define CELL(code, fg, bg) ((uint32_t)(code) | (uint32_t)(fg) << 21 | (uint32_t)(bg) << 25)
#define CELL_CODE(cell)	   ((cell)&0x1fffff)
#define CELL_FG(cell)	   ((cell) >> 21 & 0xf)
#define CELL_BG(cell)	   ((cell) >> 25 & 0xf)

/* Light grey on black. */
#define CELL_BLANK CELL(' ', 7, 0)

#define TERMINAL_REPLACEMENT 0xfffd

#define TERMINAL_PARAMS 16

struct terminal {
	uint32_t *cells; /* rows, the first shown being number `top`, then round */
	unsigned int columns, rows, top;
	unsigned int x, y, saved_x, saved_y;
	bool wrap; /* the last column is written: the next character begins a line */
	uint8_t fg, bg;
	bool bold, inverse;

	/* A control sequence on its way in. */
	uint8_t state;
	bool unknown; /* of a private kind: no parameter means what it means elsewhere */
	unsigned int params[TERMINAL_PARAMS], param_count;
	/* A character of several bytes on its way in: UTF-8. */
	uint32_t code;
	uint8_t left, low, high; /* bytes to come, and the bounds of the next */
};

/* COLUMNS times ROWS cells, both at least 2. */
void terminal_init(struct terminal *t, uint32_t *cells, unsigned int columns, unsigned int rows);

/* One byte of what is to be shown. */
void terminal_put(struct terminal *t, uint8_t byte);

/* What is to be seen at column X of row Y, counted from 0; the cursor's cell has its colours
   changed over. */
uint32_t terminal_cell(const struct terminal *t, unsigned int x, unsigned int y);

#endif
