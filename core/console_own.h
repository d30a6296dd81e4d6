/*
 * What core/console.c and core/console_own.c share: a VM's console, and those that are not on the
 * common line but on ports of their own. Everything here is called with console_lock held.
 */
#ifndef CORE_CONSOLE_OWN_H
#define CORE_CONSOLE_OWN_H

#include "core/console.h"
#include "core/console_text.h"
#include "lib/spinlock.h"

#define CONSOLE_INPUT_RING 1024u
#define CONSOLE_LOG_LINES  256u

/* Turns to wait for room in a port: longer than a FIFO lasts at 9600 baud. */
#define CONSOLE_POLL_TURNS 200000u

/* Heads and tails run freely; their differences count, their remainders index. */
struct console {
	struct console *next;
	struct vm *vm;
	struct console_client client;
	bool own; /* not on the line, but on `port`, or nowhere if that is NULL */
	const struct console_port *port;
	bool irq_on; /* its interrupt for room */
	uint32_t head, tail;
	uint32_t line_end;	       /* after the last newline written */
	uint64_t line_start;	       /* host TSC of the first byte after that */
	uint64_t last_put, last_typed; /* host TSC */
	bool refused;
	struct console_text text; /* where its bytes are shown as text alone */
	uint32_t skipped; /* bytes never sent, since the monitor had the line */
	uint32_t in_head, in_tail;
	uint32_t
		mark[CONSOLE_LOG_LINES]; /* by line of the log: what of this ring comes before it */
	uint8_t in[CONSOLE_INPUT_RING];
	uint8_t ring[CONSOLE_RING];
};

/* Guards the consoles, the line and the ports. */
extern struct spinlock console_lock;

/* BYTE was typed for C; lost where it has no room. */
void console_type(struct console *c, uint8_t byte);

/* C, which is on no list, gets PORT for itself; NULL: none. */
void console_own_add(struct console *c, const struct console_port *port);
/* The list of them, by `next`; constant once guests run. No lock needed. */
struct console *console_own_first(void);
/* Input's interrupts are wanted from now on. */
void console_own_use_irq(void);
/* Sends what C's port takes now; the interrupt goes on from there. */
void console_own_pump(struct console *c);
/* What all these ports have received is taken, and what they take is sent. */
void console_own_serve(void);
/* Sends what can be sent. Is something left? */
bool console_own_tick(void);
/* Sends all by polling, until it is out or the ports take no more. */
void console_own_flush(void);

#endif
