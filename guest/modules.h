/*
 * What kernels that are entered in 32-bit protected mode get besides themselves (multiboot, PVH):
 * modules behind the kernel, each at a page's beginning, and a block of information in low memory,
 * from LAYOUT_INFO to LAYOUT_INFO_END, or behind the modules for a kernel that is there itself.
 */
#ifndef GUEST_MODULES_H
#define GUEST_MODULES_H

#include <stdint.h>

#include "guest/guest.h"
#include "guest/layout.h"
#include "guest/writer.h"

/* The block of information, filled from its beginning. */
struct info_block {
	struct writer *w;
	uint64_t next, end;
};

/*
 * Is there room for IMG's modules behind the kernel, which has X, and in the block for the texts,
 * LIST bytes for each module, and FIXED bytes? 0, -ENOSPC or -E2BIG with a sentence in WHY.
 */
int modules_check(const struct guest_image *img, const struct guest_ram *ram,
		  const struct kernel_extent *x, uint64_t list, uint64_t fixed,
		  struct strbuf *why);

/* The block, empty, of an image for which modules_check() was 0. */
struct info_block info_block_of(struct writer *w, const struct guest_image *img,
				const struct kernel_extent *x);

/* Writes a module's bytes behind *END and moves *END; returns where it is. */
uint64_t module_put(struct writer *w, const struct guest_module *m, uint64_t *end);

/* LEN bytes in the block, aligned to 8; returns their address. DATA: NULL to reserve them only. */
uint64_t info_put(struct info_block *b, const void *data, uint64_t len);
uint64_t info_put_text(struct info_block *b, const char *text);

#endif
