/* links: guest/elf.c core/gmem.c lib/strbuf.c lib/fmt.c tests/unit/support/guest_vm.c tests/unit/support/fake_elf.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/elf.h"
#include "lib/err.h"
#include "tests/unit/support/fake_elf.h"
#include "tests/unit/support/guest_vm.h"

static char text[256];
static struct strbuf why;

static const struct elf_segment good[] = {
	{.type = 4, .offset = 100, .file_size = 20, .alignment = 4},
	{.type = 1,
	 .offset = FAKE_ELF_DATA,
	 .file_size = 1000,
	 .memory_size = 3000,
	 .vaddr = 0xc0200000,
	 .paddr = 0x200000,
	 .alignment = 4096},
	{.type = 1, .offset = 0, .file_size = 0, .memory_size = 0, .paddr = 0},
	{.type = 1,
	 .offset = FAKE_ELF_DATA + 1000,
	 .file_size = 500,
	 .memory_size = 500,
	 .vaddr = 0xc0100000,
	 .paddr = 0x100000},
};

static int setup(void **state)
{
	(void)state;
	sb_init(&why, text, sizeof(text));
	return 0;
}

static void both_classes(void **state)
{
	struct guest_ram ram = guest_ram_of(MIB(4));
	struct kernel_extent x;

	(void)state;
	for (unsigned int is_64 = 0; is_64 < 2; is_64++) {
		uint8_t *file = fake_elf(is_64, 0xc0200010, good, ARRAY_SIZE(good));
		struct vm *vm = guest_vm_new(MIB(4), 1);
		struct writer w = {.vm = vm};
		struct elf e;

		assert_true(elf_magic(file, FAKE_ELF_SIZE));
		assert_int_equal(elf_parse(&e, file, FAKE_ELF_SIZE, &why), 0);
		assert_int_equal(e.segment_count, ARRAY_SIZE(good));
		assert_int_equal(elf_segment(&e, 0).type, ELF_NOTE);
		assert_int_equal(elf_segment(&e, 0).alignment, 4);
		assert_int_equal(elf_check(&e, &ram, &x, &why), 0);
		assert_int_equal(x.end, 0x200000 + 3000);
		assert_false(x.low);
		assert_int_equal(elf_physical_entry(&e), 0x200010);
		assert_true(elf_covers(&e, 0x100000 + 499));
		assert_false(elf_covers(&e, 0x100000 + 500));
		assert_true(elf_covers(&e, 0x200000 + 2999));
		assert_false(elf_covers(&e, 0));
		elf_load(&e, &w);
		assert_int_equal(w.err, 0);
		assert_int_equal(guest_vm_get(vm, 0x200000, 1), FAKE_ELF_DATA % 251);
		assert_int_equal(guest_vm_get(vm, 0x200000 + 999, 1), (FAKE_ELF_DATA + 999) % 251);
		assert_int_equal(guest_vm_get(vm, 0x200000 + 1000, 8), 0);
		assert_int_equal(guest_vm_get(vm, 0x100000, 1), (FAKE_ELF_DATA + 1000) % 251);
		assert_int_equal(guest_vm_get(vm, 0x100000 + 500, 8), 0);
		guest_vm_free(vm);
		free(file);
	}
}

static void an_entry_in_no_segment_stays(void **state)
{
	uint8_t *file = fake_elf(true, 0x200010, good, ARRAY_SIZE(good));
	struct elf e;

	(void)state;
	assert_int_equal(elf_parse(&e, file, FAKE_ELF_SIZE, &why), 0);
	assert_int_equal(elf_physical_entry(&e), 0x200010);
	free(file);
}

/* A byte of the header that is wrong; the offsets are those of the 64-bit class. */
static void refused_headers(void **state)
{
	static const struct {
		unsigned int offset, value;
		const char *why;
	} cases[] = {
		{0, 0x7e, "does not begin"},   {4, 3, "neither of 32 nor of 64"},
		{5, 2, "little-endian"},       {6, 2, "another version"},
		{16, 1, "object file"},	       {18, 40, "another processor"},
		{39, 0x80, "program headers"}, {33, 0x40, "cut off in its program headers"},
		{54, 32, "an unknown size"},   {56, 0, "no program headers"},
		{56, 65, "more than 64"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t *file = fake_elf(true, 0, good, ARRAY_SIZE(good));
		struct elf e;

		sb_reset(&why);
		file[cases[i].offset] = (uint8_t)cases[i].value;
		if (elf_parse(&e, file, FAKE_ELF_SIZE, &why) != -ENOEXEC ||
		    !strstr(text, cases[i].why))
			fail_msg("byte %u: %s", cases[i].offset, text);
		free(file);
	}
}

static void refused_segments(void **state)
{
	static const struct {
		struct elf_segment segment;
		int err;
		const char *why;
	} cases[] = {
		{{1, FAKE_ELF_DATA, 4097, 0, MIB(1), 5000, 0}, -ENOEXEC, "cut off in a segment"},
		{{1, FAKE_ELF_SIZE + 1, 0, 0, MIB(1), 5000, 0}, -ENOEXEC, "cut off in a segment"},
		{{1, UINT64_MAX, 2, 0, MIB(1), 5000, 0}, -ENOEXEC, "cut off in a segment"},
		{{1, 2, UINT64_MAX, 0, MIB(1), UINT64_MAX, 0}, -ENOEXEC, "cut off in a segment"},
		{{1, 0, 2, 0, MIB(1), 1, 0}, -ENOEXEC, "more bytes in the file than in memory"},
		{{1, 0, 1, 0, MIB(1) - 1, 1, 0}, -ENOEXEC, "0xfffff to 0x100000, and its place"},
		{{1, 0, 1, 0, 0x9fbff, 2, 0}, -ENOEXEC, "from 1 MiB on, or from 0x2000 to 0x9fc00"},
		{{1, 0, 1, 0, 0x1fff, 1, 0}, -ENOEXEC, "0x1fff to 0x2000"},
		{{1, 0, 1, 0, 0x8000, MIB(1), 0}, -ENOEXEC, "from 1 MiB on"},
		{{1, 0, 1, 0, UINT64_MAX, 2, 0}, -ENOEXEC, "from 1 MiB on"},
		{{1, 0, 1, 0, MIB(4), 1, 0}, -ENOSPC, "0x400000 to 0x400001"},
		{{1, 0, 1, 0, MIB(1), MIB(3) + 1, 0}, -ENOSPC, "ends at 0x400000"},
		{{1, 0, 0, 0, MIB(1), 0, 0}, -ENOEXEC, "no segment to load"},
		{{3, 0, 1, 0, MIB(1), 1, 0}, -ENOEXEC, "no segment to load"},
	};
	struct guest_ram ram = guest_ram_of(MIB(4));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t *file = fake_elf(true, 0, &cases[i].segment, 1);
		struct kernel_extent x;
		struct elf e;

		sb_reset(&why);
		assert_int_equal(elf_parse(&e, file, FAKE_ELF_SIZE, &why), 0);
		if (elf_check(&e, &ram, &x, &why) != cases[i].err || !strstr(text, cases[i].why))
			fail_msg("case %zu: %s", i, text);
		free(file);
	}
}

/* Cut off anywhere in its headers it is refused; AddressSanitizer sees any read behind its end. */
static void every_cut(void **state)
{
	(void)state;
	for (unsigned int is_64 = 0; is_64 < 2; is_64++) {
		uint8_t *file = fake_elf(is_64, 0, good, ARRAY_SIZE(good));
		size_t end = is_64 ? 64 + 4 * 56 : 52 + 4 * 32;

		for (size_t size = 0; size < end; size++) {
			uint8_t *cut = malloc(size ? size : 1);
			struct elf e;

			memcpy(cut, file, size);
			assert_int_equal(elf_parse(&e, cut, size, &why), -ENOEXEC);
			free(cut);
		}
		free(file);
	}
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(both_classes),    TEST(an_entry_in_no_segment_stays),
		TEST(refused_headers), TEST(refused_segments),
		TEST(every_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
