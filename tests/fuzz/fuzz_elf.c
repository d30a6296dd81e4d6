/* links: guest/guest.c guest/flat.c guest/linux.c guest/bzimage.c guest/multiboot.c guest/pvh.c guest/elf.c guest/modules.c guest/e820.c guest/entry.c guest/acpi.c guest/bios_data.c core/gmem.c lib/strbuf.c lib/fmt.c tests/unit/support/guest_vm.c -lcmocka */
/*
 * Multiboot and PVH kernels against guest_check() and guest_load(). The input: memory in pieces of
 * 2 MiB (1 byte), kind and number of modules (1: bits 0 and 1, bits 7:2), and the file. The files
 * that make guests builds are good seeds, with two bytes before each.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gmem.h"
#include "guest/guest.h"
#include "guest/layout.h"
#include "tests/unit/support/guest_vm.h"

#define INPUT_HEADER 2u
#define MODULES_MAX  64u

static const struct guest_platform platform = {.pm1_event = 0x600, .reset_port = 0xcf9};

static void must(int condition)
{
	if (!condition)
		abort();
}

static int is_above(const struct vm *vm, uint64_t gpa)
{
	return gpa >= LAYOUT_HIGH_RAM && gpa < gmem_low_end(vm);
}

/*
 * Entered in RAM, in protected mode, with the information in low memory, or above for a kernel that
 * is there.
 */
static void look_at(const struct vm *vm)
{
	const struct vcpu *v = vm->vcpu[0];
	int low = v->st.rip >= LAYOUT_LOW_KERNEL && v->st.rip < LAYOUT_LOW_RAM_END;

	must(low || is_above(vm, v->st.rip));
	must((v->st.cr0 & 0x80000001) == 1);
	must(is_above(vm, v->gpr[RBX]) ||
	     (!low && v->gpr[RBX] >= LAYOUT_INFO && v->gpr[RBX] < LAYOUT_INFO_END));
}

static void run(const struct guest_image *img, uint64_t memory)
{
	char text[512];
	struct strbuf why;
	struct vm *vm;
	int err;

	sb_init(&why, text, sizeof(text));
	err = guest_check(img, memory, &why);
	must((err != 0) == (why.len != 0) && !why.cut);
	vm = guest_vm_new(memory, 1);
	sb_reset(&why);
	must(guest_load(vm, img, &platform, &why) == err);
	if (!err)
		look_at(vm);
	guest_vm_free(vm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum config_kind kinds[] = {CONFIG_KIND_MULTIBOOT, CONFIG_KIND_PVH,
						 CONFIG_KIND_MULTIBOOT, CONFIG_KIND_PVH};
	struct guest_module modules[MODULES_MAX];
	struct guest_image img = {.cmdline = "a command line", .modules = modules};
	uint8_t *file;

	if (size < INPUT_HEADER)
		return -1;
	img.kind = kinds[data[1] & 3];
	img.module_count = data[1] >> 2;
	img.kernel_size = size - INPUT_HEADER;
	/* A copy of its own for AddressSanitizer. */
	file = malloc(img.kernel_size ? img.kernel_size : 1);
	memcpy(file, data + INPUT_HEADER, img.kernel_size);
	img.kernel = file;
	for (size_t i = 0; i < MODULES_MAX; i++)
		modules[i] = (struct guest_module){file, img.kernel_size, "a module's text"};
	run(&img, MIB(2) * data[0]);
	free(file);
	return 0;
}
