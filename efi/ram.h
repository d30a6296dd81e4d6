/* Who gets which memory: Socle itself, and every virtual machine. */
#ifndef EFI_RAM_H
#define EFI_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/handover.h"
#include "efi/carve.h"
#include "efi/memory.h"
#include "efi/report.h"

struct ram {
	struct mem_map map;
	struct carve carve;
	struct boot_extent pool; /* where Socle's own would be; size 0: no place for it */
};

/* Sets memory aside for the lists below. False: there is none. */
bool ram_prepare(struct ram *ram, size_t vm_count);

/* End of the highest memory that the firmware describes, at least 4 GiB. */
uint64_t ram_top(struct ram *ram);

/*
 * Looks at the firmware's map of now: how many bytes guests can have when Socle takes POOL for
 * itself. Nothing is allocated.
 */
uint64_t ram_survey(struct ram *ram, uint64_t pool);

/*
 * Allocates Socle's own memory, the page that other processors start in, and the RAM of each VM in
 * h->vms, and prints which. False: something could not be had, and R knows what.
 */
bool ram_claim(struct ram *ram, struct handover *h, uint64_t pool, struct report *r);

/* Prints what Socle took for itself, and for the guests' files. After mem_own(). */
void ram_print_own(const struct handover *h);

#endif
