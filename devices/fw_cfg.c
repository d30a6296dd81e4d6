#include "devices/fw_cfg.h"

#include "core/bus.h"
#include "core/gmem.h"
#include "core/vm.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "lib/util.h"

/* Ports, relative to the first: selector (2 bytes), data, and the DMA address (8 bytes). */
#define SELECTOR 0
#define DATA	 1
#define DMA_HIGH 4
#define DMA_LOW	 8

/* Keys. Bit 14 once said that the item was to be written, which no item can be. */
enum {
	KEY_SIGNATURE = 0x00,
	KEY_ID = 0x01,
	KEY_RAM_SIZE = 0x03,
	KEY_NOGRAPHIC = 0x04,
	KEY_NB_CPUS = 0x05,
	KEY_KERNEL_CMDLINE = 0x09,
	KEY_MAX_CPUS = 0x0f,
	KEY_CMDLINE_SIZE = 0x14,
	KEY_CMDLINE_DATA = 0x15,
	KEY_FILE_DIR = 0x19,
	KEY_FILE_FIRST = 0x20,
	KEY_WRITE_CHANNEL = 0x4000,
	KEY_IRQ0_OVERRIDE = 0x8002, /* IRQ 0 is on the I/O APIC's input 2 */
};

#define ID_TRADITIONAL 1u
#define ID_DMA	       2u

/* The control word of a DMA operation; the key to select is in its upper half. */
#define DMA_ERROR  0x01u
#define DMA_READ   0x02u
#define DMA_SKIP   0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE  0x10u

/*
 * One operation is one exit, during which nothing else runs on the core: a longer one is an error.
 */
#define DMA_MAX MIB(16)

static const uint8_t dma_signature[8] = "QEMU CFG";

