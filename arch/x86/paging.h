/*
 * Page tables. The format of an entry is data, and one walker serves the host's tables, Intel's EPT
 * and AMD's nested tables: all three are radix trees of 512-entry pages with the address in bits
 * 51:12.
 *
 * The walker does not lock and does not flush: the caller serialises calls on one struct pt and
 * flushes translations afterwards (INVLPG, INVEPT, ASID). Entries change by single 64-bit stores,
 * so that a processor may walk meanwhile. Table pages are freed by pt_free() alone, never while a
 * processor may still be walking them. Runs on the build machine as well: there a "physical
 * address" of a table is its pointer.
 */
#ifndef ARCH_X86_PAGING_H
#define ARCH_X86_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/util.h"

#define PT_R BIT(0)
#define PT_W BIT(1)
#define PT_X BIT(2)
/* User mode may; global. Host tables alone: NPT sets U always (APM vol. 2 15.25.5). */
#define PT_U BIT(3)
#define PT_G BIT(4)

#define PT_PAGE_4K KIB(4)
#define PT_PAGE_2M MIB(2)
#define PT_PAGE_1G GIB(1)

/* As the MTRRs, the PAT and EPT entries encode them: SDM vol. 3A table 12-2 */
enum memtype {
	MT_UC = 0,
	MT_WC = 1,
	MT_WT = 4,
	MT_WP = 5,
	MT_WB = 6,
	MT_UC_MINUS = 7,
	MT_COUNT = 8
};

/*
 * The value that IA32_PAT must hold where host_format and npt_format are used: the power-on value
 * in entries 0 to 3, so that firmware's own tables keep their meaning, and WP and WC in entries 5
 * and 7 (SDM vol. 3A 12.12.4).
 */
#define HOST_PAT 0x0107050600070406ULL

struct pt_format {
	const char *name;
	uint64_t present; /* an entry with any of these bits set is in use */
	uint64_t table;	  /* bits of an entry that points to another table */
	uint64_t leaf;	  /* bits of every entry that maps a page */
	uint64_t large;	  /* marks a page above level 1 */
	uint64_t read, write, exec, user, global; /* set in a leaf where the permission is given */
	uint64_t no_exec;			  /* set in a leaf where PT_X is not given */
	/* Bits for each type: [0] in a 4 KiB leaf, [1] in a larger one. */
	uint64_t memtype[2][MT_COUNT];
	uint64_t memtype_mask[2];
};

/* SDM vol. 3A 4.5, typed through HOST_PAT; 4 or 5 levels */
extern const struct pt_format host_format;
/* SDM vol. 3C 29.3.2; ignore-PAT 0, accessed and dirty flags not used */
extern const struct pt_format ept_format;
/* APM vol. 2 15.25: long-mode tables, every entry a user page */
extern const struct pt_format npt_format;

/* Where table pages come from. ALLOC returns a zeroed page or NULL. */
struct pt_alloc {
	void *(*alloc)(void *ctx);
	void (*free)(void *ctx, void *page);
	void *ctx;
};

/* From pages_alloc() (arch/x86/pages.h). */
extern const struct pt_alloc pt_pages;

struct pt {
	/* Physical address of the top table: what CR3, EPTP and nCR3 take in bits 51:12. */
	uint64_t root;
	const struct pt_format *fmt;
	const struct pt_alloc *alloc;
	unsigned int levels;
	uint64_t max_page; /* the largest page that the processor supports: PT_PAGE_... */
	/* Executable mappings get 4 KiB pages alone (iTLB multihit, INTEL-SA-00210). */
	bool small_exec;
	size_t tables; /* pages in use for tables, the root included */
};

struct pt_mapping {
	uint64_t pa;   /* of the address asked for, offset included */
	uint64_t page; /* size of the page that maps it */
	uint64_t prot; /* PT_... */
	enum memtype type;
};

/*
 * Allocates the root. LEVELS is 4 or 5. -ENOMEM. pt->small_exec starts as false and may be set
 * before the first mapping.
 */
int pt_init(struct pt *pt, const struct pt_format *fmt, unsigned int levels, uint64_t max_page,
	    const struct pt_alloc *alloc);

/*
 * Maps SIZE bytes from VA (for EPT and NPT: the guest-physical address) to PA, with the largest
 * pages that alignment, pt->max_page and MAX_PAGE (PT_PAGE_..., the caller's own limit) allow. VA,
 * PA and SIZE are multiples of 4 KiB. PROT has at least one of PT_R, PT_W, PT_X for EPT; the others
 * always allow reads. -EINVAL: not aligned, beyond the reach of the levels, or write without read;
 * -EEXIST: something in the range is mapped already; -ENOMEM. On -EEXIST and -ENOMEM what was
 * mapped before the failing page stays mapped.
 */
int pt_map(struct pt *pt, uint64_t va, uint64_t pa, uint64_t size, uint64_t prot, enum memtype type,
	   uint64_t max_page);

/*
 * Unmaps SIZE bytes from VA; holes in the range are allowed. A large page that reaches beyond the
 * range is split first, with its attributes kept. -EINVAL: not aligned or out of reach; -ENOMEM: no
 * page for a split, what came before is unmapped.
 */
int pt_unmap(struct pt *pt, uint64_t va, uint64_t size);

/* Whether VA is mapped; fills in *M if so. */
bool pt_lookup(const struct pt *pt, uint64_t va, struct pt_mapping *m);

/*
 * Makes OUT a copy of SRC: other tables, the same mappings. OUT may then be changed and freed by
 * itself. -ENOMEM: OUT has been freed again.
 */
int pt_clone(struct pt *out, const struct pt *src);

/*
 * Frees every table; the pages that were mapped are not touched. No processor may be using the
 * tables.
 */
void pt_free(struct pt *pt);

#endif
