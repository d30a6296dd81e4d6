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

/* UEFI 2.10 12.9.2.2: a pixel's bits, in bytes from the lowest address on. */
static bool pixel_masks(const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info,
			struct boot_framebuffer *fb)
{
	const EFI_PIXEL_BITMASK *mask = &info->PixelInformation;
	bool red_first = info->PixelFormat == PixelRedGreenBlueReserved8BitPerColor;

	switch (info->PixelFormat) {
	case PixelRedGreenBlueReserved8BitPerColor:
	case PixelBlueGreenRedReserved8BitPerColor:
		fb->red = red_first ? 0xff : 0xff0000;
		fb->green = 0xff00;
		fb->blue = red_first ? 0xff0000 : 0xff;
		fb->reserved = 0xff000000;
		return true;
	case PixelBitMask:
		fb->red = mask->RedMask;
		fb->green = mask->GreenMask;
		fb->blue = mask->BlueMask;
		fb->reserved = mask->ReservedMask;
		return true;
	default:
		return false;
	}
}

static bool read_mode(EFI_HANDLE handle, struct boot_framebuffer *fb)
{
	static EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;

	if (EFI_ERROR(app_bs->HandleProtocol(handle, &guid, (void **)&gop)) || !gop->Mode ||
	    !gop->Mode->Info)
		return false;
	info = gop->Mode->Info;
	*fb = (struct boot_framebuffer){.base = gop->Mode->FrameBufferBase,
					.size = gop->Mode->FrameBufferSize,
					.width = info->HorizontalResolution,
					.height = info->VerticalResolution,
					.stride = info->PixelsPerScanLine};
	return fb->base && pixel_masks(info, fb);
}

/* Whether the firmware's own text goes there: UEFI 2.10 3.3.1, ConOut. */
static bool is_console(EFI_HANDLE handle)
{
	/* EFI_CONSOLE_OUT_DEVICE_GUID of EDK II, which firmware in general goes by */
	static EFI_GUID guid = {0xd3b36f2c,
				0xd551,
				0x11d4,
				{0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
	void *interface;

	return !EFI_ERROR(app_bs->HandleProtocol(handle, &guid, &interface));
}

void platform_framebuffer(struct boot_framebuffer *fb)
{
	static EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	struct boot_framebuffer one;
	EFI_HANDLE *handles;
	UINTN count;

	*fb = (struct boot_framebuffer){0};
	if (EFI_ERROR(app_bs->LocateHandleBuffer(ByProtocol, &guid, NULL, &count, &handles)))
		return;
	for (UINTN i = 0; i < count; i++) {
		if (!read_mode(handles[i], &one) || (fb->base && !is_console(handles[i])))
			continue;
		*fb = one;
		if (is_console(handles[i]))
			break;
	}
	app_bs->FreePool(handles);
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
