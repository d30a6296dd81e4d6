/*
 * Reading ELF files, System V ABI chapters 4 and 5, as far as loading a kernel needs: 32 and 64
 * bits, little-endian, for x86. Pure; nothing of the file is believed.
 */
#ifndef GUEST_ELF_H
#define GUEST_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/layout.h"
#include "guest/writer.h"
#include "lib/strbuf.h"

/* More program headers than any kernel has. */
#define ELF_SEGMENTS_MAX 64u

enum elf_segment_type { ELF_LOAD = 1, ELF_NOTE = 4 };

/* Program header table entry. In the file: offset to offset + file_size. */
struct elf_segment {
	uint32_t type;
	uint64_t offset, file_size;
	uint64_t vaddr, paddr, memory_size;
	uint64_t alignment;
};

struct elf {
	const uint8_t *file;
	size_t size;
	bool is_64;
	uint64_t entry;	   /* e_entry as it is */
	uint64_t segments; /* offset of the program header table, which lies in the file */
	unsigned int segment_count;
};

/* Does FILE begin as an ELF file does? */
bool elf_magic(const uint8_t *file, size_t size);

/* 0, or -ENOEXEC with a sentence in WHY. FILE is kept. */
int elf_parse(struct elf *e, const uint8_t *file, size_t size, struct strbuf *why);

/* Program header INDEX, which is less than segment_count. Its numbers are not checked. */
struct elf_segment elf_segment(const struct elf *e, unsigned int index);

/* Does S lie in the file? */
bool elf_in_file(const struct elf *e, const struct elf_segment *s);

/*
 * May all segments be loaded at their physical addresses in a guest with this memory? 0 with what
 * they take in *X, -ENOEXEC or -ENOSPC with a sentence in WHY.
 */
int elf_check(const struct elf *e, const struct guest_ram *ram, struct kernel_extent *x,
	      struct strbuf *why);

/* Writes the segments, for which elf_check() was 0, into zeroed memory. */
void elf_load(const struct elf *e, struct writer *w);

/* Is ADDRESS one of a loaded byte or of zeroed memory behind? */
bool elf_covers(const struct elf *e, uint64_t address);

/* The physical address of e_entry, which may be a virtual one of a segment; in none: as it is. */
uint64_t elf_physical_entry(const struct elf *e);

#endif
