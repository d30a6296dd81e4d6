/*
 * Kernels by Xen's PVH boot protocol: docs/misc/pvh.pandoc and
 * xen/include/public/arch-x86/hvm/start_info.h there.
 */
#include "guest/pvh.h"

#include "core/vm.h"
#include "guest/e820.h"
#include "guest/elf.h"
#include "guest/entry.h"
#include "guest/kind.h"
#include "guest/modules.h"
#include "lib/err.h"
#include "lib/string.h"

/* ELF notes (System V ABI chapter 5): name and descriptor are padded. */
#define NOTE_HEADER		 12u
#define NOTE_NAME		 "Xen"
#define XEN_ELFNOTE_PHYS32_ENTRY 18u

#define START_MAGIC   0x336ec578u
#define START_VERSION 1u

struct start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, cmdline, rsdp;
	uint64_t memory_map; /* from version 1 on */
	uint32_t memory_map_count, reserved;
} __attribute__((packed));
_Static_assert(sizeof(struct start_info) == 56, "start_info.h");

struct start_module {
	uint64_t paddr, size, cmdline, reserved;
} __attribute__((packed));

struct start_range {
	struct e820_entry range;
	uint32_t reserved;
} __attribute__((packed));
_Static_assert(sizeof(struct start_range) == 24, "start_info.h");

/* PE, and ET, which is always 1: all that can be written is 0 beside them. */
#define CR0_PVH 0x11u

/* The task register must hold a busy 32-bit TSS at 0 of this size. */
#define TSS_LIMIT 0x67u

/* Where everything goes. */
struct plan {
	struct elf elf;
	uint32_t entry;
	struct kernel_extent extent; /* the initrd behind the kernel included */
	uint64_t end;		     /* without it */
};

/* NOTES are SIZE bytes of a segment with this alignment. */
static bool entry_in_notes(const uint8_t *notes, uint64_t size, uint64_t alignment, uint32_t *entry)
{
	uint64_t pad = alignment == 8 ? 8 : 4;

	while (size >= NOTE_HEADER) {
		uint32_t head[3]; /* name's size, descriptor's size, type */
		uint64_t desc, next;

		memcpy(head, notes, sizeof(head));
		desc = ALIGN_UP(NOTE_HEADER + (uint64_t)head[0], pad);
		next = ALIGN_UP(desc + head[1], pad);
		if (desc + head[1] > size)
			return false;
		if (head[2] == XEN_ELFNOTE_PHYS32_ENTRY && head[0] == sizeof(NOTE_NAME) &&
		    !memcmp(notes + NOTE_HEADER, NOTE_NAME, sizeof(NOTE_NAME)) && head[1] >= 4) {
			memcpy(entry, notes + desc, sizeof(*entry));
			return true;
		}
		next = MIN(next, size);
		notes += next;
		size -= next;
	}
	return false;
}

static bool find_entry(const struct elf *e, uint32_t *entry)
{
	for (unsigned int i = 0; i < e->segment_count; i++) {
		struct elf_segment s = elf_segment(e, i);

		if (s.type == ELF_NOTE && elf_in_file(e, &s) &&
		    entry_in_notes(e->file + s.offset, s.file_size, s.alignment, entry))
			return true;
	}
	return false;
}

bool pvh_magic(const uint8_t *file, size_t size)
{
	char text[1];
	struct strbuf why;
	struct elf e;
	uint32_t entry;

	sb_init(&why, text, sizeof(text));
	return elf_magic(file, size) && !elf_parse(&e, file, size, &why) && find_entry(&e, &entry);
}

static int plan_kernel(struct plan *p, const struct guest_image *img, const struct guest_ram *ram,
		       struct strbuf *why)
{
	int err = elf_parse(&p->elf, img->kernel, img->kernel_size, why);

