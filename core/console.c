/*
 * Rings of text on their way to the physical console, and what is typed on its way to guests.
 *
 * next_byte() decides what is sent next, byte by byte; a line of the hypervisor waits for what
 * guests had written before it, which it remembers as a mark in each guest's ring.
 */
#include "core/console.h"

#include "arch/x86/pages.h"
#include "arch/x86/tsc.h"
#include "core/console_own.h"
#include "core/vm.h"
#include "lib/err.h"
#include "lib/string.h"

#define LOG_RING 32768u

/* Twice a console's ring, which `log` prints as a whole. */
#define MONITOR_RING  (2 * CONSOLE_RING)
#define MONITOR_INPUT 256u

/* A line without end is let out in pieces of this length, so that it stops nobody. */
#define LONG_LINE 512u
/* A device that was refused is told when this much is free. */
#define ROOM_AGAIN 2048u

/* How long a line may stay unfinished before it is shown, and before another may break it. */
#define SHOW_NS	 100000000u
#define BREAK_NS 20000000u
/* Messages that never end leave the monitor's line off the wire for so long at a time. */
#define STARVED_NS 200000000u
/* How long after input what the guest answers is shown at once. */
#define TYPING_NS 1000000000u

/* What the monitor shows: lines on their way, and behind them the line that is being typed. */
struct monitor_text {
	void (*typed)(int key);
	uint8_t escape;
	bool open;
	bool waits;	/* the line is drawn again with the clock: messages may follow each other */
	uint64_t drawn; /* host TSC at which it was drawn last */
	uint32_t head, tail;
	char *ring;
	/* Of the line being typed: as it should be, and as it is on the wire. */
	char line[CONSOLE_LINE], wire[CONSOLE_LINE];
	uint8_t len, cursor, wire_len, wire_cursor;
	uint32_t in_head, in_tail;
	uint16_t in[MONITOR_INPUT];	  /* bytes, or CONSOLE_ESCAPE */
	uint32_t mark[CONSOLE_LOG_LINES]; /* as struct console's */
};

struct spinlock console_lock;

static struct {
	struct monitor_text mon;
	const struct console_port *port;
	bool ready; /* console_init() was called */
	bool use_irq, irq_on;
	bool stuck;	       /* the port took no byte in the time that polling gives it */
	bool flushing;	       /* wait for nothing and nobody */
	struct console *first; /* those on the line */
	unsigned int count;
	struct console *focus;
	struct console *open;	/* whose unfinished line is on the wire; NULL: at its start */
	struct console *served; /* the last one whose line was sent */
	uint32_t run;		/* bytes of the open line so far */
	bool returned;		/* the last of them was CR */
	char staged[CONSOLE_LINE + 16]; /* a prefix, a line end, an edited line to go out first */
	uint8_t staged_len, staged_at;
	bool in_log; /* in the middle of line_tail's line */
	uint32_t log_head, log_tail, line_head, line_tail;
	uint32_t log_end[CONSOLE_LOG_LINES];
	char log[LOG_RING];
} con;

static void stage(const char *text, size_t len)
{
	memcpy(con.staged, text, len);
	con.staged_len = (uint8_t)len;
	con.staged_at = 0;
}

static void end_line(void)
{
	stage("\r\n", 2);
	con.open = NULL;
	con.returned = false;
}

static void stage_prefix(const struct vm *vm)
{
	size_t len = strnlen(vm->name, VM_NAME_SIZE);

	stage(vm->name, len);
	con.staged[len] = '|';
	con.staged[len + 1] = ' ';
	con.staged_len = (uint8_t)(len + 2);
}

/* ---- what is sent next ---- */

static bool older(uint64_t since, uint64_t ns)
{
	return con.flushing || tsc_now() - since >= tsc_from_ns(ns);
}

static bool has_line(const struct console *c)
{
	return (int32_t)(c->line_end - c->tail) > 0;
}

/*
 * May C begin a line on the wire now? Alone it always may; several wait until they have a whole
 * one.
 */
static bool is_ready(const struct console *c)
{
	if (c->head == c->tail)
		return false;
	if (con.count == 1 || has_line(c) || c->head - c->tail >= LONG_LINE)
		return true;
	return older(c->line_start, SHOW_NS) || !older(c->last_typed, TYPING_NS);
}

