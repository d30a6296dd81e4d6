/* links: guest/guest.c guest/flat.c guest/linux.c guest/bzimage.c guest/multiboot.c guest/pvh.c guest/elf.c guest/modules.c guest/e820.c guest/entry.c guest/acpi.c guest/bios_data.c core/gmem.c lib/strbuf.c lib/fmt.c tests/unit/support/guest_vm.c tests/unit/support/fake_bzimage.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/gmem.h"
#include "guest/e820.h"
#include "guest/guest.h"
#include "lib/err.h"
#include "tests/unit/support/fake_bzimage.h"
#include "tests/unit/support/guest_vm.h"

static const struct guest_platform platform;
static char text[256];

/* A guest that is good as it stands; each test changes what it is about. */
struct fixture {
	struct guest_image img;
	uint8_t *file;
	uint8_t *initrd; /* 1 MiB with a pattern */
	struct strbuf why;
	struct vm *vm;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->file = fake_bzimage();
	f->initrd = malloc(MIB(1));
	for (size_t i = 0; i < MIB(1); i++)
		f->initrd[i] = (uint8_t)(i % 241);
	f->img = (struct guest_image){
		.kind = CONFIG_KIND_LINUX,
		.kernel = f->file,
		.kernel_size = FAKE_SIZE,
		.cmdline = "console=ttyS0",
	};
	sb_init(&f->why, text, sizeof(text));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->vm)
		guest_vm_free(f->vm);
	free(f->file);
	free(f->initrd);
	free(f);
	return 0;
}

static void load(struct fixture *f, uint64_t memory)
{
	int err;

	f->vm = guest_vm_new(memory, 2);
	assert_int_equal(guest_check(&f->img, memory, &f->why), 0);
	err = guest_load(f->vm, &f->img, &platform, &f->why);
	if (err)
		fail_msg("%d: %s", err, text);
}

static uint64_t boot_param(const struct fixture *f, uint64_t offset, unsigned int len)
{
	return guest_vm_get(f->vm, f->vm->vcpu[0]->gpr[RSI] + offset, len);
}

static void expect_bytes(const struct vm *vm, uint64_t gpa, const void *bytes, size_t size)
{
	uint8_t *got = malloc(size);

	assert_int_equal(gmem_read(vm, gpa, got, size), 0);
	assert_memory_equal(got, bytes, size);
	free(got);
}

static void entry_state(void **state)
{
	struct fixture *f = *state;
	const struct vcpu *v;

	load(f, MIB(128));
	v = f->vm->vcpu[0];
	expect_bytes(f->vm, FAKE_PREF, f->file + FAKE_SETUP_SIZE, FAKE_PAYLOAD_SIZE);
	assert_int_equal(guest_vm_get(f->vm, FAKE_PREF + FAKE_PAYLOAD_SIZE, 8), 0);
	assert_int_equal(v->st.rip, FAKE_PREF + 0x200);
	assert_int_equal(v->st.rflags & 0x200, 0);
	assert_int_equal(v->st.cr0 & 0xe0000001, 0x80000001);
	assert_int_equal(v->st.efer, 0x500);
	assert_int_equal(v->st.seg[SEG_CS].selector, 0x10);
	assert_int_equal(v->st.seg[SEG_CS].attr, 0xa09b);
	assert_int_equal(v->st.seg[SEG_DS].selector, 0x18);
	assert_int_equal(v->st.seg[SEG_SS].selector, 0x18);
	assert_int_equal(v->st.seg[SEG_ES].selector, 0x18);
	/* The other vCPU waits as power-up left it. */
	assert_int_equal(f->vm->vcpu[1]->st.rip, 0xfff0);
}

