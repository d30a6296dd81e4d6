/* links: devices/i8259.c core/devtimer.c core/bus.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
/* The pair of 8259As by Intel's data sheet, and as a PC's chip set wires them. */
#include "tests/unit/support/fake_core.h"

#include "core/lapic.h"
#include "devices/i8259.h"

static struct vm *vm;
static struct i8259 pic;
static bool accepts;
static unsigned int lint_edges;

bool lapic_accepts_extint(const struct vcpu *v)
{
	(void)v;
	return accepts;
}

void lapic_lint(struct vcpu *v, unsigned int pin)
{
	(void)v;
	lint_edges += pin == 0;
}

/* As Linux's init_8259A() does: vectors 30h to 3fh. */
static void linux_init(uint8_t icw4)
{
	fake_out(vm, 0x21, 1, 0xff);
	fake_out(vm, 0xa1, 1, 0xff);
	fake_out(vm, 0x20, 1, 0x11);
	fake_out(vm, 0x21, 1, 0x30);
	fake_out(vm, 0x21, 1, 0x04);
	fake_out(vm, 0x21, 1, icw4);
	fake_out(vm, 0xa0, 1, 0x11);
	fake_out(vm, 0xa1, 1, 0x38);
	fake_out(vm, 0xa1, 1, 0x02);
	fake_out(vm, 0xa1, 1, 0x01);
	fake_out(vm, 0x21, 1, 0);
	fake_out(vm, 0xa1, 1, 0);
}

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(2);
	accepts = true;
	lint_edges = 0;
	assert_int_equal(i8259_init(&pic, vm), 0);
	linux_init(0x01);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

static void line(unsigned int gsi, bool level)
{
	vm_set_irq(vm, gsi, level);
}

static void edge(unsigned int gsi)
{
	line(gsi, false);
	line(gsi, true);
}

static uint8_t inta(void)
{
	return vm->extint.acknowledge(vm->extint.dev);
}

static void expect_inta(uint8_t vector)
{
	assert_true(vm->extint.line);
	assert_int_equal(inta(), vector);
}

static uint8_t isr(uint16_t port)
{
	fake_out(vm, port, 1, 0x0b);
	return (uint8_t)fake_in(vm, port, 1);
}

static uint8_t irr(uint16_t port)
{
	fake_out(vm, port, 1, 0x0a);
	return (uint8_t)fake_in(vm, port, 1);
}

static void one_interrupt(void **state)
{
	(void)state;
	assert_false(vm->extint.line);
	line(4, true);
	assert_int_equal(irr(0x20), 0x10);
	assert_int_equal(lint_edges, 2); /* of two vCPUs */
	assert_int_equal(fake_requests(vm->vcpu[0]), REQ_EVENT);
	assert_int_equal(fake_requests(vm->vcpu[1]), REQ_EVENT);
	expect_inta(0x34);
	assert_false(vm->extint.line);
	assert_int_equal(isr(0x20), 0x10);
	assert_int_equal(irr(0x20), 0);
	/* An edge-triggered input that stays up does not ask again. */
	fake_out(vm, 0x20, 1, 0x20);
	assert_int_equal(isr(0x20), 0);
	assert_false(vm->extint.line);
	edge(4);
	expect_inta(0x34);
}

static void nobody_who_listens_is_not_woken(void **state)
{
	(void)state;
	accepts = false;
	line(4, true);
	assert_int_equal(fake_requests(vm->vcpu[0]), 0);
	assert_true(vm->extint.line);
}

/* INT is also input 0 of the I/O APIC, and rises for each interrupt. */
static void int_is_an_input_of_the_io_apic(void **state)
{
	(void)state;
	line(4, true);
	assert_int_equal(fake.rises[0], 1);
	line(3, true);
	assert_int_equal(fake.rises[0], 1);
	expect_inta(0x33);
	assert_false(fake.line[0]);
	fake_out(vm, 0x20, 1, 0x20);
	assert_int_equal(fake.rises[0], 2);
	line(4, false);
	assert_false(fake.line[0]);
	/* Also where the next request is there already: automatic EOI. */
	linux_init(0x03);
	fake.rises[0] = 0;
	edge(4);
	edge(5);
	expect_inta(0x34);
	assert_int_equal(fake.rises[0], 2);
	expect_inta(0x35);
}

