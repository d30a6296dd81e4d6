/* links: devices/ioapic.c core/devtimer.c core/bus.c core/lapic.c core/gmem.c core/lapic_irq.c core/lapic_timer.c tests/unit/support/fake_core.c */
/* The I/O APIC (82093AA data sheet) together with the local APICs it sends to. */
#include "tests/unit/support/fake_core.h"

#include "core/bus.h"
#include "core/lapic.h"
#include "devices/ioapic.h"
#include "lib/err.h"

#define MASKED	   0x10000ULL
#define LEVEL	   0x8000ULL
#define REMOTE_IRR 0x4000ULL
#define LOGICAL	   0x800ULL
#define DEST(id)   ((uint64_t)(id) << 56)

static struct vm *vm;
static struct ioapic io;

static uint32_t get(uint64_t gpa)
{
	uint64_t value = 0;

	bus_mmio(vm->vcpu[0], gpa, false, 4, &value);
	return (uint32_t)value;
}

static void put(uint64_t gpa, uint32_t data)
{
	uint64_t value = data;

	bus_mmio(vm->vcpu[0], gpa, true, 4, &value);
}

static uint32_t rd(uint8_t reg)
{
	put(IOAPIC_GPA, reg);
	return get(IOAPIC_GPA + 0x10);
}

static void wr(uint8_t reg, uint32_t value)
{
	put(IOAPIC_GPA, reg);
	put(IOAPIC_GPA + 0x10, value);
}

static void entry(unsigned int pin, uint64_t value)
{
	wr((uint8_t)(0x11 + 2 * pin), (uint32_t)(value >> 32));
	wr((uint8_t)(0x10 + 2 * pin), (uint32_t)value);
}

static uint64_t entry_of(unsigned int pin)
{
	return rd((uint8_t)(0x10 + 2 * pin)) | (uint64_t)rd((uint8_t)(0x11 + 2 * pin)) << 32;
}

