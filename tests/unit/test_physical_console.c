/* links: tests/unit/support/fake_core.c lib/log.c lib/fmt.c lib/strbuf.c core/console_own.c core/console_text.c */
/*
 * The console on a 16550 (National's PC16550D data sheet) whose interrupt is an edge at the I/O
 * APIC: whatever happens between any two accesses to its registers, output and input go on by
 * interrupts alone.
 */
#include "arch/x86/cpu.h"
#include "tests/unit/support/fake_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t model_in(uint64_t address);
static void model_out(uint64_t address, uint8_t value);

/* Included, not linked: the registers are the model's, and what lasts is set anew for each test. */
#define inb(port)		    model_in(port)
#define outb(port, value)	    model_out(port, value)
#define mmio_read8(address)	    model_in(address)
#define mmio_write8(address, value) model_out(address, value)
#include "arch/x86/uart.c"
#undef inb
#undef outb
#undef mmio_read8
#undef mmio_write8
#include "boot/physical_console.c"
#include "core/console.c"

#define BACKLOG 3000

/* ---- the chip ---- */

static struct {
	uint8_t ier;
	unsigned int tx, rx; /* bytes in the FIFOs */
	bool thre;	     /* "transmitter empty" is pending */
	bool silent;	     /* a chip that does not raise it when it is enabled */
	bool line, edge;
	char sent[2 * BACKLOG];
	unsigned int count;
	/* What happens just before the access number `when`, or before every one to register
	 * `at`. */
	void (*event)(void);
	unsigned int accesses, when;
	int at;
} chip;

static void update_line(void)
{
	bool line = (chip.ier & IER_RX && chip.rx) || (chip.ier & IER_TX && chip.thre);

	chip.edge |= line && !chip.line;
	chip.line = line;
}

static void tx_empties(void)
{
	if (!chip.tx)
		return;
	chip.tx = 0;
	chip.thre = true;
	update_line();
}

static void byte_comes(void)
{
	chip.rx++;
	update_line();
}

static unsigned int access_to(uint64_t address)
{
	unsigned int reg = address & 7;

	if (chip.event && (chip.accesses++ == chip.when || chip.at == (int)reg))
		chip.event();
	return reg;
}

/* 8.6: reading it ends THRE, where that is what is read. */
static uint8_t read_iir(void)
{
	if (chip.ier & IER_RX && chip.rx)
		return 0xc4;
	if (!(chip.ier & IER_TX && chip.thre))
		return 0xc1;
	chip.thre = false;
	update_line();
	return 0xc2;
}

static uint8_t model_in(uint64_t address)
{
	switch (access_to(address)) {
	case REG_DATA:
		assert_true(chip.rx > 0);
		chip.rx--;
		update_line();
		return 'k';
	case REG_IIR:
		return read_iir();
	case REG_LSR:
		return (chip.rx ? LSR_RX_READY : 0) | (chip.tx ? 0 : LSR_TX_EMPTY);
	default:
		return 0;
	}
}

/* 8.7: enabling THRE while THR is empty raises it. */
static void write_ier(uint8_t value)
{
	if (value & ~chip.ier & IER_TX && !chip.tx)
		chip.thre = !chip.silent;
	chip.ier = value;
	update_line();
}

static void model_out(uint64_t address, uint8_t value)
{
	switch (access_to(address)) {
	case REG_DATA:
		assert_true(chip.tx < FIFO_DEPTH);
		assert_true(chip.count < sizeof(chip.sent));
		chip.tx++;
		chip.thre = false;
		chip.sent[chip.count++] = (char)value;
		update_line();
		break;
	case REG_IER:
		write_ier(value);
		break;
	default:
		fail_msg("register %u is written", (unsigned int)(address & 7));
	}
}

/* ---- what surrounds the console ---- */