/* The next in turn that may begin a line, or NULL. */
static struct console *next_ready(void)
{
	struct console *c = con.served;

	for (unsigned int i = 0; i < con.count; i++) {
		c = c && c->next ? c->next : con.first;
		if (is_ready(c))
			return c;
	}
	return NULL;
}

static bool log_waits(void)
{
	return con.line_head != con.line_tail;
}

/* The open line goes on while it can, and is not broken while its guest may be writing it. */
static bool keep_open(void)
{
	if (con.run >= LONG_LINE && (log_waits() || con.count > 1))
		return false;
	return con.open->head != con.open->tail || !older(con.open->last_put, BREAK_NS);
}

/* Has all been sent that guests had written before the log's next line? */
static bool marks_passed(void)
{
	uint32_t slot = con.line_tail % CONSOLE_LOG_LINES;

	if ((int32_t)(con.mon.mark[slot] - con.mon.tail) > 0)
		return false;
	if (con.mon.open)
		return true;
	for (const struct console *c = con.first; c; c = c->next)
		if ((int32_t)(c->mark[slot] - c->tail) > 0)
			return false;
	return true;
}

static uint8_t log_byte(void)
{
	if (con.log_tail != con.log_end[con.line_tail % CONSOLE_LOG_LINES])
		return (uint8_t)con.log[con.log_tail++ % LOG_RING];
	con.line_tail++;
	con.in_log = false;
	stage("\n", 1);
	return '\r';
}

/*
 * Among several, a guest that nobody types to shows text alone, behind its name: no line of it
 * looks like another's, and it does nothing to the terminal, which might answer into what is typed.
 */
static bool is_text_only(const struct console *c)
{
	return con.count > 1 && c != con.focus;
}

/* Is C about to write over its name? */
static bool leaves_prefix(const struct console *c)
{
	uint8_t byte = c->ring[c->tail % CONSOLE_RING];

	return con.returned && is_text_only(c) && byte != '\n' && byte != '\r';
}

/* Would C's next line begin below the end of this one, and go on without a name below that? */
static bool lacks_return(const struct console *c)
{
	return !con.returned && is_text_only(c) && c->ring[c->tail % CONSOLE_RING] == '\n';
}

/* False: it is not shown. */
static bool guest_byte(struct console *c, uint8_t *byte)
{
	*byte = c->ring[c->tail++ % CONSOLE_RING];
	con.open = c;
	con.served = c;
	con.run++;
	if (is_text_only(c) && !console_is_text(&c->text, *byte))
		return false;
	con.returned = *byte == '\r';
	if (*byte == '\n')
		con.open = NULL;
	return true;
}

static bool line_is_drawn(void)
{
	const struct monitor_text *m = &con.mon;

	return m->wire_len == m->len && m->wire_cursor == m->cursor &&
	       !memcmp(m->wire, m->line, m->len);
}

/* The line has been kept off the wire by messages for too long. */
static bool line_starves(void)
{
	return con.mon.open && !line_is_drawn() &&
	       tsc_now() - con.mon.drawn >= tsc_from_ns(STARVED_NS);
}

/*
 * Whose byte is next at this point: C's; NULL with con.in_log set: the log's; NULL: nothing to
 * send.
 */
static struct console *choose(void)
{
	struct console *c;

	if (!con.mon.open && con.open && keep_open())
		return con.open->head != con.open->tail ? con.open : NULL;
	if (log_waits() && marks_passed() && !line_starves()) {
		con.in_log = true;
		return NULL;
	}
	if (con.mon.open || con.mon.head != con.mon.tail)
		return NULL;
	c = next_ready();
	/* Nobody else wants the line: its owner keeps it. */
	if (con.open && !c && con.open->head != con.open->tail)
		return con.open;
	return c;
}

/* ---- the monitor's line ---- */

static void append(const char *text, size_t len)
{
	memcpy(con.staged + con.staged_len, text, len);
	con.staged_len = (uint8_t)(con.staged_len + len);
}

/* Takes the line being typed off the wire, for others to be written there. */
static void erase_line(void)
{
	stage("\r\x1b[K", 4);
	con.mon.wire_len = con.mon.wire_cursor = 0;
}

/* VT100: the cursor goes back from the line's end to where it should be. */
static void append_moves(unsigned int n)
{
	char move[] = "\x1b[00D";

	if (!n)
		return;
	move[2] = (char)('0' + n / 10);
	move[3] = (char)('0' + n % 10);
	append(move, 5);
}

