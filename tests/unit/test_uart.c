/* links: devices/uart16550.c core/bus.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
/*
 * The 16550A against the PC16550D data sheet, and against what Linux's 8250 driver does to find
 * and use one.
 */
#include "tests/unit/support/fake_core.h"

#include <string.h>

#include "core/console.h"
#include "devices/uart16550.h"

#define COM1 0x3f8
#define IRQ  4
enum { RBR = 0, THR = 0, DLL = 0, IER = 1, DLM = 1, IIR = 2, FCR = 2, LCR, MCR, LSR, MSR, SCR };

static struct vm *vm;
static struct uart16550 uart;

/* The console that the port is attached to. */
static struct console_client client;
static char sent[512];
static unsigned int sent_count, console_room;
static char typed[64];
static unsigned int typed_count, typed_taken;

int console_attach(struct vm *m, const struct console_client *c)
{
	assert_ptr_equal(m, vm);
	client = *c;
	return 0;
}

bool console_put(struct vm *m, uint8_t byte)
{
	assert_ptr_equal(m, vm);
	if (!console_room)
		return false;
	console_room--;
	sent[sent_count++] = (char)byte;
	return true;
}

void console_input_ready(struct vm *m)
{
	assert_ptr_equal(m, vm);
	while (typed_taken < typed_count && client.input_room(client.dev))
		client.input(client.dev, (uint8_t)typed[typed_taken++]);
}

void console_reset(struct vm *m)
{
	assert_ptr_equal(m, vm);
}

static void type(const char *text)
{
	memcpy(typed + typed_count, text, strlen(text));
	typed_count += (unsigned int)strlen(text);
	console_input_ready(vm);
}

static uint8_t in(unsigned int reg)
{
	return (uint8_t)fake_in(vm, (uint16_t)(COM1 + reg), 1);
}

static void out(unsigned int reg, uint8_t value)
{
	fake_out(vm, (uint16_t)(COM1 + reg), 1, value);
}

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(1);
	assert_int_equal(uart16550_init(&uart, vm, COM1, IRQ), 0);
	uart16550_reset(&uart);
	sent_count = 0;
	typed_count = 0;
	typed_taken = 0;
	console_room = sizeof(sent);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

static void assert_sent(const char *text)
{
	assert_int_equal(sent_count, strlen(text));
	assert_memory_equal(sent, text, sent_count);
	sent_count = 0;
}

/* Data sheet table III. */
static void reset_state(void **state)
{
	(void)state;
	out(SCR, 0x12);
	out(LCR, 0x03);
	out(MCR, 0x0b);
	out(IER, 0x0f);
	uart16550_reset(&uart);
	assert_int_equal(in(IER), 0);
	assert_int_equal(in(IIR), 0x01);
	assert_int_equal(in(LCR), 0);
	assert_int_equal(in(MCR), 0);
	assert_int_equal(in(LSR), 0x60);
	assert_int_equal(in(MSR)&0x0f, 0);
	assert_false(fake.line[IRQ]);
}

static void registers_keep_their_bits(void **state)
{
	(void)state;
	for (unsigned int value = 0; value < 256; value++) {
		out(SCR, (uint8_t)value);
		assert_int_equal(in(SCR), value);
		out(LCR, (uint8_t)value);
		assert_int_equal(in(LCR), value);
		out(LCR, 0);
		out(IER, (uint8_t)value);
		assert_int_equal(in(IER), value & 0x0f);
		out(MCR, (uint8_t)value);
		assert_int_equal(in(MCR), value & 0x1f);
	}
	out(LSR, 0);
	out(MSR, 0xff);
	assert_int_equal(in(LSR), 0x60);
}

static void divisor_latch(void **state)
{
	(void)state;
	out(LCR, 0x83);
	out(DLL, 0x01);
	out(DLM, 0xc2);
	assert_int_equal(in(DLL), 0x01);
	assert_int_equal(in(DLM), 0xc2);
	out(LCR, 0x03);
	assert_int_equal(in(IER), 0);
	assert_sent("");
	out(LCR, 0x83);
	assert_int_equal(in(DLM), 0xc2);
}

