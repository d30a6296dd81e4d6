/* Images that are nothing but code, loaded at a fixed place and entered at their first byte. */
#include "core/vm.h"
#include "guest/entry.h"
#include "guest/kind.h"
#include "lib/err.h"

/* An image from BASE on has to end before END. */
static int check(const struct guest_image *img, uint64_t base, uint64_t end, struct strbuf *why)
{
	uint64_t room = end > base ? end - base : 0;

	if (!img->kernel_size) {
		sb_puts(why, "the image is empty");
		return -ENOEXEC;
	}
	if (img->initrd_size || img->cmdline[0]) {
		sb_printf(why, "a flat image takes no %s",
			  img->initrd_size ? "initrd" : "command line");
		return -EINVAL;
	}
	if (img->module_count) {
		sb_puts(why, "a flat image takes no modules");
		return -ENODEV;
	}
	if (img->kernel_size <= room)
		return 0;
	sb_printf(why, "the image has %zu bytes, and there is room for %llu from %#llx on",
		  img->kernel_size, (unsigned long long)room, (unsigned long long)base);
	return -ENOSPC;
}

static int check16(const struct guest_image *img, const struct guest_ram *ram, struct strbuf *why)
{
	(void)ram; /* the least memory reaches farther */
	return check(img, LAYOUT_FLAT16, LAYOUT_LOW_RAM_END, why);
}

static int check32(const struct guest_image *img, const struct guest_ram *ram, struct strbuf *why)
{
	return check(img, LAYOUT_FLAT32, ram->low_end, why);
}

static int check64(const struct guest_image *img, const struct guest_ram *ram, struct strbuf *why)
{
	return check(img, LAYOUT_FLAT64, ram->low_end, why);
}

/* As a BIOS starts a boot sector, but for DL, the drive: there is none, and it stays 0. */
static int load16(struct writer *w, const struct guest_image *img, const struct guest_ram *ram,
		  uint64_t rsdp, struct vcpu *bsp, struct strbuf *why)
{
	int err = check16(img, ram, why);

	(void)rsdp;
	if (err)
		return err;
	put_bytes(w, LAYOUT_FLAT16, img->kernel, img->kernel_size);
	entry_real(bsp, LAYOUT_FLAT16, LAYOUT_FLAT16);
	return 0;
}

static int load32(struct writer *w, const struct guest_image *img, const struct guest_ram *ram,
		  uint64_t rsdp, struct vcpu *bsp, struct strbuf *why)
{
	int err = check32(img, ram, why);

	(void)rsdp;
	if (err)
		return err;
	put_bytes(w, LAYOUT_FLAT32, img->kernel, img->kernel_size);
	entry_protected(w, bsp, LAYOUT_FLAT32);
	return 0;
}

static int load64(struct writer *w, const struct guest_image *img, const struct guest_ram *ram,
		  uint64_t rsdp, struct vcpu *bsp, struct strbuf *why)
{
	int err = check64(img, ram, why);

	(void)rsdp;
	if (err)
		return err;
	put_bytes(w, LAYOUT_FLAT64, img->kernel, img->kernel_size);
	entry_long(w, bsp, LAYOUT_FLAT64);
	bsp->gpr[RDI] = ram->low_end + ram->high_end - GIB(4);
	return 0;
}

const struct guest_kind kind_flat16 = {check16, load16};
const struct guest_kind kind_flat32 = {check32, load32};
const struct guest_kind kind_flat64 = {check64, load64};
