/*
 * Reading a Linux kernel's boot file, Documentation/arch/x86/boot.rst, for its 64-bit entry, or its
 * 32-bit entry where it has no other. Pure; nothing of the file is believed.
 */
#ifndef GUEST_BZIMAGE_H
#define GUEST_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/strbuf.h"

/*
 * Where struct setup_header is, in the file and in boot_params alike, and the bytes that
 * boot_params has for it.
 */
#define SETUP_HEADER	 0x1f1u
#define SETUP_HEADER_MAX (0x290u - SETUP_HEADER)

/* The entry for 64-bit code, behind the payload's start. */
#define BZIMAGE_ENTRY 0x200u

struct bzimage {
	size_t header_size;	/* of setup_header, at most SETUP_HEADER_MAX */
	const uint8_t *payload; /* the protected-mode part, in the file */
	size_t payload_size;
	uint64_t load; /* where the payload goes, below 4 GiB + 4 GiB */
	uint64_t entry;
	bool long_mode;	      /* the entry is for 64-bit code, else for 32-bit protected mode */
	uint64_t end;	      /* the kernel uses memory up to here before it reads a memory map */
	uint64_t cmdline_max; /* longest command line, without its terminating zero */
	uint64_t initrd_end;  /* where an initrd must end at the latest: at most 4 GiB */
	bool initrd_anywhere; /* XLF_CAN_BE_LOADED_ABOVE_4G: it may also lie anywhere else */
};

/* Does FILE have the magic numbers of a kernel with a setup header? */
bool bzimage_magic(const uint8_t *file, size_t size);

/* 0, or -ENOEXEC with a sentence in WHY. */
int bzimage_parse(struct bzimage *bz, const uint8_t *file, size_t size, struct strbuf *why);

#endif