static void entry_state_32(void **state)
{
	struct fixture *f = *state;
	const struct vcpu *v;

	fake_put(f->file, 0x236, 0, 2); /* xloadflags */
	load(f, MIB(128));
	v = f->vm->vcpu[0];
	assert_int_equal(v->st.rip, FAKE_PREF);
	assert_int_equal(v->st.rflags, 2);
	assert_int_equal(v->st.cr0 & 0xe0000001, 1);
	assert_int_equal(v->st.efer, 0);
	assert_int_equal(v->st.seg[SEG_CS].selector, 0x10);
	assert_int_equal(v->st.seg[SEG_CS].attr, 0xc09b);
	assert_int_equal(v->st.seg[SEG_DS].selector, 0x18);
	assert_int_equal(v->gpr[RBP] | v->gpr[RDI] | v->gpr[RBX], 0);
	assert_int_equal(boot_param(f, 0x214, 4), FAKE_PREF);
}

static void boot_params(void **state)
{
	struct fixture *f = *state;

	f->img.kind = CONFIG_KIND_AUTO;
	load(f, MIB(128));
	assert_int_equal(boot_param(f, 0x1fe, 2), 0xaa55);
	assert_int_equal(boot_param(f, 0x202, 4), 0x53726448);
	assert_int_equal(boot_param(f, 0x206, 2), 0x020f);
	assert_int_equal(boot_param(f, 0x1fa, 2), 0xffff);
	assert_int_equal(boot_param(f, 0x210, 1), 0xff);
	assert_int_equal(boot_param(f, 0x211, 1), 0x01);
	assert_int_equal(boot_param(f, 0x214, 4), FAKE_PREF);
	assert_int_equal(boot_param(f, 0x218, 8), 0); /* no initrd */
	assert_int_equal(boot_param(f, 0x268, 4), 0xfeedface);
	/* Nothing of the file outside the setup header gets in. */
	assert_int_equal(boot_param(f, 0x1e9, 8), 0);
	assert_int_equal(boot_param(f, 0x26c, 8), 0);
	/* The RSDP is where it is searched for, too. */
	assert_int_equal(boot_param(f, 0x070, 8), 0xe0000);
	expect_bytes(f->vm, 0xe0000, "RSD PTR ", 8);
}

static void memory_map(void **state)
{
	struct fixture *f = *state;
	struct e820_entry map[E820_COUNT_MAX];
	struct guest_ram ram = guest_ram_of(GIB(5));
	unsigned int count = e820_build(map, &ram);

	load(f, GIB(5));
	assert_int_equal(count, 5);
	assert_int_equal(boot_param(f, 0x1e8, 1), count);
	/* For those who know no map: KiB from 1 MiB on, as a BIOS answers 88h and E801h. */
	assert_int_equal(boot_param(f, 0x1e0, 4), 3 * 1024 * 1024 - 1024);
	assert_int_equal(boot_param(f, 0x002, 2), 0xffff);
	expect_bytes(f->vm, f->vm->vcpu[0]->gpr[RSI] + 0x2d0, map, count * sizeof(map[0]));
}

/* A file's own idea of what the boot loader fills in is not passed on. */
static void hostile_loader_fields(void **state)
{
	struct fixture *f = *state;

	fake_put(f->file, 0x218, 0xdeadbeef12345678, 8); /* ramdisk_image, ramdisk_size */
	fake_put(f->file, 0x228, 0xdeadbeef, 4);	 /* cmd_line_ptr */
	fake_put(f->file, 0x250, 0xdeadbeefdeadbeef, 8); /* setup_data */
	fake_put(f->file, 0x201, 0xff, 1);		 /* header to 301h */
	memset(f->file + 0x26c, 0xee, 0x94);		 /* in the e820 table's place, too */
	load(f, MIB(128));
	assert_int_equal(boot_param(f, 0x218, 8), 0);
	assert_int_equal(boot_param(f, 0x250, 8), 0);
	assert_int_equal(boot_param(f, 0x28f, 1), 0xee);
	assert_int_equal(boot_param(f, 0x290, 8), 0);
	assert_int_equal(boot_param(f, 0x2d0, 8), 0);
}