	if (err)
		return err;
	if (!find_entry(&p->elf, &p->entry)) {
		sb_puts(why, "the kernel has no PVH entry: no note XEN_ELFNOTE_PHYS32_ENTRY");
		return -ENOEXEC;
	}
	err = elf_check(&p->elf, ram, &p->extent, why);
	if (err || elf_covers(&p->elf, p->entry))
		return err;
	sb_printf(why, "the kernel's PVH entry, %#x, is outside of its segments", p->entry);
	return -ENOEXEC;
}

/* The initrd is the first module. */
static struct guest_module initrd_of(const struct guest_image *img)
{
	return (struct guest_module){.data = img->initrd, .size = img->initrd_size, .text = ""};
}

static int make_plan(struct plan *p, const struct guest_image *img, const struct guest_ram *ram,
		     struct strbuf *why)
{
	const uint64_t fixed = sizeof(struct start_info) + sizeof(struct start_module) + 16 +
			       E820_COUNT_MAX * sizeof(struct start_range);
	int err = plan_kernel(p, img, ram, why);

	if (err)
		return err;
	p->end = p->extent.end;
	if (img->initrd_size)
		p->extent.end = ALIGN_UP(p->end, PAGE_SIZE) + img->initrd_size;
	return modules_check(img, ram, &p->extent, sizeof(struct start_module), fixed, why);
}

static int check(const struct guest_image *img, const struct guest_ram *ram, struct strbuf *why)
{
	struct plan plan;

	return make_plan(&plan, img, ram, why);
}

static void put_module(struct info_block *b, uint64_t entry, const struct guest_module *m,
		       uint64_t *end)
{
	struct start_module s = {.size = m->size};

	s.paddr = module_put(b->w, m, end);
	s.cmdline = info_put_text(b, m->text);
	put_bytes(b->w, entry, &s, sizeof(s));
}

static void put_modules(struct info_block *b, struct start_info *info,
			const struct guest_image *img, uint64_t end)
{
	struct guest_module initrd = initrd_of(img);
	size_t n = img->module_count + (initrd.size != 0);
	uint64_t next = info_put(b, NULL, n * sizeof(struct start_module));

	info->modules = n ? next : 0;
	info->module_count = (uint32_t)n;
	if (initrd.size) {
		put_module(b, next, &initrd, &end);
		next += sizeof(struct start_module);
	}
	for (size_t i = 0; i < img->module_count; i++) {
		put_module(b, next, &img->modules[i], &end);
		next += sizeof(struct start_module);
	}
}

static void put_memory_map(struct info_block *b, struct start_info *info,
			   const struct guest_ram *ram)
{
	struct e820_entry map[E820_COUNT_MAX];
	struct start_range ranges[E820_COUNT_MAX];
	unsigned int count = e820_build(map, ram);

	for (unsigned int i = 0; i < count; i++)
		ranges[i] = (struct start_range){.range = map[i]};
	info->memory_map_count = count;
	info->memory_map = info_put(b, ranges, count * sizeof(ranges[0]));
}

static int load(struct writer *w, const struct guest_image *img, const struct guest_ram *ram,
		uint64_t rsdp, struct vcpu *bsp, struct strbuf *why)
{
	struct start_info info = {.magic = START_MAGIC, .version = START_VERSION, .rsdp = rsdp};
	struct info_block b;
	struct plan plan;
	uint64_t at;
	int err = make_plan(&plan, img, ram, why);

	if (err)
		return err;
	elf_load(&plan.elf, w);
	b = info_block_of(w, img, &plan.extent);
	at = info_put(&b, NULL, sizeof(info));
	info.cmdline = info_put_text(&b, img->cmdline);
	put_memory_map(&b, &info, ram);
	put_modules(&b, &info, img, plan.end);
	put_bytes(w, at, &info, sizeof(info));
	entry_protected(w, bsp, plan.entry);
	bsp->st.cr0 = CR0_PVH;
	bsp->st.seg[SEG_TR].limit = TSS_LIMIT;
	bsp->gpr[RBX] = at;
	return 0;
}

const struct guest_kind kind_pvh = {check, load};
