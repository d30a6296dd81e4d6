/* links: guest/guest.c guest/flat.c guest/linux.c guest/bzimage.c guest/multiboot.c guest/pvh.c guest/elf.c guest/modules.c guest/e820.c guest/entry.c guest/acpi.c guest/bios_data.c core/gmem.c lib/strbuf.c lib/fmt.c tests/unit/support/guest_vm.c tests/unit/support/fake_elf.c */
/* Multiboot Specification 0.6.96: numbers in comments are its sections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/gmem.h"
#include "guest/guest.h"
#include "guest/layout.h"
#include "guest/multiboot.h"
#include "lib/err.h"
#include "tests/unit/support/fake_elf.h"
#include "tests/unit/support/guest_vm.h"

#define MAGIC	  0x1badb002u
#define ADDRESSES 0x10000u
#define FILE_SIZE 12288u

static const struct guest_platform platform;

struct header {
	uint32_t magic, flags, checksum, header_addr, load_addr, load_end, bss_end, entry;
};

struct fixture {
	uint8_t *file;
	struct guest_image img;
	struct guest_module modules[3];
	struct vm *vm;
	struct strbuf why;
	char text[256];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->file = calloc(1, FILE_SIZE);
	for (size_t i = 0; i < FILE_SIZE; i++)
		f->file[i] = (uint8_t)(i % 253);
	f->img = (struct guest_image){.kernel = f->file,
				      .kernel_size = FILE_SIZE,
				      .cmdline = "",
				      .modules = f->modules};
	sb_init(&f->why, f->text, sizeof(f->text));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->vm)
		guest_vm_free(f->vm);
	free(f->file);
	free(f);
	return 0;
}

static void put_header(struct fixture *f, size_t at, struct header h, size_t size)
{
	h.magic = MAGIC;
	h.checksum = -(h.magic + h.flags);
	memcpy(f->file + at, &h, size);
}

/* A header at offset 200 of the file, which is loaded at 2 MiB from offset 100 on. */
static struct header good_addresses(void)
{
	return (struct header){.flags = ADDRESSES | 3,
			       .header_addr = 0x200000 + 100,
			       .load_addr = 0x200000,
			       .load_end = 0x200000 + 5000,
			       .bss_end = 0x200000 + 9000,
			       .entry = 0x200000 + 200};
}

static int check(struct fixture *f, uint64_t memory)
{
	sb_reset(&f->why);
	return guest_check(&f->img, memory, &f->why);
}

static void load(struct fixture *f, uint64_t memory)
{
	f->vm = guest_vm_new(memory, 1);
	if (check(f, memory) || guest_load(f->vm, &f->img, &platform, &f->why))
		fail_msg("%s", f->text);
}

static uint64_t info(const struct fixture *f, uint64_t offset)
{
	return guest_vm_get(f->vm, f->vm->vcpu[0]->gpr[RBX] + offset, 4);
}

static void expect_text(const struct fixture *f, uint64_t at, const char *wanted)
{
	char got[100] = "";

	assert_true(strlen(wanted) < sizeof(got));
	assert_int_equal(gmem_read(f->vm, at, got, strlen(wanted) + 1), 0);
	assert_string_equal(got, wanted);
}

/* 3.2: the machine's state. */
static void entry_state(void **state)
{
	struct fixture *f = *state;
	const struct vcpu *v;

	put_header(f, 200, good_addresses(), sizeof(struct header));
	load(f, MIB(16));
	v = f->vm->vcpu[0];
	assert_int_equal(v->gpr[RAX], 0x2badb002);
	assert_int_equal(v->st.rip, 0x2000c8);
	assert_int_equal(v->st.cr0 & 0xe0000001, 1);
	assert_int_equal(v->st.rflags & 0x20200, 0);
	assert_int_equal(v->st.seg[SEG_CS].attr, 0xc09b);
	assert_int_equal(v->st.seg[SEG_CS].base, 0);
	assert_int_equal(v->st.seg[SEG_CS].limit, 0xffffffff);
	assert_int_equal(v->st.seg[SEG_SS].attr, 0xc093);
}