static char *long_text(size_t len)
{
	char *s = malloc(len + 1);

	memset(s, 'x', len);
	s[len] = 0;
	return s;
}

static void longest_command_line(void **state)
{
	struct fixture *f = *state;
	char *line = long_text(FAKE_CMDLINE);

	f->img.cmdline = line;
	load(f, MIB(128));
	expect_bytes(f->vm, boot_param(f, 0x228, 4), line, FAKE_CMDLINE + 1);
	free(line);
}

static void too_long_command_line(void **state)
{
	struct fixture *f = *state;
	char *line = long_text(FAKE_CMDLINE + 1);

	f->img.cmdline = line;
	assert_int_equal(guest_check(&f->img, MIB(128), &f->why), -E2BIG);
	assert_string_equal(text, "the command line has 2048 bytes, and this kernel takes 2047");
	free(line);
}

/* A kernel that takes any length gets what there is room for below the stack. */
static void boundless_command_line(void **state)
{
	struct fixture *f = *state;
	const size_t most = 0x80000 - 0x20000 - 1;
	char *line = long_text(most + 1);

	fake_put(f->file, 0x238, 0xffffffff, 4);
	f->img.cmdline = line;
	assert_int_equal(guest_check(&f->img, MIB(128), &f->why), -E2BIG);
	line[most] = 0;
	load(f, MIB(128));
	expect_bytes(f->vm, boot_param(f, 0x228, 4), line, most + 1);
	free(line);
}

static uint64_t initrd_address(const struct fixture *f)
{
	return boot_param(f, 0x218, 4) | boot_param(f, 0x0c0, 4) << 32;
}

static void with_initrd(struct fixture *f, size_t size)
{
	f->img.initrd = f->initrd;
	f->img.initrd_size = size;
}

static void expect_initrd(struct fixture *f, uint64_t address)
{
	assert_int_equal(initrd_address(f), address);
	assert_int_equal(boot_param(f, 0x21c, 4), f->img.initrd_size);
	assert_int_equal(boot_param(f, 0x0c4, 4), 0);
	expect_bytes(f->vm, address, f->initrd, f->img.initrd_size);
}

static void initrd_at_the_end_of_memory(void **state)
{
	struct fixture *f = *state;

	with_initrd(f, 5000);
	load(f, MIB(128));
	expect_initrd(f, MIB(128) - 8192);
}

static void initrd_below_the_kernels_limit(void **state)
{
	struct fixture *f = *state;

	with_initrd(f, MIB(1));
	load(f, GIB(3));
	expect_initrd(f, GIB(2) - MIB(1));
}

static void initrd_fills_what_is_left(void **state)
{
	struct fixture *f = *state;

	with_initrd(f, MIB(1));
	load(f, MIB(20)); /* the kernel ends at 19 MiB */
	expect_initrd(f, MIB(19));
}

static void initrd_above_4_gib(void **state)
{
	struct fixture *f = *state;

	fake_put(f->file, 0x258, GIB(3) - MIB(4), 8); /* the kernel takes all but 1 MiB below */
	with_initrd(f, MIB(1));
	f->img.initrd_size--;
	load(f, GIB(4));
	expect_initrd(f, GIB(3) - MIB(1));
	guest_vm_free(f->vm);
	fake_put(f->file, 0x260, MIB(4), 4); /* and now that, too */
	load(f, GIB(4));
	expect_initrd(f, GIB(5) - MIB(1));
}

static void initrd_that_does_not_fit(void **state)
{
	struct fixture *f = *state;

	with_initrd(f, MIB(1));
	assert_int_equal(guest_check(&f->img, MIB(20) - PAGE_SIZE, &f->why), -ENOSPC);
	assert_string_equal(text, "the initrd has 1048576 bytes, and beside the kernel there is "
				  "room for 1044480");
	sb_reset(&f->why);
	f->img.initrd_size = SIZE_MAX;
	assert_int_equal(guest_check(&f->img, GIB(8), &f->why), -ENOSPC);
}

