/*
 * Starts Linux on its own: the firmware's first application is this one, and a kernel is another,
 * which takes its command line (and in it the name of its initrd) as load options. They are the
 * first line of the file cmdline beside vmlinuz.
 */
#include <efi.h>
#include <efilib.h>

#define CMDLINE_MAX 512

static EFI_STATUS read_cmdline(EFI_HANDLE device, CHAR16 *out)
{
	char text[CMDLINE_MAX] = "";
	UINTN size = sizeof(text) - 1;
	EFI_FILE *root = LibOpenRoot(device), *file;
	EFI_STATUS err;

	if (!root)
		return EFI_NO_MEDIA;
	err = root->Open(root, &file, L"cmdline", EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(err))
		return err;
	err = file->Read(file, &size, text);
	if (EFI_ERROR(err))
		return err;
	for (UINTN i = 0; i < size && text[i] >= ' '; i++)
		*out++ = (CHAR16)text[i];
	*out = 0;
	return EFI_SUCCESS;
}

static EFI_STATUS start_kernel(EFI_HANDLE self, EFI_HANDLE device, CHAR16 *cmdline)
{
	EFI_DEVICE_PATH *path = FileDevicePath(device, L"\\vmlinuz");
	EFI_LOADED_IMAGE *loaded;
	EFI_HANDLE kernel;
	EFI_STATUS err = BS->LoadImage(FALSE, self, path, NULL, 0, &kernel);

	if (EFI_ERROR(err))
		return err;
	err = BS->HandleProtocol(kernel, &LoadedImageProtocol, (void **)&loaded);
	if (EFI_ERROR(err))
		return err;
	loaded->LoadOptions = cmdline;
	loaded->LoadOptionsSize = (UINT32)StrSize(cmdline);
	return BS->StartImage(kernel, NULL, NULL);
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	static CHAR16 cmdline[CMDLINE_MAX];
	EFI_LOADED_IMAGE *self;
	EFI_STATUS err;

	InitializeLib(image, system);
	err = BS->HandleProtocol(image, &LoadedImageProtocol, (void **)&self);
	if (!EFI_ERROR(err))
		err = read_cmdline(self->DeviceHandle, cmdline);
	if (!EFI_ERROR(err))
		err = start_kernel(image, self->DeviceHandle, cmdline);
	Print(L"bench: failed: loader: %r\n", err);
	return err;
}