static struct uart uarts[SERIAL_MAX];
static struct acpi_info tables;
static bool has_tables;
static irq_handler *handler;
static struct {
	uint32_t gsi, masked;
	bool level, active_low;
} routed;
static uint64_t (*clock)(void);
static struct vm *vm;
static unsigned int got;

size_t serial_ports(struct uart **array)
{
	*array = uarts;
	return 1;
}

const struct acpi_info *firmware_tables(uint64_t rsdp)
{
	(void)rsdp;
	return has_tables ? &tables : NULL;
}

bool firmware_maps(uint64_t pa, size_t len)
{
	(void)pa;
	(void)len;
	return true;
}

struct acpi_override acpi_isa_irq(const struct acpi_info *info, uint8_t irq)
{
	(void)info;
	return (struct acpi_override){.irq = irq, .gsi = irq};
}

uint32_t apic_id(void)
{
	return 0;
}

void irq_register(unsigned int vector, irq_handler *fn)
{
	assert_int_equal(vector, VEC_CONSOLE);
	handler = fn;
}

int ioapic_route(uint32_t gsi, uint32_t id, uint8_t vector, bool level, bool active_low)
{
	assert_int_equal(id, 0);
	assert_int_equal(vector, VEC_CONSOLE);
	routed.gsi = gsi;
	routed.level = level;
	routed.active_low = active_low;
	return 0;
}

int ioapic_mask(uint32_t gsi)
{
	routed.masked = gsi;
	return 0;
}

struct pcpu *pcpus[CPU_MAX];

void sched_set_housekeeping(struct pcpu *cpu, uint64_t (*fn)(void))
{
	(void)cpu;
	clock = fn;
}

uint64_t watch_tick(void)
{
	return ~0ull;
}

/* No screen in these tests. */
uint64_t screen_bytes(const struct boot_framebuffer *fb)
{
	(void)fb;
	return 0;
}

size_t screen_memory(const struct boot_framebuffer *fb)
{
	(void)fb;
	return 0;
}

void screen_open(const struct boot_framebuffer *fb, unsigned int status, void *memory)
{
	(void)fb;
	(void)status;
	(void)memory;
}

void screen_put(uint8_t byte)
{
	(void)byte;
}

void screen_status(unsigned int row, const char *text)
{
	(void)row;
	(void)text;
}

bool screen_draw(uint64_t until)
{
	(void)until;
	return true;
}

void screen_redraw(void)
{
}

int host_map_add(uint64_t pa, uint64_t size, uint64_t prot, enum memtype type)
{
	(void)pa;
	(void)size;
	(void)prot;
	(void)type;
	return 0;
}

bool monitor_status(size_t i, struct strbuf *line)
{
	(void)i;
	(void)line;
	return false;
}

/* Nor a VM with a port of its own. */
bool serial_of_vm(const struct config_vm *config, struct uart *u)
{
	(void)config;
	(void)u;
	return false;
}

void boot_serial_write(const char *text, size_t len)
{
	(void)text;
	(void)len;
}

static void input(void *dev, uint8_t byte)
{
	(void)dev;
	assert_int_equal(byte, 'k');
	got++;
}

static unsigned int input_room(void *dev)
{
	(void)dev;
	return 16;
}

static void output_room(void *dev)
{
	(void)dev;
}

/* ---- the tests ---- */

static int setup(void **state)
{
	(void)state;
	memset(&con, 0, sizeof(con));
	memset(&console_lock, 0, sizeof(console_lock));
	memset(&chip, 0, sizeof(chip));
	memset(&fake, 0, sizeof(fake));
	memset(&tables, 0, sizeof(tables));
	memset(&routed, 0, sizeof(routed));
	memset(irqs, 0, sizeof(irqs));
	has_tables = polled = irq_works = screen = drawn_by_clock = false;
	look_at = ~0ull;
	handler = NULL;
	got = 0;
	chip.at = -1;
	uarts[0] = (struct uart){.base = 0x3f8, .fifo = FIFO_DEPTH};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(console_lock.next, console_lock.owner);
	log_set_sink(NULL, NULL);
	if (!vm)
		return 0;
	free(vm->console);
	fake_vm_free(vm);
	vm = NULL;
	return 0;
}

