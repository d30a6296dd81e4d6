#include "efi/ram.h"

#include "lib/err.h"
#include "lib/log.h"
#include "lib/strbuf.h"
#include "lib/util.h"

/* Left to the firmware below 4 GiB, beside all that is not a whole page of 2 MiB. */
#define RESERVE MIB(4)

/* Entries by which the map may grow between two looks. */
#define MAP_GROWTH 64

/* UEFI 2.10 7.2.3: memory with a purpose of its own, such as high bandwidth. */
#define MEMORY_SPECIFIC_PURPOSE BIT(18)

/* A processor starts at a page number of 8 bits; from a0h on there are video memory and ROMs. */
#define TRAMPOLINE_LAST 0x9ffff

/* The firmware takes pages of its own at any time: what the map showed may be gone. */
#define TRIES 4

bool ram_prepare(struct ram *ram, size_t vm_count)
{
	struct boot_extent *list;
	size_t max;

	if (EFI_ERROR(mem_map_prepare(&ram->map, MAP_GROWTH)))
		return false;
	max = ram->map.size / ram->map.stride + vm_count * CARVE_EXTENTS + 4;
	list = mem_alloc(max * sizeof(*list));
	if (!list)
		return false;
	carve_init(&ram->carve, list, max);
	return true;
}

static bool is_free(const EFI_MEMORY_DESCRIPTOR *d)
{
	return d->Type == EfiConventionalMemory && (d->Attribute & EFI_MEMORY_WB) &&
	       !(d->Attribute & MEMORY_SPECIFIC_PURPOSE);
}

/* What Socle maps, for itself or for runtime services. */
static bool is_mapped(const EFI_MEMORY_DESCRIPTOR *d)
{
	return (d->Type != EfiReservedMemoryType && d->Type < EfiMemoryMappedIO) ||
	       d->Attribute & EFI_MEMORY_RUNTIME;
}

/* Beyond 52 bits there is no physical address: SDM vol. 3A 4.1.4. */
static struct boot_extent extent_of(const EFI_MEMORY_DESCRIPTOR *d)
{
	if (d->PhysicalStart >= BIT(52) || d->NumberOfPages > BIT(40))
		return (struct boot_extent){0, 0};
	return (struct boot_extent){d->PhysicalStart, d->NumberOfPages * PAGE_SIZE};
}

uint64_t ram_top(struct ram *ram)
{
	uint64_t top = GIB(4);

	if (EFI_ERROR(mem_map_read(&ram->map)))
		return top;
	for (size_t i = 0; i < mem_map_count(&ram->map); i++) {
		const EFI_MEMORY_DESCRIPTOR *d = mem_map_entry(&ram->map, i);
		struct boot_extent e = extent_of(d);

		if (is_mapped(d))
			top = MAX(top, e.base + e.size);
	}
	return top;
}

uint64_t ram_survey(struct ram *ram, uint64_t pool)
{
	struct boot_extent reserve;

	ram->carve.count = 0;
	ram->pool = (struct boot_extent){0, 0};
	if (EFI_ERROR(mem_map_read(&ram->map)))
		return 0;
	for (size_t i = 0; i < mem_map_count(&ram->map); i++) {
		const EFI_MEMORY_DESCRIPTOR *d = mem_map_entry(&ram->map, i);

		if (is_free(d) && carve_add(&ram->carve, extent_of(d)))
			return 0;
	}
	if (carve_one(&ram->carve, ALIGN_UP(pool, PAGE_SIZE), CARVE_PAGE, GIB(4), &ram->pool))
		ram->pool.size = 0;
	/* Where there is not even this, the firmware has to do with the rest. */
	(void)carve_one(&ram->carve, RESERVE, PAGE_SIZE, GIB(4), &reserve);
	carve_align(&ram->carve, CARVE_PAGE);
	return carve_total(&ram->carve);
}

/* Decides for one VM, without allocating. */
static bool plan_vm(struct ram *ram, struct boot_vm *vm, struct report *r)
{
	const struct config_vm *config = vm->config;
	int n = carve_vm(&ram->carve, config->memory, vm->ram);

	vm->ram_count = n < 0 ? 0 : (size_t)n;
	if (n == -E2BIG)
		report_error(r, EFI_OUT_OF_RESOURCES, &config->pos[CONFIG_VM_MEMORY],
			     "vm %s: the firmware has %lu MiB only in more than %d pieces",
			     config->name, config->memory >> 20, CARVE_EXTENTS);
	else if (n < 0)
		report_error(r, EFI_OUT_OF_RESOURCES, &config->pos[CONFIG_VM_MEMORY],
			     "vm %s: does not fit: it wants %lu MiB, and %lu MiB are left",
			     config->name, config->memory >> 20, carve_total(&ram->carve) >> 20);
	return n >= 0;
}

