/* links: efi/ram.c efi/memory.c efi/carve.c efi/report.c lib/log.c lib/fmt.c lib/strbuf.c */
/*
 * The firmware's memory map. The input: a struct head, then entries (struct entry) of the map. The
 * firmware gives any page that its map calls free, unless REFUSE says that it does not. What is
 * taken for guests must be free memory by that map, in no two hands.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "efi/ram.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/util.h"

#define VMS	    2u
#define ENTRIES_MAX 64u

struct head {
	uint8_t stride[2]; /* at the first look, and later */
	uint8_t grow;	   /* entries that are there only from the second look on */
	uint8_t refuse;	   /* which allocation is refused; 0: none */
	uint16_t trampoline;
	uint16_t pool;
	uint16_t memory[VMS]; /* in pieces of 2 MiB */
	uint8_t claim;	      /* bytes beyond what was used that the second look reports, times 8 */
};

struct entry {
	uint8_t type, attribute, shape;
	uint8_t start[5]; /* page number */
	uint32_t pages;
};

EFI_HANDLE app_image;
EFI_SYSTEM_TABLE *app_st;
EFI_BOOT_SERVICES *app_bs;

static struct {
	struct head head;
	EFI_MEMORY_DESCRIPTOR map[ENTRIES_MAX];
	size_t count;
	unsigned int looks, requests;
	void *given[1024]; /* for Socle itself: memory of the build machine */
	size_t given_count;
} fw;

void assert_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

uint64_t boot_cpu_size(size_t cpus)
{
	return cpus;
}

static EFI_STATUS EFIAPI get_map(UINTN *size, EFI_MEMORY_DESCRIPTOR *map, UINTN *key, UINTN *stride,
				 UINT32 *version)
{
	size_t first = fw.count - MIN((size_t)fw.head.grow, fw.count);
	size_t n = fw.looks ? fw.count : first;
	size_t step = fw.head.stride[!!fw.looks++];
	size_t room = *size;

	*stride = step;
	*key = 1;
	*version = 1;
	*size = n * step;
	if (!map || *size > room)
		return EFI_BUFFER_TOO_SMALL;
	for (size_t i = 0; i < n; i++)
		memcpy((uint8_t *)map + i * step, &fw.map[i], MIN(step, sizeof(*map)));
	*size += 8u * fw.head.claim;
	return EFI_SUCCESS;
}

static int is_free(uint64_t base, uint64_t size)
{
	/* Byte for byte an entry that says so, or several side by side. */
	for (uint64_t at = base; at < base + size;) {
		uint64_t before = at;

		for (size_t i = 0; i < fw.count; i++) {
			const EFI_MEMORY_DESCRIPTOR *d = &fw.map[i];

			if (d->Type == EfiConventionalMemory && d->Attribute & EFI_MEMORY_WB &&
			    d->NumberOfPages <= BIT(40) && at >= d->PhysicalStart &&
			    at - d->PhysicalStart < d->NumberOfPages * PAGE_SIZE)
				at = d->PhysicalStart + d->NumberOfPages * PAGE_SIZE;
		}
		if (at == before)
			return 0;
	}
	return 1;
}

static EFI_STATUS EFIAPI allocate(EFI_ALLOCATE_TYPE type, EFI_MEMORY_TYPE kind, UINTN pages,
				  EFI_PHYSICAL_ADDRESS *at)
{
	assert(kind == EfiLoaderData && pages);
	if (fw.head.refuse && ++fw.requests == fw.head.refuse)
		return EFI_OUT_OF_RESOURCES;
	if (type == AllocateMaxAddress)
		*at = fw.head.trampoline * (uint64_t)PAGE_SIZE;
	if (type != AllocateAnyPages)
		return EFI_SUCCESS;
	if (pages > MIB(64) / PAGE_SIZE || fw.given_count == ARRAY_SIZE(fw.given))
		return EFI_OUT_OF_RESOURCES;
	fw.given[fw.given_count] = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);
	*at = (uintptr_t)fw.given[fw.given_count++];
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI give_back(EFI_PHYSICAL_ADDRESS at, UINTN pages)
{
	(void)pages;
	for (size_t i = 0; i < fw.given_count; i++) {
		if ((uintptr_t)fw.given[i] != at)
			continue;
		free(fw.given[i]);
		fw.given[i] = fw.given[--fw.given_count];
		return EFI_SUCCESS;
	}
	return EFI_SUCCESS;
}

