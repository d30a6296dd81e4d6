/*
 * socle.cfg: what the file says, as plain structs. The parser is pure C without a global and also
 * runs on the build machine (build/socle-config); efi/ reads the file, parses it here and applies
 * the path rules to what it names.
 *
 *	config_parse()	grammar, keys, values; needs only the text
 *	config_check()	the parsed file against a machine
 *
 * Both report every error they find, each with its place, and go on.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/fmt.h"
#include "lib/log.h"

/* Longest NAME of a [vm NAME] section, without its terminating zero. */
#define CONFIG_VM_NAME_MAX 31

/*
 * A place in the file. Both count from 1; columns count characters, not bytes. {0, 0}: nowhere (the
 * key is absent).
 */
struct config_pos {
	uint32_t line;
	uint32_t column;
};

enum config_console_kind {
	CONFIG_CONSOLE_COM,  /* address: 1 to 4 for com1 to com4 */
	CONFIG_CONSOLE_PORT, /* address: first I/O port of a 16550 */
	CONFIG_CONSOLE_MMIO, /* address: physical address of a 16550 with byte registers */
	CONFIG_CONSOLE_SCREEN,
	CONFIG_CONSOLE_NONE, /* stands alone in its list */
};

struct config_console {
	enum config_console_kind kind;
	uint64_t address;
	struct config_pos pos;
};

enum config_on_panic { CONFIG_PANIC_HALT, CONFIG_PANIC_REBOOT };

/* [socle]. Every member has its default where the file says nothing. */
struct config_socle {
	struct config_pos section; /* nowhere when the file has no [socle] */
	struct config_console *consoles;
	size_t console_count; /* 0: no key; what the firmware's tables name, else com1 */
	enum log_level log;
	uint8_t escape; /* the character, 0x1d for ^] */
	enum config_on_panic on_panic;
	bool mitigations; /* auto; false is off */
	uint32_t slice_us;
};

/*
 * What `kernel` holds. AUTO: the file has no `kind`; the content decides, and it is LINUX when that
 * says nothing.
 */
enum config_kind {
	CONFIG_KIND_AUTO,
	CONFIG_KIND_LINUX,
	CONFIG_KIND_MULTIBOOT,
	CONFIG_KIND_PVH,
	CONFIG_KIND_FLAT16,
	CONFIG_KIND_FLAT32,
	CONFIG_KIND_FLAT64,
};

/* What follows a guest's reset (on_reboot) or its crash (on_crash). */
enum config_action { CONFIG_ACTION_RESTART, CONFIG_ACTION_STOP };

enum config_platform { CONFIG_PLATFORM_PC, CONFIG_PLATFORM_MINIMAL };

enum config_vm_console {
	CONFIG_VM_CONSOLE_SHARED, /* with Socle's own log and the other VMs */
	CONFIG_VM_CONSOLE_COM2,	  /* a port of its own */
	CONFIG_VM_CONSOLE_COM3,
	CONFIG_VM_CONSOLE_COM4,
	CONFIG_VM_CONSOLE_NONE,
};

/* Processors FIRST to LAST, both included, numbered as preflight prints them. */
struct config_cpu_range {
	uint32_t first;
	uint32_t last;
	struct config_pos pos;
};

/* Of one VM: files for the guest's fw_cfg device, and the characters of a file's name. */
#define CONFIG_FW_CFG_MAX      32
#define CONFIG_FW_CFG_NAME_MAX 55

/* One line of a key that may be repeated: `module = TEXT`, `fw_cfg.NAME = TEXT`. */
struct config_item {
	const char *name; /* what follows `fw_cfg.`; NULL for modules */
	const char *text;
	struct config_pos pos; /* of TEXT */
};

