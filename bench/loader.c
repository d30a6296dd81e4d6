/*
 * The firmware's first application on a machine without a hypervisor: starts Linux by its 64-bit
 * entry, as Socle's kind linux does, or the benchmark's guest, as its kind flat64 does. The first
 * line of the file cmdline is "flat N" for N processors, or the kernel's command line; the files
 * are guest.bin, or vmlinuz and initrd.gz.
 */
#include <efi.h>
#include <efilib.h>

#include <asm/bootparam.h>

#define FLAT_BASE  0x200000u
#define FLAT_SIZE  0x400000u /* what the guest uses from there on */
#define TEXT_MAX   512u
#define MAP_SIZE   0x10000u
#define ENTRY_64   0x200u
#define NO_LOADER  0xff /* boot protocol, type_of_loader: none that has a number */

#define CHECKED(call)                                                                              \
	do {                                                                                       \
		EFI_STATUS status_ = (call);                                                       \
		if (EFI_ERROR(status_))                                                            \
			fail(#call, status_);                                                      \
	} while (0)

struct memory_map {
	UINT8 *entries;
	UINTN size, key, entry_size;
	UINT32 version;
};

static EFI_HANDLE own_image;
static EFI_FILE *root;

static void __attribute__((noreturn)) fail(const char *what, EFI_STATUS status)
{
	Print(L"bench: failed: loader: %a: %r\n", what, status);
	BS->Exit(own_image, status, 0, NULL);
	__builtin_unreachable();
}

/* At AT, or below 4 GiB for 0. */
static void *pages(UINTN bytes, EFI_PHYSICAL_ADDRESS at)
{
	EFI_PHYSICAL_ADDRESS address = at ? at : 0xffffffff;

	CHECKED(BS->AllocatePages(at ? AllocateAddress : AllocateMaxAddress, EfiLoaderData,
				  EFI_SIZE_TO_PAGES(bytes), &address));
	ZeroMem((void *)(UINTN)address, bytes);
	return (void *)(UINTN)address;
}

static UINT8 *read_file(CHAR16 *name, UINTN *size)
{
	EFI_FILE_INFO *info;
	EFI_FILE *file;
	UINT8 *data;

	CHECKED(root->Open(root, &file, name, EFI_FILE_MODE_READ, 0));
	info = LibFileInfo(file);
	if (!info)
		fail("LibFileInfo", EFI_DEVICE_ERROR);
	*size = (UINTN)info->FileSize;
	data = pages(*size + 1, 0);
	CHECKED(file->Read(file, size, data));
	return data;
}

/* The firmware's memory as its own, or as the kernel will see it. */
static void leave_firmware(struct memory_map *map)
{
	map->entries = pages(MAP_SIZE, 0);
	for (UINTN tries = 0;; tries++) {
		map->size = MAP_SIZE;
		CHECKED(BS->GetMemoryMap(&map->size, (EFI_MEMORY_DESCRIPTOR *)map->entries,
					 &map->key, &map->entry_size, &map->version));
		if (!EFI_ERROR(BS->ExitBootServices(own_image, map->key)))
			break;
		if (tries)
			fail("ExitBootServices", EFI_INVALID_PARAMETER);
	}
	__asm__ volatile("cli");
}

static UINT32 e820_type(UINT32 type)
{
	switch (type) {
	case EfiLoaderCode:
	case EfiLoaderData:
	case EfiBootServicesCode:
	case EfiBootServicesData:
	case EfiConventionalMemory:
		return 1;
	case EfiACPIReclaimMemory:
		return 3;
	case EfiACPIMemoryNVS:
		return 4;
	default:
		return 2;
	}
}

static void add_e820(struct boot_params *params, const EFI_MEMORY_DESCRIPTOR *d)
{
	struct boot_e820_entry *last = params->e820_table + params->e820_entries;
	UINT64 size = d->NumberOfPages * EFI_PAGE_SIZE;
	UINT32 type = e820_type(d->Type);

	if (params->e820_entries && last[-1].type == type &&
	    last[-1].addr + last[-1].size == d->PhysicalStart)
		last[-1].size += size;
	else if (params->e820_entries < E820_MAX_ENTRIES_ZEROPAGE)
		params->e820_table[params->e820_entries++] =
			(struct boot_e820_entry){d->PhysicalStart, size, type};
}

static UINT64 find_rsdp(void)
{
	static EFI_GUID guid = ACPI_20_TABLE_GUID;

	for (UINTN i = 0; i < ST->NumberOfTableEntries; i++)
		if (CompareGuid(&ST->ConfigurationTable[i].VendorGuid, &guid) == 0)
			return (UINTN)ST->ConfigurationTable[i].VendorTable;
	return 0;
}

static void __attribute__((noreturn)) start_linux(char *cmdline)
{
	struct boot_params *params = pages(sizeof(*params), 0);
	struct memory_map map;
	UINTN size, initrd_size, setup;
	UINT8 *kernel = read_file(L"vmlinuz", &size), *at;
	UINT8 *initrd = read_file(L"initrd.gz", &initrd_size);

	CopyMem(&params->hdr, kernel + 0x1f1, kernel[0x201] + 0x202u - 0x1f1u);
	setup = (params->hdr.setup_sects + 1u) * 512;
	/* Above its preferred address it runs where it is, if that is aligned. */
	at = pages(params->hdr.init_size + params->hdr.kernel_alignment, 0);
	at += -(UINTN)at % params->hdr.kernel_alignment;
	CopyMem(at, kernel + setup, size - setup);
	params->hdr.type_of_loader = NO_LOADER;
	params->hdr.cmd_line_ptr = (UINT32)(UINTN)cmdline;
	params->hdr.ramdisk_image = (UINT32)(UINTN)initrd;
	params->hdr.ramdisk_size = (UINT32)initrd_size;
	params->acpi_rsdp_addr = find_rsdp();
	leave_firmware(&map);
	for (UINTN i = 0; i < map.size; i += map.entry_size)
		add_e820(params, (EFI_MEMORY_DESCRIPTOR *)(map.entries + i));
	__asm__ volatile("jmp *%[entry]" : : [entry] "r"(at + ENTRY_64), "S"(params) : "memory");
	__builtin_unreachable();
}

/* It finds the number of PROCESSORS where a hypervisor leaves 0. */
static void __attribute__((noreturn)) start_flat(UINTN processors)
{
	struct memory_map map;
	UINTN size;
	UINT8 *image = read_file(L"guest.bin", &size), *at = pages(FLAT_SIZE, FLAT_BASE);

	CopyMem(at, image, size);
	leave_firmware(&map);
	__asm__ volatile("jmp *%[entry]" : : [entry] "r"(at), "D"(0), "S"(processors) : "memory");
	__builtin_unreachable();
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	EFI_LOADED_IMAGE *self;
	UINTN size;
	char *line;

	own_image = image;
	InitializeLib(image, system);
	CHECKED(BS->HandleProtocol(image, &LoadedImageProtocol, (void **)&self));
	root = LibOpenRoot(self->DeviceHandle);
	if (!root)
		fail("LibOpenRoot", EFI_NO_MEDIA);
	line = (char *)read_file(L"cmdline", &size);
	for (UINTN i = 0; i < size; i++)
		if (line[i] < ' ')
			line[i] = 0;
	if (CompareMem(line, "flat ", 5) == 0)
		start_flat((UINTN)(line[5] - '0'));
	start_linux(line);
}
