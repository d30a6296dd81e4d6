/* Linux by its 64-bit or 32-bit boot protocol: Documentation/arch/x86/boot.rst and zero-page.rst.
 */
#include "core/vm.h"
#include "guest/bzimage.h"
#include "guest/e820.h"
#include "guest/entry.h"
#include "guest/kind.h"
#include "lib/err.h"
#include "lib/string.h"

/* Offsets in boot_params that are not in the setup header. */
enum {
	BP_EXT_MEM_K = 0x002,	      /* 2 bytes */
	BP_ACPI_RSDP_ADDR = 0x070,    /* 8 */
	BP_EXT_RAMDISK_IMAGE = 0x0c0, /* 4 */
	BP_EXT_RAMDISK_SIZE = 0x0c4,  /* 4 */
	BP_ALT_MEM_K = 0x1e0,	      /* 4 */
	BP_E820_ENTRIES = 0x1e8,      /* 1 */
	BP_E820_TABLE = 0x2d0,	      /* 20 each */
	/* In the setup header: what the boot loader fills in. */
	BP_VID_MODE = 0x1fa,	   /* 2 */
	BP_TYPE_OF_LOADER = 0x210, /* 1 */
	BP_CODE32_START = 0x214,   /* 4 */
	BP_RAMDISK_IMAGE = 0x218,  /* 4 */
	BP_RAMDISK_SIZE = 0x21c,   /* 4 */
	BP_CMD_LINE_PTR = 0x228,   /* 4 */
	BP_SETUP_DATA = 0x250,	   /* 8 */
};

#define LOADER_UNKNOWN	0xffu /* type_of_loader of one without a number of its own */
#define VID_MODE_NORMAL 0xffffu

static uint64_t mib(uint64_t bytes)
{
	return ALIGN_UP(bytes, MIB(1)) >> 20;
}

static int check_cmdline(const struct bzimage *bz, const char *cmdline, struct strbuf *why)
{
	uint64_t max = MIN(bz->cmdline_max, (uint64_t)LAYOUT_CMDLINE_END - LAYOUT_CMDLINE - 1);
	size_t len = strlen(cmdline);

	if (len <= max)
		return 0;
	sb_printf(why, "the command line has %zu bytes, and this kernel takes %llu", len,
		  (unsigned long long)max);
	return -E2BIG;
}

static int check_room(const struct bzimage *bz, const struct guest_ram *ram, struct strbuf *why)
{
	if (bz->end <= ram->low_end)
		return 0;
	sb_printf(why, "the kernel needs %llu MiB of memory below 4 GiB, and the VM has %llu",
		  (unsigned long long)mib(bz->end), (unsigned long long)(ram->low_end >> 20));
	return -ENOSPC;
}

/*
 * As high as it can be, since the kernel unpacks itself and grows from below: under the limit that
 * the kernel names, then under 4 GiB, then above. Returns its address, or 0 with the most that
 * would fit in *ROOM.
 */
static uint64_t place_initrd(const struct bzimage *bz, const struct guest_ram *ram, size_t size,
			     uint64_t *room)
{
	const struct {
		uint64_t start, end;
	} windows[] = {
		{bz->end, MIN(ram->low_end, bz->initrd_end)},
		{bz->end, ram->low_end},
		{GIB(4), ram->high_end},
	};
	size_t count = bz->initrd_anywhere ? ARRAY_SIZE(windows) : 1;

	*room = 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t start = ALIGN_UP(windows[i].start, PAGE_SIZE);
		uint64_t end = windows[i].end;
		uint64_t free = end > start ? end - start : 0;

		if (size <= free)
			return ALIGN_DOWN(end - size, PAGE_SIZE);
		*room = MAX(*room, free);
	}
	return 0;
}

/* Where everything goes. */
struct plan {
	struct bzimage bz;
	uint64_t initrd; /* 0: none */
};

static int plan_initrd(struct plan *plan, const struct guest_ram *ram, size_t size,
		       struct strbuf *why)
{
	uint64_t room;

	plan->initrd = size ? place_initrd(&plan->bz, ram, size, &room) : 0;
	if (plan->initrd || !size)
		return 0;
	sb_printf(why, "the initrd has %zu bytes, and beside the kernel there is room for %llu",
		  size, (unsigned long long)room);
	return -ENOSPC;
}

