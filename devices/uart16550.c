#include "devices/uart16550.h"

#include "core/bus.h"
#include "core/console.h"
#include "core/vm.h"

/* Offsets (data sheet 8.0). The first two are the divisor latch while LCR's DLAB is set. */
enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_RX	  0x01u
#define IER_THRE  0x02u
#define IER_LINE  0x04u
#define IER_MODEM 0x08u

#define IIR_NONE    0x01u
#define IIR_MODEM   0x00u
#define IIR_THRE    0x02u
#define IIR_RX	    0x04u
#define IIR_LINE    0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFOS   0xc0u

#define FCR_ENABLE   0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_CLEAR_TX 0x04u
#define FCR_KEPT     0xc9u

#define LCR_DLAB 0x80u

#define MCR_DTR	     0x01u
#define MCR_RTS	     0x02u
#define MCR_OUT1     0x04u
#define MCR_OUT2     0x08u
#define MCR_LOOP     0x10u
#define MCR_WRITABLE 0x1fu

#define LSR_DR	 0x01u
#define LSR_OE	 0x02u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u

#define MSR_CTS	 0x10u
#define MSR_DSR	 0x20u
#define MSR_RI	 0x40u
#define MSR_DCD	 0x80u
#define MSR_TERI 0x04u

/* ---- FIFOs: one byte deep while they are off ---- */

static uint8_t depth(const struct uart16550 *u)
{
	return u->fcr & FCR_ENABLE ? UART_FIFO_SIZE : 1;
}

static void fifo_push(struct uart_fifo *f, uint8_t byte)
{
	f->byte[(f->head + f->count) % UART_FIFO_SIZE] = byte;
	f->count++;
}

static uint8_t fifo_pop(struct uart_fifo *f)
{
	uint8_t byte = f->byte[f->head];

	f->head = (f->head + 1) % UART_FIFO_SIZE;
	f->count--;
	return byte;
}

static void fifo_clear(struct uart_fifo *f)
{
	f->head = 0;
	f->count = 0;
}

/* ---- interrupts (8.6) ---- */

static uint8_t rx_trigger(const struct uart16550 *u)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return u->fcr & FCR_ENABLE ? levels[u->fcr >> 6] : 1;
}

