/* The setup header, field by field. Numbers in comments are the offsets that boot.rst gives. */
#include "guest/bzimage.h"

#include "guest/layout.h"
#include "lib/err.h"
#include "lib/string.h"
#include "lib/util.h"

/* Offsets of fields, in the file. */
enum {
	SETUP_SECTS = 0x1f1,	    /* 1 byte */
	SYSSIZE = 0x1f4,	    /* 4 */
	BOOT_FLAG = 0x1fe,	    /* 2 */
	JUMP = 0x200,		    /* 2: its second byte leads to the header's end */
	MAGIC = 0x202,		    /* 4 */
	VERSION = 0x206,	    /* 2 */
	LOADFLAGS = 0x211,	    /* 1 */
	INITRD_ADDR_MAX = 0x22c,    /* 4 */
	KERNEL_ALIGNMENT = 0x230,   /* 4 */
	RELOCATABLE_KERNEL = 0x234, /* 1 */
	XLOADFLAGS = 0x236,	    /* 2 */
	CMDLINE_SIZE = 0x238,	    /* 4 */
	PREF_ADDRESS = 0x258,	    /* 8 */
	INIT_SIZE = 0x260,	    /* 4 */
	HEADER_END_2_12 = 0x268,
};

#define SECTOR			   512u
#define VERSION_2_12		   0x020cu
#define LOADED_HIGH		   0x01u
#define XLF_KERNEL_64		   0x01u
#define XLF_CAN_BE_LOADED_ABOVE_4G 0x02u

/* Little-endian, unaligned. The caller has checked that LEN bytes are there. */
static uint64_t get(const uint8_t *file, size_t offset, unsigned int len)
{
	uint64_t value = 0;

	memcpy(&value, file + offset, len);
	return value;
}

bool bzimage_magic(const uint8_t *file, size_t size)
{
	return size >= VERSION && get(file, BOOT_FLAG, 2) == 0xaa55 &&
	       !memcmp(file + MAGIC, "HdrS", 4);
}

/* What people give as a kernel by mistake. */
static const struct {
	uint8_t magic[6], len;
	const char *name;
} known[] = {
	{{0x7f, 'E', 'L', 'F'}, 4, "an ELF file (vmlinux?)"},
	{{0x1f, 0x8b}, 2, "a gzip file (an initrd?)"},
	{{0x28, 0xb5, 0x2f, 0xfd}, 4, "a zstd file (an initrd?)"},
	{{0xfd, '7', 'z', 'X', 'Z'}, 5, "an xz file (an initrd?)"},
	{{'0', '7', '0', '7', '0', '1'}, 6, "a cpio archive (an initrd?)"},
	{{'M', 'Z'}, 2, "an EFI or DOS program"},
};

static int not_bzimage(const uint8_t *file, size_t size, struct strbuf *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (size < known[i].len || memcmp(file, known[i].magic, known[i].len))
			continue;
		sb_printf(why, "the kernel is no bzImage but %s", known[i].name);
		return -ENOEXEC;
	}
	sb_printf(why, "the kernel is no bzImage: its %zu bytes have no \"HdrS\" at 202h", size);
	return -ENOEXEC;
}

/* Is there a 64-bit entry that this loader can use? */
static int check_entry(const uint8_t *file, struct strbuf *why)
{
	unsigned int version = (unsigned int)get(file, VERSION, 2);

	if (version < VERSION_2_12) {
		sb_printf(why,
			  "the kernel has boot protocol %u.%02u, and its 64-bit entry needs "
			  "2.12 (Linux 3.8)",
			  version >> 8, version & 0xff);
		return -ENOEXEC;
	}
	if (!(file[LOADFLAGS] & LOADED_HIGH)) {
		sb_puts(why, "the kernel is a zImage, which runs below 1 MiB, not a bzImage");
		return -ENOEXEC;
	}
	if (!(get(file, XLOADFLAGS, 2) & XLF_KERNEL_64)) {
		sb_puts(why, "the kernel has no 64-bit entry: it was built for 32-bit processors, "
			     "or needs a BIOS");
		return -ENOEXEC;
	}
	return 0;
}