/* What is only longer at its end is continued, anything else drawn anew. */
static void draw_line(void)
{
	struct monitor_text *m = &con.mon;
	uint8_t from = 0;

	stage("", 0);
	if (m->wire_cursor == m->wire_len && m->wire_len <= m->len &&
	    !memcmp(m->wire, m->line, m->wire_len))
		from = m->wire_len;
	else
		append("\r", 1);
	append(m->line + from, (size_t)(m->len - from));
	if (!from && m->wire_len > m->len)
		append("\x1b[K", 3);
	append_moves(m->len - m->cursor);
	memcpy(m->wire, m->line, m->len);
	m->wire_len = m->len;
	m->wire_cursor = m->cursor;
	m->drawn = tsc_now();
}

/* The next byte of the monitor's own. False: there is none. */
static bool monitor_byte(uint8_t *byte)
{
	struct monitor_text *m = &con.mon;

	if (m->head != m->tail && m->wire_len) {
		erase_line();
	} else if (m->head != m->tail) {
		*byte = (uint8_t)m->ring[m->tail++ % MONITOR_RING];
		if (*byte == '\n') {
			stage("\n", 1);
			*byte = '\r';
		}
		return true;
	} else if (m->open && !line_is_drawn() && (!m->waits || line_starves())) {
		draw_line();
	}
	if (con.staged_at == con.staged_len)
		return false;
	*byte = (uint8_t)con.staged[con.staged_at++];
	return true;
}

/* ---- all together ---- */

/* False when there is nothing to send now. */
static bool next_byte(uint8_t *byte)
{
	for (;;) {
		struct console *c = NULL;

		if (con.staged_at < con.staged_len) {
			*byte = (uint8_t)con.staged[con.staged_at++];
			return true;
		}
		if (!con.in_log)
			c = choose();
		if (con.open && (con.mon.open || (c != con.open && (c || con.in_log)))) {
			end_line();
		} else if (!c && !con.in_log) {
			return monitor_byte(byte);
		} else if (con.in_log && con.mon.wire_len) {
			erase_line();
		} else if (con.in_log) {
			*byte = log_byte();
			return true;
		} else if (!con.open && con.count > 1) {
			stage_prefix(c->vm);
			con.open = c;
			con.run = 0;
		} else if (leaves_prefix(c)) {
			stage_prefix(c->vm);
			con.returned = false;
			con.run += con.staged_len;
		} else if (lacks_return(c)) {
			stage("\r", 1);
			con.returned = true;
		} else {
			if (!con.open)
				con.run = 0;
			if (guest_byte(c, byte))
				return true;
		}
	}
}

/* ---- the physical port ---- */

/* ANEW: also where nothing changes. */
static void set_irq(bool on, bool anew)
{
	if (con.use_irq && (anew || on != con.irq_on)) {
		con.irq_on = on;
		con.port->tx_irq(con.port->ctx, on);
	}
}

/* Fills the port as far as it takes bytes. False: there is nothing more to send now. */
static bool fill(void)
{
	unsigned int room;
	uint8_t byte;

	while ((room = con.port->tx_room(con.port->ctx)) > 0) {
		while (room--) {
			if (!next_byte(&byte))
				return false;
			con.port->tx(con.port->ctx, byte);
		}
	}
	return true;
}

/*
 * Sends what there is room for; the interrupt goes on from there. Not every port tells of room that
 * was there before its interrupt was on: hence the second look. ANEW: the interrupt has come, and
 * is to come again for whatever has happened since.
 */
static void pump(bool anew)
{
	bool more;

	do {
		more = fill();
		set_irq(more, anew);
	} while (more && con.port->tx_room(con.port->ctx) > 0);
}

/* A port that did not move once is given no time any more until it does. */
static bool wait_room(void)
{
	for (uint32_t i = 0; i < (con.stuck ? 1 : CONSOLE_POLL_TURNS); i++) {
		if (con.port->tx_room(con.port->ctx)) {
			con.stuck = false;
			return true;
		}
		__builtin_ia32_pause();
	}
	con.stuck = true;
	return false;
}