/* The pending source of the highest priority, as IIR's bits 3:0. */
static uint8_t pending(const struct uart16550 *u)
{
	if (u->ier & IER_LINE && u->lsr_errors)
		return IIR_LINE;
	if (u->ier & IER_RX && u->rx.count >= rx_trigger(u))
		return IIR_RX;
	/* Four characters' time without a new one: on a line without speed that is at once. */
	if (u->ier & IER_RX && u->rx.count)
		return IIR_TIMEOUT;
	if (u->ier & IER_THRE && u->thre_pending)
		return IIR_THRE;
	if (u->ier & IER_MODEM && u->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

/* On a PC the chip's interrupt reaches the controller through a gate that OUT2 opens. */
static void update_line(struct uart16550 *u)
{
	bool line = u->mcr & MCR_OUT2 && pending(u) != IIR_NONE;

	if (line == u->line)
		return;
	u->line = line;
	vm_set_irq(u->vm, u->gsi, line);
}

/*
 * THR has become empty. When the source was pending already, the write that filled THR ended it and
 * this starts it anew: an edge that a driver which never reads IIR waits for. Bytes written without
 * another access in between are one load of the FIFO, though, which empties once.
 */
static void thr_emptied(struct uart16550 *u)
{
	bool again = u->thre_pending && u->burst % depth(u) == 0;

	u->burst++;
	if (again) {
		u->thre_pending = false;
		update_line(u);
	}
	u->thre_pending = true;
	update_line(u);
}

/* ---- the line: the VM's console, or lines for it ---- */

static void put_line(struct uart16550 *u)
{
	for (const char *c = u->mark; *c; c++)
		console_put(u->vm, (uint8_t)*c);
	for (unsigned int i = 0; i < u->text_count; i++)
		console_put(u->vm, (uint8_t)u->text[i]);
	console_put(u->vm, '\r');
	console_put(u->vm, '\n');
	u->text_count = 0;
}

/* False: there is no room now, and output_room() will tell of some. */
static bool put(struct uart16550 *u, uint8_t byte)
{
	if (!u->mark)
		return console_put(u->vm, byte);
	if (byte != '\n' && byte != '\r')
		u->text[u->text_count++] = (char)byte;
	if (byte == '\n' || u->text_count == UART_LINE_MAX)
		put_line(u);
	return true;
}

static void input_ready(struct uart16550 *u)
{
	if (!u->mark)
		console_input_ready(u->vm);
}

/* ---- receiving ---- */

static void receive(struct uart16550 *u, uint8_t byte)
{
	if (u->rx.count < depth(u)) {
		fifo_push(&u->rx, byte);
	} else {
		u->lsr_errors |= LSR_OE;
		/*
		 * Without FIFOs the new character takes the old one's place, with them it is lost
		 * (8.4).
		 */
		if (!(u->fcr & FCR_ENABLE))
			u->rx.byte[u->rx.head] = byte;
	}
	update_line(u);
}

static void input(void *dev, uint8_t byte)
{
	receive(dev, byte);
}

/* In loopback mode the receiver is cut off from the line: what is typed waits in the console. */
static unsigned int input_room(void *dev)
{
	const struct uart16550 *u = dev;

	return u->mcr & MCR_LOOP ? 0 : depth(u) - u->rx.count;
}

static uint8_t read_rbr(struct uart16550 *u)
{
	uint8_t byte = 0;

	if (u->rx.count)
		byte = fifo_pop(&u->rx);
	update_line(u);
	if (!u->rx.count)
		input_ready(u);
	return byte;
}

/* ---- sending ---- */

static void output_room(void *dev)
{
	struct uart16550 *u = dev;

	if (!u->tx.count)
		return;
	while (u->tx.count) {
		if (!put(u, u->tx.byte[u->tx.head]))
			return;
		fifo_pop(&u->tx);
	}
	u->burst = 0;
	thr_emptied(u);
}

static void write_thr(struct uart16550 *u, uint8_t byte)
{
	if (u->mcr & MCR_LOOP) {
		receive(u, byte);
		thr_emptied(u);
	} else if (!u->tx.count && put(u, byte)) {
		thr_emptied(u);
	} else {
		if (u->tx.count < depth(u))
			fifo_push(&u->tx, byte);
		u->thre_pending = false;
		update_line(u);
	}
}

/* ---- control and status ---- */

static uint8_t lsr(const struct uart16550 *u)
{
	uint8_t value = u->lsr_errors;

	if (u->rx.count)
		value |= LSR_DR;
	if (!u->tx.count)
		value |= LSR_THRE | LSR_TEMT;
	return value;
}

static uint8_t read_lsr(struct uart16550 *u)
{
	uint8_t value = lsr(u);

	if (unlikely(u->lsr_errors)) {
		u->lsr_errors = 0;
		update_line(u);
	}
	return value;
}

/* MSR's bits 7:4: the far end is always ready, or in loopback the modem outputs (8.8). */
static uint8_t modem_inputs(const struct uart16550 *u)
{
	uint8_t value = 0;

	if (!(u->mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	if (u->mcr & MCR_RTS)
		value |= MSR_CTS;
	if (u->mcr & MCR_DTR)
		value |= MSR_DSR;
	if (u->mcr & MCR_OUT1)
		value |= MSR_RI;
	if (u->mcr & MCR_OUT2)
		value |= MSR_DCD;
	return value;
}

static uint8_t read_msr(struct uart16550 *u)
{
	uint8_t value = modem_inputs(u) | u->msr_delta;

	u->msr_delta = 0;
	update_line(u);
	return value;
}

static void write_mcr(struct uart16550 *u, uint8_t value)
{
	uint8_t before = modem_inputs(u);
	uint8_t changed;

	u->mcr = value & MCR_WRITABLE;
	changed = before ^ modem_inputs(u);
	/* RI counts when it ends only (TERI). */
	if (changed & MSR_RI && !(before & MSR_RI))
		changed &= (uint8_t)~MSR_RI;
	u->msr_delta |= changed >> 4;
	update_line(u);
	input_ready(u);
}

static uint8_t read_iir(struct uart16550 *u)
{
	uint8_t value = pending(u);

	if (value == IIR_THRE) {
		u->thre_pending = false;
		update_line(u);
	}
	return value | (u->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static void write_fcr(struct uart16550 *u, uint8_t value)
{
	bool switched = (u->fcr ^ value) & FCR_ENABLE;

	/* Without bit 0 the others are not programmed (8.5). */
	u->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
	if (switched || (value & FCR_ENABLE && value & FCR_CLEAR_RX))
		fifo_clear(&u->rx);
	if (u->tx.count && (switched || (value & FCR_ENABLE && value & FCR_CLEAR_TX))) {
		fifo_clear(&u->tx);
		u->thre_pending = true;
	}
	update_line(u);
	input_ready(u);
}

/* Enabling the THRE interrupt while THR is empty raises it: drivers start sending by that. */
static void write_ier(struct uart16550 *u, uint8_t value)
{
	if (value & ~u->ier & IER_THRE && !u->tx.count)
		u->thre_pending = true;
	u->ier = value & 0x0f;
	update_line(u);
}

static uint8_t read_reg(struct uart16550 *u, unsigned int reg)
{
	bool dlab = u->lcr & LCR_DLAB;

	/* The one that is polled. */
	if (likely(reg == LSR))
		return read_lsr(u);
	switch (reg) {
	case RBR_THR:
		return dlab ? u->dll : read_rbr(u);
	case IER:
		return dlab ? u->dlm : u->ier;
	case IIR_FCR:
		return read_iir(u);
	case LCR:
		return u->lcr;
	case MCR:
		return u->mcr;
	case MSR:
		return read_msr(u);
	default:
		return u->scr;
	}
}

static void write_reg(struct uart16550 *u, unsigned int reg, uint8_t value)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case RBR_THR:
		if (dlab)
			u->dll = value;
		else
			write_thr(u, value);
		break;
	case IER:
		if (dlab)
			u->dlm = value;
		else
			write_ier(u, value);
		break;
	case IIR_FCR:
		write_fcr(u, value);
		break;
	case LCR:
		u->lcr = value;
		break;
	case MCR:
		write_mcr(u, value);
		break;
	case SCR:
		u->scr = value;
		break;
	default:
		/* LSR and MSR take writes for factory tests only (8.4, 8.8). */
		break;
	}
}

static void port_byte(void *dev, uint64_t offset, bool write, uint8_t *byte)
{
	struct uart16550 *u = dev;

	if (!write || offset != RBR_THR)
		u->burst = 0;
	if (write)
		write_reg(u, (unsigned int)offset, *byte);
	else
		*byte = read_reg(u, (unsigned int)offset);
}

static void port(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		 uint64_t *value)
{
	(void)v;
	if (likely(size == 1)) {
		uint8_t byte = (uint8_t)*value;

		port_byte(dev, offset, write, &byte);
		*value = byte;
		return;
	}
	bus_by_bytes(port_byte, dev, offset, write, size, value);
}

static int init(struct uart16550 *u, struct vm *vm, uint16_t base, unsigned int gsi)
{
	*u = (struct uart16550){.vm = vm, .gsi = gsi};
	return bus_add_pio(vm, base, UART_PORTS, port, u);
}

int uart16550_init(struct uart16550 *u, struct vm *vm, uint16_t base, unsigned int gsi)
{
	struct console_client client = {.input = input,
					.input_room = input_room,
					.output_room = output_room,
					.dev = u};
	int err = init(u, vm, base, gsi);

	return err ? err : console_attach(vm, &client);
}

int uart16550_init_second(struct uart16550 *u, struct vm *vm, uint16_t base, unsigned int gsi,
			  const char *mark)
{
	int err = init(u, vm, base, gsi);

	u->mark = mark;
	return err;
}

void uart16550_reset(struct uart16550 *u)
{
	*u = (struct uart16550){
		.vm = u->vm, .gsi = u->gsi, .mark = u->mark, .dll = 1, .thre_pending = true};
	vm_set_irq(u->vm, u->gsi, false);
	if (!u->mark)
		console_reset(u->vm);
}
