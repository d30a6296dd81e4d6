#include "guest/elf.h"

#include "lib/err.h"
#include "lib/string.h"
#include "lib/util.h"

/* e_ident. */
#define EI_CLASS     4
#define EI_DATA	     5
#define EI_VERSION   6
#define ELFCLASS32   1
#define ELFCLASS64   2
#define ELFDATA2LSB  1
#define EV_CURRENT   1
#define ET_EXEC	     2
#define ET_DYN	     3
#define EM_386	     3
#define EM_X86_64    62
#define E_TYPE	     16
#define E_MACHINE    18
#define EHDR_SIZE_32 52u
#define EHDR_SIZE_64 64u
#define PHDR_SIZE_32 32u
#define PHDR_SIZE_64 56u

/* Where a field is in a structure of either class, and how long. */
struct field {
	uint8_t at_32, size_32, at_64, size_64;
};

static const struct field e_entry = {24, 4, 24, 8}, e_phoff = {28, 4, 32, 8},
			  e_phentsize = {42, 2, 54, 2}, e_phnum = {44, 2, 56, 2},
			  p_type = {0, 4, 0, 4}, p_offset = {4, 4, 8, 8}, p_vaddr = {8, 4, 16, 8},
			  p_paddr = {12, 4, 24, 8}, p_filesz = {16, 4, 32, 8},
			  p_memsz = {20, 4, 40, 8}, p_align = {28, 4, 48, 8};

static uint64_t get(const struct elf *e, uint64_t base, struct field f)
{
	uint64_t value = 0;

	if (e->is_64)
		memcpy(&value, e->file + base + f.at_64, f.size_64);
	else
		memcpy(&value, e->file + base + f.at_32, f.size_32);
	return value;
}

bool elf_magic(const uint8_t *file, size_t size)
{
	return size >= 4 && !memcmp(file,
				    "\x7f"
				    "ELF",
				    4);
}

static int refuse(struct strbuf *why, const char *what)
{
	sb_printf(why, "the kernel is an ELF file that cannot be loaded: %s", what);
	return -ENOEXEC;
}

/* e_ident, e_type and e_machine, which are the same in both classes. */
static const char *check_kind(const struct elf *e)
{
	const uint8_t *f = e->file;
	uint16_t type, machine;

	memcpy(&type, f + E_TYPE, sizeof(type));
	memcpy(&machine, f + E_MACHINE, sizeof(machine));
	if (f[EI_CLASS] != ELFCLASS32 && f[EI_CLASS] != ELFCLASS64)
		return "it is neither of 32 nor of 64 bits";
	if (f[EI_DATA] != ELFDATA2LSB || f[EI_VERSION] != EV_CURRENT)
		return "it is not little-endian, or of another version";
	if (type != ET_EXEC && type != ET_DYN)
		return "it is no program, but an object file or a core dump";
	if (machine != EM_386 && machine != EM_X86_64)
		return "it is for another processor";
	return NULL;
}

int elf_parse(struct elf *e, const uint8_t *file, size_t size, struct strbuf *why)
{
	const char *what = NULL;
	uint64_t entry_size;

	*e = (struct elf){.file = file, .size = size};
	if (!elf_magic(file, size))
		return refuse(why, "it does not begin like one");
	if (size >= EHDR_SIZE_32)
		what = check_kind(e);
	if (what)
		return refuse(why, what);
	e->is_64 = size > EI_CLASS && file[EI_CLASS] == ELFCLASS64;
	if (size < (e->is_64 ? EHDR_SIZE_64 : EHDR_SIZE_32))
		return refuse(why, "it is cut off in its header");
	e->entry = get(e, 0, e_entry);
	e->segments = get(e, 0, e_phoff);
	e->segment_count = (unsigned int)get(e, 0, e_phnum);
	entry_size = e->is_64 ? PHDR_SIZE_64 : PHDR_SIZE_32;
	if (get(e, 0, e_phentsize) != entry_size)
		return refuse(why, "its program headers have an unknown size");
	if (!e->segment_count || e->segment_count > ELF_SEGMENTS_MAX)
		return refuse(why, "it has no program headers, or more than 64");
	if (e->segments > size || size - e->segments < e->segment_count * entry_size)
		return refuse(why, "it is cut off in its program headers");
	return 0;
}

