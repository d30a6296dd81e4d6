/* links: devices/reset.c core/bus.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
/* The ways in which software resets a PC, as Linux's reboot= knows them. */
#include "tests/unit/support/fake_core.h"

#include "devices/reset.h"

static struct vm *vm;
static struct reset_ports ports;

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(1);
	assert_int_equal(reset_init(&ports, vm, true), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

static void assert_reboots(unsigned int count)
{
	assert_int_equal(fake.ends, count);
	if (count)
		assert_int_equal(fake.end, VM_END_REBOOT);
}

/* native_machine_emergency_restart(), BOOT_CF9_FORCE. */
static void cf9(void **state)
{
	(void)state;
	assert_int_equal(fake_in(vm, 0xcf9, 1), 0);
	fake_out(vm, 0xcf9, 1, 0x02);
	assert_int_equal(fake_in(vm, 0xcf9, 1), 0x02);
	assert_reboots(0);
	fake_out(vm, 0xcf9, 1, 0x06);
	assert_reboots(1);
	/* Only the change of the bit resets. */
	fake_out(vm, 0xcf9, 1, 0x06);
	assert_reboots(1);
	reset_reset(&ports);
	assert_int_equal(fake_in(vm, 0xcf9, 1), 0);
	fake_out(vm, 0xcf9, 1, 0x0e);
	assert_reboots(2);
}

/* Linux looks for a PCI bus by writing 80000000h, and what it read before, to CF8h. */
static void pci_probe_does_not_reset(void **state)
{
	uint32_t before = (uint32_t)fake_in(vm, 0xcf8, 4);

	(void)state;
	assert_int_equal(before, 0xffffffff);
	fake_out(vm, 0xcfb, 1, 1);
	fake_out(vm, 0xcf8, 4, 0x80000000);
	assert_int_not_equal(fake_in(vm, 0xcf8, 4), 0x80000000);
	fake_out(vm, 0xcf8, 4, before);
	fake_out(vm, 0xcf8, 2, 0xffff);
	fake_out(vm, 0xcfc, 4, 0xffffffff);
	assert_int_equal(fake_in(vm, 0xcfc, 4), 0xffffffff);
	assert_reboots(0);
}

static void keyboard_controller(void **state)
{
	(void)state;
	/* kb_wait(): the input buffer is empty; and there is nothing to read. */
	assert_int_equal(fake_in(vm, 0x64, 1) & 3, 0);
	fake_out(vm, 0x64, 1, 0xaa);
	fake_out(vm, 0x64, 1, 0xff);
	assert_reboots(0);
	fake_out(vm, 0x64, 1, 0xfe);
	assert_reboots(1);
	/* By the output port, bit 0 low. */
	fake_out(vm, 0x60, 1, 0xfe);
	assert_reboots(1);
	fake_out(vm, 0x64, 1, 0xd1);
	fake_out(vm, 0x60, 1, 0xdf);
	fake_out(vm, 0x60, 1, 0xfe);
	assert_reboots(1);
	fake_out(vm, 0x64, 1, 0xd1);
	fake_out(vm, 0x60, 1, 0xfe);
	assert_reboots(2);
}

static void port_92(void **state)
{
	(void)state;
	assert_int_equal(fake_in(vm, 0x92, 1), 0x02);
	fake_out(vm, 0x92, 1, 0x00);
	assert_int_equal(fake_in(vm, 0x92, 1), 0x00);
	fake_out(vm, 0x92, 1, 0x02);
	assert_reboots(0);
	fake_out(vm, 0x92, 1, 0x03);
	assert_reboots(1);
}

static void board_ports(void **state)
{
	uint8_t refresh;

	(void)state;
	fake_out(vm, 0x80, 1, 0x5a);
	assert_int_equal(fake_in(vm, 0x80, 1), 0x5a);
	/* No reason for an NMI; the refresh bit moves, for loops that wait by it. */
	refresh = fake_in(vm, 0x61, 1) & 0x10;
	assert_int_equal(fake_in(vm, 0x61, 1) & 0xc0, 0);
	assert_int_equal(fake_in(vm, 0x61, 1) & 0x10, refresh);
	assert_int_not_equal(fake_in(vm, 0x61, 1) & 0x10, refresh);
	fake_out(vm, 0x61, 1, 0xff);
	assert_int_equal(fake_in(vm, 0x61, 1) & ~0x10u, 0x0f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(cf9),		T(pci_probe_does_not_reset), T(keyboard_controller), T(port_92),
		T(board_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
