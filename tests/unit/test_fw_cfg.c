/* links: devices/fw_cfg.c core/bus.c core/gmem.c tests/unit/support/fake_core.c tests/unit/support/fake_bus.c */
/* QEMU's specification of fw_cfg: items by port and by DMA. */
#include "tests/unit/support/fake_core.h"

#include <stdio.h>
#include <string.h>

#include "devices/fw_cfg.h"
#include "lib/util.h"

#define RAM_SIZE 0x4000

static const struct fw_cfg_file files[] = {
	{"etc/acpi/rsdp", "RSD PTR ", 8},
	{"opt/a.file", "contents", 8},
	{"opt/0123456789012345678901234567890123456789012345678", "", 0},
};

static struct vm *vm;
static struct fw_cfg device;
static uint8_t ram[RAM_SIZE], more[MIB(17)];

static int setup(void **state)
{
	struct fw_cfg_content content = {"a command line", files, ARRAY_SIZE(files)};

	(void)state;
	vm = fake_vm_new(3);
	vm->memory = 0x123400000;
	vm->ram[0] = (struct vm_ram){0x1000, RAM_SIZE, ram};
	vm->ram[1] = (struct vm_ram){MIB(32), sizeof(more), more};
	vm->ram_count = 2;
	memset(ram, 0xcc, sizeof(ram));
	assert_int_equal(fw_cfg_init(&device, vm, &content), 0);
	fw_cfg_reset(&device);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

static uint64_t number(uint16_t key, unsigned int bytes)
{
	uint64_t value = 0;

	fake_out(vm, 0x510, 2, key);
	for (unsigned int i = 0; i < bytes; i++)
		value |= fake_in(vm, 0x511, 1) << 8 * i;
	return value;
}

static void text(uint16_t key, char *to, unsigned int bytes)
{
	fake_out(vm, 0x510, 2, key);
	while (bytes--)
		*to++ = (char)fake_in(vm, 0x511, 1);
}

static void items(void **state)
{
	char got[64];

	(void)state;
	text(0, got, 4);
	assert_memory_equal(got, "QEMU", 4);
	assert_int_equal(number(1, 4), 3);
	assert_int_equal(number(3, 8), 0x123400000);
	assert_int_equal(number(5, 2), 3);
	assert_int_equal(number(0xf, 2), 3);
	assert_int_equal(number(0x14, 4), 15);
	text(0x15, got, 15);
	assert_string_equal(got, "a command line");
	text(0x09, got, 15);
	assert_string_equal(got, "a command line");
	assert_int_equal(number(0x8002, 1), 1);
	/* Behind an item's end, and where there is none. */
	assert_int_equal(number(5, 8), 3);
	assert_int_equal(number(0x08, 8), 0);
	assert_int_equal(number(0x1fff, 8), 0);
	assert_int_equal(number(0xffff, 8), 0);
	/* Bit 14 asks for writing, which nothing can be. */
	fake_out(vm, 0x510, 2, 0x4005);
	fake_out(vm, 0x511, 1, 9);
	assert_int_equal(fake_in(vm, 0x511, 1), 3);
}

static void directory(void **state)
{
	uint8_t d[4 + 3 * 64];

	(void)state;
	text(0x19, (char *)d, sizeof(d));
	assert_memory_equal(d, "\0\0\0\3", 4);
	for (unsigned int i = 0; i < 3; i++) {
		const uint8_t *e = d + 4 + 64 * i;
		char got[16] = "";

		assert_int_equal(e[3], files[i].size);
		assert_int_equal(e[0] | e[1] | e[2] | e[4] | e[6] | e[7], 0);
		assert_string_equal((const char *)e + 8, files[i].name);
		text(e[5], got, e[3]);
		assert_string_equal(got, files[i].data);
	}
	assert_int_equal(fake_in(vm, 0x511, 1), 0);
}

static void wide_reads_keep_the_order(void **state)
{
	(void)state;
	fake_out(vm, 0x510, 2, 0);
	assert_int_equal(fake_in(vm, 0x511, 2), 'Q' | 'E' << 8);
	assert_int_equal(fake_in(vm, 0x511, 2), 'M' | 'U' << 8);
	assert_int_equal(fake_in(vm, 0x511, 2), 0);
	fake_out(vm, 0x510, 2, 0);
	assert_int_equal(fake_in(vm, 0x511, 1), 'Q');
	/* The selector is write-only, and of two bytes. */
	fake_out(vm, 0x510, 1, 1);
	assert_int_equal(fake_in(vm, 0x510, 2), 0xffff);
	assert_int_equal(fake_in(vm, 0x511, 1), 'E');
}

/* ---- DMA ---- */

static void be(uint8_t *to, unsigned int bytes, uint64_t value)
{
	while (bytes--) {
		to[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

/* Control after an operation whose structure is at 1100h. */
static uint32_t dma(uint32_t control, uint32_t length, uint64_t address)
{
	uint8_t *p = ram + 0x100;

	be(p, 4, control);
	be(p + 4, 4, length);
	be(p + 8, 8, address);
	fake_out(vm, 0x518, 4, __builtin_bswap32(0x1100));
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void dma_is_announced(void **state)
{
	(void)state;
	assert_int_equal(fake_in(vm, 0x514, 4), 0x554d4551);
	assert_int_equal(fake_in(vm, 0x518, 4), 0x47464320);
}

static void dma_reads(void **state)
{
	(void)state;
	assert_int_equal(dma(0x21000a, 4, 0x2000), 0);
	assert_memory_equal(ram + 0x1000, "cont\xcc", 5);
	/* Goes on, without selecting anew, and ends in zeroes. */
	assert_int_equal(dma(2, 6, 0x2010), 0);
	assert_memory_equal(ram + 0x1010, "ents\0\0\xcc", 7);
	/* Skips. */
	assert_int_equal(dma(0x21000c, 6, 0), 0);
	assert_int_equal(dma(2, 2, 0x2020), 0);
	assert_memory_equal(ram + 0x1020, "ts\xcc", 3);
	assert_int_equal(dma(0x21000c, 0xffffffff, 0), 0);
	assert_int_equal(dma(2, 2, 0x2020), 0);
	assert_memory_equal(ram + 0x1020, "\0\0\xcc", 3);
	/* The port goes on where DMA ended. */
	assert_int_equal(dma(0x21000c, 1, 0), 0);
	assert_int_equal(fake_in(vm, 0x511, 1), 'o');
	assert_int_equal(dma(0x190008, 0, 0), 0);
	assert_int_equal(fake_in(vm, 0x511, 1), 0);
	/* No length, nothing done. */
	assert_int_equal(dma(0x21000a, 0, 0x2020), 0);
	assert_int_equal(dma(0, 5, 0x2020), 0);
	assert_memory_equal(ram + 0x1020, "\0\0\xcc", 3);
}

static void dma_errors(void **state)
{
	(void)state;
	/* Items cannot be written. */
	assert_int_equal(dma(0x210018, 4, 0x2000), 1);
	/* Addresses outside of memory, at its end, and beyond all. */
	assert_int_equal(dma(0x21000a, 8, 0x0), 1);
	assert_int_equal(dma(0x21000a, 8, 0x1000 + RAM_SIZE - 4), 1);
	assert_int_equal(dma(0x21000a, 8, ~0ULL - 3), 1);
	assert_int_equal(dma(0x21000a, 0x5000, 0x1200), 1);
	assert_int_equal(dma(0x21000a, 0xffffffff, 0x1200), 1);
	/* One exit must not take for ever. */
	assert_int_equal(dma(0x21000a, MIB(16), MIB(32)), 0);
	assert_int_equal(dma(0x21000a, MIB(16) + 1, MIB(32)), 1);
	/* The last bytes of memory are good. */
	assert_int_equal(dma(0x21000a, 8, 0x1000 + RAM_SIZE - 8), 0);
	assert_memory_equal(ram + RAM_SIZE - 8, "contents", 8);
}

static void dma_address(void **state)
{
	uint8_t *p = ram + 0x100;

	(void)state;
	/* A structure outside of memory does nothing, and the address is 0 afterwards. */
	be(p, 4, 0x21000a);
	be(p + 4, 4, 4);
	be(p + 8, 8, 0x2000);
	fake_out(vm, 0x514, 4, __builtin_bswap32(1));
	fake_out(vm, 0x518, 4, __builtin_bswap32(0x1100));
	assert_int_equal(p[1], 0x21);
	fake_out(vm, 0x518, 4, __builtin_bswap32(0x1000 + RAM_SIZE - 8));
	fake_out(vm, 0x514, 4, 0xffffffff);
	fake_out(vm, 0x518, 4, 0xffffffff);
	/* Narrow writes are none. */
	fake_out(vm, 0x51a, 2, 0x0011);
	assert_int_equal(p[1], 0x21);
	fake_out(vm, 0x518, 4, __builtin_bswap32(0x1100));
	assert_int_equal(p[1], 0);
	assert_memory_equal(ram + 0x1000, "cont", 4);
	fw_cfg_reset(&device);
	fake_out(vm, 0x514, 4, __builtin_bswap32(1));
	fw_cfg_reset(&device);
	assert_int_equal(dma(0x21000a, 4, 0x2000), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(items),
		T(directory),
		T(wide_reads_keep_the_order),
		T(dma_is_announced),
		T(dma_reads),
		T(dma_errors),
		T(dma_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
