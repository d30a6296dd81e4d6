/* links: core/bus.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
#include "tests/unit/support/fake_core.h"

#include <string.h>

#include "core/bus.h"
#include "lib/err.h"

/* A device that notes its accesses and answers the offset in every byte of a read. */
struct note {
	unsigned int count;
	uint64_t offset[16], value[16];
	uint8_t size[16];
};

static struct vm *vm;
static struct note a, b;

static void note(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		 uint64_t *value)
{
	struct note *n = dev;

	assert_ptr_equal(v, vm->vcpu[0]);
	/* The devices' lock is held. */
	assert_int_not_equal(vm->dev_lock.next, vm->dev_lock.owner);
	n->offset[n->count] = offset;
	n->size[n->count] = size;
	n->value[n->count] = *value;
	n->count++;
	if (!write)
		*value = 0x0101010101010101 * (0x10 + offset);
}

static int setup(void **state)
{
	(void)state;
	vm = fake_vm_new(1);
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(vm->dev_lock.next, vm->dev_lock.owner);
	fake_vm_free(vm);
	return 0;
}

static void overlaps(void **state)
{
	(void)state;
	assert_int_equal(bus_add_pio(vm, 0x100, 8, note, &a), 0);
	assert_int_equal(bus_add_pio(vm, 0x107, 1, note, &b), -EEXIST);
	assert_int_equal(bus_add_pio(vm, 0xff, 2, note, &b), -EEXIST);
	assert_int_equal(bus_add_pio(vm, 0x100, 8, note, &b), -EEXIST);
	assert_int_equal(bus_add_pio(vm, 0xf0, 0x100, note, &b), -EEXIST);
	assert_int_equal(bus_add_pio(vm, 0xf8, 8, note, &b), 0);
	assert_int_equal(bus_add_pio(vm, 0x108, 1, note, &b), 0);
	assert_int_equal(bus_add_mmio(vm, 0x1000, 0x1000, note, &a), 0);
	assert_int_equal(bus_add_mmio(vm, 0x1fff, 1, note, &a), -EEXIST);
	assert_int_equal(bus_add_mmio(vm, 0x2000, 1, note, &a), 0);
}

static void ends_of_the_spaces(void **state)
{
	uint64_t value = 0;

	(void)state;
	assert_int_equal(bus_add_pio(vm, 0xffff, 2, note, &a), -EINVAL);
	assert_int_equal(bus_add_pio(vm, 0xffff, 0, note, &a), -EINVAL);
	assert_int_equal(bus_add_pio(vm, 0xffff, 1, note, &a), 0);
	assert_int_equal(bus_add_pio(vm, 0, 1, note, &b), 0);
	assert_int_equal(bus_add_mmio(vm, ~0ULL, 2, note, &a), -EINVAL);
	assert_int_equal(bus_add_mmio(vm, ~0ULL, 1, note, &a), 0);
	/* Ports wrap like the processor's 16-bit port number. */
	assert_int_equal(fake_in(vm, 0xffff, 4), 0xffff1010);
	assert_int_equal(b.count, 1);
	bus_mmio(vm->vcpu[0], ~0ULL, false, 1, &value);
	assert_int_equal(value, 0x10);
}

static void full_table(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VM_MAX_PIO; i++)
		assert_int_equal(bus_add_pio(vm, (uint16_t)(0x1000 - 8 * i), 4, note, &a), 0);
	assert_int_equal(bus_add_pio(vm, 0x2000, 4, note, &a), -ENOSPC);
	for (unsigned int i = 0; i < VM_MAX_PIO; i++) {
		assert_int_equal(fake_in(vm, (uint16_t)(0x1003 - 8 * i), 1), 0x13);
		assert_int_equal(fake_in(vm, (uint16_t)(0x1004 - 8 * i), 1), 0xff);
		a.count = 0;
	}
}

static void whole_accesses_keep_their_size(void **state)
{
	uint64_t value;

	(void)state;
	bus_add_pio(vm, 0x100, 8, note, &a);
	bus_add_mmio(vm, 0xfec00000, 0x1000, note, &b);
	assert_int_equal(fake_in(vm, 0x104, 4), 0x14141414);
	assert_int_equal(a.size[0], 4);
	assert_int_equal(fake_in(vm, 0x106, 2), 0x1616);
	fake_out(vm, 0x102, 2, 0xbeef);
	assert_int_equal(a.value[2], 0xbeef);
	assert_int_equal(a.offset[2], 2);
	bus_mmio(vm->vcpu[0], 0xfec00ff8, false, 8, &value);
	assert_int_equal(b.offset[0], 0xff8);
	assert_int_equal(b.size[0], 8);
	assert_int_equal(value, 0x0101010101010101 * (uint64_t)(0x10 + 0xff8));
}

static void absent_reads_all_ones(void **state)
{
	uint64_t value = 0;

	(void)state;
	assert_int_equal(fake_in(vm, 0x60, 1), 0xff);
	assert_int_equal(fake_in(vm, 0x60, 2), 0xffff);
	assert_int_equal(fake_in(vm, 0x60, 4), 0xffffffff);
	bus_mmio(vm->vcpu[0], 0xfed00000, false, 8, &value);
	assert_int_equal(value, ~0ULL);
	fake_out(vm, 0x60, 4, 0);
}

/* Across two devices and a hole between them: each byte goes where it belongs. */
static void accesses_that_straddle(void **state)
{
	(void)state;
	bus_add_pio(vm, 0x100, 2, note, &a);
	bus_add_pio(vm, 0x103, 1, note, &b);
	assert_int_equal(fake_in(vm, 0x100, 4), 0x10ff1110);
	assert_int_equal(fake_in(vm, 0xff, 4), 0xff1110ff);
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	fake_out(vm, 0x100, 4, 0x44332211);
	assert_int_equal(a.count, 2);
	assert_int_equal(a.value[0], 0x11);
	assert_int_equal(a.value[1], 0x22);
	assert_int_equal(a.size[1], 1);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.value[0], 0x44);
}

static uint8_t bytes[8];

static void byte_dev(void *dev, uint64_t offset, bool write, uint8_t *byte)
{
	(void)dev;
	if (write)
		bytes[offset] = *byte;
	else
		*byte = bytes[offset];
}

static void byte_wide_devices(void **state)
{
	uint64_t value = 0xddccbbaa;

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	bus_by_bytes(byte_dev, NULL, 2, true, 4, &value);
	assert_memory_equal(bytes, "\0\0\xaa\xbb\xcc\xdd\0\0", 8);
	value = ~0ULL;
	bus_by_bytes(byte_dev, NULL, 3, false, 2, &value);
	assert_int_equal(value, 0xccbb);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(overlaps),
		T(ends_of_the_spaces),
		T(full_table),
		T(whole_accesses_keep_their_size),
		T(absent_reads_all_ones),
		T(accesses_that_straddle),
		T(byte_wide_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