/* Sends by polling until nothing is to be sent now or the port takes no more. */
static void pump_polled(void)
{
	uint8_t byte;

	while (wait_room()) {
		if (!next_byte(&byte))
			return;
		con.port->tx(con.port->ctx, byte);
	}
}

static void discard(void)
{
	uint8_t byte;

	while (next_byte(&byte))
		;
}

/* Something was written. Before console_init() it waits. */
static void kick(void)
{
	if (!con.ready)
		return;
	if (!con.port)
		discard();
	else if (!con.use_irq)
		pump_polled();
	else if (!con.irq_on)
		pump(false);
}

void console_init(const struct console_port *port)
{
	spin_lock(&console_lock);
	con.port = port;
	con.ready = true;
	kick();
	spin_unlock(&console_lock);
}

void console_use_irq(void)
{
	spin_lock(&console_lock);
	con.use_irq = con.port != NULL;
	/* Input's interrupt goes on with the first call, even where output never has to wait. */
	if (con.use_irq)
		con.port->tx_irq(con.port->ctx, false);
	console_own_use_irq();
	kick();
	spin_unlock(&console_lock);
}

static void flush(void)
{
	con.flushing = true;
	if (con.port)
		pump_polled();
	con.flushing = false;
}

void console_flush(void)
{
	spin_lock(&console_lock);
	flush();
	console_own_flush();
	spin_unlock(&console_lock);
}

/* ---- the hypervisor's lines ---- */

static bool log_fits(size_t len)
{
	return LOG_RING - (con.log_head - con.log_tail) >= len &&
	       con.line_head - con.line_tail < CONSOLE_LOG_LINES;
}

/*
 * A full log waits no more for guests or for interrupts, but for no more than it needs: others want
 * the lock. A stuck port costs the oldest lines.
 */
static void make_room(size_t len)
{
	uint8_t byte;

	con.flushing = true;
	while (con.port && !log_fits(len) && wait_room() && next_byte(&byte))
		con.port->tx(con.port->ctx, byte);
	con.flushing = false;
	while (!log_fits(len)) {
		con.log_tail = con.log_end[con.line_tail % CONSOLE_LOG_LINES];
		con.line_tail++;
		con.in_log = false;
	}
}

static void set_marks(uint32_t slot)
{
	con.mon.mark[slot] = con.mon.head;
	for (struct console *c = con.first; c; c = c->next)
		c->mark[slot] = con.count == 1 ? c->head : c->line_end;
}

void console_write_log(void *ctx, const char *line, size_t len)
{
	uint32_t slot;

	(void)ctx;
	len = MIN(len, LOG_RING / 2);
	spin_lock(&console_lock);
	make_room(len);
	for (size_t i = 0; i < len; i++)
		con.log[con.log_head++ % LOG_RING] = line[i];
	slot = con.line_head % CONSOLE_LOG_LINES;
	con.log_end[slot] = con.log_head;
	set_marks(slot);
	con.line_head++;
	con.mon.waits = con.mon.open;
	kick();
	spin_unlock(&console_lock);
}

/* ---- guests ---- */

int console_attach(struct vm *vm, const struct console_client *client)
{
	struct console *c = pages_alloc(ALIGN_UP(sizeof(*c), PAGE_SIZE) / PAGE_SIZE);
	struct console **end;

	if (!c)
		return -ENOMEM;
	c->vm = vm;
	c->client = *client;
	spin_lock(&console_lock);
	for (end = &con.first; *end; end = &(*end)->next)
		;
	*end = c;
	con.count++;
	if (!con.focus)
		con.focus = c;
	vm->console = c;
	spin_unlock(&console_lock);
	return 0;
}

void console_leave_line(struct vm *vm, const struct console_port *port)
{
	struct console **at;

	spin_lock(&console_lock);
	for (at = &con.first; *at != vm->console; at = &(*at)->next)
		;
	*at = vm->console->next;
	con.count--;
	if (con.focus == vm->console)
		con.focus = con.first;
	console_own_add(vm->console, port);
	spin_unlock(&console_lock);
}

bool console_on_line(const struct vm *vm)
{
	return vm->console && !vm->console->own;
}

void console_focus(struct vm *vm)
{
	spin_lock(&console_lock);
	con.focus = vm ? vm->console : NULL;
	spin_unlock(&console_lock);
}

/* Does nobody wait for what C has written, while its ring is full? */
static bool may_skip(const struct console *c)
{
	return c->own ? !c->port : con.mon.open;
}

