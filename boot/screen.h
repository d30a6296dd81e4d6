/*
 * A terminal (boot/terminal.h) on the firmware's framebuffer. What is written changes cells in
 * memory alone, at once; drawing comes when somebody has the time, compares the cells with those
 * drawn last, and never reads the framebuffer.
 */
#ifndef BOOT_SCREEN_H
#define BOOT_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_framebuffer;

/*
 * Bytes of the framebuffer at its base that are drawn on; 0: it is none that text can be drawn on
 * (no linear one, smaller than 20 columns and 5 rows, or contradicting itself).
 */
uint64_t screen_bytes(const struct boot_framebuffer *fb);

/* Bytes of own memory that screen_open() wants, not page-aligned; 0 as screen_bytes(). */
size_t screen_memory(const struct boot_framebuffer *fb);

/*
 * FB is what is written to from now on; screen_bytes() of it are mapped at their own address
 * whenever it is drawn on. The last STATUS rows, half of all at most, do not scroll: they are
 * screen_status()'s. MEMORY stays the screen's.
 */
void screen_open(const struct boot_framebuffer *fb, unsigned int status, void *memory);

/* One byte for the terminal. Nothing happens without a screen. One caller at a time, any core. */
void screen_put(uint8_t byte);

/* TEXT, in ASCII and cut to the width, is what row number ROW of the last ones shows, dark on
   light. Nothing happens where there is no such row. */
void screen_status(unsigned int row, const char *text);

/*
 * Draws what has changed since the last time, until the TSC is past UNTIL (~0: all of it). False:
 * there is more to draw. One caller at a time, on any core, while others may write.
 */
bool screen_draw(uint64_t until);

/* Draws all from scratch, for panic(): whatever a core was doing with the screen is of no account.
 */
void screen_redraw(void);

#endif