/* Linux's autoconfig() and autoconfig_16550a(): must end in "16550A", neither less nor more. */
static void linux_autoconfig(void **state)
{
	uint8_t mcr, status1, status2;

	(void)state;
	out(IER, 0);
	assert_int_equal(in(IER)&0x0f, 0);
	out(IER, 0x0f);
	assert_int_equal(in(IER)&0x0f, 0x0f);
	out(IER, 0);
	mcr = in(MCR);
	out(MCR, 0x1a);
	assert_int_equal(in(MSR)&0xf0, 0x90);
	out(MCR, mcr);
	out(LCR, 0xbf);
	out(2, 0);
	out(LCR, 0);
	out(FCR, 0x01);
	assert_int_equal(in(IIR) >> 6, 3);
	/* No enhanced feature register of a 16650... */
	out(LCR, 0x80);
	assert_int_not_equal(in(2), 0);
	out(LCR, 0xbf);
	assert_int_not_equal(in(2), 0);
	/* ... no 64-byte FIFO of a 16750 ... */
	out(LCR, 0);
	out(FCR, 0x21);
	status1 = in(IIR) >> 5;
	out(FCR, 0x01);
	out(LCR, 0x80);
	out(FCR, 0x21);
	status2 = in(IIR) >> 5;
	assert_false(status1 == 6 && status2 == 7);
	/* ... and no UUE of an XScale port. */
	out(LCR, 0);
	out(IER, 0x40);
	assert_int_equal(in(IER)&0x40, 0);
}

/* Linux's size_fifo(). */
static void fifo_is_16_deep(void **state)
{
	unsigned int count;

	(void)state;
	out(FCR, 0x07);
	out(MCR, 0x10);
	for (unsigned int i = 0; i < 256; i++)
		out(THR, (uint8_t)i);
	for (count = 0; in(LSR)&0x01 && count < 256; count++)
		assert_int_equal(in(RBR), count);
	assert_int_equal(count, 16);
	assert_sent("");
}

static void loopback(void **state)
{
	static const struct {
		uint8_t mcr, msr;
	} t[] = {{0x01, 0x20}, {0x02, 0x10}, {0x04, 0x40}, {0x08, 0x80}, {0x0f, 0xf0}, {0, 0}};

	(void)state;
	assert_int_equal(in(MSR), 0xb0);
	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
		out(MCR, 0x10 | t[i].mcr);
		assert_int_equal(in(MSR)&0xf0, t[i].msr);
		assert_int_equal(in(MSR)&0x0f, 0);
	}
	/* Deltas: CTS rises; RI tells of its end alone. */
	out(MCR, 0x12);
	assert_int_equal(in(MSR), 0x11);
	out(MCR, 0x16);
	assert_int_equal(in(MSR), 0x50);
	out(MCR, 0x12);
	assert_int_equal(in(MSR), 0x14);
	/* What is typed meanwhile waits. */
	type("x");
	assert_int_equal(in(LSR), 0x60);
	out(THR, 'y');
	assert_int_equal(in(RBR), 'y');
	out(MCR, 0x0b);
	assert_int_equal(in(LSR), 0x61);
	assert_int_equal(in(RBR), 'x');
	assert_sent("");
}

static void overruns(void **state)
{
	(void)state;
	/* Without FIFO the new character replaces the old. */
	out(MCR, 0x10);
	out(THR, 'a');
	out(THR, 'b');
	assert_int_equal(in(LSR), 0x63);
	assert_int_equal(in(LSR), 0x61);
	assert_int_equal(in(RBR), 'b');
	/* With it the new one is lost. */
	out(FCR, 0x01);
	for (unsigned int i = 0; i < 17; i++)
		out(THR, (uint8_t)('a' + i));
	out(MCR, 0x18);
	out(IER, 0x05);
	assert_int_equal(in(IIR), 0xc6);
	assert_int_equal(in(LSR), 0x63);
	assert_int_equal(in(IIR), 0xc4);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(in(RBR), 'a' + i);
	assert_int_equal(in(LSR), 0x60);
}

static void typing_interrupts(void **state)
{
	(void)state;
	out(FCR, 0xc1);
	out(IER, 0x01);
	type("k");
	/* The PC's gate is still closed. */
	assert_false(fake.line[IRQ]);
	out(MCR, 0x0b);
	assert_true(fake.line[IRQ]);
	/* Below the trigger level of 14: character timeout. */
	assert_int_equal(in(IIR), 0xcc);
	assert_int_equal(in(LSR), 0x61);
	assert_int_equal(in(RBR), 'k');
	assert_false(fake.line[IRQ]);
	assert_int_equal(in(IIR), 0xc1);
	type("abcdefghijklmn");
	assert_int_equal(in(IIR), 0xc4);
	in(RBR);
	assert_int_equal(in(IIR), 0xcc);
	assert_true(fake.line[IRQ]);
	out(FCR, 0xc3);
	assert_false(fake.line[IRQ]);
	assert_int_equal(in(LSR), 0x60);
}

