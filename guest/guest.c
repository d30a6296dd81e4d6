/* The kinds of guests, and what loading has in common for all of them. */
#include "guest/guest.h"

#include "core/vm.h"
#include "guest/acpi.h"
#include "guest/bios_data.h"
#include "guest/bzimage.h"
#include "guest/kind.h"
#include "guest/multiboot.h"
#include "guest/pvh.h"
#include "lib/assert.h"
#include "lib/err.h"

static const struct guest_kind *const kinds[] = {
	[CONFIG_KIND_LINUX] = &kind_linux,   [CONFIG_KIND_MULTIBOOT] = &kind_multiboot,
	[CONFIG_KIND_PVH] = &kind_pvh,	     [CONFIG_KIND_FLAT16] = &kind_flat16,
	[CONFIG_KIND_FLAT32] = &kind_flat32, [CONFIG_KIND_FLAT64] = &kind_flat64,
};

/*
 * What can be told by its content. A kernel of several formats has them for different boot loaders,
 * and takes modules in the first of these that it has.
 */
static const struct {
	bool (*magic)(const uint8_t *file, size_t size);
	enum config_kind kind;
} formats[] = {
	{bzimage_magic, CONFIG_KIND_LINUX},
	{multiboot_magic, CONFIG_KIND_MULTIBOOT},
	{pvh_magic, CONFIG_KIND_PVH},
};

/* The kind of IMG, by its content where it has none. NULL: not one that can be loaded. */
static const struct guest_kind *kind_of(const struct guest_image *img)
{
	enum config_kind kind = img->kind;

	for (size_t i = 0; i < ARRAY_SIZE(formats) && kind == CONFIG_KIND_AUTO; i++) {
		if (formats[i].magic(img->kernel, img->kernel_size))
			kind = formats[i].kind;
	}
	return (size_t)kind < ARRAY_SIZE(kinds) ? kinds[kind] : NULL;
}

static int check(const struct guest_image *img, const struct guest_ram *ram,
		 const struct guest_kind **kind, struct strbuf *why)
{
	*kind = kind_of(img);
	if (!*kind && img->kind == CONFIG_KIND_AUTO) {
		sb_puts(why, "the kernel is no bzImage, and has neither a multiboot header nor a "
			     "PVH entry; a flat image needs a kind: flat16, flat32 or flat64");
		return -EOPNOTSUPP;
	}
	assert(*kind);
	if (ram->low_end < LAYOUT_MIN_MEMORY) {
		sb_printf(why, "a VM needs 2 MiB of memory at least");
		return -ENOSPC;
	}
	return 0;
}

int guest_check(const struct guest_image *img, uint64_t memory, struct strbuf *why)
{
	struct guest_ram ram = guest_ram_of(memory);
	const struct guest_kind *kind;
	int err = check(img, &ram, &kind, why);

	return err ? err : kind->check(img, &ram, why);
}

int guest_load(struct vm *vm, const struct guest_image *img, const struct guest_platform *p,
	       struct strbuf *why)
{
	struct guest_ram ram = {.low_end = gmem_low_end(vm), .high_end = gmem_high_end(vm)};
	struct writer w = {.vm = vm};
	const struct guest_kind *kind;
	uint64_t rsdp;
	int err = check(img, &ram, &kind, why);

	if (err)
		return err;
	rsdp = guest_acpi_write(&w, p, vm->vcpu_count);
	guest_bios_data_write(&w, p);
	err = kind->load(&w, img, &ram, rsdp, vm->vcpu[0], why);
	if (!err && w.err) {
		sb_puts(why, "parts of the VM's memory are missing");
		err = w.err;
	}
	return err;
}
