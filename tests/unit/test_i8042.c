/* links: devices/i8042.c core/bus.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
/* The keyboard controller as drivers and boot loaders talk to it, with nothing attached. */
#include "tests/unit/support/fake_core.h"

#include "devices/i8042.h"

#define DATA	0x60
#define COMMAND 0x64

/* Status bits. */
#define FULL	0x01
#define SYSTEM	0x04
#define CMD	0x08
#define AUX	0x20
#define TIMEOUT 0x40

static struct vm *vm;
static struct i8042 kbc;

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(1);
	assert_int_equal(i8042_init(&kbc, vm), 0);
	i8042_reset(&kbc);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

static uint8_t status(void)
{
	return (uint8_t)fake_in(vm, COMMAND, 1);
}

static void command(uint8_t byte)
{
	fake_out(vm, COMMAND, 1, byte);
}

static void data(uint8_t byte)
{
	fake_out(vm, DATA, 1, byte);
}

/* The answer to a command, which must be there. */
static uint8_t answer(void)
{
	assert_int_equal(status() & (FULL | 2), FULL);
	return (uint8_t)fake_in(vm, DATA, 1);
}

static uint8_t ask(uint8_t byte)
{
	command(byte);
	return answer();
}

static void tests_pass(void **state)
{
	(void)state;
	assert_int_equal(status(), 0x14);
	assert_int_equal(ask(0xaa), 0x55);
	assert_int_equal(ask(0xab), 0x00);
	assert_int_equal(ask(0xa9), 0x00);
	assert_int_equal(status() & (FULL | SYSTEM | CMD), SYSTEM | CMD);
	assert_int_equal(ask(0xc0) & 0x80, 0x80);
	/* No password is set. */
	assert_int_equal(ask(0xa4), 0xf1);
}

static void command_byte(void **state)
{
	(void)state;
	assert_int_equal(ask(0x20), 0x65);
	command(0x60);
	data(0x74);
	assert_int_equal(status() & (FULL | CMD), 0);
	assert_int_equal(ask(0x20), 0x74);
	command(0xae);
	command(0xa8);
	assert_int_equal(ask(0x20), 0x44);
	command(0xad);
	command(0xa7);
	assert_int_equal(ask(0x20), 0x74);
	/* Its bit 2 is the status's. */
	command(0x60);
	data(0x00);
	assert_int_equal(status() & SYSTEM, 0);
	assert_int_equal(ask(0xaa), 0x55);
	assert_int_equal(status() & SYSTEM, SYSTEM);
	/* The rest of its memory. */
	command(0x7f);
	data(0xa5);
	assert_int_equal(ask(0x3f), 0xa5);
	assert_int_equal(ask(0x3e), 0);
}

static void buffers_can_be_written(void **state)
{
	(void)state;
	command(0xd2);
	data(0x1c);
	assert_int_equal(status() & (FULL | AUX), FULL);
	assert_int_equal(answer(), 0x1c);
	command(0xd3);
	data(0x5a);
	assert_int_equal(status() & (FULL | AUX), FULL | AUX);
	assert_int_equal(answer(), 0x5a);
	assert_int_equal(status() & (FULL | AUX), 0);
}

static void nobody_answers(void **state)
{
	(void)state;
	data(0xff);
	assert_int_equal(status() & (FULL | AUX | TIMEOUT | CMD), FULL | TIMEOUT);
	assert_int_equal(answer(), 0xfe);
	assert_int_equal(status() & (FULL | TIMEOUT), 0);
	command(0xd4);
	data(0xff);
	assert_int_equal(status() & (FULL | AUX | TIMEOUT), FULL | AUX | TIMEOUT);
	assert_int_equal(answer(), 0xfe);
	/* A command between makes the next byte the keyboard's. */
	command(0x60);
	command(0xae);
	data(0xed);
	assert_int_equal(answer(), 0xfe);
	assert_int_equal(ask(0x20), 0x45);
}

static void interrupts(void **state)
{
	(void)state;
	command(0xd2);
	data(0x1c);
	assert_true(fake.line[1]);
	assert_false(fake.line[12]);
	assert_int_equal(ask(0xd0) & 0x30, 0x10);
	assert_false(fake.line[1]);
	/* Those of the auxiliary port are off, then on. */
	command(0xd3);
	data(0x5a);
	assert_false(fake.line[12]);
	fake_in(vm, DATA, 1);
	command(0x60);
	data(0x46);
	command(0xd3);
	data(0x5a);
	assert_true(fake.line[12]);
	assert_false(fake.line[1]);
	fake_in(vm, DATA, 1);
	assert_false(fake.line[12]);
	ask(0xaa);
	assert_int_equal(fake.rises[1], 1);
	command(0xd3);
	data(0x5a);
	i8042_reset(&kbc);
	assert_false(fake.line[12]);
}

static void output_port(void **state)
{
	(void)state;
	assert_int_equal(ask(0xd0), 0xc3);
	command(0xd1);
	data(0xdd);
	assert_int_equal(ask(0xd0), 0xc1); /* A20 off */
	assert_int_equal(fake.ends, 0);
	command(0xd1);
	data(0xde);
	assert_int_equal(fake.ends, 1);
	assert_int_equal(fake.end, VM_END_REBOOT);
}

static void pulses(void **state)
{
	(void)state;
	command(0xff);
	command(0xfd);
	data(0xfe);
	assert_int_equal(fake.ends, 0);
	command(0xfe);
	assert_int_equal(fake.ends, 1);
	assert_int_equal(fake.end, VM_END_REBOOT);
	command(0xf0);
	assert_int_equal(fake.ends, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(tests_pass),	   T(command_byte), T(buffers_can_be_written),
		T(nobody_answers), T(interrupts),   T(output_port),
		T(pulses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
