/* links: guest/e820.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest/e820.h"

static struct e820_entry map[E820_COUNT_MAX];

static unsigned int build(uint64_t memory)
{
	struct guest_ram ram = guest_ram_of(memory);

	return e820_build(map, &ram);
}

/* Bytes of RAM in the map; ascending, nothing empty, nothing overlapping. */
static uint64_t ram_in(unsigned int count)
{
	uint64_t end = 0, sum = 0;

	for (unsigned int i = 0; i < count; i++) {
		assert_true(map[i].base >= end);
		assert_true(map[i].size > 0);
		end = map[i].base + map[i].size;
		if (map[i].type == E820_RAM)
			sum += map[i].size;
	}
	return sum;
}

static uint32_t type_at(unsigned int count, uint64_t address)
{
	for (unsigned int i = 0; i < count; i++)
		if (address >= map[i].base && address - map[i].base < map[i].size)
			return map[i].type;
	return 0;
}

static void all_memory_but_the_hole(void **state)
{
	static const uint64_t sizes[] = {MIB(2), MIB(128), GIB(3), GIB(3) + MIB(2), GIB(600)};
	const uint64_t hole = 0x100000 - 0x9fc00;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_int_equal(ram_in(build(sizes[i])), sizes[i] - hole);
}

static void below_1_mib(void **state)
{
	unsigned int n = build(MIB(64));

	(void)state;
	assert_int_equal(type_at(n, 0), E820_RAM);
	assert_int_equal(type_at(n, 0x9fbff), E820_RAM);
	assert_int_equal(type_at(n, 0x9fc00), E820_RESERVED);
	assert_int_equal(type_at(n, 0xa0000), 0);
	assert_int_equal(type_at(n, 0xe0000), E820_RESERVED);
	assert_int_equal(type_at(n, 0xfffff), E820_RESERVED);
	assert_int_equal(type_at(n, 0x100000), E820_RAM);
}

static void around_4_gib(void **state)
{
	unsigned int n = build(GIB(3));

	(void)state;
	assert_int_equal(n, 4);
	assert_int_equal(type_at(n, 0xbfffffff), E820_RAM);
	assert_int_equal(type_at(n, 0xc0000000), 0);
	n = build(GIB(4));
	assert_int_equal(n, 5);
	assert_int_equal(type_at(n, 0xc0000000), 0);
	assert_int_equal(type_at(n, 0xfec00000), 0);
	assert_int_equal(type_at(n, 0x100000000), E820_RAM);
	assert_int_equal(type_at(n, 0x13fffffff), E820_RAM);
	assert_int_equal(type_at(n, 0x140000000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_memory_but_the_hole),
		cmocka_unit_test(below_1_mib),
		cmocka_unit_test(around_4_gib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