static void lapic_put(struct vcpu *v, uint32_t offset, uint32_t data)
{
	uint64_t value = data;

	lapic_mmio(v, offset, true, 4, &value);
}

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(3);
	assert_int_equal(ioapic_init(&io, vm), 0);
	for (unsigned int i = 0; i < 3; i++) {
		lapic_reset(vm->vcpu[i], false);
		lapic_put(vm->vcpu[i], APIC_SVR, 0x1ff);
		lapic_put(vm->vcpu[i], APIC_LDR, 1u << (24 + i));
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

/* The vector that V has taken, -1 for none; it is in service then. */
static int taken(unsigned int id)
{
	struct vcpu *v = vm->vcpu[id];
	int vector;

	lapic_sync(v);
	vector = lapic_next(v);
	if (vector >= 0)
		lapic_accept(v, (uint8_t)vector);
	return vector;
}

static void registers(void **state)
{
	(void)state;
	assert_int_equal(rd(0), 0);
	assert_int_equal(rd(1), 0x00170020);
	for (unsigned int pin = 0; pin < 24; pin++)
		assert_int_equal(entry_of(pin), MASKED);
	wr(0, 0xffffffff);
	assert_int_equal(rd(0), 0x0f000000);
	wr(1, 0xffffffff);
	assert_int_equal(rd(1), 0x00170020);
	/* Delivery status and Remote IRR are read-only. */
	entry(5, ~0ULL);
	assert_int_equal(entry_of(5), 0xff0000000001afff);
	assert_int_equal(rd(0x40), 0);
	wr(0x40, 0xffffffff);
	wr(0xff, 0xffffffff);
	assert_int_equal(rd(0xff), 0);
	assert_int_equal(get(IOAPIC_GPA), 0xff);
	ioapic_reset(&io);
	assert_int_equal(entry_of(5), MASKED);
	assert_int_equal(rd(0), 0);
}

static void widths(void **state)
{
	uint64_t value;

	(void)state;
	wr(1, 0);
	bus_mmio(vm->vcpu[0], IOAPIC_GPA + 0x10, false, 1, &value);
	assert_int_equal(value, 0x20);
	bus_mmio(vm->vcpu[0], IOAPIC_GPA + 0x12, false, 2, &value);
	assert_int_equal(value, 0x17);
	bus_mmio(vm->vcpu[0], IOAPIC_GPA + 0x10, false, 8, &value);
	assert_int_equal(value, 0x170020);
	bus_mmio(vm->vcpu[0], IOAPIC_GPA + 0x14, false, 4, &value);
	assert_int_equal(value, 0);
	/* IOREGSEL takes a byte. */
	value = 0;
	bus_mmio(vm->vcpu[0], IOAPIC_GPA, true, 1, &value);
	assert_int_equal(get(IOAPIC_GPA), 0);
	for (uint64_t offset = 0; offset < 0x1000; offset++)
		for (uint8_t size = 1; size <= 8; size *= 2)
			bus_mmio(vm->vcpu[0], IOAPIC_GPA + offset, false, size, &value);
}

static void edges(void **state)
{
	(void)state;
	entry(4, DEST(1) | 0x34);
	vm_set_irq(vm, 4, true);
	assert_int_equal(taken(1), 0x34);
	lapic_eoi(vm->vcpu[1]);
	vm_set_irq(vm, 4, true);
	assert_int_equal(taken(1), -1);
	vm_set_irq(vm, 4, false);
	assert_int_equal(taken(1), -1);
	vm_set_irq(vm, 4, true);
	assert_int_equal(taken(1), 0x34);
	assert_int_equal(entry_of(4) & REMOTE_IRR, 0);
	lapic_eoi(vm->vcpu[1]);
	/* An edge on a masked pin is lost. */
	entry(4, DEST(1) | MASKED | 0x34);
	vm_set_irq(vm, 4, false);
	vm_set_irq(vm, 4, true);
	entry(4, DEST(1) | 0x34);
	assert_int_equal(taken(1), -1);
	assert_int_equal(taken(0), -1);
}

static void level(void **state)
{
	(void)state;
	entry(9, DEST(0) | LEVEL | 0x49);
	vm_set_irq(vm, 9, true);
	assert_int_equal(taken(0), 0x49);
	assert_int_equal(entry_of(9) & REMOTE_IRR, REMOTE_IRR);
	/* While it is served nothing is sent; at its EOI it is, if still asserted. */
	vm_set_irq(vm, 9, false);
	vm_set_irq(vm, 9, true);
	assert_int_equal(taken(0), -1);
	lapic_eoi(vm->vcpu[0]);
	assert_int_equal(entry_of(9) & REMOTE_IRR, REMOTE_IRR);
	assert_int_equal(taken(0), 0x49);
	vm_set_irq(vm, 9, false);
	lapic_eoi(vm->vcpu[0]);
	assert_int_equal(entry_of(9) & REMOTE_IRR, 0);
	assert_int_equal(taken(0), -1);
}

static void level_waits_for_unmasking(void **state)
{
	(void)state;
	entry(9, DEST(0) | LEVEL | MASKED | 0x49);
	vm_set_irq(vm, 9, true);
	assert_int_equal(taken(0), -1);
	entry(9, DEST(0) | LEVEL | 0x49);
	assert_int_equal(taken(0), 0x49);
}

static void directed_eoi(void **state)
{
	(void)state;
	lapic_put(vm->vcpu[0], APIC_SVR, 0x11ff);
	entry(9, DEST(0) | LEVEL | 0x49);
	vm_set_irq(vm, 9, true);
	assert_int_equal(taken(0), 0x49);
	lapic_eoi(vm->vcpu[0]);
	assert_int_equal(entry_of(9) & REMOTE_IRR, REMOTE_IRR);
	vm_set_irq(vm, 9, false);
	put(IOAPIC_GPA + 0x40, 0x48);
	assert_int_equal(entry_of(9) & REMOTE_IRR, REMOTE_IRR);
	put(IOAPIC_GPA + 0x40, 0x49);
	assert_int_equal(entry_of(9) & REMOTE_IRR, 0);
}

/* How Linux clears Remote IRR on an I/O APIC without EOI register: edge and back, masked. */
static void trigger_mode_clears_remote_irr(void **state)
{
	(void)state;
	entry(9, DEST(0) | LEVEL | 0x49);
	vm_set_irq(vm, 9, true);
	assert_int_equal(taken(0), 0x49);
	wr(0x10 + 18, MASKED | 0x49);
	wr(0x10 + 18, MASKED | LEVEL | 0x49);
	assert_int_equal(entry_of(9) & REMOTE_IRR, 0);
	lapic_eoi(vm->vcpu[0]);
	wr(0x10 + 18, LEVEL | 0x49);
	assert_int_equal(taken(0), 0x49);
}

static void logical_and_lowest(void **state)
{
	(void)state;
	entry(4, DEST(6) | LOGICAL | 0x34);
	vm_set_irq(vm, 4, true);
	assert_int_equal(taken(0), -1);
	assert_int_equal(taken(1), 0x34);
	assert_int_equal(taken(2), 0x34);
	lapic_eoi(vm->vcpu[1]);
	entry(5, DEST(7) | LOGICAL | 0x100 | 0x35);
	lapic_put(vm->vcpu[0], APIC_TPR, 0x20);
	vm_set_irq(vm, 5, true);
	assert_int_equal(taken(0), -1);
	assert_int_equal(taken(1), 0x35);
	assert_int_equal(taken(2), -1);
}

static void nmi_and_extint(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		fake_requests(vm->vcpu[i]);
	/* The trigger mode does not matter to them. */
	entry(2, DEST(2) | LEVEL | 0x400);
	vm_set_irq(vm, 2, true);
	assert_int_equal(fake_requests(vm->vcpu[2]), REQ_NMI);
	assert_int_equal(entry_of(2) & REMOTE_IRR, 0);
	entry(0, DEST(0) | 0x700);
	vm_set_irq(vm, 0, true);
	assert_int_equal(fake_requests(vm->vcpu[0]), REQ_EVENT);
	assert_true(lapic_accepts_extint(vm->vcpu[0]));
	assert_false(lapic_accepts_extint(vm->vcpu[1]));
	assert_int_equal(taken(0), -1);
}

/* Nobody took the message: nobody will end it, so the pin does not wait for that. */
static void nobody_there(void **state)
{
	(void)state;
	entry(9, DEST(77) | LEVEL | 0x49);
	vm_set_irq(vm, 9, true);
	assert_int_equal(entry_of(9) & REMOTE_IRR, 0);
	entry(9, DEST(1) | LEVEL | 0x49);
	assert_int_equal(taken(1), 0x49);
}

static void no_more_sinks_or_pins(void **state)
{
	struct ioapic other;

	(void)state;
	vm->sink[0].set_line(&io, 24, true);
	vm->sink[0].set_line(&io, 32, true);
	assert_int_equal(io.lines, 0);
	vm->sink_count = ARRAY_SIZE(vm->sink);
	assert_int_equal(ioapic_init(&other, vm), -ENOSPC);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(registers),
		T(widths),
		T(edges),
		T(level),
		T(level_waits_for_unmasking),
		T(directed_eoi),
		T(trigger_mode_clears_remote_irr),
		T(logical_and_lowest),
		T(nmi_and_extint),
		T(nobody_there),
		T(no_more_sinks_or_pins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