/* Input 0 is the timer, which I/O APICs have on their pin 2. */
static void the_timer(void **state)
{
	(void)state;
	line(0, true);
	assert_false(vm->extint.line);
	line(2, true);
	expect_inta(0x30);
}

static void the_second_chip(void **state)
{
	(void)state;
	line(12, true);
	assert_int_equal(irr(0x20), 0x04);
	expect_inta(0x3c);
	assert_int_equal(isr(0x20), 0x04);
	assert_int_equal(isr(0xa0), 0x10);
	/* A second one of lower priority waits, of higher priority waits too: fully nested. */
	line(9, true);
	assert_false(vm->extint.line);
	fake_out(vm, 0xa0, 1, 0x20);
	assert_false(vm->extint.line);
	fake_out(vm, 0x20, 1, 0x20);
	assert_int_equal(lint_edges, 4);
	assert_true(vm->extint.line);
}

/* In special fully nested mode the second chip's inputs of higher priority come through. */
static void special_fully_nested(void **state)
{
	(void)state;
	linux_init(0x11);
	line(12, true);
	expect_inta(0x3c);
	line(15, true);
	assert_false(vm->extint.line);
	line(10, true);
	expect_inta(0x3a);
}

static void priorities(void **state)
{
	(void)state;
	line(7, true);
	line(3, true);
	line(1, true);
	expect_inta(0x31);
	assert_false(vm->extint.line);
	line(2, true);
	expect_inta(0x30);
	/* A non-specific EOI ends the one of highest priority. */
	fake_out(vm, 0x20, 1, 0x20);
	assert_int_equal(isr(0x20), 0x02);
	fake_out(vm, 0x20, 1, 0x61);
	assert_int_equal(isr(0x20), 0);
	expect_inta(0x33);
}

static void masks(void **state)
{
	(void)state;
	fake_out(vm, 0x21, 1, 0x10);
	assert_int_equal(fake_in(vm, 0x21, 1), 0x10);
	line(4, true);
	assert_false(vm->extint.line);
	assert_int_equal(irr(0x20), 0x10);
	fake_out(vm, 0x21, 1, 0);
	expect_inta(0x34);
}

static void rotation(void **state)
{
	(void)state;
	line(3, true);
	expect_inta(0x33);
	fake_out(vm, 0x20, 1, 0xa0); /* rotate on non-specific EOI: 3 is the lowest now */
	line(1, true);
	line(4, true);
	expect_inta(0x34);
	fake_out(vm, 0x20, 1, 0xe4); /* rotate on specific EOI */
	expect_inta(0x31);
	fake_out(vm, 0x20, 1, 0x61);
	fake_out(vm, 0x20, 1, 0xc7); /* set priority: 0 is the highest */
	edge(4);
	edge(1);
	expect_inta(0x31);
}

static void automatic_eoi(void **state)
{
	(void)state;
	linux_init(0x03);
	line(4, true);
	expect_inta(0x34);
	assert_int_equal(isr(0x20), 0);
	fake_out(vm, 0x20, 1, 0x80); /* rotate in automatic EOI mode */
	line(1, true);
	expect_inta(0x31);
	edge(2);
	edge(4);
	expect_inta(0x34);
	expect_inta(0x30);
	fake_out(vm, 0x20, 1, 0x00);
}

static void special_mask_mode(void **state)
{
	(void)state;
	line(1, true);
	expect_inta(0x31);
	line(4, true);
	assert_false(vm->extint.line);
	fake_out(vm, 0x21, 1, 0x02);
	fake_out(vm, 0x20, 1, 0x68);
	expect_inta(0x34);
	/* The masked one is not ended by a non-specific EOI. */
	fake_out(vm, 0x20, 1, 0x20);
	assert_int_equal(isr(0x20), 0x02);
	fake_out(vm, 0x20, 1, 0x48);
	edge(4);
	assert_false(vm->extint.line);
}