/* 3.1.3 */
static void address_fields(void **state)
{
	struct fixture *f = *state;

	put_header(f, 200, good_addresses(), sizeof(struct header));
	load(f, MIB(16));
	assert_int_equal(guest_vm_get(f->vm, 0x200000, 1), 100);
	assert_int_equal(guest_vm_get(f->vm, 0x200000 + 4999, 1), (100 + 4999) % 253);
	assert_int_equal(guest_vm_get(f->vm, 0x200000 + 5000, 8), 0);
}

static void load_end_0_is_the_whole_file(void **state)
{
	struct fixture *f = *state;
	struct header h = good_addresses();

	h.load_end = 0;
	h.bss_end = 0;
	put_header(f, 200, h, sizeof(h));
	load(f, MIB(16));
	assert_int_equal(guest_vm_get(f->vm, 0x200000 + FILE_SIZE - 101, 1), (FILE_SIZE - 1) % 253);
	assert_int_equal(guest_vm_get(f->vm, 0x200000 + FILE_SIZE - 100, 8), 0);
}

static void elf(void **state)
{
	static const struct elf_segment segment = {.type = 1,
						   .offset = FAKE_ELF_DATA,
						   .file_size = 100,
						   .vaddr = 0xc0100000,
						   .paddr = 0x100000,
						   .memory_size = 5000};

	for (unsigned int is_64 = 0; is_64 < 2; is_64++) {
		struct fixture *f = *state;

		free(f->file);
		f->file = fake_elf(is_64, 0xc0100004, &segment, 1);
		f->img.kernel = f->file;
		f->img.kernel_size = FAKE_ELF_SIZE;
		put_header(f, FAKE_ELF_DATA + 8, (struct header){.flags = 3}, 12);
		load(f, MIB(16));
		assert_int_equal(f->vm->vcpu[0]->st.rip, 0x100004);
		assert_int_equal(guest_vm_get(f->vm, 0x100008, 4), MAGIC);
		teardown(state);
		setup(state);
	}
}

/*
 * A program that goes to real mode is linked at 32 KiB: what boot loaders tell it is not where it
 * is itself.
 */
static void elf_below_1_mib(void **state)
{
	static const struct elf_segment segment = {.type = 1,
						   .offset = FAKE_ELF_DATA,
						   .file_size = 4096,
						   .vaddr = 0x8000,
						   .paddr = 0x8000,
						   .memory_size = 0x97c00};
	struct fixture *f = *state;
	uint64_t list;

	free(f->file);
	f->file = fake_elf(false, 0x8010, &segment, 1);
	f->img.kernel = f->file;
	f->img.kernel_size = FAKE_ELF_SIZE;
	f->img.cmdline = "some words";
	f->modules[0] = (struct guest_module){f->file, 4097, "first"};
	f->img.module_count = 1;
	put_header(f, FAKE_ELF_DATA + 8, (struct header){.flags = 3}, 12);
	load(f, MIB(16));
	assert_int_equal(f->vm->vcpu[0]->st.rip, 0x8010);
	assert_int_equal(guest_vm_get(f->vm, 0x8008, 4), MAGIC);
	assert_int_equal(guest_vm_get(f->vm, 0x8fff, 2), (FAKE_ELF_DATA + 4095) % 251);
	assert_int_equal(guest_vm_get(f->vm, 0x10000, 8), 0);
	assert_int_equal(f->vm->vcpu[0]->gpr[RBX], MIB(1) + 0x2000);
	expect_text(f, info(f, 16), "some words");
	list = info(f, 24);
	assert_true(list > MIB(1));
	assert_int_equal(guest_vm_get(f->vm, list, 8), 0x0010100100100000);
	expect_text(f, guest_vm_get(f->vm, list + 8, 4), "first");
	assert_true(info(f, 48) > MIB(1));
}

