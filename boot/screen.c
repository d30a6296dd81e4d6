#include "boot/screen.h"

#include "arch/x86/tsc.h"
#include "boot/handover.h"
#include "boot/terminal.h"
#include "console_font.h"
#include "lib/string.h"
#include "lib/util.h"

#define MIN_COLUMNS 20u
#define MIN_ROWS    5u
#define MAX_COLUMNS 512u
#define MAX_ROWS    256u

/* Characters grow on screens of more pixels than this, in whole steps. */
#define SCALE_WIDTH  1280u
#define SCALE_HEIGHT 800u
#define MAX_SCALE    8u

#define MAX_PIXEL_BYTES 4u

/* What the IBM CGA made of the 16 colours, in ECMA-48's order, as red, green, blue. */
static const uint8_t palette[16][3] = {
	{0x00, 0x00, 0x00}, {0xaa, 0x00, 0x00}, {0x00, 0xaa, 0x00}, {0xaa, 0x55, 0x00},
	{0x00, 0x00, 0xaa}, {0xaa, 0x00, 0xaa}, {0x00, 0xaa, 0xaa}, {0xaa, 0xaa, 0xaa},
	{0x55, 0x55, 0x55}, {0xff, 0x55, 0x55}, {0x55, 0xff, 0x55}, {0xff, 0xff, 0x55},
	{0x55, 0x55, 0xff}, {0xff, 0x55, 0xff}, {0x55, 0xff, 0xff}, {0xff, 0xff, 0xff},
};

struct geometry {
	unsigned int scale, columns, rows, pixel_bytes;
	uint64_t pitch; /* bytes from one line of pixels to the next */
	uint64_t bytes; /* of all lines; 0: not usable */
};

static struct {
	bool open, cleared;
	uint32_t changed; /* any core: something was written after the last drawing began */
	struct geometry g;
	uint8_t *pixels;
	uint32_t colours[16];
	struct terminal terminal;
	uint32_t *status; /* the cells below the terminal's */
	uint32_t *drawn;
	unsigned int next; /* the cell to go on with */
} screen;

/* ---- sizes ---- */

static unsigned int pixel_bytes(const struct boot_framebuffer *fb)
{
	uint32_t mask = fb->red | fb->green | fb->blue | fb->reserved;

	return mask ? (32 - (unsigned int)__builtin_clz(mask) + 7) / 8 : 0;
}

static unsigned int scale_for(const struct boot_framebuffer *fb)
{
	unsigned int scale = MIN(fb->width / SCALE_WIDTH, fb->height / SCALE_HEIGHT);

	return MAX(1, MIN(scale, MAX_SCALE));
}

/* What the firmware says is believed only where it holds together. */
static struct geometry measure(const struct boot_framebuffer *fb)
{
	struct geometry g = {.scale = scale_for(fb), .pixel_bytes = pixel_bytes(fb)};
	uint64_t height = fb->height;

	g.pitch = (uint64_t)fb->stride * g.pixel_bytes;
	if (!fb->base || !g.pitch || fb->stride < fb->width)
		return g;
	height = MIN(height, fb->size / g.pitch);
	g.columns = MIN(fb->width / (FONT_WIDTH * g.scale), MAX_COLUMNS);
	g.rows = (unsigned int)MIN(height / (FONT_HEIGHT * g.scale), MAX_ROWS);
	if (g.columns >= MIN_COLUMNS && g.rows >= MIN_ROWS && fb->base + fb->size > fb->base)
		g.bytes = height * g.pitch;
	return g;
}

uint64_t screen_bytes(const struct boot_framebuffer *fb)
{
	return measure(fb).bytes;
}

size_t screen_memory(const struct boot_framebuffer *fb)
{
	struct geometry g = measure(fb);

	return g.bytes ? 2 * sizeof(uint32_t) * g.columns * g.rows : 0;
}

/* ---- colours ---- */

/* The N highest bits of an intensity of 8 bits, where MASK has its N bits. */
static uint32_t component(uint8_t intensity, uint32_t mask)
{
	unsigned int shift = mask ? (unsigned int)__builtin_ctz(mask) : 0;
	uint64_t full = mask >> shift;

	return (uint32_t)(intensity * full / 255) << shift;
}

static void find_colours(const struct boot_framebuffer *fb)
{
	for (size_t i = 0; i < ARRAY_SIZE(palette); i++)
		screen.colours[i] = component(palette[i][0], fb->red) |
				    component(palette[i][1], fb->green) |
				    component(palette[i][2], fb->blue);
}

/* ---- the font ---- */

/* Ascending by code. */
static struct glyph {
	uint16_t code;
	uint8_t rows[FONT_HEIGHT];
} font[FONT_COUNT];

static uint16_t take_word(const uint8_t **p)
{
	*p += 2;
	return (uint16_t)((*p)[-2] | (*p)[-1] << 8);
}

/* How they are packed: tools/mkfont.py. */
static void unpack_font(void)
{
	const uint8_t *p = font_packed;
	uint16_t code = 0;

	for (struct glyph *g = font; g < font + FONT_COUNT; g++) {
		uint8_t step = *p++, row = 0;
		uint16_t word;

		code = step % FONT_SAME ? (uint16_t)(code + step % FONT_SAME) : take_word(&p);
		word = take_word(&p);
		for (unsigned int y = 0; y < FONT_HEIGHT; y++) {
			if (!(step & FONT_SAME) && word >> y & 1)
				row = *p++;
			g->rows[y] = step & FONT_SAME ? font[word].rows[y] : row;
		}
		g->code = code;
	}
}