static void start(void)
{
	static const struct console_client client = {.input = input,
						     .input_room = input_room,
						     .output_room = output_room};
	static const struct handover h;

	vm = fake_vm_new(0);
	fake.tsc = 5000000000ull;
	assert_int_equal(console_attach(vm, &client), 0);
	physical_console_init();
	physical_console_use_irq(&h);
	assert_non_null(clock);
	irq_works = true; /* the clock does not stand in any more */
	look_at = ~0ull;
}

/* More than the port takes at once: what waits is the interrupt's to send. */
static void write_backlog(void)
{
	for (unsigned int i = 0; i < BACKLOG; i++)
		assert_true(console_put(vm, (uint8_t)('a' + i % 26)));
	assert_true(chip.count <= FIFO_DEPTH);
}

static void take_interrupts(void)
{
	for (unsigned int i = 0; chip.edge; i++) {
		assert_true(i < BACKLOG);
		chip.edge = false;
		handler(VEC_CONSOLE);
	}
}

/* The line's speed, and the interrupts that follow from it. */
static void let_time_pass(void)
{
	take_interrupts();
	while (chip.tx) {
		tx_empties();
		take_interrupts();
	}
}

static void all_was_sent(void)
{
	assert_int_equal(chip.count, BACKLOG);
	for (unsigned int i = 0; i < BACKLOG; i++)
		assert_int_equal(chip.sent[i], 'a' + i % 26);
}

static void nothing_is_lost_between_any_two_accesses(void **state)
{
	static void (*const events[])(void) = {tx_empties, byte_comes};

	for (unsigned int e = 0; e < ARRAY_SIZE(events); e++) {
		for (unsigned int when = 0; when < 400; when++) {
			setup(state);
			start();
			write_backlog();
			chip.event = events[e];
			chip.when = when;
			let_time_pass();
			all_was_sent();
			assert_int_equal(chip.rx, 0);
			assert_int_equal(got, events[e] == byte_comes);
			teardown(state);
		}
	}
}

/* As when the handler is slow, or the line fast: its FIFO is empty again whenever that is looked
 * at. */
static void a_fast_line_loses_no_interrupt(void **state)
{
	(void)state;
	start();
	write_backlog();
	chip.event = tx_empties;
	chip.when = ~0u;
	chip.at = REG_IIR;
	let_time_pass();
	all_was_sent();
}

static void a_fast_line_with_all_registers(void **state)
{
	for (int reg = REG_IER; reg <= REG_LSR; reg++) {
		setup(state);
		start();
		write_backlog();
		chip.event = tx_empties;
		chip.when = ~0u;
		chip.at = reg;
		let_time_pass();
		all_was_sent();
		teardown(state);
	}
}

/* The last byte leaves between the look at the room and the interrupt's being enabled. */
static void a_chip_that_does_not_raise_it_on_enabling(void **state)
{
	for (unsigned int when = 0; when < 100; when++) {
		setup(state);
		start();
		chip.silent = true;
		chip.event = tx_empties;
		chip.when = when;
		write_backlog();
		let_time_pass();
		all_was_sent();
		teardown(state);
	}
}

static void the_clock_looks_after_an_interrupt_that_was_taken_away(void **state)
{
	(void)state;
	start();
	look_at = 0;
	clock();
	write_backlog();
	tx_empties();
	byte_comes();
	chip.edge = false;
	let_time_pass();
	assert_true(chip.count < BACKLOG);
	fake.tsc += 99 * 1000000;
	clock();
	assert_true(chip.count < BACKLOG && !got);
	fake.tsc += 2 * 1000000;
	clock();
	let_time_pass();
	all_was_sent();
	assert_int_equal(got, 1);
}

