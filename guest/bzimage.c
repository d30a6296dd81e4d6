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
	CODE32_START = 0x214,	    /* 4 */
	INITRD_ADDR_MAX = 0x22c,    /* 4 */
	KERNEL_ALIGNMENT = 0x230,   /* 4 */
	RELOCATABLE_KERNEL = 0x234, /* 1 */
	XLOADFLAGS = 0x236,	    /* 2 */
	CMDLINE_SIZE = 0x238,	    /* 4 */
	PREF_ADDRESS = 0x258,	    /* 8 */
	INIT_SIZE = 0x260,	    /* 4 */
	HEADER_LEAST = 0x22c,	    /* the header of protocol 2.02 */
	HEADER_END_2_12 = 0x268,
};

#define SECTOR			   512u
#define PARAGRAPH		   16u
#define VERSION_2_02		   0x0202u
#define VERSION_2_03		   0x0203u
#define VERSION_2_04		   0x0204u
#define VERSION_2_05		   0x0205u
#define VERSION_2_06		   0x0206u
#define VERSION_2_10		   0x020au
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

static size_t header_end(const uint8_t *file)
{
	return MAGIC + file[JUMP + 1];
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

static int broken(struct strbuf *why, const char *what, uint64_t value)
{
	sb_printf(why, "the kernel's header is broken: %s is %#llx", what,
		  (unsigned long long)value);
	return -ENOEXEC;
}

/* A field that came with protocol SINCE, or WITHOUT for a header that does not have it. */
static uint64_t field(const uint8_t *file, unsigned int since, size_t offset, unsigned int len,
		      uint64_t without)
{
	bool there = get(file, VERSION, 2) >= since && offset + len <= header_end(file);

	return there ? get(file, offset, len) : without;
}

static bool relocatable(const uint8_t *file)
{
	return field(file, VERSION_2_05, RELOCATABLE_KERNEL, 1, 0);
}

static uint64_t pref_address(const uint8_t *file)
{
	return field(file, VERSION_2_10, PREF_ADDRESS, 8, LAYOUT_HIGH_RAM);
}

/* Which entry is there that this loader can use? */
static int choose_entry(struct bzimage *bz, const uint8_t *file, struct strbuf *why)
{
	unsigned int version = (unsigned int)get(file, VERSION, 2);

	if (version < VERSION_2_02) {
		sb_printf(why,
			  "the kernel has boot protocol %u.%02u, and 2.02 (Linux 2.4) is the "
			  "oldest that can be loaded without a BIOS",
			  version >> 8, version & 0xff);
		return -ENOEXEC;
	}
	if (!(file[LOADFLAGS] & LOADED_HIGH)) {
		sb_puts(why, "the kernel is a zImage, which runs below 1 MiB, not a bzImage");
		return -ENOEXEC;
	}
	bz->long_mode = field(file, VERSION_2_12, XLOADFLAGS, 2, 0) & XLF_KERNEL_64;
	/* Programs that only look like a kernel, to be started by a BIOS, name no other entry. */
	if (!bz->long_mode && !get(file, CODE32_START, 4)) {
		sb_puts(why, "the image has only a 16-bit entry, which needs a BIOS");
		return -ENOEXEC;
	}
	return 0;
}

/* SYSSIZE paragraphs; before protocol 2.04 it had two bytes only, and the file's end counts. */
static uint64_t payload_size(const uint8_t *file, size_t size, uint64_t start)
{
	if (get(file, VERSION, 2) >= VERSION_2_04)
		return get(file, SYSSIZE, 4) * PARAGRAPH;
	return size > start ? size - start : 0;
}

/*
 * The file is the boot sector, SETUP_SECTS sectors of real-mode code, and the payload, of which the
 * last paragraph may be there in part.
 */
static int find_payload(struct bzimage *bz, const uint8_t *file, size_t size, struct strbuf *why)
{
	uint64_t setup_sects = file[SETUP_SECTS] ? file[SETUP_SECTS] : 4;
	uint64_t start = (setup_sects + 1) * SECTOR;
	uint64_t payload = payload_size(file, size, start);
	uint64_t least = bz->long_mode ? BZIMAGE_ENTRY : 0;

	if (size + PARAGRAPH - 1 < start + payload) {
		sb_printf(why, "the kernel is cut off: %llu of %llu bytes are missing",
			  (unsigned long long)(start + payload - size),
			  (unsigned long long)(start + payload));
		return -ENOEXEC;
	}
	if (payload <= least) {
		sb_printf(why, "the kernel's header is broken: syssize leaves no %s entry",
			  bz->long_mode ? "64-bit" : "32-bit");
		return -ENOEXEC;
	}
	/*
	 * Bytes behind what boot_params has room for belong to fields that this loader does not
	 * know.
	 */
	bz->header_size = MIN(header_end(file) - SETUP_HEADER, (size_t)SETUP_HEADER_MAX);
	bz->payload = file + start;
	bz->payload_size = MIN(payload, size - start);
	return 0;
}

/*
 * The kernel moves itself to pref_address when it is loaded below it, so that is the lowest useful
 * place; and as a VM's low memory is in one piece, a higher one would gain nothing. A 32-bit kernel
 * that cannot be relocated expects to be at 1 MiB, whatever it does then.
 */
static int place(struct bzimage *bz, const uint8_t *file, struct strbuf *why)
{
	uint64_t pref = pref_address(file);
	uint64_t alignment = field(file, VERSION_2_05, KERNEL_ALIGNMENT, 4, 0);
	uint64_t init_size = field(file, VERSION_2_10, INIT_SIZE, 4, 0);

	bz->load = bz->long_mode ? pref : LAYOUT_HIGH_RAM;
	if (relocatable(file)) {
		if (!alignment || alignment & (alignment - 1))
			return broken(why, "kernel_alignment", alignment);
		/* Cannot wrap before the check below: pref is compared as it is. */
		bz->load = ALIGN_UP(MAX(MIN(pref, GIB(4)), (uint64_t)LAYOUT_HIGH_RAM), alignment);
	}
	if (pref >= GIB(4) || bz->load < LAYOUT_HIGH_RAM)
		return broken(why, "pref_address", pref);
	bz->end = MAX(bz->load + bz->payload_size, MAX(bz->load, pref) + init_size);
	return 0;
}

/* code32_start is for a payload at 1 MiB, where boot loaders put all kernels once. */
static int find_entry(struct bzimage *bz, const uint8_t *file, struct strbuf *why)
{
	uint64_t start = get(file, CODE32_START, 4);

	bz->entry = bz->load + BZIMAGE_ENTRY;
	if (bz->long_mode)
		return 0;
	if (start < LAYOUT_HIGH_RAM || start - LAYOUT_HIGH_RAM >= bz->payload_size)
		return broken(why, "code32_start", start);
	bz->entry = bz->load + start - LAYOUT_HIGH_RAM;
	return 0;
}

int bzimage_parse(struct bzimage *bz, const uint8_t *file, size_t size, struct strbuf *why)
{
	int err;

	if (!bzimage_magic(file, size))
		return not_bzimage(file, size, why);
	if (size < HEADER_LEAST || size < header_end(file)) {
		sb_printf(why, "the kernel is cut off in its header, after %zu bytes", size);
		return -ENOEXEC;
	}
	err = choose_entry(bz, file, why);
	if (!err && header_end(file) < (bz->long_mode ? HEADER_END_2_12 : HEADER_LEAST)) {
		sb_printf(why, "the kernel's header is broken: it ends before %s",
			  bz->long_mode ? "init_size" : "cmd_line_ptr");
		return -ENOEXEC;
	}
	if (!err)
		err = find_payload(bz, file, size, why);
	if (!err)
		err = place(bz, file, why);
	if (!err)
		err = find_entry(bz, file, why);
	if (err)
		return err;
	bz->cmdline_max = field(file, VERSION_2_06, CMDLINE_SIZE, 4, 255);
	bz->initrd_end = field(file, VERSION_2_03, INITRD_ADDR_MAX, 4, 0x37ffffff) + 1;
	bz->initrd_anywhere =
		bz->long_mode && get(file, XLOADFLAGS, 2) & XLF_CAN_BE_LOADED_ABOVE_4G;
	return 0;
}
