/* links: guest/guest.c guest/flat.c guest/linux.c guest/bzimage.c guest/multiboot.c guest/pvh.c guest/elf.c guest/modules.c guest/e820.c guest/entry.c guest/acpi.c guest/bios_data.c core/gmem.c lib/strbuf.c lib/fmt.c tests/unit/support/guest_vm.c tests/unit/support/fake_elf.c */
/* Xen's docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h. */
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
#include "guest/pvh.h"
#include "lib/err.h"
#include "tests/unit/support/fake_elf.h"
#include "tests/unit/support/guest_vm.h"

static const struct guest_platform platform;

#define NOTES (FAKE_ELF_SIZE - 256)

struct fixture {
	uint8_t *file;
	size_t notes_size;
	struct guest_image img;
	struct guest_module modules[2];
	struct vm *vm;
	struct strbuf why;
	char text[256];
};

/* NOTES_SIZE bytes of notes with this alignment; the kernel is at 1 MiB, and ends at 110000h. */
static void make(struct fixture *f, bool is_64, uint64_t alignment, uint64_t notes_size)
{
	const struct elf_segment segments[] = {
		{.type = 1,
		 .offset = FAKE_ELF_DATA,
		 .file_size = 100,
		 .paddr = MIB(1),
		 .memory_size = 0x10000},
		{.type = 4, .offset = NOTES, .file_size = notes_size, .alignment = alignment},
	};

	free(f->file);
	f->file = fake_elf(is_64, 0, segments, 2);
	memset(f->file + NOTES, 0, 256);
	f->img = (struct guest_image){.kernel = f->file,
				      .kernel_size = FAKE_ELF_SIZE,
				      .cmdline = "",
				      .modules = f->modules};
	sb_reset(&f->why);
}

