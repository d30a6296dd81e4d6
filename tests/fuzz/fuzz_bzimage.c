/* links: guest/guest.c guest/flat.c guest/linux.c guest/bzimage.c guest/multiboot.c guest/pvh.c guest/elf.c guest/modules.c guest/e820.c guest/entry.c guest/acpi.c guest/bios_data.c core/gmem.c lib/strbuf.c lib/fmt.c tests/unit/support/guest_vm.c tests/unit/support/fake_bzimage.c -lcmocka */
/*
 * Images of every kind against guest_check() and guest_load(). The input: memory in pieces of 2 MiB
 * (2 bytes), kind (1), size of the initrd (4, its lowest bit: is the rest the whole file, or the
 * setup header of a good kernel), length of the command line (2), and the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gmem.h"
#include "guest/guest.h"
#include "guest/layout.h"
#include "lib/err.h"
#include "tests/unit/support/fake_bzimage.h"
#include "tests/unit/support/guest_vm.h"

#define INPUT_HEADER 9u
#define INITRD_MAX   MIB(1)
#define MEMORY_MAX   GIB(9)

static const struct guest_platform platform = {.pm1_event = 0x600, .reset_port = 0xcf9};

static void must(int condition)
{
	if (!condition)
		abort();
}

/* What was loaded lies in RAM, and the initrd beside the kernel. */
static void look_at_linux(const struct vm *vm)
{
	uint64_t bp = vm->vcpu[0]->gpr[RSI];
	uint64_t kernel = guest_vm_get(vm, bp + 0x214, 4);
	bool has_init_size = guest_vm_get(vm, bp + 0x206, 2) >= 0x20a;
	uint64_t end = kernel + (has_init_size ? guest_vm_get(vm, bp + 0x260, 4) : 0);
	uint64_t initrd = guest_vm_get(vm, bp + 0x218, 4) | guest_vm_get(vm, bp + 0xc0, 4) << 32;
	uint64_t size = guest_vm_get(vm, bp + 0x21c, 4);

	must(kernel >= LAYOUT_HIGH_RAM && end <= gmem_low_end(vm));
	/* A 32-bit kernel's entry is where its header says. */
	must(vm->vcpu[0]->st.rip >= kernel && vm->vcpu[0]->st.rip < gmem_low_end(vm));
	must(!size || initrd >= end);
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
	if (memory > MEMORY_MAX || img->initrd_size > INITRD_MAX)
		return;
	vm = guest_vm_new(memory, 2);
	sb_reset(&why);
	must(guest_load(vm, img, &platform, &why) == err);
	if (!err && vm->vcpu[0]->gpr[RSI] == LAYOUT_BOOT_PARAMS)
		look_at_linux(vm);
	guest_vm_free(vm);
}

/*
 * A file of its own for AddressSanitizer: the rest of the input, or a good kernel with that for a
 * header.
 */
static uint8_t *make_file(const uint8_t *rest, size_t *size, int whole)
{
	uint8_t *file;

	if (whole) {
		file = malloc(*size ? *size : 1);
		memcpy(file, rest, *size);
		return file;
	}
	file = fake_bzimage();
	memcpy(file + 0x1f1, rest, MIN(*size, (size_t)0x290 - 0x1f1));
	*size = FAKE_SIZE;
	return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t initrd[INITRD_MAX];
	struct guest_image img = {.initrd = initrd};
	uint16_t pieces, cmdline_len;
	uint32_t initrd_size;
	uint8_t *file;
	char *cmdline;

	if (size < INPUT_HEADER)
		return -1;
	memcpy(&pieces, data, 2);
	memcpy(&initrd_size, data + 3, 4);
	memcpy(&cmdline_len, data + 7, 2);
	img.kind = (enum config_kind)(data[2] % (CONFIG_KIND_FLAT64 + 1));
	img.initrd_size = initrd_size >> 1;
	img.kernel_size = size - INPUT_HEADER;
	file = make_file(data + INPUT_HEADER, &img.kernel_size, initrd_size & 1);
	img.kernel = file;
	cmdline = calloc(1, cmdline_len + 1u);
	memset(cmdline, 'x', cmdline_len);
	img.cmdline = cmdline;
	run(&img, MIB(2) * pieces);
	free(cmdline);
	free(file);
	return 0;
}
