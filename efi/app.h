/* What all parts of the UEFI application use: the firmware's tables and words for its errors. */
#ifndef EFI_APP_H
#define EFI_APP_H

#include <stdbool.h>

#include <efi.h>

/* Set once by efi_main(), before anything else runs. */
extern EFI_HANDLE app_image;
extern EFI_SYSTEM_TABLE *app_st;
extern EFI_BOOT_SERVICES *app_bs;

/* What STATUS means, for a message: "not found". */
const char *app_status_text(EFI_STATUS status);

/* Whether a device path ends at NODE; a node too short to be one ends it as well. */
static inline bool app_path_ends(const EFI_DEVICE_PATH *node)
{
	return IsDevicePathEnd(node) || DevicePathNodeLength(node) < (int)sizeof(*node);
}

#endif