bool console_put(struct vm *vm, uint8_t byte)
{
	struct console *c = vm->console;
	bool taken;

	spin_lock(&console_lock);
	if (c->head - c->tail == CONSOLE_RING && may_skip(c)) {
		c->tail++;
		c->skipped++;
	}
	taken = c->head - c->tail < CONSOLE_RING;
	if (taken) {
		c->last_put = tsc_now();
		if (c->head == c->line_end)
			c->line_start = c->last_put;
		c->ring[c->head++ % CONSOLE_RING] = byte;
		if (byte == '\n')
			c->line_end = c->head;
		if (c->own)
			console_own_pump(c);
		else
			kick();
	}
	c->refused = !taken;
	spin_unlock(&console_lock);
	return taken;
}

static bool take_input(struct console *c, uint8_t *byte)
{
	bool any;

	spin_lock(&console_lock);
	any = c->in_head != c->in_tail;
	if (any)
		*byte = c->in[c->in_tail++ % CONSOLE_INPUT_RING];
	spin_unlock(&console_lock);
	return any;
}

void console_input_ready(struct vm *vm)
{
	struct console *c = vm->console;
	uint8_t byte;

	/*
	 * Nearly always there is nothing: not worth the lock. Nothing is missed: console_irq()
	 * comes here after it has put a byte into the ring, and dev_lock orders the two.
	 */
	if (READ_ONCE(c->in_head) == READ_ONCE(c->in_tail))
		return;
	while (c->client.input_room(c->client.dev) > 0 && take_input(c, &byte))
		c->client.input(c->client.dev, byte);
}

void console_reset(struct vm *vm)
{
	struct console *c = vm->console;

	spin_lock(&console_lock);
	c->in_tail = c->in_head;
	c->refused = false;
	spin_unlock(&console_lock);
}

/* ---- the monitor ---- */

int console_set_monitor(uint8_t escape, void (*typed)(int key))
{
	con.mon.ring = pages_alloc(MONITOR_RING / PAGE_SIZE);
	if (!con.mon.ring)
		return -ENOMEM;
	spin_lock(&console_lock);
	con.mon.escape = escape;
	con.mon.typed = typed;
	spin_unlock(&console_lock);
	return 0;
}

void console_monitor_open(bool open)
{
	spin_lock(&console_lock);
	con.mon.open = open;
	con.mon.len = con.mon.cursor = 0;
	/* Off the wire with it, the prompt included. */
	if (!open && con.mon.wire_len && con.staged_at == con.staged_len)
		erase_line();
	con.mon.wire_len = con.mon.wire_cursor = 0;
	for (struct console *c = con.first; c && open; c = c->next)
		c->skipped = 0;
	kick();
	spin_unlock(&console_lock);
}

static void monitor_put(char c)
{
	if (con.mon.head - con.mon.tail < MONITOR_RING)
		con.mon.ring[con.mon.head++ % MONITOR_RING] = c;
}

void console_monitor_write(const char *text, size_t len)
{
	spin_lock(&console_lock);
	for (size_t i = 0; i < len; i++)
		monitor_put(text[i]);
	kick();
	spin_unlock(&console_lock);
}

void console_monitor_line(const char *line, size_t len, size_t cursor)
{
	struct monitor_text *m = &con.mon;

	spin_lock(&console_lock);
	m->waits = false;
	m->len = (uint8_t)MIN(len, CONSOLE_LINE);
	m->cursor = (uint8_t)MIN(cursor, m->len);
	memcpy(m->line, line, m->len);
	kick();
	spin_unlock(&console_lock);
}

void console_monitor_enter(void)
{
	struct monitor_text *m = &con.mon;

	spin_lock(&console_lock);
	/* Where it is not on the wire as it is, it goes there as a line like others. */
	m->cursor = m->len;
	if (!line_is_drawn() || con.staged_at != con.staged_len)
		for (unsigned int i = 0; i < m->len; i++)
			monitor_put(m->line[i]);
	else
		m->wire_len = m->wire_cursor = 0;
	monitor_put('\n');
	m->len = m->cursor = 0;
	kick();
	spin_unlock(&console_lock);
}

