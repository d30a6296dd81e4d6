#include "arch/x86/uart.h"

#include "arch/x86/cpu.h"

/* TL16C550C data sheet, table 3 */
enum {
	REG_DATA = 0, /* and, with DLAB, the divisor's low byte */
	REG_IER = 1,  /* and its high byte */
	REG_IIR = 2,
	REG_FCR = 2,
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7
};

#define IER_RX	      0x01
#define IER_TX	      0x02
#define FCR_ENABLE    0x01
#define FCR_TRIGGER_8 0x80
#define IIR_FIFO      0xc0
#define IIR_NONE      0x01
#define LCR_8N1	      0x03
#define LCR_DLAB      0x80
#define MCR_READY     0x0b /* DTR, RTS, OUT2 (which lets the interrupt out of a PC's port) */
#define MCR_LOOP      0x10
#define LSR_RX_READY  0x01
#define LSR_RX_ERROR  0x1e /* overrun, parity, framing, break */
#define LSR_OVERRUN   0x02
#define LSR_TX_EMPTY  0x20 /* the holding register, and with FIFOs the whole FIFO */

#define DIVISOR_115200 1
#define FIFO_DEPTH     16
/* Of the line status: one takes about a microsecond, a byte at 300 baud 33 ms. */
#define WAIT_READS 200000

static uint8_t reg_read(const struct uart *u, unsigned int reg)
{
	uint64_t addr = u->base + reg * (u->stride ? u->stride : 1u);

	if (!u->mmio)
		return inb((uint16_t)addr);
	return u->width == 4 ? (uint8_t)mmio_read32(addr) : mmio_read8(addr);
}

static void reg_write(const struct uart *u, unsigned int reg, uint8_t value)
{
	uint64_t addr = u->base + reg * (u->stride ? u->stride : 1u);

	if (!u->mmio)
		outb((uint16_t)addr, value);
	else if (u->width == 4)
		mmio_write32(addr, value);
	else
		mmio_write8(addr, value);
}

static bool scratch_holds(const struct uart *u)
{
	static const uint8_t patterns[] = {0x55, 0xaa};
	uint8_t old = reg_read(u, REG_SCR);
	bool holds = true;

	for (unsigned int i = 0; i < sizeof(patterns); i++) {
		reg_write(u, REG_SCR, patterns[i]);
		holds = holds && reg_read(u, REG_SCR) == patterns[i];
	}
	reg_write(u, REG_SCR, old);
	return holds;
}

/*
 * An 8250 has no scratch register, but in loopback mode its outputs appear as inputs: RTS as CTS,
 * OUT2 as DCD.
 */
static bool loopback_works(const struct uart *u)
{
	uint8_t old = reg_read(u, REG_MCR), status;

	reg_write(u, REG_MCR, MCR_LOOP | 0x0a);
	status = reg_read(u, REG_MSR) & 0xf0;
	reg_write(u, REG_MCR, old);
	return status == 0x90;
}

bool uart_probe(const struct uart *u)
{
	/*
	 * An absent port reads all ones; bits 7:4 of the enable register are always 0 in a real
	 * one.
	 */
	if (reg_read(u, REG_LSR) == 0xff || (reg_read(u, REG_IER) & 0xc0))
		return false;
	return scratch_holds(u) || loopback_works(u);
}

/* Leaves DLAB off. */
static uint16_t get_divisor(const struct uart *u)
{
	uint8_t lcr = reg_read(u, REG_LCR) & (uint8_t)~LCR_DLAB;
	uint16_t divisor;

	reg_write(u, REG_LCR, lcr | LCR_DLAB);
	divisor = (uint16_t)(reg_read(u, REG_DATA) | reg_read(u, REG_IER) << 8);
	reg_write(u, REG_LCR, lcr);
	return divisor;
}

static void set_line(const struct uart *u)
{
	reg_write(u, REG_LCR, LCR_8N1 | LCR_DLAB);
	reg_write(u, REG_DATA, DIVISOR_115200);
	reg_write(u, REG_IER, 0);
	reg_write(u, REG_LCR, LCR_8N1);
}

void uart_init(struct uart *u, bool keep_rate)
{
	if (!keep_rate || !get_divisor(u))
		set_line(u);
	reg_write(u, REG_IER, 0);
	reg_write(u, REG_FCR, FCR_ENABLE | FCR_TRIGGER_8);
	reg_write(u, REG_MCR, MCR_READY);
	u->fifo = (reg_read(u, REG_IIR) & IIR_FIFO) == IIR_FIFO ? FIFO_DEPTH : 1;
	u->dead = false;
}

static bool tx_empty(const struct uart *u)
{
	return reg_read(u, REG_LSR) & LSR_TX_EMPTY;
}

void uart_putc(struct uart *u, uint8_t byte)
{
	for (unsigned int i = 0; !tx_empty(u); i++) {
		if (u->dead)
			return;
		u->dead = i == WAIT_READS;
		cpu_pause();
	}
	u->dead = false;
	reg_write(u, REG_DATA, byte);
}

size_t uart_tx_ready(const struct uart *u)
{
	return tx_empty(u) ? u->fifo : 0;
}

void uart_tx(const struct uart *u, uint8_t byte)
{
	reg_write(u, REG_DATA, byte);
}

/*
 * An overrun lost an earlier byte, the one here is good. An absent port must not look like endless
 * input.
 */
bool uart_rx(const struct uart *u, uint8_t *byte)
{
	for (unsigned int i = 0; i < FIFO_DEPTH; i++) {
		uint8_t status = reg_read(u, REG_LSR);

		if (status == 0xff || !(status & LSR_RX_READY))
			return false;
		*byte = reg_read(u, REG_DATA);
		if (!(status & LSR_RX_ERROR & ~LSR_OVERRUN))
			return true;
	}
	return false;
}

/*
 * PC16550D data sheet 8.7: each bit gates its source onto INTR, and ETBEI going from 0 to 1 while
 * THR is empty raises that source. All off first: INTR falls, so that a controller that looks for
 * edges sees one.
 */
void uart_irq_enable(const struct uart *u, bool rx, bool tx)
{
	reg_write(u, REG_IER, 0);
	reg_write(u, REG_IER, (uint8_t)((rx ? IER_RX : 0) | (tx ? IER_TX : 0)));
}

bool uart_irq_pending(const struct uart *u)
{
	return !(reg_read(u, REG_IIR) & IIR_NONE);
}