/*
 * The file is the boot sector, SETUP_SECTS sectors of real-mode code, and SYSSIZE paragraphs of
 * payload.
 */
static int find_payload(struct bzimage *bz, const uint8_t *file, size_t size, struct strbuf *why)
{
	uint64_t setup_sects = file[SETUP_SECTS] ? file[SETUP_SECTS] : 4;
	uint64_t start = (setup_sects + 1) * SECTOR;
	uint64_t payload = get(file, SYSSIZE, 4) * 16;
	size_t header_end = MAGIC + file[JUMP + 1];

	if (size < start + payload) {
		sb_printf(why, "the kernel is cut off: %llu of %llu bytes are missing",
			  (unsigned long long)(start + payload - size),
			  (unsigned long long)(start + payload));
		return -ENOEXEC;
	}
	if (header_end < HEADER_END_2_12 || payload <= BZIMAGE_ENTRY) {
		sb_printf(why, "the kernel's header is broken: %s",
			  payload <= BZIMAGE_ENTRY ? "syssize leaves no 64-bit entry"
						   : "it ends before init_size");
		return -ENOEXEC;
	}
	/*
	 * Bytes behind what boot_params has room for belong to fields that this loader does not
	 * know.
	 */
	bz->header_size = MIN(header_end - SETUP_HEADER, (size_t)SETUP_HEADER_MAX);
	bz->payload = file + start;
	bz->payload_size = payload;
	return 0;
}

/*
 * The kernel moves itself to pref_address when it is loaded below it, so that is the lowest useful
 * place; and as a VM's low memory is in one piece, a higher one would gain nothing.
 */
static int place(struct bzimage *bz, const uint8_t *file, struct strbuf *why)
{
	uint64_t pref = get(file, PREF_ADDRESS, 8);
	uint64_t alignment = get(file, KERNEL_ALIGNMENT, 4);
	uint64_t room = MAX(get(file, INIT_SIZE, 4), (uint64_t)bz->payload_size);

	bz->load = pref;
	if (file[RELOCATABLE_KERNEL]) {
		if (!alignment || alignment & (alignment - 1)) {
			sb_printf(why, "the kernel's header is broken: kernel_alignment is %#llx",
				  (unsigned long long)alignment);
			return -ENOEXEC;
		}
		/* Cannot wrap before the check below: pref is compared as it is. */
		bz->load = ALIGN_UP(MAX(MIN(pref, GIB(4)), (uint64_t)LAYOUT_HIGH_RAM), alignment);
	}
	if (pref >= GIB(4) || bz->load < LAYOUT_HIGH_RAM) {
		sb_printf(why, "the kernel's header is broken: pref_address is %#llx",
			  (unsigned long long)pref);
		return -ENOEXEC;
	}
	bz->end = bz->load + room;
	return 0;
}

int bzimage_parse(struct bzimage *bz, const uint8_t *file, size_t size, struct strbuf *why)
{
	int err;

	if (!bzimage_magic(file, size))
		return not_bzimage(file, size, why);
	if (size < HEADER_END_2_12) {
		sb_printf(why, "the kernel is cut off in its header, after %zu bytes", size);
		return -ENOEXEC;
	}
	err = check_entry(file, why);
	if (!err)
		err = find_payload(bz, file, size, why);
	if (!err)
		err = place(bz, file, why);
	if (err)
		return err;
	bz->cmdline_max = get(file, CMDLINE_SIZE, 4);
	bz->initrd_end = get(file, INITRD_ADDR_MAX, 4) + 1;
	bz->initrd_anywhere = get(file, XLOADFLAGS, 2) & XLF_CAN_BE_LOADED_ABOVE_4G;
	return 0;
}