static const struct glyph *search(uint32_t code)
{
	size_t low = 0, high = ARRAY_SIZE(font);

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (font[middle].code == code)
			return &font[middle];
		if (font[middle].code < code)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* tools/mkfont.py sees to it that there is a glyph for what the font does not have. */
static const struct glyph *find_glyph(uint32_t code)
{
	const struct glyph *glyph = search(code);

	return glyph ? glyph : search(TERMINAL_REPLACEMENT);
}

/* ---- drawing ---- */

/* One line of pixels of a glyph, eight of them in BITS, into LINE. */
static void compose(uint8_t *line, uint8_t bits, uint32_t fg, uint32_t bg)
{
	for (unsigned int i = 0; i < FONT_WIDTH; i++) {
		uint32_t pixel = bits & 0x80u >> i ? fg : bg;

		for (unsigned int s = 0; s < screen.g.scale; s++) {
			memcpy(line, &pixel, screen.g.pixel_bytes);
			line += screen.g.pixel_bytes;
		}
	}
}

static void draw_cell(unsigned int x, unsigned int y, uint32_t cell)
{
	const struct geometry *g = &screen.g;
	const struct glyph *glyph = find_glyph(CELL_CODE(cell));
	uint32_t fg = screen.colours[CELL_FG(cell)], bg = screen.colours[CELL_BG(cell)];
	uint8_t line[FONT_WIDTH * MAX_SCALE * MAX_PIXEL_BYTES];
	size_t len = FONT_WIDTH * g->scale * g->pixel_bytes;
	uint8_t *to = screen.pixels + (uint64_t)y * FONT_HEIGHT * g->scale * g->pitch + x * len;

	for (unsigned int row = 0; row < FONT_HEIGHT; row++) {
		compose(line, glyph->rows[row], fg, bg);
		for (unsigned int s = 0; s < g->scale; s++, to += g->pitch)
			memcpy(to, line, len);
	}
}

static uint32_t wanted(unsigned int x, unsigned int y)
{
	const struct terminal *t = &screen.terminal;

	if (y < t->rows)
		return terminal_cell(t, x, y);
	return READ_ONCE(screen.status[(y - t->rows) * screen.g.columns + x]);
}

/* The firmware's picture goes, the edges that no cell covers with it. */
static void clear(void)
{
	unsigned int cells = screen.g.columns * screen.g.rows;

	memset(screen.pixels, 0, screen.g.bytes);
	for (unsigned int i = 0; i < cells; i++)
		screen.drawn[i] = CELL_BLANK;
	screen.cleared = true;
}

/* False: the time was up. */
static bool draw_changed(uint64_t until)
{
	unsigned int cells = screen.g.columns * screen.g.rows;

	for (unsigned int n = 0; n < cells; n++) {
		unsigned int i = screen.next;
		uint32_t cell = wanted(i % screen.g.columns, i / screen.g.columns);

		if (cell != screen.drawn[i]) {
			if (until != ~0ull && tsc_now() > until)
				return false;
			draw_cell(i % screen.g.columns, i / screen.g.columns, cell);
			screen.drawn[i] = cell;
		}
		screen.next = (i + 1) % cells;
	}
	return true;
}

bool screen_draw(uint64_t until)
{
	bool done;

	if (!screen.open || !__atomic_exchange_n(&screen.changed, 0, __ATOMIC_ACQ_REL))
		return true;
	if (!screen.cleared)
		clear();
	done = draw_changed(until);
	if (!done)
		__atomic_store_n(&screen.changed, 1, __ATOMIC_RELEASE);
	/* Write-combining buffers keep the last lines for as long as they like: SDM vol. 3A 12.3.1
	 */
	__asm__ volatile("sfence" : : : "memory");
	return done;
}

void screen_redraw(void)
{
	screen.cleared = false;
	screen.changed = 1;
	screen_draw(~0ull);
}

/* ---- what is to be seen ---- */

void screen_open(const struct boot_framebuffer *fb, unsigned int status, void *memory)
{
	struct geometry g = measure(fb);
	unsigned int rows = g.rows - MIN(status, g.rows / 2);

	screen.g = g;
	screen.pixels = (uint8_t *)(uintptr_t)fb->base;
	screen.drawn = (uint32_t *)memory + g.columns * g.rows;
	screen.status = (uint32_t *)memory + g.columns * rows;
	find_colours(fb);
	unpack_font();
	terminal_init(&screen.terminal, memory, g.columns, rows);
	for (unsigned int row = 0; row < g.rows - rows; row++)
		screen_status(row, "");
	screen.changed = 1;
	screen.open = true;
}

static void note_change(void)
{
	__atomic_store_n(&screen.changed, 1, __ATOMIC_RELEASE);
}

void screen_put(uint8_t byte)
{
	if (!screen.open)
		return;
	terminal_put(&screen.terminal, byte);
	note_change();
}

void screen_status(unsigned int row, const char *text)
{
	uint32_t *cells = screen.status + row * screen.g.columns;

	if (row >= screen.g.rows - screen.terminal.rows)
		return;
	for (unsigned int x = 0; x < screen.g.columns; x++) {
		uint32_t cell = CELL(*text ? *text : ' ', 0, 7);

		text += *text != '\0';
		if (cells[x] == cell)
			continue;
		WRITE_ONCE(cells[x], cell);
		note_change();
	}
}