/* Returns the offset behind it. */
static size_t put_note(struct fixture *f, size_t at, size_t pad, const char *name, uint32_t type,
		       uint64_t desc, uint32_t desc_size)
{
	uint32_t head[3] = {(uint32_t)strlen(name) + 1, desc_size, type};

	memcpy(f->file + NOTES + at, head, 12);
	memcpy(f->file + NOTES + at + 12, name, head[0]);
	at = ALIGN_UP(at + 12 + head[0], pad);
	memcpy(f->file + NOTES + at, &desc, MIN(desc_size, 8u));
	return ALIGN_UP(at + desc_size, pad);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	sb_init(&f->why, f->text, sizeof(f->text));
	make(f, true, 4, 256);
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

static void load(struct fixture *f, uint64_t memory)
{
	f->vm = guest_vm_new(memory, 1);
	if (guest_check(&f->img, memory, &f->why) || guest_load(f->vm, &f->img, &platform, &f->why))
		fail_msg("%s", f->text);
}

static uint64_t info(const struct fixture *f, uint64_t offset, unsigned int len)
{
	return guest_vm_get(f->vm, f->vm->vcpu[0]->gpr[RBX] + offset, len);
}

static void entry_state(void **state)
{
	struct fixture *f = *state;
	const struct vcpu *v;

	put_note(f, 0, 4, "Xen", 18, 0x100010, 4);
	load(f, MIB(16));
	v = f->vm->vcpu[0];
	assert_int_equal(v->st.rip, 0x100010);
	/* All bits that can be written are 0 but PE; ET cannot. */
	assert_int_equal(v->st.cr0, 0x11);
	assert_int_equal(v->st.cr4, 0);
	assert_int_equal(v->st.rflags, 2);
	assert_int_equal(v->st.seg[SEG_CS].attr, 0xc09b);
	assert_int_equal(v->st.seg[SEG_DS].attr, 0xc093);
	assert_int_equal(v->st.seg[SEG_TR].attr, 0x8b);
	assert_int_equal(v->st.seg[SEG_TR].base, 0);
	assert_int_equal(v->st.seg[SEG_TR].limit, 0x67);
	assert_int_equal(guest_vm_get(f->vm, MIB(1), 1), FAKE_ELF_DATA % 251);
}

static void start_info(void **state)
{
	struct fixture *f = *state;
	static const uint8_t initrd[3] = {1, 2, 3};
	uint64_t list, map;
	char text[16] = "";

	put_note(f, 0, 4, "Xen", 18, 0x100000, 4);
	f->img.cmdline = "a b";
	f->img.initrd = initrd;
	f->img.initrd_size = 3;
	f->modules[0] = (struct guest_module){initrd + 1, 2, "m x"};
	f->img.module_count = 1;
	load(f, GIB(5));
	assert_int_equal(info(f, 0, 4), 0x336ec578);
	assert_int_equal(info(f, 4, 4), 1);
	assert_int_equal(info(f, 8, 4), 0);
	assert_int_equal(info(f, 12, 4), 2);
	assert_int_equal(gmem_read(f->vm, info(f, 24, 8), text, 4), 0);
	assert_string_equal(text, "a b");
	assert_int_equal(info(f, 32, 8), 0xe0000);
	list = info(f, 16, 8);
	assert_int_equal(guest_vm_get(f->vm, list, 8), 0x110000);
	assert_int_equal(guest_vm_get(f->vm, list + 8, 8), 3);
	assert_int_equal(guest_vm_get(f->vm, 0x110000, 4), 0x030201);
	assert_int_equal(guest_vm_get(f->vm, list + 32, 8), 0x111000);
	assert_int_equal(guest_vm_get(f->vm, list + 40, 8), 2);
	assert_int_equal(guest_vm_get(f->vm, 0x111000, 4), 0x0302);
	assert_int_equal(gmem_read(f->vm, guest_vm_get(f->vm, list + 48, 8), text, 4), 0);
	assert_string_equal(text, "m x");
	assert_int_equal(info(f, 48, 4), 5);
	map = info(f, 40, 8);
	assert_int_equal(guest_vm_get(f->vm, map, 8), 0);
	assert_int_equal(guest_vm_get(f->vm, map + 8, 8), 0x9fc00);
	assert_int_equal(guest_vm_get(f->vm, map + 16, 8), 1);
	assert_int_equal(guest_vm_get(f->vm, map + 4 * 24, 8), GIB(4));
	assert_int_equal(guest_vm_get(f->vm, map + 4 * 24 + 8, 8), GIB(2));
}

/* The note may come after others, be of 8 bytes, and padded to 8. */
static void forms_of_the_note(void **state)
{
	struct fixture *f = *state;
	size_t at;

	at = put_note(f, 0, 4, "GNU", 18, 0xbad, 4);
	at = put_note(f, at, 4, "Xenon", 18, 0xbad, 4);
	at = put_note(f, at, 4, "Xen", 6, 0xbad, 5);
	at = put_note(f, at, 4, "Xen", 18, 0x100008, 8);
	assert_true(pvh_magic(f->file, FAKE_ELF_SIZE));
	load(f, MIB(16));
	assert_int_equal(f->vm->vcpu[0]->st.rip, 0x100008);
	make(f, false, 8, 256);
	at = put_note(f, 0, 8, "GNU", 1, 0xbad, 4);
	put_note(f, at, 8, "Xen", 18, 0x10000c, 4);
	guest_vm_free(f->vm);
	load(f, MIB(16));
	assert_int_equal(f->vm->vcpu[0]->st.rip, 0x10000c);
}

static void notes_that_are_none(void **state)
{
	struct fixture *f = *state;

	assert_false(pvh_magic(f->file, FAKE_ELF_SIZE));
	f->img.kind = CONFIG_KIND_PVH;
	assert_int_equal(guest_check(&f->img, MIB(16), &f->why), -ENOEXEC);
	assert_non_null(strstr(f->text, "XEN_ELFNOTE_PHYS32_ENTRY"));
	put_note(f, 0, 4, "Xen", 18, 0x100000, 3);
	assert_false(pvh_magic(f->file, FAKE_ELF_SIZE));
	/* Cut off in the descriptor, by the segment's size. */
	make(f, true, 4, 19);
	put_note(f, 0, 4, "Xen", 18, 0x100000, 4);
	assert_false(pvh_magic(f->file, FAKE_ELF_SIZE));
	make(f, true, 4, 20);
	put_note(f, 0, 4, "Xen", 18, 0x100000, 4);
	assert_true(pvh_magic(f->file, FAKE_ELF_SIZE));
	/* A first note that says it is longer than all there is. */
	memset(f->file + NOTES, 0xff, 8);
	assert_false(pvh_magic(f->file, FAKE_ELF_SIZE));
	/* Notes behind the end of the file. */
	make(f, true, 4, 257);
	put_note(f, 0, 4, "Xen", 18, 0x100000, 4);
	assert_false(pvh_magic(f->file, FAKE_ELF_SIZE));
}

static void an_entry_outside_is_refused(void **state)
{
	struct fixture *f = *state;

	put_note(f, 0, 4, "Xen", 18, 0x110000, 4);
	assert_int_equal(guest_check(&f->img, MIB(16), &f->why), -ENOEXEC);
	assert_non_null(strstr(f->text, "PVH entry, 0x110000, is outside"));
}

static void what_does_not_fit(void **state)
{
	struct fixture *f = *state;

	put_note(f, 0, 4, "Xen", 18, 0x100000, 4);
	f->img.initrd = f->file;
	f->img.initrd_size = MIB(15) - 0x10000;
	assert_int_equal(guest_check(&f->img, MIB(16), &f->why), 0);
	f->img.initrd_size++;
	assert_int_equal(guest_check(&f->img, MIB(16), &f->why), -ENOSPC);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(entry_state),
		TEST(start_info),
		TEST(forms_of_the_note),
		TEST(notes_that_are_none),
		TEST(an_entry_outside_is_refused),
		TEST(what_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
