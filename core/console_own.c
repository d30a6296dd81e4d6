/* See core/console_own.h. Bytes pass as they are: no prefix, no message, no monitor. */
#include "core/console_own.h"

#include "lib/util.h"

static struct console *first;

void console_own_add(struct console *c, const struct console_port *port)
{
	struct console **end = &first;

	while (*end)
		end = &(*end)->next;
	*end = c;
	c->next = NULL;
	c->own = true;
	c->port = port;
}

struct console *console_own_first(void)
{
	return first;
}

void console_own_use_irq(void)
{
	for (struct console *c = first; c; c = c->next)
		if (c->port)
			c->port->tx_irq(c->port->ctx, false);
}

static bool waits(const struct console *c)
{
	return c->port && c->head != c->tail;
}

/* As for the common line (core/console.c). */
static void pump(struct console *c, bool anew)
{
	unsigned int room;
	bool more;

	do {
		while (waits(c) && (room = c->port->tx_room(c->port->ctx)) > 0)
			while (room-- && waits(c))
				c->port->tx(c->port->ctx, c->ring[c->tail++ % CONSOLE_RING]);
		more = waits(c);
		if (anew || more != c->irq_on) {
			c->irq_on = more;
			c->port->tx_irq(c->port->ctx, more);
		}
	} while (more && c->port->tx_room(c->port->ctx) > 0);
}

void console_own_pump(struct console *c)
{
	if (c->port)
		pump(c, false);
}

static void read_port(struct console *c)
{
	uint8_t byte;

	while (c->port && c->port->rx(c->port->ctx, &byte))
		console_type(c, byte);
}

void console_own_serve(void)
{
	for (struct console *c = first; c; c = c->next) {
		read_port(c);
		if (c->port)
			pump(c, true);
	}
}

bool console_own_tick(void)
{
	bool left = false;

	for (struct console *c = first; c; c = c->next) {
		console_own_pump(c);
		left |= waits(c);
	}
	return left;
}

static void flush(struct console *c)
{
	uint32_t turns = 0, before = c->tail;

	while (waits(c) && turns++ < CONSOLE_POLL_TURNS) {
		console_own_pump(c);
		if (c->tail != before)
			turns = 0;
		before = c->tail;
		__builtin_ia32_pause();
	}
}

void console_own_flush(void)
{
	for (struct console *c = first; c; c = c->next)
		flush(c);
}