void console_monitor_log(struct vm *vm)
{
	struct console *c = vm->console;
	struct console_text text = {0};
	uint32_t at;

	spin_lock(&console_lock);
	at = c->head - MIN(c->head, CONSOLE_RING);
	for (; at != c->head; at++) {
		uint8_t byte = c->ring[at % CONSOLE_RING];

		if (console_is_text(&text, byte) && byte != '\r')
			monitor_put((char)byte);
	}
	if (c->line_end != c->head)
		monitor_put('\n');
	kick();
	spin_unlock(&console_lock);
}

uint32_t console_skipped(struct vm *vm)
{
	return vm->console ? READ_ONCE(vm->console->skipped) : 0;
}

struct vm *console_focused(void)
{
	const struct console *c = READ_ONCE(con.focus);

	return c ? c->vm : NULL;
}

/* ---- interrupts and time ---- */

void console_type(struct console *c, uint8_t byte)
{
	if (c->in_head - c->in_tail == CONSOLE_INPUT_RING)
		return;
	c->in[c->in_head % CONSOLE_INPUT_RING] = byte;
	WRITE_ONCE(c->in_head, c->in_head + 1);
	c->last_typed = tsc_now();
}

static void guest_input(uint8_t byte)
{
	if (con.focus)
		console_type(con.focus, byte);
}

static void monitor_input(uint16_t key)
{
	if (con.mon.in_head - con.mon.in_tail < MONITOR_INPUT)
		con.mon.in[con.mon.in_head++ % MONITOR_INPUT] = key;
}

/* What is typed while nobody listens, or faster than a guest reads, is lost as on a real line. */
static void read_port(void)
{
	uint8_t byte;

	while (con.port->rx(con.port->ctx, &byte)) {
		if (con.mon.typed && byte == con.mon.escape)
			monitor_input(CONSOLE_ESCAPE);
		else if (con.mon.open || con.mon.in_head != con.mon.in_tail)
			monitor_input(byte);
		else
			guest_input(byte);
	}
}

/* Keys are the monitor's until it has seen the one that closes it. */
static bool take_key(int *key)
{
	struct monitor_text *m = &con.mon;
	bool any = false;

	spin_lock(&console_lock);
	while (!any && m->in_head != m->in_tail) {
		*key = m->in[m->in_tail++ % MONITOR_INPUT];
		any = m->open || *key == CONSOLE_ESCAPE;
		if (!any)
			guest_input((uint8_t)*key);
	}
	spin_unlock(&console_lock);
	return any;
}

static void serve_monitor(void)
{
	int key;

	while (take_key(&key))
		con.mon.typed(key);
	spin_lock(&console_lock);
	kick();
	spin_unlock(&console_lock);
}

static bool room_again(struct console *c)
{
	bool again;

	spin_lock(&console_lock);
	again = c->refused && CONSOLE_RING - (c->head - c->tail) >= ROOM_AGAIN;
	if (again)
		c->refused = false;
	spin_unlock(&console_lock);
	return again;
}

/* Tells the devices what has changed for them. The lists of consoles do not change any more. */
static void serve_clients(struct console *c)
{
	for (; c; c = c->next) {
		bool input = READ_ONCE(c->in_head) != READ_ONCE(c->in_tail);

		if (!input && !READ_ONCE(c->refused))
			continue;
		spin_lock(&c->vm->dev_lock);
		console_input_ready(c->vm);
		if (room_again(c))
			c->client.output_room(c->client.dev);
		spin_unlock(&c->vm->dev_lock);
	}
}

void console_irq(void)
{
	spin_lock(&console_lock);
	if (con.port) {
		read_port();
		pump(true);
	}
	console_own_serve();
	spin_unlock(&console_lock);
	if (con.mon.typed)
		serve_monitor();
	serve_clients(con.first);
	serve_clients(console_own_first());
}

uint64_t console_tick(void)
{
	uint64_t next = ~0ULL;

	spin_lock(&console_lock);
	con.mon.waits = false;
	kick();
	if (console_own_tick() || log_waits() || con.mon.open)
		next = 0;
	for (const struct console *c = con.first; c; c = c->next)
		if (c->head != c->tail)
			next = MIN(next, c->line_start + tsc_from_ns(SHOW_NS));
	spin_unlock(&console_lock);
	/* What is due but waits for the port, or for an open line to end, is worth a look soon. */
	return MAX(next, tsc_now() + tsc_from_ns(BREAK_NS));
}
