/*
 * Kernels by the Multiboot Specification, version 0.6.96 (the first one): its numbers in comments
 * are sections.
 */
#include "core/vm.h"
#include "guest/e820.h"
#include "guest/elf.h"
#include "guest/entry.h"
#include "guest/kind.h"
#include "guest/modules.h"
#include "guest/multiboot.h"
#include "lib/err.h"
#include "lib/string.h"

/* 3.1: the header lies in the first 8 KiB, aligned to 4, and adds up to 0. */
#define SEARCH	     8192u
#define HEADER_MAGIC 0x1badb002u
#define HEADER_LEAST 12u
#define HEADER_FULL  32u

/* 3.1.2. A loader must refuse what it does not know among bits 0 to 15. */
#define ALIGN_MODULES 0x1u
#define WANT_MEMORY   0x2u
/*
 * No VM has a display. A kernel that asks for one finds in the information that there is none, and
 * most of them then use a serial port.
 */
#define WANT_VIDEO     0x4u
#define KNOWN_REQUIRED (ALIGN_MODULES | WANT_MEMORY | WANT_VIDEO)
#define REQUIRED       0xffffu
#define HAS_ADDRESSES  0x10000u

struct header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr; /* 3.1.3 */
} __attribute__((packed));
_Static_assert(sizeof(struct header) == HEADER_FULL, "Multiboot 3.1.1");

/* 3.2: EAX when the kernel is entered. */
#define BOOT_MAGIC 0x2badb002u

/* 3.3, up to the last member that is filled in. */
struct info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper; /* KiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe[4];
	uint32_t framebuffer[7];
} __attribute__((packed));
_Static_assert(offsetof(struct info, mmap_length) == 44, "Multiboot 3.3");
_Static_assert(offsetof(struct info, boot_loader_name) == 64, "Multiboot 3.3");

#define INFO_MEMORY	 0x001u
#define INFO_CMDLINE	 0x004u
#define INFO_MODULES	 0x008u
#define INFO_MMAP	 0x040u
#define INFO_LOADER_NAME 0x200u

struct module {
	uint32_t start, end, string, reserved;
} __attribute__((packed));

struct mmap_entry {
	uint32_t size; /* of what follows */
	struct e820_entry range;
} __attribute__((packed));
_Static_assert(sizeof(struct mmap_entry) == 24, "Multiboot 3.3");

#define LOADER_NAME "Socle"

/* Where everything goes. */
struct plan {
	bool by_addresses; /* the header's; else it is an ELF file */
	struct elf elf;
	const uint8_t *bytes;
	uint64_t load, size; /* of bytes */
	uint64_t entry;
	struct kernel_extent extent;
};

static uint32_t word(const uint8_t *file, size_t offset)
{
	uint32_t value;

	memcpy(&value, file + offset, sizeof(value));
	return value;
}

/* Returns the header's offset, with its first three members there; or -1. */
static long find_header(const uint8_t *file, size_t size)
{
	size_t end = MIN(size, SEARCH);

	for (size_t at = 0; at + HEADER_LEAST <= end; at += 4) {
		if (word(file, at) == HEADER_MAGIC &&
		    word(file, at) + word(file, at + 4) + word(file, at + 8) == 0)
			return (long)at;
	}
	return -1;
}

bool multiboot_magic(const uint8_t *file, size_t size)
{
	return find_header(file, size) >= 0;
}

static int broken(struct strbuf *why, const char *what)
{
	sb_printf(why, "the kernel's multiboot header is broken: %s", what);
	return -ENOEXEC;
}

/* 3.1.3: how much of the file goes where. AT is the header's offset in it. */
static int plan_addresses(struct plan *p, const struct guest_image *img, const struct header *h,
			  size_t at, struct strbuf *why)
{
	uint64_t before =
		(uint64_t)h->header_addr - h->load_addr; /* the header, of what is loaded */
	uint64_t there, end;

	if (h->load_addr > h->header_addr || before > at)
		return broken(why, "what is loaded begins before the file or behind the header");
	there = img->kernel_size - (at - before);
	p->bytes = img->kernel + (at - before);
	p->load = h->load_addr;
	p->size = h->load_end_addr ? (uint64_t)h->load_end_addr - h->load_addr : there;
	if (h->load_end_addr && h->load_end_addr < h->load_addr)
		return broken(why, "load_end_addr is less than load_addr");
	if (p->size > there)
		return broken(why, "load_end_addr is behind the end of the file");
	end = p->load + p->size;
	if (h->bss_end_addr && h->bss_end_addr < end)
		return broken(why, "bss_end_addr is less than load_end_addr");
	end = MAX(end, (uint64_t)h->bss_end_addr);
	p->entry = h->entry_addr;
	if (p->entry < p->load || p->entry >= end)
		return broken(why, "entry_addr is outside of what is loaded");
	p->extent = (struct kernel_extent){.end = LAYOUT_HIGH_RAM};
	if (!kernel_extend(&p->extent, p->load, end))
		return broken(why, "what is loaded is below 0x2000, or from 0x9fc00 to 1 MiB");
	return 0;
}

static int check_room(const struct plan *p, const struct guest_ram *ram, struct strbuf *why)
{
	if (p->extent.end <= ram->low_end)
		return 0;
	sb_printf(why, "the kernel needs memory up to %#llx, and the VM's ends at %#llx",
		  (unsigned long long)p->extent.end, (unsigned long long)ram->low_end);
	return -ENOSPC;
}