/* As above; a piece above 1 MiB, behind which modules go, and no room for the information. */
static void information_does_not_fit(void **state)
{
	static const struct elf_segment segments[] = {
		{.type = 1, .paddr = 0x9fbff, .memory_size = 1},
		{.type = 1, .paddr = MIB(1), .memory_size = MIB(3) - 0x1000},
	};
	struct fixture *f = *state;
	char words[4096];

	free(f->file);
	f->file = fake_elf(false, 0x100000, segments, 2);
	f->img.kernel = f->file;
	f->img.kernel_size = FAKE_ELF_SIZE;
	put_header(f, 2048, (struct header){.flags = 3}, 12);
	assert_int_equal(check(f, MIB(4)), 0);
	memset(words, 'x', sizeof(words));
	words[sizeof(words) - 1] = '\0';
	f->img.cmdline = words;
	assert_int_equal(check(f, MIB(4)), -ENOSPC);
	assert_non_null(strstr(f->text, "the VM's below 4 GiB ends at 0x400000"));
}

/* 3.3 */
static void information(void **state)
{
	struct fixture *f = *state;
	uint64_t at, list;

	put_header(f, 200, good_addresses(), sizeof(struct header));
	f->img.cmdline = "some  words";
	f->modules[0] = (struct guest_module){f->file, 4096, "first"};
	f->modules[1] = (struct guest_module){f->file, 0, "empty one"};
	f->modules[2] = (struct guest_module){f->file + 1, 5, ""};
	f->img.module_count = 3;
	load(f, GIB(5));
	assert_int_equal(info(f, 0), 0x24d);
	assert_int_equal(info(f, 4), 639);
	assert_int_equal(info(f, 8), (3ULL << 20) - 1024);
	expect_text(f, info(f, 16), "some  words");
	expect_text(f, info(f, 64), "Socle");
	assert_int_equal(info(f, 20), 3);
	list = info(f, 24);
	/* Behind the kernel's last byte, from page to page. */
	at = guest_vm_get(f->vm, list, 4);
	assert_int_equal(at, 0x203000);
	assert_int_equal(guest_vm_get(f->vm, list + 4, 4), 0x204000);
	expect_text(f, guest_vm_get(f->vm, list + 8, 4), "first");
	assert_int_equal(guest_vm_get(f->vm, at + 4095, 1), 4095 % 253);
	assert_int_equal(guest_vm_get(f->vm, list + 16, 8), 0x0020400000204000);
	expect_text(f, guest_vm_get(f->vm, list + 24, 4), "empty one");
	assert_int_equal(guest_vm_get(f->vm, list + 32, 8), 0x0020400500204000);
	assert_int_equal(guest_vm_get(f->vm, 0x204000, 5), 0x0504030201);
	expect_text(f, guest_vm_get(f->vm, list + 40, 4), "");
	assert_int_equal(info(f, 44), 5 * 24);
	at = info(f, 48) + 4 * 24;
	assert_int_equal(guest_vm_get(f->vm, at, 4), 20);
	assert_int_equal(guest_vm_get(f->vm, at + 4, 8), GIB(4));
	assert_int_equal(guest_vm_get(f->vm, at + 12, 8), GIB(2));
	assert_int_equal(guest_vm_get(f->vm, at + 20, 4), 1);
}

