#include "efi/leave.h"

#include "efi/app.h"
#include "efi/console.h"
#include "efi/memory.h"
#include "efi/platform.h"
#include "efi/ram.h"
#include "lib/log.h"

/* Entries by which the map may grow until boot services have ended. */
#define MAP_GROWTH 64

/* A timer of the firmware's may change the map between the two calls, once or twice. */
#define TRIES 16

/*
 * UEFI 2.10 7.4.6: the key says which map the caller has seen; when the map has changed since, it
 * is read again. After the first try no service may be called but those for memory.
 */
static EFI_STATUS exit_boot_services(struct mem_map *map)
{
	EFI_STATUS status = EFI_ABORTED;

	for (int i = 0; i < TRIES; i++) {
		status = mem_map_read(map);
		if (!EFI_ERROR(status))
			status = app_bs->ExitBootServices(app_image, map->key);
		if (!EFI_ERROR(status))
			break;
	}
	return status;
}

static _Noreturn void power_off(void)
{
	EFI_RUNTIME_SERVICES *rt = app_st->RuntimeServices;

	rt->ResetSystem(EfiResetShutdown, EFI_SUCCESS, 0, NULL);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void hand_over_map(struct handover *h, const struct mem_map *map)
{
	h->memory_count = mem_map_count(map);
	for (size_t i = 0; i < h->memory_count; i++) {
		const EFI_MEMORY_DESCRIPTOR *d = mem_map_entry(map, i);

		h->memory[i] = (struct boot_memory){.base = d->PhysicalStart,
						    .pages = d->NumberOfPages,
						    .attribute = d->Attribute,
						    .type = d->Type};
	}
}

bool leave_firmware(struct handover *h)
{
	struct mem_map map;
	EFI_STATUS status;

	if (EFI_ERROR(mem_map_prepare(&map, MAP_GROWTH)))
		return false;
	/* No later look finds its descriptors closer together than that. */
	h->memory = mem_alloc(map.size / sizeof(EFI_MEMORY_DESCRIPTOR) * sizeof(*h->memory));
	if (!h->memory || !mem_own(h))
		return false;
	ram_print_own(h);
	platform_clock(h);
	console_leave_firmware();
	status = exit_boot_services(&map);
	if (EFI_ERROR(status)) {
		log_error("the firmware does not end boot services: %s", app_status_text(status));
		power_off();
	}
	__asm__ volatile("cli");
	hand_over_map(h, &map);
	boot_start(h);
}