/* Numbers are big-endian in the directory and in DMA, first byte first. */
static void put_be(uint8_t *to, unsigned int bytes, uint64_t value)
{
	while (bytes--) {
		to[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

static uint64_t get_be(const uint8_t *from, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | *from++;
	return value;
}

/* ---- items ---- */

struct item {
	const void *data;
	uint64_t size;
};

static struct item file_item(const struct fw_cfg *f, unsigned int index)
{
	const struct fw_cfg_file *file = &f->content.file[index];

	if (index >= f->content.file_count)
		return (struct item){0};
	return (struct item){file->data, file->size};
}

/* The item that is selected; one that is not there has no bytes. */
static struct item selected(const struct fw_cfg *f)
{
	static const uint32_t id = ID_TRADITIONAL | ID_DMA;
	static const uint16_t one = 1;

	switch (f->key) {
	case KEY_SIGNATURE:
		return (struct item){dma_signature, 4};
	case KEY_ID:
		return (struct item){&id, sizeof(id)};
	case KEY_RAM_SIZE:
		return (struct item){&f->ram_size, sizeof(f->ram_size)};
	case KEY_NOGRAPHIC:
		return (struct item){&one, sizeof(one)};
	case KEY_NB_CPUS:
	case KEY_MAX_CPUS:
		return (struct item){&f->cpus, sizeof(f->cpus)};
	case KEY_CMDLINE_SIZE:
		return (struct item){&f->cmdline_size, sizeof(f->cmdline_size)};
	case KEY_KERNEL_CMDLINE:
	case KEY_CMDLINE_DATA:
		return (struct item){f->content.cmdline, f->cmdline_size};
	case KEY_FILE_DIR:
		return (struct item){&f->directory,
				     sizeof(f->directory.count) +
					     f->content.file_count * sizeof(f->directory.entry[0])};
	case KEY_IRQ0_OVERRIDE:
		return (struct item){&one, 1};
	default:
		return f->key < KEY_FILE_FIRST ? (struct item){0}
					       : file_item(f, f->key - KEY_FILE_FIRST);
	}
}

static void select_key(struct fw_cfg *f, uint16_t key)
{
	f->key = key & (uint16_t)~KEY_WRITE_CHANNEL;
	f->offset = 0;
}

/* Behind an item's end there are zeroes, and the offset stays. */
static uint8_t next_byte(struct fw_cfg *f)
{
	struct item item = selected(f);

	return f->offset < item.size ? ((const uint8_t *)item.data)[f->offset++] : 0;
}

/* ---- DMA ---- */

static int dma_read(struct fw_cfg *f, uint64_t gpa, uint32_t length)
{
	struct item item = selected(f);
	uint64_t n = MIN(length, item.size - f->offset);
	int err = 0;

	if (n)
		err = gmem_write(f->vm, gpa, (const uint8_t *)item.data + f->offset, n);
	f->offset += n;
	return err ? err : gmem_set(f->vm, gpa + n, 0, length - n);
}

/* Returns whether it succeeded. CONTROL names what is to be done; the first of several counts. */
static bool dma_transfer(struct fw_cfg *f, uint32_t control, uint32_t length, uint64_t gpa)
{
	if (control & DMA_SELECT)
		select_key(f, (uint16_t)(control >> 16));
	if (control & DMA_READ)
		return length <= DMA_MAX && dma_read(f, gpa, length) == 0;
	if (control & DMA_WRITE)
		return false;
	if (control & DMA_SKIP)
		f->offset += MIN(length, selected(f).size - f->offset);
	return true;
}

static void dma_run(struct fw_cfg *f)
{
	uint64_t gpa = f->dma;
	uint8_t request[16], result[4];
	bool good;

	f->dma = 0;
	if (gmem_read(f->vm, gpa, request, sizeof(request)))
		return;
	good = dma_transfer(f, (uint32_t)get_be(request, 4), (uint32_t)get_be(request + 4, 4),
			    get_be(request + 8, 8));
	put_be(result, sizeof(result), good ? 0 : DMA_ERROR);
	gmem_write(f->vm, gpa, result, sizeof(result));
}

/* ---- ports ---- */

/* Registers of the width that they have; others write nothing. */
static void write_ports(struct fw_cfg *f, uint64_t offset, uint8_t size, uint64_t value)
{
	uint32_t swapped = __builtin_bswap32((uint32_t)value);

	if (offset == SELECTOR && size == 2) {
		select_key(f, (uint16_t)value);
	} else if (offset == DMA_HIGH && size == 4) {
		f->dma = (uint64_t)swapped << 32;
	} else if (offset == DMA_LOW && size == 4) {
		f->dma |= swapped;
		dma_run(f);
	}
}

static void read_byte(void *dev, uint64_t offset, bool write, uint8_t *byte)
{
	(void)write;
	if (offset >= DMA_HIGH)
		*byte = dma_signature[offset - DMA_HIGH];
	else
		*byte = 0xff;
	(void)dev;
}

/* A wide read of the data port is the next bytes in their order. */
static void read_data(void *dev, uint64_t offset, bool write, uint8_t *byte)
{
	(void)offset;
	(void)write;
	*byte = next_byte(dev);
}

static void ports(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		  uint64_t *value)
{
	(void)v;
	if (write)
		write_ports(dev, offset, size, *value);
	else
		bus_by_bytes(offset == DATA ? read_data : read_byte, dev, offset, false, size,
			     value);
}

static void fill_directory(struct fw_cfg *f)
{
	put_be(f->directory.count, 4, f->content.file_count);
	for (unsigned int i = 0; i < f->content.file_count; i++) {
		const struct fw_cfg_file *file = &f->content.file[i];
		struct fw_cfg_entry *e = &f->directory.entry[i];

		assert(strlen(file->name) <= FW_CFG_NAME_MAX);
		put_be(e->size, 4, file->size);
		put_be(e->select, 2, KEY_FILE_FIRST + i);
		memcpy(e->name, file->name, strlen(file->name));
	}
}

int fw_cfg_init(struct fw_cfg *f, struct vm *vm, const struct fw_cfg_content *content)
{
	assert(content->file_count <= FW_CFG_FILES_MAX);
	memset(f, 0, sizeof(*f));
	f->vm = vm;
	f->content = *content;
	f->ram_size = vm->memory;
	f->cpus = (uint16_t)vm->vcpu_count;
	f->cmdline_size = (uint32_t)strlen(content->cmdline) + 1;
	fill_directory(f);
	return bus_add_pio(vm, FW_CFG_PORT, FW_CFG_PORTS, ports, f);
}

void fw_cfg_reset(struct fw_cfg *f)
{
	select_key(f, KEY_SIGNATURE);
	f->dma = 0;
}
