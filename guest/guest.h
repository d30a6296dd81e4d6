/*
 * Loading a guest: from the bytes of its files to guest memory and the state in which its first
 * vCPU starts.
 *
 *	guest_check()	before anything runs, also on the build machine: only looks at the bytes
 *	guest_load()	at every start and restart of the VM
 *
 * Both judge an image by the same rules: what guest_check() has accepted, guest_load() refuses only
 * when the VM is not as large as MEMORY said.
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "lib/strbuf.h"

struct vm;

/* A file that the guest gets as it is, and a text that goes with it. */
struct guest_module {
	const uint8_t *data;
	size_t size;
	const char *text; /* never NULL */
};

/* A guest's files as they were read. They stay the caller's and are never written to. */
struct guest_image {
	enum config_kind kind; /* AUTO: what the content says, or an error that names the kinds */
	const uint8_t *kernel;
	size_t kernel_size;
	const uint8_t *initrd;
	size_t initrd_size; /* 0: none */
	const struct guest_module *modules;
	size_t module_count;
	const char *cmdline; /* never NULL */
};

/* What the ACPI tables say of the platform. boot/ takes the devices' places from here as well. */
struct guest_platform {
	uint16_t pm1_event;   /* port of PM1_STS and PM1_EN, 4 ports */
	uint16_t pm1_control; /* port of PM1_CNT, 2 ports */
	uint16_t pm_timer;    /* port of PM_TMR, 4 ports, counts at least 24 bits */
	uint16_t reset_port;  /* a byte port that resets the VM when reset_value is written to it */
	uint8_t reset_value;
	uint8_t sci_gsi; /* level-triggered, active high */
	uint8_t ioapic_id;
	uint32_t ioapic_address; /* its pins are GSI 0 on */
	bool rtc;		 /* there is a CMOS clock at ports 70h and 71h */
	bool legacy;		 /* 8259 pair, 8254, whose interrupt is GSI 2, and 8042 */
	bool com2;		 /* a second serial port at 2f8h, IRQ 3 */
	bool fw_cfg;		 /* at 510h */
	uint32_t hpet_address;	 /* 0: there is none */
	uint32_t hpet_id;	 /* the lower half of its capabilities */
	uint16_t hpet_min_tick;
};

/*
 * Is IMG what it claims to be, and does it fit into MEMORY bytes? Pure. 0, or an error with one
 * sentence in WHY that says what is wrong and how much, without a full stop. The error says what to
 * blame:
 *
 *	-EOPNOTSUPP	kind: not one that can be loaded
 *	-ENOEXEC	kernel: no such image, or a cut or broken one
 *	-EINVAL		initrd or cmdline: this kind takes none
 *	-ENODEV		module: this kind takes none
 *	-E2BIG		cmdline: longer than the kernel takes
 *	-ENOSPC		memory: too small for the kernel or for kernel and initrd
 */
int guest_check(const struct guest_image *img, uint64_t memory, struct strbuf *why);

/*
 * Writes IMG, the ACPI tables and what else the kind's start needs into VM's memory, which is
 * zeroed, and turns st and gpr of vCPU 0 from the state after power-up into the entry state. On the
 * core of vCPU 0, with no vCPU of VM running. 0, or an error as of guest_check(), or -EFAULT when
 * memory is missing where VM says there is some.
 */
int guest_load(struct vm *vm, const struct guest_image *img, const struct guest_platform *p,
	       struct strbuf *why);

#endif