static void a_line_that_never_falls_is_masked(void **state)
{
	(void)state;
	has_tables = true;
	tables.has_spcr = true;
	tables.spcr.base = (struct acpi_gas){.address = 0xfe032000};
	tables.spcr.has_gsi = true;
	tables.spcr.gsi = 20;
	uarts[0].base = 0xfe032000;
	uarts[0].mmio = true;
	start();
	look_at = 0;
	for (unsigned int i = 0; i <= STORM; i++)
		handler(VEC_CONSOLE);
	clock();
	assert_int_equal(routed.masked, 20);
	/* The clock does it now. */
	chip.edge = false;
	byte_comes();
	fake.tsc += UNPROVEN_NS;
	clock();
	assert_int_equal(got, 1);
}

static void work_is_no_storm(void **state)
{
	(void)state;
	start();
	look_at = 0;
	for (unsigned int i = 0; i <= STORM; i++) {
		byte_comes();
		take_interrupts();
	}
	clock();
	assert_int_equal(routed.masked, 0);
	assert_int_equal(got, STORM + 1);
}

static void com1_is_on_isa_interrupt_4(void **state)
{
	(void)state;
	start();
	assert_int_equal(routed.gsi, 4);
	assert_false(routed.level || routed.active_low);
}

/* A port of SPCR's, at I/O ports or in memory, on the interrupt that the table gives. */
static void spcrs_interrupt(bool mmio, uint32_t gsi, bool level)
{
	has_tables = true;
	tables.has_spcr = true;
	tables.spcr.base = (struct acpi_gas){.address = 0xe000, .is_port = !mmio};
	tables.spcr.has_gsi = true;
	tables.spcr.gsi = gsi;
	uarts[0].base = 0xe000;
	uarts[0].mmio = mmio;
	start();
	assert_int_equal(routed.gsi, gsi);
	assert_int_equal(routed.level, level);
	assert_int_equal(routed.active_low, level);
	write_backlog();
	let_time_pass();
	all_was_sent();
}

static void a_port_of_spcrs_has_its_interrupt(void **state)
{
	(void)state;
	spcrs_interrupt(false, 5, false);
}

static void a_port_in_memory_has_spcrs_interrupt(void **state)
{
	(void)state;
	spcrs_interrupt(true, 20, true);
}

static void an_override_tells_trigger_and_polarity(void **state)
{
	(void)state;
	tables.override_count = 1;
	tables.overrides[0] = (struct acpi_override){.irq = 5, .gsi = 5, .level = true};
	has_tables = true;
	tables.has_spcr = true;
	tables.spcr.base = (struct acpi_gas){.address = 0xe000, .is_port = true};
	tables.spcr.has_gsi = true;
	tables.spcr.gsi = 5;
	uarts[0].base = 0xe000;
	start();
	assert_int_equal(routed.gsi, 5);
	assert_true(routed.level);
	assert_false(routed.active_low);
}

static void another_port_than_spcrs_is_polled(void **state)
{
	(void)state;
	has_tables = true;
	tables.has_spcr = true;
	tables.spcr.base = (struct acpi_gas){.address = 0xe000};
	tables.spcr.has_gsi = true;
	tables.spcr.gsi = 20;
	uarts[0].base = 0xf000;
	uarts[0].mmio = true;
	start();
	assert_true(polled);
	assert_null(handler);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_is_lost_between_any_two_accesses),
		T(a_fast_line_loses_no_interrupt),
		T(a_fast_line_with_all_registers),
		T(a_chip_that_does_not_raise_it_on_enabling),
		T(the_clock_looks_after_an_interrupt_that_was_taken_away),
		T(a_line_that_never_falls_is_masked),
		T(work_is_no_storm),
		T(com1_is_on_isa_interrupt_4),
		T(a_port_of_spcrs_has_its_interrupt),
		T(a_port_in_memory_has_spcrs_interrupt),
		T(an_override_tells_trigger_and_polarity),
		T(another_port_than_spcrs_is_polled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