static void initrd_only_where_the_kernel_says(void **state)
{
	struct fixture *f = *state;

	with_initrd(f, MIB(1));
	fake_put(f->file, 0x236, 0x0001, 2); /* not above 4 GiB */
	fake_put(f->file, 0x22c, FAKE_PREF + MIB(3),
		 4); /* initrd_addr_max: a byte behind init_size */
	assert_int_equal(guest_check(&f->img, GIB(8), &f->why), -ENOSPC);
	fake_put(f->file, 0x22c, 0, 4);
	assert_int_equal(guest_check(&f->img, GIB(8), &f->why), -ENOSPC);
}

static void kernel_that_does_not_fit(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(guest_check(&f->img, MIB(18), &f->why), -ENOSPC);
	assert_string_equal(text,
			    "the kernel needs 19 MiB of memory below 4 GiB, and the VM has 18");
	assert_int_equal(guest_check(&f->img, MIB(19), &f->why), 0);
	fake_put(f->file, 0x260, FAKE_INIT_SIZE + 1, 4);
	assert_int_equal(guest_check(&f->img, MIB(19), &f->why), -ENOSPC);
	fake_put(f->file, 0x260, 0xffffffff, 4);
	assert_int_equal(guest_check(&f->img, GIB(600), &f->why), -ENOSPC);
}

/* What check refuses load refuses as well, with the same words. */
static void load_checks_again(void **state)
{
	struct fixture *f = *state;

	f->vm = guest_vm_new(MIB(18), 1);
	assert_int_equal(guest_load(f->vm, &f->img, &platform, &f->why), -ENOSPC);
	assert_non_null(strstr(text, "19 MiB"));
}

static void memory_with_a_hole(void **state)
{
	struct fixture *f = *state;

	f->vm = guest_vm_new(MIB(32), 1);
	f->vm->ram[0].size = MIB(2); /* 2 to 16 MiB are gone */
	f->vm->ram[1].gpa += MIB(1); /* and 16 to 17 */
	assert_int_equal(guest_load(f->vm, &f->img, &platform, &f->why), -EFAULT);
	assert_non_null(strstr(text, "missing"));
	f->vm->ram[0].size = MIB(16);
	f->vm->ram[1].gpa -= MIB(1);
}

/* Debian's kernel, where the sample guest has been made. */
static void real_kernel(void **state)
{
	struct fixture *f = *state;
	FILE *file = fopen("build/guest/vmlinuz", "rb");
	size_t size;

	if (!file)
		skip();
	fseek(file, 0, SEEK_END);
	size = (size_t)ftell(file);
	rewind(file);
	free(f->file);
	f->file = malloc(size);
	assert_int_equal(fread(f->file, 1, size, file), size);
	fclose(file);
	f->img.kernel = f->file;
	f->img.kernel_size = size;
	with_initrd(f, MIB(1));
	load(f, MIB(128));
	assert_int_equal(f->vm->vcpu[0]->st.rip, 0x1000200);
	expect_initrd(f, MIB(127));
	f->img.kernel_size = size / 2;
	assert_int_equal(guest_check(&f->img, MIB(128), &f->why), -ENOEXEC);
	assert_non_null(strstr(text, "cut off"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(entry_state),
		TEST(entry_state_32),
		TEST(boot_params),
		TEST(memory_map),
		TEST(hostile_loader_fields),
		TEST(longest_command_line),
		TEST(too_long_command_line),
		TEST(boundless_command_line),
		TEST(initrd_at_the_end_of_memory),
		TEST(initrd_below_the_kernels_limit),
		TEST(initrd_fills_what_is_left),
		TEST(initrd_above_4_gib),
		TEST(initrd_that_does_not_fit),
		TEST(initrd_only_where_the_kernel_says),
		TEST(kernel_that_does_not_fit),
		TEST(load_checks_again),
		TEST(memory_with_a_hole),
		TEST(real_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
