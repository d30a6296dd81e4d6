#include "emul/walk.h"

#include "lib/err.h"
#include "lib/util.h"

enum { MAX_LEVELS = 5, MAX_TRIES = 8 };

#define CR0_WP	  BIT(16)
#define CR0_PG	  BIT(31)
#define CR4_PSE	  BIT(4)
#define CR4_PAE	  BIT(5)
#define CR4_LA57  BIT(12)
#define CR4_SMEP  BIT(20)
#define CR4_SMAP  BIT(21)
#define CR4_PKE	  BIT(22)
#define EFER_LMA  BIT(10)
#define EFER_NXE  BIT(11)
#define RFLAGS_AC BIT(18)

#define PTE_PRESENT  BIT(0)
#define PTE_WRITE    BIT(1)
#define PTE_USER     BIT(2)
#define PTE_ACCESSED BIT(5)
#define PTE_DIRTY    BIT(6)
#define PTE_LARGE    BIT(7)
#define PTE_NX	     BIT(63)

/* One way of paging, SDM vol. 3A 4.3 to 4.5. Level 1 is the page table. */
struct paging {
	uint8_t levels;
	uint8_t entry_size; /* bytes */
	uint8_t index_bits;
	uint64_t cr3_mask;
	uint64_t linear_mask;
};

static const struct paging paging_32 = {2, 4, 10, 0xfffff000, 0xffffffff};
static const struct paging paging_pae = {3, 8, 9, 0xffffffe0, 0xffffffff};
static const struct paging paging_4_level = {4, 8, 9, 0xffffffffff000, BIT(48) - 1};
static const struct paging paging_5_level = {5, 8, 9, 0xffffffffff000, BIT(57) - 1};

/* One walk: what it is for, and what it has passed. */
struct walk {
	const struct walk_regs *regs;
	const struct walk_ops *ops;
	void *ctx;
	const struct paging *paging;
	uint64_t linear;
	bool user;			/* a user-mode access, SDM vol. 3A 4.6 */
	unsigned int leaf;		/* level of the entry that maps the page */
	uint64_t where[MAX_LEVELS + 1]; /* guest-physical address of the entry, by level */
	uint64_t entry[MAX_LEVELS + 1];
	uint64_t rights; /* PTE_WRITE and PTE_USER when all entries have it, PTE_NX when any has */
};

static uint64_t bits(unsigned int high, unsigned int low)
{
	return high < low ? 0 : (BIT(high) << 1) - BIT(low);
}

static const struct paging *paging_of(const struct walk_regs *regs)
{
	if (!(regs->cr4 & CR4_PAE))
		return &paging_32;
	if (!(regs->efer & EFER_LMA))
		return &paging_pae;
	return regs->cr4 & CR4_LA57 ? &paging_5_level : &paging_4_level;
}

bool walk_canonical(uint64_t linear, uint64_t cr4)
{
	unsigned int spare = cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(linear << spare) >> spare) == linear;
}

/* The PDPTEs of PAE paging have no rights, no accessed bit, and reserved bits of their own. */
static bool is_pdpte(const struct walk *w, unsigned int level)
{
	return w->paging == &paging_pae && level == 3;
}

static bool nx_enabled(const struct walk *w)
{
	return w->paging->entry_size == 8 && (w->regs->efer & EFER_NXE);
}

static bool is_leaf(const struct walk *w, unsigned int level, uint64_t entry)
{
	if (level == 1)
		return true;
	if (!(entry & PTE_LARGE) || is_pdpte(w, level))
		return false;
	return level == 2 ? w->paging->entry_size == 8 || (w->regs->cr4 & CR4_PSE)
			  : level == 3 && w->regs->gib_pages;
}

static unsigned int shift_of(const struct walk *w, unsigned int level)
{
	return 12 + (level - 1) * w->paging->index_bits;
}

/* The bits of an entry that must be zero: SDM vol. 3A tables 4-4 to 4-20. */
static uint64_t reserved_bits(const struct walk *w, unsigned int level, bool leaf)
{
	unsigned int width = w->regs->phys_width;
	uint64_t mask;

	if (w->paging == &paging_32)
		return leaf && level == 2 ? bits(21, MIN(width, 40u) - 19) : 0;
	if (is_pdpte(w, level))
		return bits(63, width) | bits(8, 5) | bits(2, 1);
	mask = bits(w->paging == &paging_pae ? 62 : 51, width);
	if (!nx_enabled(w))
		mask |= PTE_NX;
	if (level > 1 && leaf)
		mask |= bits(shift_of(w, level) - 1, 13);
	else if (level >= 3)
		mask |= PTE_LARGE;
	return mask;
}

/* SDM vol. 3A 4.6.2, protection keys of user-mode addresses. */
static bool key_denies(const struct walk *w, enum walk_access access)
{
	unsigned int key = w->entry[w->leaf] >> 59 & 15;
	bool access_disable = w->regs->pkru >> (2 * key) & 1;
	bool write_disable = w->regs->pkru >> (2 * key + 1) & 1;

	if (!(w->regs->cr4 & CR4_PKE) || !(w->regs->efer & EFER_LMA) || !(w->rights & PTE_USER) ||
	    access == WALK_FETCH)
		return false;
	return access_disable ||
	       (write_disable && access == WALK_WRITE && (w->user || (w->regs->cr0 & CR0_WP)));
}

