#include "efi/app.h"

#include <stddef.h>

#include "lib/strbuf.h"
#include "lib/util.h"

EFI_HANDLE app_image;
EFI_SYSTEM_TABLE *app_st;
EFI_BOOT_SERVICES *app_bs;

#define STATUS_TEXTS(F)                                       \
	F(EFI_LOAD_ERROR, "load error")                       \
	F(EFI_INVALID_PARAMETER, "invalid parameter")         \
	F(EFI_UNSUPPORTED, "unsupported by the firmware")     \
	F(EFI_BAD_BUFFER_SIZE, "bad buffer size")             \
	F(EFI_BUFFER_TOO_SMALL, "buffer too small")           \
	F(EFI_NOT_READY, "not ready")                         \
	F(EFI_DEVICE_ERROR, "device error")                   \
	F(EFI_WRITE_PROTECTED, "write protected")             \
	F(EFI_OUT_OF_RESOURCES, "out of memory")              \
	F(EFI_VOLUME_CORRUPTED, "the file system is damaged") \
	F(EFI_NO_MEDIA, "no medium")                          \
	F(EFI_MEDIA_CHANGED, "the medium was changed")        \
	F(EFI_NOT_FOUND, "not found")                         \
	F(EFI_ACCESS_DENIED, "access denied")                 \
	F(EFI_TIMEOUT, "no answer in time")                   \
	F(EFI_ABORTED, "aborted")                             \
	F(EFI_END_OF_FILE, "the file ends early")             \
	F(EFI_SECURITY_VIOLATION, "forbidden by Secure Boot")

#define NUMBER(status, text) status & 0xff,
#define TEXT(status, text)   text "\0"

const char *app_status_text(EFI_STATUS status)
{
	static const uint8_t numbers[] = {STATUS_TEXTS(NUMBER)};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (status == EFIERR(numbers[i]))
			return nth_name(STATUS_TEXTS(TEXT), i);
	}
	return "unknown error";
}
