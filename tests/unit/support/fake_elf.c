#include "tests/unit/support/fake_elf.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *at;

static void put(uint64_t value, unsigned int len)
{
	memcpy(at, &value, len);
	at += len;
}

static void put_segment_32(const struct elf_segment *s)
{
	put(s->type, 4);
	put(s->offset, 4);
	put(s->vaddr, 4);
	put(s->paddr, 4);
	put(s->file_size, 4);
	put(s->memory_size, 4);
	put(0, 4);
	put(s->alignment, 4);
}

static void put_segment_64(const struct elf_segment *s)
{
	put(s->type, 4);
	put(0, 4);
	put(s->offset, 8);
	put(s->vaddr, 8);
	put(s->paddr, 8);
	put(s->file_size, 8);
	put(s->memory_size, 8);
	put(s->alignment, 8);
}

uint8_t *fake_elf(bool is_64, uint64_t entry, const struct elf_segment *segments,
		  unsigned int count)
{
	uint8_t *file = calloc(1, FAKE_ELF_SIZE);
	unsigned int word = is_64 ? 8 : 4;

	at = file;
	memcpy(at,
	       "\x7f"
	       "ELF",
	       4);
	at[4] = is_64 ? 2 : 1;
	at[5] = at[6] = 1;
	at += 16;
	put(2, 2);
	put(is_64 ? 62 : 3, 2);
	put(1, 4);
	put(entry, word);
	put(is_64 ? 64 : 52, word);
	put(0, word);
	put(0, 4);
	put(is_64 ? 64 : 52, 2);
	put(is_64 ? 56 : 32, 2);
	put(count, 2);
	put(0, 6);
	for (unsigned int i = 0; i < count; i++) {
		if (is_64)
			put_segment_64(&segments[i]);
		else
			put_segment_32(&segments[i]);
	}
	for (size_t i = FAKE_ELF_DATA; i < FAKE_ELF_SIZE; i++)
		file[i] = (uint8_t)(i % 251);
	return file;
}