static int make_plan(struct plan *plan, const struct guest_image *img, const struct guest_ram *ram,
		     struct strbuf *why)
{
	int err;

	if (img->module_count) {
		sb_puts(why, "a bzImage takes no modules, but an initrd");
		return -ENODEV;
	}
	err = bzimage_parse(&plan->bz, img->kernel, img->kernel_size, why);
	if (!err)
		err = check_cmdline(&plan->bz, img->cmdline, why);
	if (!err)
		err = check_room(&plan->bz, ram, why);
	if (!err)
		err = plan_initrd(plan, ram, img->initrd_size, why);
	return err;
}

static int check(const struct guest_image *img, const struct guest_ram *ram, struct strbuf *why)
{
	struct plan plan;

	return make_plan(&plan, img, ram, why);
}

/* The map, and for those who know none, how much there is from 1 MiB on. */
static void put_memory(struct writer *w, const struct guest_ram *ram)
{
	struct e820_entry map[E820_COUNT_MAX];
	unsigned int count = e820_build(map, ram);
	uint32_t kib = (uint32_t)((ram->low_end - LAYOUT_HIGH_RAM) / KIB(1));

	put_u16(w, LAYOUT_BOOT_PARAMS + BP_EXT_MEM_K, (uint16_t)MIN(kib, (uint32_t)UINT16_MAX));
	put_u32(w, LAYOUT_BOOT_PARAMS + BP_ALT_MEM_K, kib);
	put_u8(w, LAYOUT_BOOT_PARAMS + BP_E820_ENTRIES, (uint8_t)count);
	put_bytes(w, LAYOUT_BOOT_PARAMS + BP_E820_TABLE, map, count * sizeof(map[0]));
}

static void put_initrd(struct writer *w, uint64_t at, const struct guest_image *img)
{
	const uint64_t bp = LAYOUT_BOOT_PARAMS, size = img->initrd_size;

	put_bytes(w, at, img->initrd, size);
	put_u32(w, bp + BP_RAMDISK_IMAGE, (uint32_t)at);
	put_u32(w, bp + BP_RAMDISK_SIZE, (uint32_t)size);
	put_u32(w, bp + BP_EXT_RAMDISK_IMAGE, (uint32_t)(at >> 32));
	put_u32(w, bp + BP_EXT_RAMDISK_SIZE, (uint32_t)(size >> 32));
}

/* The page is zero but for the file's setup header and what a boot loader fills in. */
static void put_boot_params(struct writer *w, const struct bzimage *bz,
			    const struct guest_image *img, uint64_t rsdp)
{
	const uint64_t bp = LAYOUT_BOOT_PARAMS;

	put_bytes(w, bp + SETUP_HEADER, img->kernel + SETUP_HEADER, bz->header_size);
	put_u64(w, bp + BP_ACPI_RSDP_ADDR, rsdp);
	put_u16(w, bp + BP_VID_MODE, VID_MODE_NORMAL);
	put_u8(w, bp + BP_TYPE_OF_LOADER, LOADER_UNKNOWN);
	put_u32(w, bp + BP_CODE32_START, (uint32_t)bz->load);
	put_u32(w, bp + BP_RAMDISK_IMAGE, 0);
	put_u32(w, bp + BP_RAMDISK_SIZE, 0);
	put_u32(w, bp + BP_CMD_LINE_PTR, LAYOUT_CMDLINE);
	put_u64(w, bp + BP_SETUP_DATA, 0);
}

static int load(struct writer *w, const struct guest_image *img, const struct guest_ram *ram,
		uint64_t rsdp, struct vcpu *bsp, struct strbuf *why)
{
	struct plan plan;
	int err = make_plan(&plan, img, ram, why);

	if (err)
		return err;
	put_bytes(w, plan.bz.load, plan.bz.payload, plan.bz.payload_size);
	put_bytes(w, LAYOUT_CMDLINE, img->cmdline, strlen(img->cmdline) + 1);
	put_boot_params(w, &plan.bz, img, rsdp);
	put_memory(w, ram);
	if (plan.initrd)
		put_initrd(w, plan.initrd, img);
	if (plan.bz.long_mode)
		entry_long(w, bsp, plan.bz.entry);
	else
		entry_protected(w, bsp, plan.bz.entry);
	bsp->gpr[RSI] = LAYOUT_BOOT_PARAMS;
	return 0;
}

const struct guest_kind kind_linux = {check, load};
