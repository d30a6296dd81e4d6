#include "efi/files.h"

#include "efi/memory.h"
#include "efi/paths.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/util.h"

/* Some firmware fails on reads beyond a few megabytes. */
#define READ_MAX MIB(4)

/* UEFI 10.3.5.4: a node of a file's path, "\EFI\BOOT" and "BOOTX64.EFI" possibly apart. */
static bool is_file_node(const EFI_DEVICE_PATH *node)
{
	return DevicePathType(node) == MEDIA_DEVICE_PATH &&
	       DevicePathSubType(node) == MEDIA_FILEPATH_DP;
}

static size_t node_units(const EFI_DEVICE_PATH *node)
{
	return (DevicePathNodeLength(node) - sizeof(*node)) / sizeof(uint16_t);
}

/* Adds '\' and a node's text, which is not aligned and may end with or without a zero. */
static size_t append_node(uint16_t *path, size_t n, const EFI_DEVICE_PATH *node)
{
	const uint8_t *text = (const uint8_t *)(node + 1);

	path[n++] = '\\';
	for (size_t i = 0; i < node_units(node); i++) {
		uint16_t unit = (uint16_t)(text[2 * i] | text[2 * i + 1] << 8);

		if (unit == 0)
			break;
		path[n++] = unit;
	}
	return n;
}

/* The path of the application itself, "\" when the firmware does not say. NULL: no memory. */
static uint16_t *application_path(const EFI_DEVICE_PATH *first)
{
	size_t units = 2, n = 0;
	uint16_t *path;

	for (const EFI_DEVICE_PATH *node = first; node && !app_path_ends(node);
	     node = NextDevicePathNode(node))
		units += is_file_node(node) ? node_units(node) + 1 : 0;
	path = mem_alloc(units * sizeof(*path));
	if (!path)
		return NULL;
	for (const EFI_DEVICE_PATH *node = first; node && !app_path_ends(node);
	     node = NextDevicePathNode(node)) {
		if (is_file_node(node))
			n = append_node(path, n, node);
	}
	if (n == 0 || path_normalize(path) < 0)
		memcpy(path, (uint16_t[]){'\\', 0}, 2 * sizeof(*path));
	return path;
}

EFI_STATUS volume_open(struct volume *v)
{
	static EFI_GUID image_guid = LOADED_IMAGE_PROTOCOL;
	static EFI_GUID fs_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
	EFI_LOADED_IMAGE *image;
	EFI_FILE_IO_INTERFACE *fs;
	EFI_STATUS status;

	status = app_bs->HandleProtocol(app_image, &image_guid, (void **)&image);
	if (EFI_ERROR(status))
		return status;
	if (!image->DeviceHandle ||
	    EFI_ERROR(app_bs->HandleProtocol(image->DeviceHandle, &fs_guid, (void **)&fs)))
		return EFI_UNSUPPORTED;
	v->app_folder = application_path(image->FilePath);
	if (!v->app_folder)
		return EFI_OUT_OF_RESOURCES;
	path_parent(v->app_folder);
	return fs->OpenVolume(fs, &v->root);
}

void volume_close(struct volume *v)
{
	if (v->root)
		v->root->Close(v->root);
	v->root = NULL;
}

/* The file's size; EFI_INVALID_PARAMETER for a folder. */
static EFI_STATUS file_size(EFI_FILE_HANDLE file, uint64_t *size)
{
	static EFI_GUID guid = EFI_FILE_INFO_ID;
	EFI_FILE_INFO *info = NULL;
	UINTN len = 0;
	EFI_STATUS status = file->GetInfo(file, &guid, &len, NULL);

	if (status != EFI_BUFFER_TOO_SMALL)
		return EFI_ERROR(status) ? status : EFI_DEVICE_ERROR;
	status = app_bs->AllocatePool(EfiLoaderData, len, (void **)&info);
	if (EFI_ERROR(status))
		return status;
	status = file->GetInfo(file, &guid, &len, info);
	if (!EFI_ERROR(status)) {
		*size = info->FileSize;
		if (info->Attribute & EFI_FILE_DIRECTORY)
			status = EFI_INVALID_PARAMETER;
	}
	app_bs->FreePool(info);
	return status;
}

static EFI_STATUS read_all(EFI_FILE_HANDLE file, uint8_t *to, uint64_t size)
{
	while (size) {
		UINTN part = MIN(size, READ_MAX);
		UINTN asked = part;
		EFI_STATUS status = file->Read(file, &part, to);

		if (EFI_ERROR(status))
			return status;
		if (part == 0 || part > asked)
			return EFI_END_OF_FILE;
		to += part;
		size -= part;
	}
	return EFI_SUCCESS;
}

static EFI_STATUS read_open(EFI_FILE_HANDLE file, struct boot_extent *pages, size_t *size)
{
	struct boot_extent e;
	uint64_t bytes = 0;
	EFI_STATUS status = file_size(file, &bytes);

	if (EFI_ERROR(status))
		return status;
	if (!mem_pages(MAX(bytes, 1), &e))
		return EFI_OUT_OF_RESOURCES;
	status = read_all(file, (uint8_t *)(uintptr_t)e.base, bytes);
	if (EFI_ERROR(status)) {
		mem_release(e);
		return status;
	}
	*pages = e;
	*size = bytes;
	return EFI_SUCCESS;
}

static EFI_STATUS open_file(const struct volume *v, const uint16_t *path, EFI_FILE_HANDLE *file)
{
	return v->root->Open(v->root, file, (CHAR16 *)path, EFI_FILE_MODE_READ, 0);
}

bool volume_has(const struct volume *v, const uint16_t *path)
{
	EFI_FILE_HANDLE file;
	EFI_STATUS status = open_file(v, path, &file);

	if (!EFI_ERROR(status))
		file->Close(file);
	return status != EFI_NOT_FOUND;
}

EFI_STATUS volume_read(const struct volume *v, const uint16_t *path, struct boot_extent *pages,
		       size_t *size)
{
	EFI_FILE_HANDLE file;
	EFI_STATUS status;

	status = open_file(v, path, &file);
	if (EFI_ERROR(status))
		return status;
	status = read_open(file, pages, size);
	file->Close(file);
	return status;
}
