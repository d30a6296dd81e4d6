#include "efi/memory.h"

#include "lib/string.h"
#include "lib/util.h"

/* Small allocations come out of blocks of at least this size. */
#define BLOCK KIB(64)

/* Every piece of memory: a block starts with its own, the others' are in blocks. */
struct region {
	struct region *next;
	struct boot_extent e;
	bool block;
};

static struct region *regions;
static uint8_t *block_next, *block_end;

static uint64_t pages_of(uint64_t size)
{
	return ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE;
}

static bool allocate(EFI_ALLOCATE_TYPE type, uint64_t where, uint64_t size, struct boot_extent *out)
{
	EFI_PHYSICAL_ADDRESS address = where;

	if (size == 0 || size > UINT64_MAX - PAGE_SIZE ||
	    EFI_ERROR(app_bs->AllocatePages(type, EfiLoaderData, pages_of(size), &address)))
		return false;
	*out = (struct boot_extent){address, pages_of(size) * PAGE_SIZE};
	return true;
}

static void give_back(struct boot_extent e)
{
	app_bs->FreePages(e.base, e.size / PAGE_SIZE);
}

static bool new_block(size_t size)
{
	struct boot_extent e;
	struct region *r;

	if (!allocate(AllocateAnyPages, 0, MAX(size + 2 * sizeof(*r), BLOCK), &e))
		return false;
	memset((void *)(uintptr_t)e.base, 0, e.size);
	r = (struct region *)(uintptr_t)e.base;
	*r = (struct region){regions, e, true};
	regions = r;
	block_next = (uint8_t *)ALIGN_UP((uintptr_t)(r + 1), 16);
	block_end = (uint8_t *)(uintptr_t)(e.base + e.size);
	return true;
}

void *mem_alloc(size_t size)
{
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = ALIGN_UP(size, 16);
	if ((size_t)(block_end - block_next) < size && !new_block(size))
		return NULL;
	p = block_next;
	block_next += size;
	return p;
}

static bool tracked(EFI_ALLOCATE_TYPE type, uint64_t where, uint64_t size, struct boot_extent *out)
{
	struct region *r = mem_alloc(sizeof(*r));

	if (!r || !allocate(type, where, size, out))
		return false;
	*r = (struct region){regions, *out, false};
	regions = r;
	return true;
}

bool mem_pages(uint64_t size, struct boot_extent *out)
{
	return tracked(AllocateAnyPages, 0, size, out);
}

bool mem_pages_below(uint64_t size, uint64_t limit, struct boot_extent *out)
{
	return tracked(AllocateMaxAddress, limit, size, out);
}

bool mem_pages_at(struct boot_extent e)
{
	return tracked(AllocateAddress, e.base, e.size, &e);
}

void mem_release(struct boot_extent e)
{
	for (struct region **link = &regions; *link; link = &(*link)->next) {
		if ((*link)->block || (*link)->e.base != e.base)
			continue;
		e = (*link)->e;
		*link = (*link)->next;
		give_back(e);
		return;
	}
}

void mem_release_all(void)
{
	struct region *blocks = NULL;

	/* The list is in the blocks: they go last. */
	while (regions) {
		struct region *r = regions;

		regions = r->next;
		if (r->block) {
			r->next = blocks;
			blocks = r;
		} else {
			give_back(r->e);
		}
	}
	while (blocks) {
		struct boot_extent e = blocks->e;

		blocks = blocks->next;
		give_back(e);
	}
	block_next = block_end = NULL;
}

static size_t count_blocks(void)
{
	size_t n = 0;

	for (struct region *r = regions; r; r = r->next)
		n += r->block;
	return n;
}

bool mem_own(struct handover *h)
{
	/* One more: the array may need a block of its own. */
	h->own = mem_alloc((count_blocks() + 1) * sizeof(*h->own));
	if (!h->own)
		return false;
	for (struct region *r = regions; r; r = r->next) {
		if (r->block)
			h->own[h->own_count++] = r->e;
	}
	return true;
}

/* Descriptors are read where they lie, STRIDE apart (UEFI 2.10 7.2.3). */
static bool is_sane_stride(UINTN stride)
{
	return stride >= sizeof(EFI_MEMORY_DESCRIPTOR) &&
	       IS_ALIGNED(stride, _Alignof(EFI_MEMORY_DESCRIPTOR));
}

EFI_STATUS mem_map_prepare(struct mem_map *map, size_t extra)
{
	UINT32 version;

	map->used = 0;
	if (app_bs->GetMemoryMap(&map->used, NULL, &map->key, &map->stride, &version) !=
		    EFI_BUFFER_TOO_SMALL ||
	    !is_sane_stride(map->stride))
		return EFI_DEVICE_ERROR;
	map->size = map->used + extra * map->stride;
	map->buffer = mem_alloc(map->size);
	return map->buffer ? EFI_SUCCESS : EFI_OUT_OF_RESOURCES;
}

EFI_STATUS mem_map_read(struct mem_map *map)
{
	EFI_STATUS status;
	UINT32 version;

	map->used = map->size;
	status = app_bs->GetMemoryMap(&map->used, (EFI_MEMORY_DESCRIPTOR *)map->buffer, &map->key,
				      &map->stride, &version);
	if (!EFI_ERROR(status) && is_sane_stride(map->stride) && map->used <= map->size)
		return status;
	map->used = 0;
	map->stride = sizeof(EFI_MEMORY_DESCRIPTOR);
	return EFI_ERROR(status) ? status : EFI_DEVICE_ERROR;
}

size_t mem_map_count(const struct mem_map *map)
{
	return map->used / map->stride;
}

const EFI_MEMORY_DESCRIPTOR *mem_map_entry(const struct mem_map *map, size_t i)
{
	return (const EFI_MEMORY_DESCRIPTOR *)(map->buffer + i * map->stride);
}
