/* links: devices/pc.c devices/pc_ports.c devices/debug_ports.c devices/ioapic.c devices/i8259.c devices/i8254.c devices/i8042.c devices/hpet.c devices/fw_cfg.c core/gmem.c core/devtimer.c devices/uart16550.c devices/acpi_pm.c devices/reset.c devices/rtc.c core/bus.c core/clock.c lib/strbuf.c lib/fmt.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
/* All devices of a VM together, and the two ports for test programs. */
#include "tests/unit/support/fake_core.h"

#include <string.h>

#include "core/bus.h"
#include "core/console.h"
#include "core/devtimer.h"
#include "core/lapic.h"
#include "devices/pc.h"
#include "devices/pc_ports.h"

static struct vm *vm;
static struct pc pc;
static char printed[64];
static size_t printed_count;
static unsigned int messages; /* of the I/O APIC's */

bool lapic_send(struct vm *to, struct vcpu *src, const struct apic_msg *msg)
{
	(void)to;
	(void)src;
	(void)msg;
	messages++;
	return true;
}

bool lapic_accepts_extint(const struct vcpu *v)
{
	(void)v;
	return true;
}

void lapic_lint(struct vcpu *v, unsigned int pin)
{
	(void)v;
	(void)pin;
}

int console_attach(struct vm *to, const struct console_client *client)
{
	(void)to;
	(void)client;
	return 0;
}

bool console_put(struct vm *from, uint8_t byte)
{
	(void)from;
	printed[printed_count++] = (char)byte;
	return true;
}

void console_input_ready(struct vm *to)
{
	(void)to;
}

void console_reset(struct vm *of)
{
	(void)of;
}

static struct pc_options pc_options;