static void look_at_extents(const struct boot_extent *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert(e[i].size && e[i].base + e[i].size > e[i].base);
		assert(is_free(e[i].base, e[i].size));
		for (size_t j = 0; j < i; j++)
			assert(e[i].base >= e[j].base + e[j].size ||
			       e[j].base >= e[i].base + e[i].size);
	}
}

/* What a claim that succeeded promises. */
static void look_at(const struct handover *h)
{
	static struct boot_extent all[1 + VMS * CARVE_EXTENTS];
	size_t n = 0;

	assert(h->pool.size && h->pool.base + h->pool.size <= GIB(4));
	assert(h->trampoline && h->trampoline < 0xa0000);
	all[n++] = h->pool;
	for (size_t i = 0; i < VMS; i++) {
		uint64_t sum = 0;

		for (size_t k = 0; k < h->vms[i].ram_count; k++) {
			assert(IS_ALIGNED(h->vms[i].ram[k].base, MIB(2)));
			sum += h->vms[i].ram[k].size;
			all[n++] = h->vms[i].ram[k];
		}
		assert(sum == h->vms[i].config->memory);
	}
	look_at_extents(all, n);
}

static void run(void)
{
	static struct boot_extent extents[VMS][CARVE_EXTENTS];
	struct config_vm config[VMS] = {{.name = "a"}, {.name = "b"}};
	struct boot_vm vms[VMS];
	struct handover h = {.vms = vms, .vm_count = VMS};
	struct report report = {.file = "f"};
	struct ram ram = {0};
	uint64_t pool = fw.head.pool * (uint64_t)PAGE_SIZE;

	for (size_t i = 0; i < VMS; i++) {
		config[i].memory = MIB(2) * MAX(fw.head.memory[i], 1);
		vms[i] = (struct boot_vm){.config = &config[i], .ram = extents[i]};
	}
	if (ram_prepare(&ram, VMS)) {
		assert(ram_top(&ram) >= GIB(4));
		(void)ram_survey(&ram, pool);
		if (ram_claim(&ram, &h, MAX(pool, PAGE_SIZE), &report))
			look_at(&h);
		else
			assert(report.errors);
	}
	mem_release_all();
	assert(fw.given_count == 0);
}

static void make_entry(EFI_MEMORY_DESCRIPTOR *d, const struct entry *e)
{
	uint64_t page = 0;

	memcpy(&page, e->start, sizeof(e->start));
	*d = (EFI_MEMORY_DESCRIPTOR){
		.Type = e->type % 16,
		.Attribute = e->attribute | (uint64_t)(e->shape & 0xc0) << 56,
		.PhysicalStart = page * PAGE_SIZE << (e->shape & 0x1f),
		.NumberOfPages = (uint64_t)e->pages << (e->shape & 0x1f),
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static EFI_BOOT_SERVICES bs = {.GetMemoryMap = get_map,
				       .AllocatePages = allocate,
				       .FreePages = give_back};
	struct entry e;

	memset(&fw, 0, sizeof(fw));
	if (size < sizeof(fw.head))
		return 0;
	memcpy(&fw.head, data, sizeof(fw.head));
	for (size_t at = sizeof(fw.head); at + sizeof(e) <= size && fw.count < ENTRIES_MAX;
	     at += sizeof(e)) {
		memcpy(&e, data + at, sizeof(e));
		make_entry(&fw.map[fw.count++], &e);
	}
	app_bs = &bs;
	log_set_level(LOG_ERROR);
	run();
	return 0;
}
