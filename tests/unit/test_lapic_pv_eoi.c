/* links: core/lapic.c core/gmem.c core/lapic_irq.c core/lapic_timer.c tests/unit/support/fake_core.c */
/* The end of an interrupt without an exit: Linux Documentation/virt/kvm/x86/msr.rst. */
#include "tests/unit/support/fake_core.h"

#include <string.h>

#include "core/lapic.h"
#include "lib/err.h"

#define ENABLED 0x1ffu
#define WORD	0x104u

static struct vm *vm;
static struct vcpu *cpu;
static uint32_t ram[1024];

static void wr(uint32_t offset, uint32_t value)
{
	uint64_t wide = value;

	lapic_mmio(cpu, offset, true, 4, &wide);
}

/* Vectors 40h to 5fh. */
static uint32_t in_service(void)
{
	uint64_t value;

	lapic_mmio(cpu, APIC_ISR + 0x20, false, 4, &value);
	return (uint32_t)value;
}

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(1);
	cpu = vm->vcpu[0];
	memset(ram, 0, sizeof(ram));
	vm->ram[0] = (struct vm_ram){.size = sizeof(ram), .hva = (uint8_t *)ram};
	vm->ram_count = 1;
	lapic_reset(cpu, false);
	wr(APIC_SVR, ENABLED);
	return lapic_set_pv_eoi(cpu, WORD | 1);
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

/* The vector that is taken now, or -1; as the run loop does. */
static int taken(void)
{
	int vector;

	lapic_sync(cpu);
	vector = lapic_next(cpu);
	if (vector >= 0)
		lapic_accept(cpu, (uint8_t)vector);
	return vector;
}

static void ends_an_edge(void **state)
{
	(void)state;
	ram[WORD / 4] = 0xa0;
	lapic_post(cpu, 0x41, false);
	assert_int_equal(taken(), 0x41);
	assert_int_equal(ram[WORD / 4], 0xa1);
	/* As Linux does it: it has ended, and the same class is free. */
	ram[WORD / 4] &= ~1u;
	lapic_post(cpu, 0x40, false);
	assert_int_equal(taken(), 0x40);
	assert_int_equal(ram[WORD / 4], 0xa1);
	ram[WORD / 4] &= ~1u;
	assert_int_equal(in_service(), 0);
	assert_int_equal(ram[WORD / 4], 0xa0);
}

static void is_withdrawn_when_more_comes(void **state)
{
	(void)state;
	lapic_post(cpu, 0x41, false);
	assert_int_equal(taken(), 0x41);
	lapic_post(cpu, 0x40, false);
	assert_int_equal(taken(), -1);
	assert_int_equal(ram[WORD / 4], 0);
	/* Now its end must be told, and lets the other one in. */
	wr(APIC_EOI, 0);
	assert_int_equal(taken(), 0x40);
	assert_int_equal(ram[WORD / 4], 1);
	/* An EOI in spite of the offer ends it once. */
	wr(APIC_EOI, 0);
	assert_int_equal(ram[WORD / 4], 0);
	assert_int_equal(in_service(), 0);
}

static void is_not_offered(void **state)
{
	(void)state;
	/* Level-triggered: the I/O APIC must hear of it. */
	lapic_post(cpu, 0x60, true);
	assert_int_equal(taken(), 0x60);
	assert_int_equal(ram[WORD / 4], 0);
	/* Nested: there is one below. */
	lapic_post(cpu, 0x71, false);
	assert_int_equal(taken(), 0x71);
	assert_int_equal(ram[WORD / 4], 0);
	wr(APIC_EOI, 0);
	wr(APIC_EOI, 0);
	/* Another one waits. */
	lapic_post(cpu, 0x42, false);
	lapic_post(cpu, 0x41, false);
	assert_int_equal(taken(), 0x42);
	assert_int_equal(ram[WORD / 4], 0);
	wr(APIC_EOI, 0);
	assert_int_equal(taken(), 0x41);
	assert_int_equal(ram[WORD / 4], 1);
	/* Switched off, and by INIT. */
	assert_int_equal(lapic_set_pv_eoi(cpu, 0), 0);
	assert_int_equal(ram[WORD / 4], 0);
	wr(APIC_EOI, 0);
	assert_int_equal(lapic_set_pv_eoi(cpu, WORD | 1), 0);
	lapic_reset(cpu, true);
	wr(APIC_SVR, ENABLED);
	lapic_post(cpu, 0x41, false);
	assert_int_equal(taken(), 0x41);
	assert_int_equal(ram[WORD / 4], 0);
}

static void needs_ram(void **state)
{
	(void)state;
	assert_int_equal(lapic_set_pv_eoi(cpu, (sizeof(ram) - 4) | 1), 0);
	assert_int_equal(lapic_set_pv_eoi(cpu, sizeof(ram) | 1), -EPERM);
	assert_int_equal(lapic_set_pv_eoi(cpu, ~0ull - 2), -EPERM);
	assert_int_equal(lapic_set_pv_eoi(cpu, WORD | 3), -EPERM);
	hv_caps.features = HV_F_VID;
	assert_int_equal(lapic_set_pv_eoi(cpu, WORD | 1), -EPERM);
	hv_caps.features = 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ends_an_edge),
		T(is_withdrawn_when_more_comes),
		T(is_not_offered),
		T(needs_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
