#include "efi/platform.h"

#include "efi/app.h"
#include "efi/calendar.h"
#include "lib/string.h"
#include "lib/util.h"

static const EFI_GUID acpi_guids[] = {ACPI_20_TABLE_GUID, ACPI_TABLE_GUID};

uint64_t platform_rsdp(void)
{
	const EFI_CONFIGURATION_TABLE *tables = app_st->ConfigurationTable;

	for (size_t g = 0; g < ARRAY_SIZE(acpi_guids); g++) {
		for (UINTN i = 0; i < app_st->NumberOfTableEntries; i++) {
			if (!memcmp(&tables[i].VendorGuid, &acpi_guids[g], sizeof(EFI_GUID)))
				return (uintptr_t)tables[i].VendorTable;
		}
	}
	return 0;
}

uint64_t platform_framebuffer(void)
{
	static EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;

	if (EFI_ERROR(app_bs->LocateProtocol(&guid, NULL, (void **)&gop)) || !gop->Mode ||
	    !gop->Mode->Info || gop->Mode->Info->PixelFormat == PixelBltOnly)
		return 0;
	return gop->Mode->FrameBufferBase;
}

struct boot_extent platform_image(void)
{
	static EFI_GUID guid = LOADED_IMAGE_PROTOCOL;
	EFI_LOADED_IMAGE *image;

	if (EFI_ERROR(app_bs->HandleProtocol(app_image, &guid, (void **)&image)))
		return (struct boot_extent){0, 0};
	return (struct boot_extent){(uintptr_t)image->ImageBase, image->ImageSize};
}

void platform_clock(struct handover *h)
{
	struct calendar date;
	EFI_TIME t;

	h->wall_clock_s = 0;
	if (!EFI_ERROR(app_st->RuntimeServices->GetTime(&t, NULL))) {
		date = (struct calendar){
			.year = t.Year,
			.month = t.Month,
			.day = t.Day,
			.hour = t.Hour,
			.minute = t.Minute,
			.second = t.Second,
			/* UEFI 8.3: local time is UTC minus TimeZone. */
			.behind_utc = t.TimeZone == EFI_UNSPECIFIED_TIMEZONE ? 0 : t.TimeZone,
		};
		h->wall_clock_s = calendar_seconds(&date);
	}
	h->wall_clock_tsc = __builtin_ia32_rdtsc();
}