static bool plan(struct ram *ram, struct handover *h, uint64_t pool, struct report *r)
{
	bool ok = true;

	ram_survey(ram, pool);
	if (ram->pool.size == 0) {
		report_error(r, EFI_OUT_OF_RESOURCES, NULL,
			     "no %lu KiB in one piece below 4 GiB for Socle itself", pool >> 10);
		ok = false;
	}
	for (size_t i = 0; i < h->vm_count; i++)
		ok &= plan_vm(ram, &h->vms[i], r);
	return ok;
}

static void release(struct ram *ram, struct handover *h)
{
	mem_release(ram->pool);
	for (size_t i = 0; i < h->vm_count; i++) {
		for (size_t k = 0; k < h->vms[i].ram_count; k++)
			mem_release(h->vms[i].ram[k]);
	}
}

static bool allocate_vm(const struct boot_vm *vm)
{
	for (size_t k = 0; k < vm->ram_count; k++) {
		if (!mem_pages_at(vm->ram[k]))
			return false;
	}
	return true;
}

/* All that was planned, or nothing. */
static bool allocate(struct ram *ram, struct handover *h)
{
	bool ok = mem_pages_at(ram->pool);

	for (size_t i = 0; ok && i < h->vm_count; i++)
		ok = allocate_vm(&h->vms[i]);
	if (!ok)
		release(ram, h);
	return ok;
}

static bool allocate_trampoline(struct handover *h)
{
	struct boot_extent e;

	/* Page 0 holds the real-mode interrupt vectors, and a null pointer should not be a page. */
	if (!mem_pages_below(PAGE_SIZE, TRAMPOLINE_LAST, &e) || e.base == 0 ||
	    e.base > TRAMPOLINE_LAST)
		return false;
	h->trampoline = e.base;
	return true;
}

static void print_vm(const struct boot_vm *vm)
{
	char text[1000];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	for (size_t k = 0; k < vm->ram_count; k++)
		sb_printf(&sb, "%s%lx-%lx", k ? ", " : "", vm->ram[k].base,
			  vm->ram[k].base + vm->ram[k].size - 1);
	log_info("memory: vm %s: %lu MiB at %s%s", vm->config->name, vm->config->memory >> 20, text,
		 sb.cut ? "..." : "");
}

bool ram_claim(struct ram *ram, struct handover *h, uint64_t pool, struct report *r)
{
	bool done = false;

	for (int i = 0; i < TRIES && !done; i++) {
		if (!plan(ram, h, pool, r))
			return false;
		done = allocate(ram, h);
	}
	if (!done || !allocate_trampoline(h)) {
		report_error(r, EFI_OUT_OF_RESOURCES, NULL, "the firmware does not give %s",
			     done ? "a page below 1 MiB" : "the memory that it says is free");
		return false;
	}
	h->pool = ram->pool;
	for (size_t i = 0; i < h->vm_count; i++)
		print_vm(&h->vms[i]);
	return true;
}

/* The files of VM: kernel, initrd, modules, those of fw_cfg. */
static const struct boot_file *file_of(const struct boot_vm *vm, size_t index)
{
	if (index == 0)
		return &vm->kernel;
	if (index == 1)
		return &vm->initrd;
	index -= 2;
	if (index < vm->config->module_count)
		return &vm->module_files[index];
	return &vm->fw_cfg_files[index - vm->config->module_count];
}

static size_t file_count(const struct boot_vm *vm)
{
	return 2 + vm->config->module_count + vm->config->fw_cfg_count;
}

/* Is the file of number INDEX of VM one that was named before? */
static bool named_before(const struct handover *h, size_t vm, size_t index)
{
	uint64_t base = file_of(&h->vms[vm], index)->pages.base;

	for (size_t i = 0; i <= vm; i++) {
		size_t end = i < vm ? file_count(&h->vms[i]) : index;

		for (size_t n = 0; n < end; n++) {
			if (file_of(&h->vms[i], n)->pages.base == base)
				return true;
		}
	}
	return false;
}

/* Bytes of VM's files that no VM before it has. */
static uint64_t new_bytes(const struct handover *h, size_t vm)
{
	uint64_t bytes = 0;

	for (size_t n = 0; n < file_count(&h->vms[vm]); n++) {
		if (!named_before(h, vm, n))
			bytes += file_of(&h->vms[vm], n)->pages.size;
	}
	return bytes;
}

void ram_print_own(const struct handover *h)
{
	uint64_t own = 0, files = 0;

	for (size_t i = 0; i < h->own_count; i++)
		own += h->own[i].size;
	for (size_t i = 0; i < h->vm_count; i++)
		files += new_bytes(h, i);
	log_info("memory: socle: %lu KiB: image %lu, configuration %lu, pool %lu (%lu for %lu "
		 "processors); and guests' files %lu KiB",
		 (h->image.size + own + h->pool.size + PAGE_SIZE) >> 10, h->image.size >> 10,
		 own >> 10, h->pool.size >> 10, boot_cpu_size(h->cpu_count) >> 10, h->cpu_count,
		 files >> 10);
}
