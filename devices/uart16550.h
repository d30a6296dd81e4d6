/*
 * A 16550A serial port (National Semiconductor PC16550D data sheet) in front of a VM's console. The
 * line is infinitely fast: a byte written is gone at once, unless the console has no room. A second
 * port has no console of its own: what is written to it goes to the VM's in whole, marked lines.
 */
#ifndef DEVICES_UART16550_H
#define DEVICES_UART16550_H

#include <stdbool.h>
#include <stdint.h>

#define UART_COM1_PORT 0x3f8
#define UART_COM1_GSI  4
#define UART_COM2_PORT 0x2f8
#define UART_COM2_GSI  3
#define UART_PORTS     8
#define UART_FIFO_SIZE 16
#define UART_LINE_MAX  120

struct vm;

struct uart_fifo {
	uint8_t byte[UART_FIFO_SIZE];
	uint8_t head, count;
};

struct uart16550 {
	struct vm *vm;
	unsigned int gsi;
	uint8_t dll, dlm, ier, fcr, lcr, mcr, scr;
	uint8_t lsr_errors; /* OE; cleared by reading LSR */
	uint8_t msr_delta;  /* bits 3:0 of MSR; cleared by reading it */
	bool thre_pending;  /* the THRE interrupt source */
	uint8_t burst;	    /* bytes written to THR in a row since the last rise of that source */
	bool line;	    /* level of the interrupt line */
	struct uart_fifo rx, tx;
	const char *mark; /* a second port: in front of each line; else NULL */
	char text[UART_LINE_MAX];
	uint8_t text_count;
};

/*
 * Puts a serial port at PORT with interrupt GSI on VM's bus and makes it VM's console. 0, or bus
 * and console errors.
 */
int uart16550_init(struct uart16550 *u, struct vm *vm, uint16_t port, unsigned int gsi);
/*
 * The same for a port that receives nothing, and whose lines appear on VM's console behind MARK. A
 * line for which the console has no room is lost in part. 0 or bus errors.
 */
int uart16550_init_second(struct uart16550 *u, struct vm *vm, uint16_t port, unsigned int gsi,
			  const char *mark);
/* State after master reset. dev_lock held, or no vCPU runs. */
void uart16550_reset(struct uart16550 *u);

#endif