static void refused_addresses(void **state)
{
	struct fixture *f = *state;
	static const struct {
		size_t member;
		uint32_t value;
		int err;
		const char *why;
	} cases[] = {
		{offsetof(struct header, load_addr), 0x200065, -ENOEXEC, "behind the header"},
		{offsetof(struct header, load_addr), 0x1fff00, -ENOEXEC, "begins before the file"},
		{offsetof(struct header, load_end), 0x1fffff, -ENOEXEC, "less than load_addr"},
		{offsetof(struct header, load_end), 0x200000 + FILE_SIZE, -ENOEXEC,
		 "behind the end of the file"},
		{offsetof(struct header, bss_end), 0x200000 + 4999, -ENOEXEC, "bss_end_addr"},
		{offsetof(struct header, bss_end), 0x1000001, -ENOSPC, "up to 0x1000001"},
		{offsetof(struct header, entry), 0x1fffff, -ENOEXEC, "entry_addr"},
		{offsetof(struct header, entry), 0x200000 + 9000, -ENOEXEC, "entry_addr"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct header h = good_addresses();

		memcpy((uint8_t *)&h + cases[i].member, &cases[i].value, 4);
		put_header(f, 200, h, sizeof(h));
		if (check(f, MIB(16)) != cases[i].err || !strstr(f->text, cases[i].why))
			fail_msg("case %zu: %s", i, f->text);
	}
}

static void refused_headers(void **state)
{
	struct fixture *f = *state;

	f->img.kind = CONFIG_KIND_MULTIBOOT;
	assert_int_equal(check(f, MIB(16)), -ENOEXEC);
	assert_non_null(strstr(f->text, "no multiboot header in its first 8 KiB"));
	put_header(f, 200, (struct header){.flags = 0x8}, 12);
	assert_int_equal(check(f, MIB(16)), -ENOEXEC);
	assert_non_null(strstr(f->text, "flags 0x8"));
	put_header(f, 200, (struct header){.flags = 3}, 12);
	assert_int_equal(check(f, MIB(16)), -ENOEXEC);
	assert_non_null(strstr(f->text, "does not begin like one"));
	put_header(f, 200, (struct header){.flags = 3}, 12);
	f->file[208]++;
	assert_int_equal(check(f, MIB(16)), -ENOEXEC);
	assert_non_null(strstr(f->text, "no multiboot header"));
}

/* 3.1: the whole header lies in the first 8 KiB, and is aligned. */
static void where_headers_are_found(void **state)
{
	struct fixture *f = *state;

	put_header(f, 8180, (struct header){.flags = 3}, 12);
	assert_true(multiboot_magic(f->file, FILE_SIZE));
	assert_false(multiboot_magic(f->file, 8191));
	put_header(f, 8180, good_addresses(), sizeof(struct header));
	assert_int_equal(check(f, MIB(16)), -ENOEXEC);
	assert_non_null(strstr(f->text, "cut off before entry_addr"));
	memset(f->file, 0, FILE_SIZE);
	put_header(f, 8184, (struct header){.flags = 3}, 12);
	assert_false(multiboot_magic(f->file, FILE_SIZE));
	put_header(f, 202, (struct header){.flags = 3}, 12);
	assert_false(multiboot_magic(f->file, FILE_SIZE));
}

static void what_does_not_fit(void **state)
{
	struct fixture *f = *state;
	char *words = malloc(0x80000);

	put_header(f, 200, good_addresses(), sizeof(struct header));
	memset(words, 'x', 0x80000);
	words[0x80000 - 1] = '\0';
	f->img.cmdline = words;
	assert_int_equal(check(f, MIB(16)), -E2BIG);
	assert_non_null(strstr(f->text, "room for 516096"));
	words[0x7d000] = '\0';
	assert_int_equal(check(f, MIB(16)), 0);
	f->img.cmdline = "";
	f->img.module_count = 1;
	f->modules[0] = (struct guest_module){f->file, MIB(14) - 0x3000, ""};
	assert_int_equal(check(f, MIB(16)), 0);
	f->modules[0].size++;
	assert_int_equal(check(f, MIB(16)), -ENOSPC);
	assert_non_null(strstr(f->text, "up to 0x1000001"));
	f->img.module_count = 0;
	f->img.initrd_size = 1;
	assert_int_equal(check(f, MIB(16)), -EINVAL);
	free(words);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(entry_state),
		TEST(address_fields),
		TEST(load_end_0_is_the_whole_file),
		TEST(elf),
		TEST(elf_below_1_mib),
		TEST(information_does_not_fit),
		TEST(information),
		TEST(refused_addresses),
		TEST(refused_headers),
		TEST(where_headers_are_found),
		TEST(what_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
