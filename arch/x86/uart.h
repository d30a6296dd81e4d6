/*
 * A physical 16550 (or 8250, 16450: no FIFO), at I/O ports or in memory. Not locked: the caller
 * serialises. The guest's one is in devices/.
 */
#ifndef ARCH_X86_UART_H
#define ARCH_X86_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uart {
	uint64_t base; /* port, or physical address (mapped uncached) */
	bool mmio;
	uint8_t stride; /* bytes from one register to the next; 0 means 1 */
	uint8_t width;	/* MMIO access size in bytes, 1 or 4; 0 means 1 */
	uint8_t fifo;	/* depth of the transmit FIFO, 1 without; set by uart_init() */
	bool dead;	/* a byte did not leave in time: uart_putc() no longer waits */
};

/*
 * Whether there is one: its scratch register holds values, or (8250) its loopback mode works.
 * Changes nothing lasting.
 */
bool uart_probe(const struct uart *u);

/*
 * Makes it ready: 115200 baud, 8N1, FIFOs on, interrupts off, DTR, RTS and OUT2 on. KEEP_RATE
 * leaves divisor and line format as the firmware set them, unless they make no sense (divisor 0).
 */
void uart_init(struct uart *u, bool keep_rate);

/*
 * Sends one byte, waiting for room as long as a byte may take at the slowest usual speed; after
 * that drops it.
 */
void uart_putc(struct uart *u, uint8_t byte);

/*
 * How many bytes uart_tx() may be given now without waiting: 0, or the FIFO's depth when it is
 * empty.
 */
size_t uart_tx_ready(const struct uart *u);
void uart_tx(const struct uart *u, uint8_t byte);

/*
 * Takes one received byte; false when there is none. Bytes with line errors are dropped, a break
 * too.
 */
bool uart_rx(const struct uart *u, uint8_t *byte);

/*
 * Interrupt on received data (and its timeout), and on an empty transmitter. What is pending now
 * raises the port's line anew, so that no edge is lost whatever happened before.
 */
void uart_irq_enable(const struct uart *u, bool rx, bool tx);

/*
 * Whether the port asks for an interrupt now. This ends "transmitter empty" until the transmitter
 * is empty again or uart_irq_enable() is called.
 */
bool uart_irq_pending(const struct uart *u);

#endif
