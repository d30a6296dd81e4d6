/*
 * Between efi/ and the hypervisor: plain C, no UEFI types. efi/ talks to the firmware: it finds
 * files, memory and processors, shows the report, and leaves boot services. Everything about
 * processors and guests is asked of the functions below, which boot/ implements.
 */
#ifndef BOOT_HANDOVER_H
#define BOOT_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "core/hv_ops.h"
#include "guest/guest.h"
#include "lib/strbuf.h"

struct boot_extent {
	uint64_t base, size; /* bytes */
};

/* One logical processor, in the order of `cpus` in socle.cfg. */
struct boot_cpu {
	uint32_t apic_id;
	bool bsp;
	bool probed; /* boot_probe_cpu() ran on it */
	uint32_t package, core,
		thread; /* from CPUID 0Bh or 1Fh (else 1 and 4), set by boot_probe_cpu() */
	uint8_t kind;	/* 0 unknown, 20h Atom (E), 40h Core (P): CPUID 1Ah EAX[31:24] */
	const struct hv_ops *ops; /* the back end that CPUID of this core names; NULL: neither */
	struct hv_caps caps;
	uint64_t vendor_regs[4]; /* CPUID leaf 0, for the report */
};

struct boot_file {
	const char *path;    /* as written in the configuration; NULL: not asked for */
	const uint8_t *data; /* pages of EfiLoaderData that stay allocated: the pristine image */
	size_t size;
	struct boot_extent pages;
};

struct boot_vm {
	const struct config_vm *config;
	struct boot_extent *ram; /* 2 MiB aligned, ascending, the sum is config->memory */
	size_t ram_count;
	struct boot_file kernel, initrd;
	/* As many of each as config->module_count: the files, and what guest/ is given of them. */
	struct boot_file *module_files;
	struct guest_module *modules;
	struct boot_file *fw_cfg_files; /* as many as config->fw_cfg_count */
};

/*
 * The firmware's screen, as it was left (UEFI 2.10 12.9.2.3). A pixel has as many bytes as its
 * masks need.
 */
struct boot_framebuffer {
	uint64_t base, size;		     /* bytes; base 0: no screen with linear memory */
	uint32_t width, height;		     /* pixels that are seen */
	uint32_t stride;		     /* pixels from one line to the next */
	uint32_t red, green, blue, reserved; /* masks of a pixel's bits */
};

/* An entry of the UEFI memory map as it was at ExitBootServices, for runtime services: EFI types
 * and attributes. */
struct boot_memory {
	uint64_t base, pages, attribute;
	uint32_t type;
};

struct handover {
	const struct config *config;
	struct boot_vm *vms;
	size_t vm_count;
	struct boot_cpu *cpus;
	size_t cpu_count;
	struct boot_extent image; /* socle.efi as loaded */
	/* Pages of EfiLoaderData with this struct and all it points to: configuration, arrays,
	   texts. Files and guest RAM are not in them. */
	struct boot_extent *own;
	size_t own_count;
	struct boot_extent pool; /* Socle's own memory, below 4 GiB, 2 MiB aligned, not zeroed */
	uint64_t trampoline;	 /* one page below 1 MiB */
	uint64_t rsdp;		 /* physical address, 0: none */
	struct boot_framebuffer framebuffer;
	bool screen; /* the console is shown on the framebuffer, which is usable */
	struct boot_memory *memory;
	size_t memory_count;
	uint64_t wall_clock_s; /* UTC seconds since 1970, read with the TSC at wall_clock_tsc; 0 if
				  unknown */
	uint64_t wall_clock_tsc;
	uint64_t start_tsc; /* TSC at efi_main */
	/* ResetSystem(Type, EFI_SUCCESS, 0, NULL), Microsoft calling convention; type 0 cold, 1
	 * warm, 2 shut down. */
	void *reset_system;
};

/*
 * Takes one shortfall. POS is where in the configuration the blame lies, or NULL. The text has no
 * "socle: error:" and no newline.
 */
typedef void boot_report(void *ctx, const struct config_pos *pos, const char *text);

/* The physical serial console that CONFIG (NULL: none read yet, use com1) and the RSDP's SPCR table
   name. Polled. Returns whether a port answers. Call again when the configuration is known. */
bool boot_serial_init(const struct config_socle *config, uint64_t rsdp);
void boot_serial_write(const char *text, size_t len);

/* Judges the port that VM's console has for itself, if it has one. After boot_serial_init() with
   the configuration. Reports each fault, returns their number. */
unsigned int boot_check_console(const struct config_vm *vm, boot_report *report, void *ctx);

/* Whether the console can be shown on FB. While the firmware's page tables are in use. */
bool boot_screen_usable(const struct boot_framebuffer *fb);

/*
 * For firmware without MP services: the APIC IDs of the processors, the executing one first, the
 * others from the MADT. Returns how many there are, of which IDS got the first MAX.
 */
size_t boot_list_cpus(uint64_t rsdp, uint32_t *ids, size_t max);

/* Fills *CPU from the processor it runs on, but apic_id and bsp. Only reads registers, uses no
   firmware, needs 4 KiB of stack. */
void boot_probe_cpu(struct boot_cpu *cpu);

/*
 * Judges the probed processors: neither VT-x nor AMD-V, what is missing by name, disabled in
 * firmware setup, cores that differ. Reports each; returns their number. Adds to TABLE the table of
 * processors (lines that end in '\n').
 */
unsigned int boot_check_cpus(struct boot_cpu *cpus, size_t count, struct strbuf *table,
			     boot_report *report, void *ctx);

/* Judges a VM's files against its kind and memory: reports each fault, returns their number. */
unsigned int boot_check_vm(const struct boot_vm *vm, boot_report *report, void *ctx);

/*
 * Bytes of Socle's own memory that this configuration needs on a machine with CPUS processors and
 * physical addresses up to TOP (page tables included), its console being shown on SCREEN (NULL:
 * it is not).
 */
uint64_t boot_pool_size(const struct config *config, size_t cpus, uint64_t top,
			const struct boot_framebuffer *screen);

/* How much of that is for the processors themselves. */
uint64_t boot_cpu_size(size_t cpus);

/* After ExitBootServices, on the boot processor, interrupts off. H and all it points to stay where
 * they are. */
_Noreturn void boot_start(struct handover *h);

#endif
