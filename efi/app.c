#include "efi/app.h"

#include <stddef.h>

#include "lib/util.h"

EFI_HANDLE app_image;
EFI_SYSTEM_TABLE *app_st;
EFI_BOOT_SERVICES *app_bs;

const char *app_status_text(EFI_STATUS status)
{
	static const struct {
		EFI_STATUS status;
		const char *text;
	} texts[] = {
		{EFI_LOAD_ERROR, "load error"},
		{EFI_INVALID_PARAMETER, "invalid parameter"},
		{EFI_UNSUPPORTED, "unsupported by the firmware"},
		{EFI_BAD_BUFFER_SIZE, "bad buffer size"},
		{EFI_BUFFER_TOO_SMALL, "buffer too small"},
		{EFI_NOT_READY, "not ready"},
		{EFI_DEVICE_ERROR, "device error"},
		{EFI_WRITE_PROTECTED, "write protected"},
		{EFI_OUT_OF_RESOURCES, "out of memory"},
		{EFI_VOLUME_CORRUPTED, "the file system is damaged"},
		{EFI_NO_MEDIA, "no medium"},
		{EFI_MEDIA_CHANGED, "the medium was changed"},
		{EFI_NOT_FOUND, "not found"},
		{EFI_ACCESS_DENIED, "access denied"},
		{EFI_TIMEOUT, "no answer in time"},
		{EFI_ABORTED, "aborted"},
		{EFI_END_OF_FILE, "the file ends early"},
		{EFI_SECURITY_VIOLATION, "forbidden by Secure Boot"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].status == status)
			return texts[i].text;
	}
	return "unknown error";
}