static void trigger_levels(void **state)
{
	static const uint8_t level[] = {1, 4, 8, 14};

	(void)state;
	out(IER, 0x01);
	for (unsigned int i = 0; i < 4; i++) {
		out(FCR, (uint8_t)(0x03 | i << 6));
		for (unsigned int n = 1; n <= 16; n++) {
			type("x");
			assert_int_equal(in(IIR), n >= level[i] ? 0xc4 : 0xcc);
		}
		out(FCR, 0x03);
		typed_count = typed_taken;
	}
}

/* A paste longer than the FIFO comes through whole. */
static void long_input(void **state)
{
	static const char text[] = "The quick brown fox jumps over the lazy dog.";
	unsigned int n = 0;

	(void)state;
	out(FCR, 0x81);
	out(MCR, 0x0b);
	out(IER, 0x01);
	type(text);
	while (in(LSR)&0x01)
		assert_int_equal(in(RBR), text[n++]);
	assert_int_equal(n, strlen(text));
	assert_int_equal(in(LSR)&0x02, 0);
}

/* Linux's serial8250_THRE_test(): the interrupt comes again when it is enabled again. */
static void thre_interrupt_on_enable(void **state)
{
	(void)state;
	out(MCR, 0x0b);
	out(IER, 0x02);
	assert_true(fake.line[IRQ]);
	assert_int_equal(in(IIR), 0x02);
	assert_int_equal(in(IIR), 0x01);
	assert_false(fake.line[IRQ]);
	out(IER, 0);
	out(IER, 0x02);
	assert_int_equal(in(IIR), 0x02);
	/* A write with the bit already set does not raise it. */
	out(IER, 0x02);
	assert_int_equal(in(IIR), 0x01);
}

/* As Linux sends: IIR, LSR, then up to 16 bytes, and again at the next interrupt. */
static void sending_by_interrupts(void **state)
{
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	unsigned int n = 0;

	(void)state;
	out(FCR, 0x01);
	out(MCR, 0x0b);
	out(IER, 0x02);
	while (n < strlen(text)) {
		unsigned int before = fake.rises[IRQ];

		assert_true(fake.line[IRQ]);
		assert_int_equal(in(IIR), 0xc2);
		assert_int_equal(in(LSR)&0x20, 0x20);
		for (unsigned int i = 0; i < 16 && n < strlen(text); i++)
			out(THR, (uint8_t)text[n++]);
		/* One load of the FIFO is one interrupt. */
		assert_int_equal(fake.rises[IRQ], before + 1);
	}
	out(IER, 0);
	assert_false(fake.line[IRQ]);
	assert_sent(text);
}

/* A driver that never reads IIR still gets an edge for each load. */
static void sending_without_iir(void **state)
{
	(void)state;
	out(MCR, 0x0b);
	out(IER, 0x02);
	for (unsigned int i = 1; i < 10; i++) {
		assert_int_equal(fake.rises[IRQ], i);
		out(THR, 'x');
	}
	out(FCR, 0x01);
	for (unsigned int i = 10; i < 20; i++) {
		assert_int_equal(fake.rises[IRQ], i);
		in(LSR);
		out(THR, 'x');
	}
}

static void priorities(void **state)
{
	(void)state;
	out(FCR, 0x01);
	out(MCR, 0x18);
	out(IER, 0x0f);
	for (unsigned int i = 0; i < 17; i++)
		out(THR, 'x');
	out(MCR, 0x1a);
	assert_int_equal(in(IIR), 0xc6);
	in(LSR);
	assert_int_equal(in(IIR), 0xc4);
	for (unsigned int i = 0; i < 16; i++)
		in(RBR);
	assert_int_equal(in(IIR), 0xc2);
	assert_int_equal(in(IIR), 0xc0);
	assert_true(fake.line[IRQ]);
	in(MSR);
	assert_int_equal(in(IIR), 0xc1);
	assert_false(fake.line[IRQ]);
}

