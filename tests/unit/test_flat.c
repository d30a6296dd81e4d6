/* links: guest/guest.c guest/flat.c guest/linux.c guest/bzimage.c guest/multiboot.c guest/pvh.c guest/elf.c guest/modules.c guest/e820.c guest/entry.c guest/acpi.c guest/bios_data.c core/gmem.c lib/strbuf.c lib/fmt.c tests/unit/support/guest_vm.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/gmem.h"
#include "guest/guest.h"
#include "lib/err.h"
#include "tests/unit/support/guest_vm.h"

static const struct guest_platform platform;
static char text[256];
static struct strbuf why;

static int reset_why(void **state)
{
	(void)state;
	sb_init(&why, text, sizeof(text));
	return 0;
}

/* An image of SIZE bytes with a pattern, loaded into a new VM. The caller frees both. */
static struct vm *load(enum config_kind kind, uint64_t memory, size_t size, uint8_t **bytes)
{
	struct vm *vm = guest_vm_new(memory, 1);
	struct guest_image img = {.kind = kind, .kernel_size = size, .cmdline = ""};

	*bytes = malloc(size);
	for (size_t i = 0; i < size; i++)
		(*bytes)[i] = (uint8_t)(i % 253 + 1);
	img.kernel = *bytes;
	assert_int_equal(guest_check(&img, memory, &why), 0);
	assert_int_equal(guest_load(vm, &img, &platform, &why), 0);
	return vm;
}

static void expect_at(const struct vm *vm, uint64_t gpa, const uint8_t *bytes, size_t size)
{
	uint8_t *got = malloc(size);

	assert_int_equal(gmem_read(vm, gpa, got, size), 0);
	assert_memory_equal(got, bytes, size);
	free(got);
}

static void flat16(void **state)
{
	const size_t most = 0x9fc00 - 0x7c00;
	uint8_t *bytes;
	struct vm *vm = load(CONFIG_KIND_FLAT16, MIB(2), most, &bytes);
	const struct vcpu *v = vm->vcpu[0];

	(void)state;
	expect_at(vm, 0x7c00, bytes, most);
	assert_int_equal(guest_vm_get(vm, 0x9fc01, 8), 0); /* behind the EBDA's size */
	assert_int_equal(v->st.rip, 0x7c00);
	assert_int_equal(v->st.seg[SEG_CS].selector, 0);
	assert_int_equal(v->st.seg[SEG_CS].base, 0);
	assert_int_equal(v->st.seg[SEG_DS].base, 0);
	assert_int_equal(v->st.seg[SEG_DS].limit, 0xffff);
	assert_int_equal(v->st.cr0 & 0xe0000001, 0); /* PG CD NW PE */
	assert_int_equal(v->st.rflags, 2);
	assert_int_equal(v->gpr[RDX], 0); /* DL: no drive */
	assert_int_equal(v->st.idtr.base, 0);
	assert_int_equal(v->st.idtr.limit, 0x3ff);
	guest_vm_free(vm);
	free(bytes);
}

/* Where a PC's firmware says how much conventional memory there is, and where the serial port. */
static void bios_data(void **state)
{
	uint8_t *bytes;
	struct vm *vm = load(CONFIG_KIND_FLAT32, MIB(4), 1, &bytes);

	(void)state;
	assert_int_equal(guest_vm_get(vm, 0x400, 2), 0x3f8);
	assert_int_equal(guest_vm_get(vm, 0x40e, 2), 0x9fc0);
	assert_int_equal(guest_vm_get(vm, 0x410, 2) >> 9 & 7, 1);
	assert_int_equal(guest_vm_get(vm, 0x413, 2), 639);
	assert_int_equal(guest_vm_get(vm, 0x9fc00, 1), 1);
	for (uint32_t vector = 0; vector < 256; vector++) {
		uint32_t at = (uint32_t)guest_vm_get(vm, 4 * vector, 4);
		uint32_t linear = (at >> 16) * 16 + (at & 0xffff);

		/* IRET, or as long a piece of code as sets the carry flag. */
		if (vector >= 0x10 && vector <= 0x1a)
			linear += 10;
		assert_int_equal(guest_vm_get(vm, linear, 1), 0xcf);
	}
	guest_vm_free(vm);
	free(bytes);
}