struct elf_segment elf_segment(const struct elf *e, unsigned int index)
{
	uint64_t at = e->segments + (uint64_t)index * (e->is_64 ? PHDR_SIZE_64 : PHDR_SIZE_32);

	return (struct elf_segment){
		.type = (uint32_t)get(e, at, p_type),
		.offset = get(e, at, p_offset),
		.file_size = get(e, at, p_filesz),
		.vaddr = get(e, at, p_vaddr),
		.paddr = get(e, at, p_paddr),
		.memory_size = get(e, at, p_memsz),
		.alignment = get(e, at, p_align),
	};
}

bool elf_in_file(const struct elf *e, const struct elf_segment *s)
{
	return s->offset <= e->size && s->file_size <= e->size - s->offset;
}

static bool is_loaded(const struct elf_segment *s)
{
	return s->type == ELF_LOAD && s->memory_size;
}

static int check_segment(const struct elf *e, const struct elf_segment *s,
			 const struct guest_ram *ram, struct kernel_extent *x, struct strbuf *why)
{
	uint64_t end = s->paddr + s->memory_size;

	if (!elf_in_file(e, s))
		return refuse(why, "it is cut off in a segment");
	if (s->file_size > s->memory_size)
		return refuse(why, "a segment has more bytes in the file than in memory");
	if (end < s->paddr || !kernel_extend(x, s->paddr, end)) {
		sb_printf(why,
			  "the kernel has a segment at %#llx to %#llx, and its place is from 1 MiB "
			  "on, or from %#x to %#x",
			  (unsigned long long)s->paddr, (unsigned long long)end, LAYOUT_LOW_KERNEL,
			  LAYOUT_LOW_RAM_END);
		return -ENOEXEC;
	}
	if (end <= ram->low_end)
		return 0;
	sb_printf(why,
		  "the kernel has a segment at %#llx to %#llx, and the VM's memory below 4 GiB "
		  "ends at %#llx",
		  (unsigned long long)s->paddr, (unsigned long long)end,
		  (unsigned long long)ram->low_end);
	return -ENOSPC;
}

int elf_check(const struct elf *e, const struct guest_ram *ram, struct kernel_extent *x,
	      struct strbuf *why)
{
	*x = (struct kernel_extent){.end = LAYOUT_HIGH_RAM};
	for (unsigned int i = 0; i < e->segment_count; i++) {
		struct elf_segment s = elf_segment(e, i);
		int err = is_loaded(&s) ? check_segment(e, &s, ram, x, why) : 0;

		if (err)
			return err;
	}
	if (x->low || x->end > LAYOUT_HIGH_RAM)
		return 0;
	return refuse(why, "it has no segment to load");
}

void elf_load(const struct elf *e, struct writer *w)
{
	for (unsigned int i = 0; i < e->segment_count; i++) {
		struct elf_segment s = elf_segment(e, i);

		if (is_loaded(&s))
			put_bytes(w, s.paddr, e->file + s.offset, s.file_size);
	}
}

bool elf_covers(const struct elf *e, uint64_t address)
{
	for (unsigned int i = 0; i < e->segment_count; i++) {
		struct elf_segment s = elf_segment(e, i);

		if (is_loaded(&s) && address >= s.paddr && address - s.paddr < s.memory_size)
			return true;
	}
	return false;
}

uint64_t elf_physical_entry(const struct elf *e)
{
	for (unsigned int i = 0; i < e->segment_count; i++) {
		struct elf_segment s = elf_segment(e, i);

		if (is_loaded(&s) && e->entry >= s.vaddr && e->entry - s.vaddr < s.memory_size)
			return s.paddr + (e->entry - s.vaddr);
	}
	return e->entry;
}
