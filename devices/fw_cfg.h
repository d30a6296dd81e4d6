/*
 * The configuration device that QEMU's machines have (QEMU's specification "Firmware Configuration
 * (fw_cfg) Device"): items of bytes under keys of 16 bits, read through ports or by DMA. Programs
 * written for virtual machines ask it for the number of processors, the memory and files of their
 * user's. No item can be written to.
 */
#ifndef DEVICES_FW_CFG_H
#define DEVICES_FW_CFG_H

#include <stdint.h>

#define FW_CFG_PORT	 0x510
#define FW_CFG_PORTS	 12
#define FW_CFG_NAME_MAX	 55
#define FW_CFG_FILES_MAX 40

struct vm;

/* A file of the directory. NAME has at most FW_CFG_NAME_MAX characters, none twice. */
struct fw_cfg_file {
	const char *name;
	const void *data;
	uint32_t size;
};

/* What the device offers beside what the VM's own structure says. It stays the caller's. */
struct fw_cfg_content {
	const char *cmdline;
	const struct fw_cfg_file *file; /* in the directory's order */
	unsigned int file_count;	/* at most FW_CFG_FILES_MAX */
};

/* An entry of the directory as the guest sees it, numbers big-endian. */
struct fw_cfg_entry {
	uint8_t size[4];
	uint8_t select[2];
	uint8_t reserved[2];
	char name[FW_CFG_NAME_MAX + 1];
};
_Static_assert(sizeof(struct fw_cfg_entry) == 64, "fw_cfg: struct FWCfgFile");

struct fw_cfg_directory {
	uint8_t count[4];
	struct fw_cfg_entry entry[FW_CFG_FILES_MAX];
};

struct fw_cfg {
	struct vm *vm;
	struct fw_cfg_content content;
	struct fw_cfg_directory directory;
	/* Numbers of items, little-endian. */
	uint64_t ram_size;
	uint32_t cmdline_size;
	uint16_t cpus;

	uint16_t key; /* selected */
	uint64_t offset;
	uint64_t dma; /* the address register */
};

/* Puts the device on VM's bus. 0 or bus errors. */
int fw_cfg_init(struct fw_cfg *f, struct vm *vm, const struct fw_cfg_content *content);
/* State after power-up. dev_lock held, or no vCPU runs. */
void fw_cfg_reset(struct fw_cfg *f);

#endif