/* Both serial ports, where there are two. */
static void bios_data_of_two_ports(void **state)
{
	const struct guest_platform p = {.com2 = true};
	struct guest_image img = {.kind = CONFIG_KIND_FLAT32,
				  .kernel = (const uint8_t *)"\xf4",
				  .kernel_size = 1,
				  .cmdline = ""};
	struct vm *vm = guest_vm_new(MIB(2), 1);

	(void)state;
	assert_int_equal(guest_load(vm, &img, &p, &why), 0);
	assert_int_equal(guest_vm_get(vm, 0x400, 8), 0x2f803f8);
	assert_int_equal(guest_vm_get(vm, 0x410, 2) >> 9 & 7, 2);
	guest_vm_free(vm);
}

/* The hidden part of a segment and its descriptor in the GDT say the same. */
static void expect_flat_segment(const struct vm *vm, const struct vcpu_seg *s, uint32_t attr)
{
	uint64_t gdt = vm->vcpu[0]->st.gdtr.base;
	uint64_t d = guest_vm_get(vm, gdt + s->selector, 8);

	assert_int_equal(s->attr, attr);
	assert_int_equal(s->base, 0);
	assert_int_equal(s->limit, 0xffffffff);
	assert_true(s->selector + 7u <= vm->vcpu[0]->st.gdtr.limit);
	assert_int_equal(d >> 40 & 0xf0ff, attr);
	assert_int_equal(d & 0xffff, 0xffff);
	assert_int_equal(d >> 48 & 0xf, 0xf);
	assert_int_equal((d >> 16 & 0xffffff) | d >> 56, 0);
}

static void expect_data_segments(const struct vm *vm)
{
	static const int data[] = {SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS};

	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		expect_flat_segment(vm, &vm->vcpu[0]->st.seg[data[i]], 0xc093);
}

static void flat32(void **state)
{
	const size_t most = MIB(3);
	uint8_t *bytes;
	struct vm *vm = load(CONFIG_KIND_FLAT32, MIB(4), most, &bytes);
	const struct vcpu *v = vm->vcpu[0];

	(void)state;
	expect_at(vm, 0x100000, bytes, most);
	assert_int_equal(v->st.rip, 0x100000);
	assert_int_equal(v->gpr[RSP], 0x90000);
	assert_int_equal(v->st.cr0 & 0xe0000001, 1);
	assert_int_equal(v->st.cr4, 0);
	assert_int_equal(v->st.efer, 0);
	assert_int_equal(v->st.rflags, 2);
	expect_flat_segment(vm, &v->st.seg[SEG_CS], 0xc09b);
	expect_data_segments(vm);
	guest_vm_free(vm);
	free(bytes);
}

/* Walks the guest's page tables by hand: every 2 MiB of the first 4 GiB map to themselves. */
static void expect_identity_map(const struct vm *vm)
{
	uint64_t cr3 = vm->vcpu[0]->st.cr3;

	for (uint64_t va = 0; va < GIB(4); va += MIB(2)) {
		uint64_t pml4e = guest_vm_get(vm, cr3 + 8 * (va >> 39 & 511), 8);
		uint64_t pdpte = guest_vm_get(vm, (pml4e & ~0xfffULL) + 8 * (va >> 30 & 511), 8);
		uint64_t pde = guest_vm_get(vm, (pdpte & ~0xfffULL) + 8 * (va >> 21 & 511), 8);

		assert_int_equal(pml4e & 3, 3);
		assert_int_equal(pdpte & 0x83, 3);
		assert_int_equal(pde, va | 0x83);
	}
}

static void flat64(void **state)
{
	const size_t most = MIB(6);
	uint8_t *bytes;
	struct vm *vm = load(CONFIG_KIND_FLAT64, MIB(8), most, &bytes);
	const struct vcpu *v = vm->vcpu[0];

	(void)state;
	expect_at(vm, 0x200000, bytes, most);
	assert_int_equal(v->st.rip, 0x200000);
	assert_int_equal(v->gpr[RSP], 0x90000);
	assert_int_equal(v->gpr[RDI], MIB(8));
	assert_int_equal(v->st.cr0 & 0xe0000001, 0x80000001);
	assert_int_equal(v->st.cr4, 0x20);
	assert_int_equal(v->st.efer, 0x500);
	expect_flat_segment(vm, &v->st.seg[SEG_CS], 0xa09b);
	expect_data_segments(vm);
	expect_identity_map(vm);
	/* What is not set stays as after power-up. */
	assert_int_equal(v->st.seg[SEG_TR].attr, 0x8b);
	assert_int_equal(v->st.dr7, 0x400);
	guest_vm_free(vm);
	free(bytes);
}