static void init(const struct pc_options *options)
{
	vm = fake_vm_new(1);
	memset(printed, 0, sizeof(printed));
	printed_count = 0;
	pc_options = *options;
	pc_options.fw_cfg.cmdline = "";
	assert_int_equal(pc_init(&pc, vm, &pc_options), 0);
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

/* What preflight says of a port is what the bus does. */
static void owners_are_those_on_the_bus(void **state)
{
	(void)state;
	init(&(struct pc_options){.legacy = true, .com2 = true});
	for (uint32_t port = 0; port < 0x10000; port++) {
		bool there = false;

		for (unsigned int i = 0; i < vm->pio_count; i++)
			there |= port - vm->pio[i].base < vm->pio[i].size;
		if (there != (pc_port_owner((uint16_t)port, 1, true) != NULL))
			fail_msg("port %#x", port);
	}
	assert_null(pc_port_owner(0x3f4, 4, true));
	assert_non_null(pc_port_owner(0x3f5, 4, true));
	assert_null(pc_port_owner(0xffff, 1, true));
}

static void without_keys_there_are_no_debug_ports(void **state)
{
	(void)state;
	init(&(struct pc_options){.legacy = false});
	fake_out(vm, 0xf4, 1, 1);
	fake_out(vm, 0xe9, 1, 'x');
	assert_int_equal(fake_in(vm, 0xe9, 1), 0xff);
	assert_int_equal(fake.ends, 0);
	assert_int_equal(printed_count, 0);
}

static void debug_exit_ends_with_what_is_written(void **state)
{
	(void)state;
	init(&(struct pc_options){.debug_exit = 0xf4});
	assert_int_equal(fake_in(vm, 0xf4, 1), 0xff);
	assert_int_equal(fake_in(vm, 0xf4, 4), 0xffffffff);
	fake_out(vm, 0xf5, 1, 1);
	assert_int_equal(fake.ends, 0);
	fake_out(vm, 0xf4, 1, 0);
	assert_int_equal(fake.ends, 1);
	assert_int_equal(fake.end, VM_END_EXIT);
	assert_string_equal(fake.end_why, "0");
	fake_out(vm, 0xf4, 4, 0xfffffffe);
	assert_string_equal(fake.end_why, "4294967294");
	fake_out(vm, 0xf4, 2, 300);
	assert_string_equal(fake.end_why, "300");
}

static void debug_exit_at_the_last_port(void **state)
{
	(void)state;
	init(&(struct pc_options){.debug_exit = 0xffff});
	fake_out(vm, 0xffff, 1, 3);
	assert_string_equal(fake.end_why, "3");
}

static void debug_console_prints(void **state)
{
	(void)state;
	init(&(struct pc_options){.debug_console = 0xe9});
	assert_int_equal(fake_in(vm, 0xe9, 1), 0xe9);
	fake_out(vm, 0xe9, 1, 'h');
	fake_out(vm, 0xe9, 1, 'i');
	fake_out(vm, 0xe8, 1, 'x');
	assert_string_equal(printed, "hi");
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)

/* ---- a timer whose interrupt is masked ---- */

#define SECOND	1000000000ULL /* of the fake's TSC */
#define PIC	0x20
#define PIC_IMR 0x21

/* As the run loop does. Returns how often it was disturbed. */
static unsigned int pass(uint64_t ticks)
{
	uint64_t end = fake.tsc + ticks;
	unsigned int disturbed = 0;

	for (; vm->timers_at && vm->timers_at <= end; disturbed++) {
		fake.tsc = MAX(fake.tsc, vm->timers_at);
		dev_timers_run(vm);
	}
	fake.tsc = end;
	return disturbed;
}

static int setup_timer(void **state)
{
	const struct pc_options options = {.legacy = true};

	(void)state;
	init(&options);
	messages = 0;
	return 0;
}

static uint8_t requests(void)
{
	fake_out(vm, PIC, 1, 0x0a);
	return (uint8_t)fake_in(vm, PIC, 1) & 1;
}

static void set_entry(uint64_t pin, uint64_t low)
{
	uint64_t index = 0x10 + 2 * pin;

	bus_mmio(vm->vcpu[0], 0xfec00000, true, 4, &index);
	bus_mmio(vm->vcpu[0], 0xfec00010, true, 4, &low);
}

/* From power-on the 8254 ticks 18.2 times a second, and all interrupts are masked. */
static void masked_ticks_disturb_nobody(void **state)
{
	const struct irq_sink *pic = &vm->sink[1];

	(void)state;
	assert_false(pic->is_deaf(pic->dev, 2)); /* the first is to be latched */
	assert_int_equal(pass(10 * SECOND), 1);
	assert_true(pic->is_deaf(pic->dev, 2));
	assert_true(requests());
	assert_false(vm->extint.line);
}

/* Nor when it is programmed meanwhile, as kernels do, or when the VM begins anew. */
static void masked_timer_may_be_changed(void **state)
{
	(void)state;
	pass(10 * SECOND);
	fake_out(vm, 0x43, 1, 0x34);
	fake_out(vm, 0x40, 1, 0xa9);
	fake_out(vm, 0x40, 1, 0x04);
	assert_int_equal(pass(10 * SECOND), 1);
	pc_reset(&pc);
	assert_int_equal(pass(10 * SECOND), 1);
}

static void unmasked_tick_is_there_at_once(void **state)
{
	(void)state;
	pass(10 * SECOND);
	fake_out(vm, PIC_IMR, 1, 0xfe);
	assert_true(vm->extint.line);
	assert_int_equal(vm->extint.acknowledge(vm->extint.dev), 0x08);
	fake_out(vm, PIC, 1, 0x20);
	assert_false(vm->extint.line);
	/* And the next ones as they come: 10 s are 182.06 ticks, ten more 364.1. */
	assert_int_equal(pass(10 * SECOND), 182);
	assert_true(vm->extint.line);
}

/* What is latched is forgotten with ICW1, and by a read in poll mode: the next tick is not. */
static void tick_is_latched_again(void **state)
{
	(void)state;
	pass(10 * SECOND);
	fake_out(vm, PIC, 1, 0x11);
	assert_false(requests());
	fake_out(vm, PIC_IMR, 1, 0x08);
	fake_out(vm, PIC_IMR, 1, 0x04);
	fake_out(vm, PIC_IMR, 1, 0x01);
	fake_out(vm, PIC_IMR, 1, 0xff);
	assert_int_equal(pass(10 * SECOND), 1);
	assert_true(requests());
}

static void ticks_go_to_the_io_apic(void **state)
{
	(void)state;
	pass(10 * SECOND);
	set_entry(2, 0x30);
	assert_int_equal(messages, 0); /* an edge that was masked is lost there */
	pass(10 * SECOND);
	assert_int_equal(messages, 182);
	set_entry(2, 0x10030);
	assert_int_equal(pass(10 * SECOND), 1);
	assert_int_equal(messages, 182);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(owners_are_those_on_the_bus),
		TEST(without_keys_there_are_no_debug_ports),
		TEST(debug_exit_ends_with_what_is_written),
		TEST(debug_exit_at_the_last_port),
		TEST(debug_console_prints),
		cmocka_unit_test_setup_teardown(masked_ticks_disturb_nobody, setup_timer, teardown),
		cmocka_unit_test_setup_teardown(masked_timer_may_be_changed, setup_timer, teardown),
		cmocka_unit_test_setup_teardown(unmasked_tick_is_there_at_once, setup_timer,
						teardown),
		cmocka_unit_test_setup_teardown(tick_is_latched_again, setup_timer, teardown),
		cmocka_unit_test_setup_teardown(ticks_go_to_the_io_apic, setup_timer, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