/* SDM vol. 3A 4.6.1, keys aside. */
static bool rights_deny(const struct walk *w, enum walk_access access)
{
	const struct walk_regs *regs = w->regs;
	bool user_page = w->rights & PTE_USER;

	if (w->user && !user_page)
		return true;
	if (access == WALK_FETCH)
		return (nx_enabled(w) && (w->rights & PTE_NX)) ||
		       (!w->user && user_page && (regs->cr4 & CR4_SMEP));
	if (!w->user && user_page && (regs->cr4 & CR4_SMAP) &&
	    (regs->implicit || !(regs->rflags & RFLAGS_AC)))
		return true;
	return access == WALK_WRITE && !(w->rights & PTE_WRITE) &&
	       (w->user || (regs->cr0 & CR0_WP));
}

/* SDM vol. 3A 4.7: what any page fault of this access says, with the reason CAUSE. */
static int page_fault(const struct walk *w, enum walk_access access, uint32_t cause,
		      struct walk_result *r)
{
	r->error = cause;
	if (access == WALK_WRITE)
		r->error |= PF_WRITE;
	if (w->user)
		r->error |= PF_USER;
	if (access == WALK_FETCH && (nx_enabled(w) || (w->regs->cr4 & CR4_SMEP)))
		r->error |= PF_FETCH;
	return -EFAULT;
}

static int read_entry(struct walk *w, unsigned int level, uint64_t table)
{
	const struct paging *p = w->paging;
	uint64_t index = w->linear >> shift_of(w, level) & (BIT(p->index_bits) - 1);

	if (is_pdpte(w, level) && w->regs->pdpte) {
		w->entry[level] = w->regs->pdpte[index];
		return 0;
	}
	w->where[level] = table + index * p->entry_size;
	w->entry[level] = 0;
	return w->ops->read(w->ctx, w->where[level], p->entry_size, &w->entry[level]) ? -EIO : 0;
}

/* Goes down to the entry that maps the page. -EFAULT leaves the cause in R->error. */
static int descend(struct walk *w, struct walk_result *r)
{
	uint64_t table = w->regs->cr3 & w->paging->cr3_mask;

	w->rights = PTE_WRITE | PTE_USER;
	for (unsigned int level = w->paging->levels;; level--) {
		int err = read_entry(w, level, table);
		uint64_t entry = w->entry[level];
		bool leaf = is_leaf(w, level, entry);

		r->error = 0;
		if (err)
			return err;
		if (!(entry & PTE_PRESENT))
			return -EFAULT;
		r->error = PF_PRESENT | PF_RESERVED;
		if (entry & reserved_bits(w, level, leaf))
			return -EFAULT;
		if (!is_pdpte(w, level))
			w->rights = (w->rights & (entry | PTE_NX)) | (entry & PTE_NX);
		w->leaf = level;
		if (leaf)
			return 0;
		table = entry & bits(51, 12);
	}
}

/* Sets the accessed bits of the way and the leaf's dirty bit, SDM vol. 3A 4.8. */
static int mark_used(const struct walk *w, enum walk_access access)
{
	for (unsigned int level = w->paging->levels; level >= w->leaf; level--) {
		uint64_t old = w->entry[level], wanted = old | PTE_ACCESSED;
		int err;

		if (level == w->leaf && access == WALK_WRITE)
			wanted |= PTE_DIRTY;
		if (wanted == old || is_pdpte(w, level))
			continue;
		err = w->ops->replace(w->ctx, w->where[level], w->paging->entry_size, old, wanted);
		if (err)
			return err == -EAGAIN ? err : -EIO;
	}
	return 0;
}

static uint64_t leaf_address(const struct walk *w)
{
	uint64_t offset = BIT(shift_of(w, w->leaf)) - 1;
	uint64_t entry = w->entry[w->leaf];
	uint64_t base = entry & bits(51, 12) & ~offset;

	/* PSE-36: bits 20:13 of a 4-MByte page's entry are the address's bits 39:32. */
	if (w->paging == &paging_32 && w->leaf == 2)
		base |= (entry >> 13 & 0xff) << 32;
	return base | (w->linear & offset);
}

static int walk_once(struct walk *w, enum walk_access access, struct walk_result *r)
{
	bool key;
	int err = descend(w, r);

	if (err)
		return err == -EFAULT ? page_fault(w, access, r->error, r) : err;
	key = key_denies(w, access);
	if (key || rights_deny(w, access))
		return page_fault(w, access, PF_PRESENT | (key ? PF_KEY : 0), r);
	r->gpa = leaf_address(w);
	r->page_size = BIT(shift_of(w, w->leaf));
	r->writable = !key_denies(w, WALK_WRITE) && !rights_deny(w, WALK_WRITE);
	r->error = 0;
	return w->ops->replace ? mark_used(w, access) : 0;
}

int walk_translate(const struct walk_regs *regs, const struct walk_ops *ops, void *ctx,
		   uint64_t linear, enum walk_access access, struct walk_result *r)
{
	struct walk w = {
		.regs = regs,
		.ops = ops,
		.ctx = ctx,
		.paging = paging_of(regs),
		.user = regs->cpl == 3 && !regs->implicit,
	};
	int err = -EAGAIN;

	if (!(regs->cr0 & CR0_PG)) {
		*r = (struct walk_result){.gpa = (uint32_t)linear,
					  .page_size = GIB(1),
					  .writable = true};
		return 0;
	}
	w.linear = linear & w.paging->linear_mask;
	/* Another vCPU may change the entries between our look and our mark: look again. */
	for (unsigned int i = 0; err == -EAGAIN && i < MAX_TRIES; i++)
		err = walk_once(&w, access, r);
	return err;
}
