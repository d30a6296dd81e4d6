/* ELF files made by hand, of either class. */
#ifndef TESTS_UNIT_SUPPORT_FAKE_ELF_H
#define TESTS_UNIT_SUPPORT_FAKE_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/elf.h"

#define FAKE_ELF_SIZE 8192u
/* Where segments' bytes may begin. */
#define FAKE_ELF_DATA 4096u

/*
 * FAKE_ELF_SIZE bytes from malloc() with these program headers; from FAKE_ELF_DATA on the bytes
 * count up, modulo 251.
 */
uint8_t *fake_elf(bool is_64, uint64_t entry, const struct elf_segment *segments,
		  unsigned int count);

#endif
