/* What each kind of guest brings to guest/guest.c. */
#ifndef GUEST_KIND_H
#define GUEST_KIND_H

#include <stdint.h>

#include "guest/guest.h"
#include "guest/layout.h"
#include "guest/writer.h"

struct vcpu;

struct guest_kind {
	/* guest_check() for a guest with this memory. */
	int (*check)(const struct guest_image *img, const struct guest_ram *ram,
		     struct strbuf *why);
	/*
	 * Checks, then writes the image and what its start needs, and changes BSP from its state
	 * after power-up to the entry state. RSDP is where the ACPI tables begin. Errors of
	 * check(); those of writing stay in W.
	 */
	int (*load)(struct writer *w, const struct guest_image *img, const struct guest_ram *ram,
		    uint64_t rsdp, struct vcpu *bsp, struct strbuf *why);
};

extern const struct guest_kind kind_flat16, kind_flat32, kind_flat64, kind_linux, kind_multiboot,
	kind_pvh;

#endif