static int plan_elf(struct plan *p, const struct guest_image *img, const struct guest_ram *ram,
		    struct strbuf *why)
{
	int err = elf_parse(&p->elf, img->kernel, img->kernel_size, why);

	if (!err)
		err = elf_check(&p->elf, ram, &p->extent, why);
	if (err)
		return err;
	p->entry = elf_physical_entry(&p->elf);
	if (elf_covers(&p->elf, p->entry))
		return 0;
	sb_printf(why, "the kernel's entry, %#llx, is outside of its segments",
		  (unsigned long long)p->entry);
	return -ENOEXEC;
}

static int plan_kernel(struct plan *p, const struct guest_image *img, const struct guest_ram *ram,
		       struct strbuf *why)
{
	long at = find_header(img->kernel, img->kernel_size);
	struct header h = {0};
	int err;

	if (at < 0) {
		sb_puts(why, "the kernel has no multiboot header in its first 8 KiB");
		return -ENOEXEC;
	}
	memcpy(&h, img->kernel + at, MIN(sizeof(h), img->kernel_size - (size_t)at));
	if (h.flags & REQUIRED & ~KNOWN_REQUIRED) {
		sb_printf(why,
			  "the kernel asks for multiboot features that are not known: flags %#x",
			  h.flags & REQUIRED & ~KNOWN_REQUIRED);
		return -ENOEXEC;
	}
	p->by_addresses = h.flags & HAS_ADDRESSES;
	if (!p->by_addresses)
		return plan_elf(p, img, ram, why);
	if ((size_t)at + HEADER_FULL > MIN(img->kernel_size, SEARCH))
		return broken(why, "it is cut off before entry_addr");
	err = plan_addresses(p, img, &h, (size_t)at, why);
	return err ? err : check_room(p, ram, why);
}

static int make_plan(struct plan *p, const struct guest_image *img, const struct guest_ram *ram,
		     struct strbuf *why)
{
	const uint64_t fixed = sizeof(struct info) + sizeof(LOADER_NAME) + 16 +
			       E820_COUNT_MAX * sizeof(struct mmap_entry);
	int err;

	if (img->initrd_size) {
		sb_puts(why, "a multiboot kernel takes no initrd, but modules");
		return -EINVAL;
	}
	err = plan_kernel(p, img, ram, why);
	return err ? err : modules_check(img, ram, &p->extent, sizeof(struct module), fixed, why);
}

static int check(const struct guest_image *img, const struct guest_ram *ram, struct strbuf *why)
{
	struct plan plan;

	return make_plan(&plan, img, ram, why);
}

static void put_modules(struct info_block *b, struct info *info, const struct guest_image *img,
			uint64_t end)
{
	uint64_t list = info_put(b, NULL, img->module_count * sizeof(struct module));

	info->flags |= INFO_MODULES;
	info->mods_count = (uint32_t)img->module_count;
	info->mods_addr = (uint32_t)list;
	for (size_t i = 0; i < img->module_count; i++) {
		struct module m = {0};

		m.start = (uint32_t)module_put(b->w, &img->modules[i], &end);
		m.end = (uint32_t)end;
		m.string = (uint32_t)info_put_text(b, img->modules[i].text);
		put_bytes(b->w, list + i * sizeof(m), &m, sizeof(m));
	}
}

static void put_mmap(struct info_block *b, struct info *info, const struct guest_ram *ram)
{
	struct e820_entry map[E820_COUNT_MAX];
	struct mmap_entry entries[E820_COUNT_MAX];
	unsigned int count = e820_build(map, ram);

	for (unsigned int i = 0; i < count; i++)
		entries[i] = (struct mmap_entry){.size = sizeof(map[0]), .range = map[i]};
	info->flags |= INFO_MMAP;
	info->mmap_length = (uint32_t)(count * sizeof(entries[0]));
	info->mmap_addr = (uint32_t)info_put(b, entries, info->mmap_length);
}

static uint64_t put_info(struct writer *w, const struct guest_image *img,
			 const struct guest_ram *ram, const struct kernel_extent *x)
{
	struct info_block b = info_block_of(w, img, x);
	struct info info = {
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_LOADER_NAME,
		.mem_lower = LAYOUT_LOW_RAM_END / KIB(1),
		.mem_upper = (uint32_t)((ram->low_end - LAYOUT_HIGH_RAM) / KIB(1)),
	};
	uint64_t at = info_put(&b, NULL, sizeof(info));

	info.cmdline = (uint32_t)info_put_text(&b, img->cmdline);
	info.boot_loader_name = (uint32_t)info_put_text(&b, LOADER_NAME);
	put_mmap(&b, &info, ram);
	put_modules(&b, &info, img, x->end);
	put_bytes(w, at, &info, sizeof(info));
	return at;
}

static int load(struct writer *w, const struct guest_image *img, const struct guest_ram *ram,
		uint64_t rsdp, struct vcpu *bsp, struct strbuf *why)
{
	struct plan plan;
	int err = make_plan(&plan, img, ram, why);

	(void)rsdp; /* searched for by the kernel, where PCs have it */
	if (err)
		return err;
	if (plan.by_addresses)
		put_bytes(w, plan.load, plan.bytes, plan.size);
	else
		elf_load(&plan.elf, w);
	entry_protected(w, bsp, plan.entry);
	bsp->gpr[RAX] = BOOT_MAGIC;
	bsp->gpr[RBX] = put_info(w, img, ram, &plan.extent);
	return 0;
}

const struct guest_kind kind_multiboot = {check, load};