/* The keys of a [vm] section, as indices of config_vm.pos. */
enum config_vm_key {
	CONFIG_VM_MEMORY,
	CONFIG_VM_VCPUS,
	CONFIG_VM_KERNEL,
	CONFIG_VM_KIND,
	CONFIG_VM_INITRD,
	CONFIG_VM_MODULE, /* the first; each has its own place in config_vm.modules */
	CONFIG_VM_CMDLINE,
	CONFIG_VM_CPUS,
	CONFIG_VM_WEIGHT,
	CONFIG_VM_CAP,
	CONFIG_VM_AUTOSTART,
	CONFIG_VM_ON_REBOOT,
	CONFIG_VM_ON_CRASH,
	CONFIG_VM_PLATFORM,
	CONFIG_VM_CONSOLE,
	CONFIG_VM_DEBUG_EXIT,
	CONFIG_VM_DEBUG_CONSOLE,
	CONFIG_VM_HPET,
	CONFIG_VM_COM2,
	CONFIG_VM_FW_CFG, /* the first; each has its own place in config_vm.fw_cfg */
	CONFIG_VM_KEY_COUNT
};

/*
 * [vm NAME]. Text is UTF-8 without control characters other than tabs, zero-terminated, of any
 * length.
 */
struct config_vm {
	char name[CONFIG_VM_NAME_MAX + 1];
	struct config_pos section;		    /* of NAME */
	struct config_pos pos[CONFIG_VM_KEY_COUNT]; /* of each key's value */

	uint64_t memory; /* bytes, a multiple of 2 MiB */
	uint32_t vcpus;
	bool has_cpus; /* the file names processors: cpus. Else any of the machine's */
	struct config_cpu_range *cpus; /* in the file's order, none twice */
	size_t cpus_count;	       /* of ranges */

	enum config_kind kind;
	const char *kernel; /* paths as written: '/' or '\', absolute or relative */
	const char *initrd; /* NULL: none */
	struct config_item *modules;
	size_t module_count;
	const char *cmdline; /* never NULL: "" without the key */

	enum config_action on_reboot;
	enum config_action on_crash;
	bool autostart; /* memory is set aside for it either way */
	uint32_t weight;
	uint32_t cap; /* percent of one processor; 0: none */

	enum config_platform platform;
	enum config_vm_console console;
	uint16_t debug_exit;	/* I/O port; 0: none */
	uint16_t debug_console; /* I/O port; 0: none */
	bool hpet;
	bool com2;
	struct config_item *fw_cfg;
	size_t fw_cfg_count;
};

struct config {
	const char *file; /* the caller's, as config_parse() was given it */
	struct config_socle socle;
	struct config_vm *vms; /* in the file's order */
	size_t vm_count;
};

/*
 * Where the parsed file lives: alloc() gives SIZE bytes (some hundred for each VM, and the length
 * of each text), aligned for any type, contents undefined, or NULL when there are none. Nothing is
 * given back singly: the caller drops all of it at once.
 */
struct config_memory {
	void *(*alloc)(void *ctx, size_t size);
	void *ctx;
};

/*
 * Takes one error: TEXT says what is wrong, without place and line end, and lives for the call
 * only.
 */
typedef void config_report(void *ctx, struct config_pos pos, const char *text);

/*
 * Parses SIZE bytes of TEXT, which need no terminating zero, into *OUT. FILE is only for messages
 * and is kept, not copied; everything else in *OUT is in MEMORY. Returns the number of errors, each
 * of which went to REPORT once. With any, *OUT still holds what was understood, safe to read:
 * absent or wrong keys have their defaults, and no such VM may be started.
 */
size_t config_parse(struct config *out, const char *file, const char *text, size_t size,
		    const struct config_memory *memory, config_report *report, void *report_ctx);

/* The machine that a file is checked against. */
struct config_machine {
	uint32_t cpus;	     /* that can run guests; 0: not known, checks nothing of them */
	uint64_t memory_mib; /* that guests can have; 0: not known, checks nothing of it */
};

/*
 * Checks what only the machine can tell: more vCPUs than processors, processors that are not there,
 * more memory than there is. Returns the number of errors, as config_parse(). May follow a parse
 * that had errors; absent keys are skipped.
 */
size_t config_check(const struct config *config, const struct config_machine *machine,
		    config_report *report, void *report_ctx);

/* The one printed form of an error, without line end: "socle: error: FILE:LINE:COLUMN: TEXT". */
void config_print_error(fmt_put *put, void *put_ctx, const char *file, struct config_pos pos,
			const char *text);

/* What the file calls it ("linux", "restart"), for reports. */
const char *config_kind_name(enum config_kind kind);
const char *config_action_name(enum config_action action);

#endif
