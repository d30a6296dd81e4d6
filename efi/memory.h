/*
 * The application's memory, all of it EfiLoaderData that stays after ExitBootServices. Everything
 * is on one list, so that a start that fails gives all of it back.
 */
#ifndef EFI_MEMORY_H
#define EFI_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/handover.h"
#include "efi/app.h"

/* SIZE bytes of zeros, aligned to 16, from Socle's own pages; NULL when there are none. */
void *mem_alloc(size_t size);

/*
 * Whole pages, contents undefined: anywhere, as high as can be with LIMIT as the last byte, or
 * exactly E.
 */
bool mem_pages(uint64_t size, struct boot_extent *out);
bool mem_pages_below(uint64_t size, uint64_t limit, struct boot_extent *out);
bool mem_pages_at(struct boot_extent e);

/* Gives back what one of the three above gave, or everything, mem_alloc()'s included. */
void mem_release(struct boot_extent e);
void mem_release_all(void);

/*
 * Fills in h->own with the pages that mem_alloc() serves from; it is not called after this. False:
 * no memory.
 */
bool mem_own(struct handover *h);

/* The firmware's memory map. */
struct mem_map {
	uint8_t *buffer;
	UINTN size;   /* of buffer */
	UINTN used;   /* bytes of it that are map */
	UINTN stride; /* from one descriptor to the next */
	UINTN key;    /* for ExitBootServices */
};

/* Gives MAP a buffer for the map of now and EXTRA descriptors more. */
EFI_STATUS mem_map_prepare(struct mem_map *map, size_t extra);

/* Reads the map without any allocation: allowed after a failed ExitBootServices, too. */
EFI_STATUS mem_map_read(struct mem_map *map);

size_t mem_map_count(const struct mem_map *map);
const EFI_MEMORY_DESCRIPTOR *mem_map_entry(const struct mem_map *map, size_t i);

#endif