static void backpressure(void **state)
{
	unsigned int before;

	(void)state;
	out(FCR, 0x01);
	out(MCR, 0x0b);
	out(IER, 0x02);
	in(IIR);
	console_room = 3;
	for (unsigned int i = 0; i < 16; i++)
		out(THR, (uint8_t)('a' + i));
	assert_sent("abc");
	/* 13 wait: neither holding register nor shift register is empty. */
	assert_int_equal(in(LSR), 0x00);
	assert_int_equal(in(IIR), 0xc1);
	console_room = 5;
	client.output_room(client.dev);
	assert_sent("defgh");
	assert_int_equal(in(LSR), 0x00);
	before = fake.rises[IRQ];
	console_room = 100;
	client.output_room(client.dev);
	assert_sent("ijklmnop");
	assert_int_equal(in(LSR), 0x60);
	assert_int_equal(fake.rises[IRQ], before + 1);
	assert_int_equal(in(IIR), 0xc2);
	client.output_room(client.dev);
	assert_sent("");
}

/*
 * What a driver that does not look at THRE writes into a full FIFO is lost; the rest stays in
 * order.
 */
static void backpressure_overrun(void **state)
{
	(void)state;
	out(FCR, 0x01);
	console_room = 0;
	for (unsigned int i = 0; i < 20; i++)
		out(THR, (uint8_t)('a' + i));
	console_room = 100;
	client.output_room(client.dev);
	assert_sent("abcdefghijklmnop");
	console_room = 0;
	out(THR, 'x');
	out(FCR, 0x05);
	assert_int_equal(in(LSR), 0x60);
	console_room = 100;
	client.output_room(client.dev);
	assert_sent("");
}

/* Wider accesses reach the registers one after the other. */
static void wide_access(void **state)
{
	(void)state;
	fake_out(vm, COM1 + LCR, 2, 0x0b03);
	assert_int_equal(in(LCR), 0x03);
	assert_int_equal(in(MCR), 0x0b);
	assert_int_equal(fake_in(vm, COM1 + LCR, 4), 0xb0600b03);
	assert_int_equal(fake_in(vm, COM1 + SCR, 2), 0xff00);
}

/* A second port: its lines go to the console as a whole, marked, and nothing is received. */
static void a_second_port(void **state)
{
	struct uart16550 second;
	char text[256];

	(void)state;
	assert_int_equal(uart16550_init_second(&second, vm, 0x2f8, 3, "two| "), 0);
	uart16550_reset(&second);
	console_room = 300;
	sent_count = 0;
	fake_out(vm, 0x2f8, 1, 'h');
	fake_out(vm, 0x2f8, 1, 'i');
	assert_int_equal(sent_count, 0);
	fake_out(vm, 0x2f8, 1, '\r');
	fake_out(vm, 0x2f8, 1, '\n');
	assert_int_equal(sent_count, 9);
	assert_memory_equal(sent, "two| hi\r\n", 9);
	/* Lines without an end are cut. */
	sent_count = 0;
	for (int i = 0; i < UART_LINE_MAX; i++)
		fake_out(vm, 0x2f8, 1, 'x');
	memset(text, 'x', sizeof(text));
	assert_int_equal(sent_count, 5 + UART_LINE_MAX + 2);
	assert_memory_equal(sent + 5, text, UART_LINE_MAX);
	/* It is never held up, and interrupts on its own line. */
	console_room = 0;
	fake_out(vm, 0x2f8, 1, '\n');
	assert_int_equal(fake_in(vm, 0x2f8 + LSR, 1), 0x60);
	fake_out(vm, 0x2f8 + MCR, 1, 0x08);
	fake_out(vm, 0x2f8 + IER, 1, 0x02);
	assert_true(fake.line[3]);
	assert_false(fake.line[IRQ]);
	/* What is typed is the first port's. */
	type("a");
	assert_int_equal(fake_in(vm, 0x2f8 + LSR, 1) & 1, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reset_state),
		T(registers_keep_their_bits),
		T(divisor_latch),
		T(linux_autoconfig),
		T(fifo_is_16_deep),
		T(loopback),
		T(overruns),
		T(typing_interrupts),
		T(trigger_levels),
		T(long_input),
		T(thre_interrupt_on_enable),
		T(sending_by_interrupts),
		T(sending_without_iir),
		T(priorities),
		T(backpressure),
		T(backpressure_overrun),
		T(wide_access),
		T(a_second_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