static void flat64_beyond_4_gib(void **state)
{
	uint8_t *bytes;
	struct vm *vm = load(CONFIG_KIND_FLAT64, GIB(5), 16, &bytes);

	(void)state;
	assert_int_equal(vm->vcpu[0]->gpr[RDI], GIB(5));
	guest_vm_free(vm);
	free(bytes);
}

static int check(enum config_kind kind, size_t size, uint64_t memory)
{
	static const uint8_t byte[1] = {0xf4};
	struct guest_image img = {.kind = kind, .kernel = byte, .kernel_size = size, .cmdline = ""};

	sb_reset(&why);
	return guest_check(&img, memory, &why);
}

static void sizes(void **state)
{
	(void)state;
	assert_int_equal(check(CONFIG_KIND_FLAT16, 0x9fc00 - 0x7c00 + 1, GIB(1)), -ENOSPC);
	assert_non_null(strstr(text, "622593 bytes"));
	assert_non_null(strstr(text, "622592 from 0x7c00"));
	assert_int_equal(check(CONFIG_KIND_FLAT32, MIB(1), MIB(2)), 0);
	assert_int_equal(check(CONFIG_KIND_FLAT32, MIB(1) + 1, MIB(2)), -ENOSPC);
	assert_int_equal(check(CONFIG_KIND_FLAT64, 1, MIB(2)), -ENOSPC);
	assert_non_null(strstr(text, "room for 0 from 0x200000"));
	assert_int_equal(check(CONFIG_KIND_FLAT64, MIB(2), MIB(4)), 0);
	assert_int_equal(check(CONFIG_KIND_FLAT64, GIB(3), GIB(8)), -ENOSPC);
	assert_int_equal(check(CONFIG_KIND_FLAT64, SIZE_MAX, GIB(8)), -ENOSPC);
	assert_int_equal(check(CONFIG_KIND_FLAT32, 0, MIB(2)), -ENOEXEC);
	assert_string_equal(text, "the image is empty");
	assert_int_equal(check(CONFIG_KIND_FLAT16, 1, KIB(640)), -ENOSPC);
	assert_int_equal(check(CONFIG_KIND_FLAT16, 1, 0), -ENOSPC);
}

static void content_that_says_nothing(void **state)
{
	(void)state;
	assert_int_equal(check(CONFIG_KIND_AUTO, 1, MIB(2)), -EOPNOTSUPP);
	assert_non_null(strstr(text, "flat16, flat32 or flat64"));
}

static void what_flat_images_do_not_take(void **state)
{
	static const uint8_t byte[1] = {0xf4};
	struct guest_image img = {.kind = CONFIG_KIND_FLAT32,
				  .kernel = byte,
				  .kernel_size = 1,
				  .cmdline = "quiet"};

	(void)state;
	assert_int_equal(guest_check(&img, MIB(2), &why), -EINVAL);
	assert_non_null(strstr(text, "command line"));
	img.cmdline = "";
	img.initrd = byte;
	img.initrd_size = 1;
	sb_reset(&why);
	assert_int_equal(guest_check(&img, MIB(2), &why), -EINVAL);
	assert_non_null(strstr(text, "initrd"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(flat16, reset_why),
		cmocka_unit_test_setup(bios_data, reset_why),
		cmocka_unit_test_setup(bios_data_of_two_ports, reset_why),
		cmocka_unit_test_setup(flat32, reset_why),
		cmocka_unit_test_setup(flat64, reset_why),
		cmocka_unit_test_setup(flat64_beyond_4_gib, reset_why),
		cmocka_unit_test_setup(sizes, reset_why),
		cmocka_unit_test_setup(content_that_says_nothing, reset_why),
		cmocka_unit_test_setup(what_flat_images_do_not_take, reset_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