static void polling(void **state)
{
	(void)state;
	fake_out(vm, 0x20, 1, 0x0c);
	assert_int_equal(fake_in(vm, 0x20, 1), 0);
	line(5, true);
	fake_out(vm, 0x20, 1, 0x0c);
	assert_int_equal(fake_in(vm, 0x20, 1), 0x85);
	assert_int_equal(isr(0x20), 0x20);
	assert_false(vm->extint.line);
}

static void spurious(void **state)
{
	(void)state;
	line(4, true);
	line(4, false);
	assert_false(vm->extint.line);
	assert_int_equal(inta(), 0x37);
	assert_int_equal(isr(0x20), 0);
	/* On the second chip: the first one has its cascade input in service. */
	line(12, true);
	fake_out(vm, 0xa1, 1, 0xff);
	assert_false(vm->extint.line);
	fake_out(vm, 0xa1, 1, 0);
	expect_inta(0x3c);
}

static void level_triggered(void **state)
{
	(void)state;
	fake_out(vm, 0x4d0, 2, 0xffff);
	assert_int_equal(fake_in(vm, 0x4d0, 2), 0xdef8);
	line(11, true);
	expect_inta(0x3b);
	fake_out(vm, 0xa0, 1, 0x20);
	fake_out(vm, 0x20, 1, 0x20);
	expect_inta(0x3b);
	line(11, false);
	fake_out(vm, 0xa0, 1, 0x20);
	fake_out(vm, 0x20, 1, 0x20);
	assert_false(vm->extint.line);
	/* An edge that was latched before means nothing any more. */
	fake_out(vm, 0x4d0, 2, 0);
	line(5, true);
	fake_out(vm, 0x4d0, 2, 0x20);
	assert_true(vm->extint.line);
	line(5, false);
	assert_false(vm->extint.line);
}

/* Until it is initialized a chip asks for nothing; ICW1 forgets edges and unmasks. */
static void initialization(void **state)
{
	(void)state;
	line(4, true);
	fake_out(vm, 0x20, 1, 0x11);
	assert_false(vm->extint.line);
	fake_out(vm, 0x21, 1, 0x43);
	fake_out(vm, 0x21, 1, 0x04);
	fake_out(vm, 0x21, 1, 0x01);
	assert_int_equal(fake_in(vm, 0x21, 1), 0);
	assert_false(vm->extint.line);
	edge(4);
	expect_inta(0x44);
	/* Single, without ICW4: one word more. */
	fake_out(vm, 0x20, 1, 0x12);
	fake_out(vm, 0x21, 1, 0x50);
	edge(4);
	expect_inta(0x54);
}

static void as_firmware_leaves_it(void **state)
{
	(void)state;
	i8259_reset(&pic);
	assert_int_equal(fake_in(vm, 0x21, 1), 0xff);
	assert_int_equal(fake_in(vm, 0xa1, 1), 0xff);
	assert_int_equal(fake_in(vm, 0x4d0, 2), 0x0200);
	fake_out(vm, 0x21, 1, 0xfb);
	fake_out(vm, 0xa1, 1, 0xfe);
	line(8, true);
	expect_inta(0x70);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_interrupt),	 TEST(nobody_who_listens_is_not_woken),
		TEST(the_timer),	 TEST(int_is_an_input_of_the_io_apic),
		TEST(the_second_chip),	 TEST(special_fully_nested),
		TEST(priorities),	 TEST(masks),
		TEST(rotation),		 TEST(automatic_eoi),
		TEST(special_mask_mode), TEST(polling),
		TEST(spurious),		 TEST(level_triggered),
		TEST(initialization),	 TEST(as_firmware_leaves_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
