#include "arch/x86/paging.h"

#include "arch/x86/pages.h"
#include "lib/assert.h"
#include "lib/err.h"

#define ENTRIES	  512
#define ADDR_MASK 0x000ffffffffff000ULL
#define LEVEL_1G  3

/*
 * SDM vol. 3A 4.5.4, tables 4-15 to 4-20: PWT, PCD and PAT index IA32_PAT; PAT is bit 7 of a PTE
 * and bit 12 above.
 */
#define PTE_P	 BIT(0)
#define PTE_W	 BIT(1)
#define PTE_U	 BIT(2)
#define PTE_PWT	 BIT(3)
#define PTE_PCD	 BIT(4)
#define PTE_A	 BIT(5)
#define PTE_D	 BIT(6)
#define PTE_PS	 BIT(7)
#define PTE_G	 BIT(8)
#define PTE_NX	 BIT(63)
#define PAT_4K	 BIT(7)
#define PAT_HUGE BIT(12)

/* Each type's entry in HOST_PAT. */
#define PAT_TYPES(pat)                                                   \
	{                                                                \
		[MT_WB] = 0, [MT_WT] = PTE_PWT, [MT_UC_MINUS] = PTE_PCD, \
		[MT_UC] = PTE_PCD | PTE_PWT, [MT_WP] = (pat) | PTE_PWT,  \
		[MT_WC] = (pat) | PTE_PCD | PTE_PWT,                     \
	}

/*
 * Accessed and dirty are set from the start: nobody looks at them, and the processor need not write
 * them.
 */
const struct pt_format host_format = {
	.name = "host",
	.present = PTE_P,
	.table = PTE_P | PTE_W | PTE_U | PTE_A,
	.leaf = PTE_P | PTE_A | PTE_D,
	.large = PTE_PS,
	.write = PTE_W,
	.user = PTE_U,
	.global = PTE_G,
	.no_exec = PTE_NX,
	.memtype = {PAT_TYPES(PAT_4K), PAT_TYPES(PAT_HUGE)},
	.memtype_mask = {PAT_4K | PTE_PCD | PTE_PWT, PAT_HUGE | PTE_PCD | PTE_PWT},
};

const struct pt_format npt_format = {
	.name = "NPT",
	.present = PTE_P,
	.table = PTE_P | PTE_W | PTE_U | PTE_A,
	.leaf = PTE_P | PTE_U | PTE_A | PTE_D,
	.large = PTE_PS,
	.write = PTE_W,
	.no_exec = PTE_NX,
	.memtype = {PAT_TYPES(PAT_4K), PAT_TYPES(PAT_HUGE)},
	.memtype_mask = {PAT_4K | PTE_PCD | PTE_PWT, PAT_HUGE | PTE_PCD | PTE_PWT},
};

/* SDM vol. 3C 29.3.2, tables 29-1 to 29-7 */
#define EPT_R BIT(0)
#define EPT_W BIT(1)
#define EPT_X BIT(2)
#define EPT_TYPES                                                                       \
	{                                                                               \
		[MT_UC] = MT_UC << 3, [MT_WC] = MT_WC << 3, [MT_WT] = MT_WT << 3,       \
		[MT_WP] = MT_WP << 3, [MT_WB] = MT_WB << 3, [MT_UC_MINUS] = MT_UC << 3, \
	}

const struct pt_format ept_format = {
	.name = "EPT",
	.present = EPT_R | EPT_W | EPT_X,
	.table = EPT_R | EPT_W | EPT_X,
	.large = PTE_PS,
	.read = EPT_R,
	.write = EPT_W,
	.exec = EPT_X,
	.memtype = {EPT_TYPES, EPT_TYPES},
	.memtype_mask = {7 << 3, 7 << 3},
};

static void *pool_alloc(void *ctx)
{
	(void)ctx;
	return pages_alloc(1);
}

static void pool_free(void *ctx, void *page)
{
	(void)ctx;
	pages_free(page, 1);
}

const struct pt_alloc pt_pages = {.alloc = pool_alloc, .free = pool_free};

/* Where a walk stands: the entry for VA at LEVEL (1 is that of 4 KiB pages). */
struct cursor {
	uint64_t *entry;
	unsigned int level;
};

static uint64_t level_size(unsigned int level)
{
	return (uint64_t)PAGE_SIZE << 9 * (level - 1);
}

static uint64_t *table_at(uint64_t entry)
{
	return (uint64_t *)(uintptr_t)(entry & ADDR_MASK);
}

static uint64_t *entry_for(uint64_t *table, uint64_t va, unsigned int level)
{
	return &table[va / level_size(level) % ENTRIES];
}

static bool is_present(const struct pt *pt, uint64_t entry)
{
	return entry & pt->fmt->present;
}

static bool is_leaf(const struct pt *pt, uint64_t entry, unsigned int level)
{
	return level == 1 || (level <= LEVEL_1G && (entry & pt->fmt->large));
}

/* Descends from the root as far as there are tables, but not below LEVEL. */
static struct cursor walk(const struct pt *pt, uint64_t va, unsigned int level)
{
	struct cursor c = {.level = pt->levels};

	c.entry = entry_for(table_at(pt->root), va, c.level);
	while (c.level > level && is_present(pt, *c.entry) && !is_leaf(pt, *c.entry, c.level)) {
		uint64_t *table = table_at(*c.entry);

		c.level--;
		c.entry = entry_for(table, va, c.level);
	}
	return c;
}

static uint64_t *new_table(struct pt *pt)
{
	uint64_t *table = pt->alloc->alloc(pt->alloc->ctx);

	if (table)
		pt->tables++;
	return table;
}

int pt_init(struct pt *pt, const struct pt_format *fmt, unsigned int levels, uint64_t max_page,
	    const struct pt_alloc *alloc)
{
	uint64_t *root;

	assert(levels == 4 || levels == 5);
	*pt = (struct pt){.fmt = fmt, .levels = levels, .max_page = max_page, .alloc = alloc};
	root = new_table(pt);
	if (!root)
		return -ENOMEM;
	pt->root = (uint64_t)(uintptr_t)root;
	return 0;
}

static uint64_t leaf_entry(const struct pt_format *f, uint64_t pa, unsigned int level,
			   uint64_t prot, enum memtype type)
{
	uint64_t entry = pa | f->leaf | f->memtype[level > 1][type];

	entry |= prot & PT_R ? f->read : 0;
	entry |= prot & PT_W ? f->write : 0;
	entry |= prot & PT_X ? f->exec : f->no_exec;
	entry |= prot & PT_U ? f->user : 0;
	entry |= prot & PT_G ? f->global : 0;
	return level > 1 ? entry | f->large : entry;
}

/*
 * The highest level whose pages fit at VA and PA within SIZE bytes and are no larger than MAX_PAGE.
 */
static unsigned int best_level(uint64_t va, uint64_t pa, uint64_t size, uint64_t max_page)
{
	unsigned int level = LEVEL_1G;

	while (level > 1 && (level_size(level) > max_page || level_size(level) > size ||
			     !IS_ALIGNED(va | pa, level_size(level))))
		level--;
	return level;
}

/*
 * Makes tables from *C down to LEVEL. A table that is there already stays, even where a large page
 * would now fit in its place: it cannot be freed while a processor may be walking it.
 */
static int descend(struct pt *pt, struct cursor *c, uint64_t va, unsigned int level)
{
	while (c->level > level) {
		uint64_t *table = new_table(pt);

		if (!table)
			return -ENOMEM;
		WRITE_ONCE(*c->entry, (uint64_t)(uintptr_t)table | pt->fmt->table);
		c->level--;
		c->entry = entry_for(table, va, c->level);
	}
	return 0;
}

/* Whether nothing is mapped below the table that *C points to. */
static bool is_empty_table(const struct pt *pt, const struct cursor *c)
{
	const uint64_t *table = table_at(*c->entry);

	for (unsigned int i = 0; i < ENTRIES; i++) {
		struct cursor below = {(uint64_t *)&table[i], c->level - 1};

		if (!is_present(pt, table[i]))
			continue;
		if (is_leaf(pt, table[i], below.level) || !is_empty_table(pt, &below))
			return false;
	}
	return true;
}

static bool in_reach(const struct pt *pt, uint64_t va, uint64_t pa, uint64_t size)
{
	uint64_t reach = level_size(pt->levels) * ENTRIES;

	return IS_ALIGNED(va | pa | size, PAGE_SIZE) && va < reach && size <= reach - va &&
	       !(pa & ~ADDR_MASK) && size <= ADDR_MASK + PAGE_SIZE - pa;
}

static bool valid_prot(const struct pt_format *f, uint64_t prot)
{
	/*
	 * EPT: write without read is a misconfiguration (SDM vol. 3C 29.3.3.1); the others have no
	 * such entry.
	 */
	return f->read ? (prot & (PT_R | PT_X)) && (!(prot & PT_W) || (prot & PT_R))
		       : (prot & PT_R) != 0;
}

/*
 * Maps one page, the largest that fits and for which there is room. Returns its size or a negative
 * error.
 */
static int64_t map_one(struct pt *pt, uint64_t va, uint64_t pa, uint64_t size, uint64_t prot,
		       enum memtype type, uint64_t max_page)
{
	unsigned int level = best_level(va, pa, size, max_page);
	struct cursor c = walk(pt, va, level);
	int err;

	while (is_present(pt, *c.entry)) {
		if (is_leaf(pt, *c.entry, c.level) || !is_empty_table(pt, &c))
			return -EEXIST;
		c = walk(pt, va, --level);
	}
	err = descend(pt, &c, va, level);
	if (err)
		return err;
	WRITE_ONCE(*c.entry, leaf_entry(pt->fmt, pa, level, prot, type));
	return (int64_t)level_size(level);
}

int pt_map(struct pt *pt, uint64_t va, uint64_t pa, uint64_t size, uint64_t prot, enum memtype type,
	   uint64_t max_page)
{
	if (!in_reach(pt, va, pa, size) || !valid_prot(pt->fmt, prot))
		return -EINVAL;
	max_page = MIN(max_page, pt->max_page);
	if (pt->small_exec && (prot & PT_X))
		max_page = PT_PAGE_4K;
	while (size) {
		int64_t done = map_one(pt, va, pa, size, prot, type, max_page);

		if (done < 0)
			return (int)done;
		va += (uint64_t)done;
		pa += (uint64_t)done;
		size -= (uint64_t)done;
	}
	return 0;
}

static enum memtype entry_type(const struct pt_format *f, uint64_t entry, unsigned int level)
{
	const uint64_t *bits = f->memtype[level > 1];

	for (unsigned int type = 0; type < MT_COUNT; type++)
		if ((entry & f->memtype_mask[level > 1]) == bits[type] && type != 2 && type != 3)
			return (enum memtype)type;
	return MT_UC;
}

static uint64_t entry_prot(const struct pt_format *f, uint64_t entry)
{
	uint64_t prot = 0;

	prot |= !f->read || (entry & f->read) ? PT_R : 0;
	prot |= entry & f->write ? PT_W : 0;
	prot |= (f->exec && (entry & f->exec)) || (f->no_exec && !(entry & f->no_exec)) ? PT_X : 0;
	prot |= entry & f->user ? PT_U : 0;
	prot |= entry & f->global ? PT_G : 0;
	return prot;
}

static uint64_t leaf_pa(uint64_t entry, unsigned int level)
{
	return entry & ADDR_MASK & ~(level_size(level) - 1);
}

/*
 * Replaces the large page at *C by a table of the next smaller ones that map the same. The table is
 * complete before the one store that puts it in place.
 */
static int split(struct pt *pt, const struct cursor *c)
{
	uint64_t old = *c->entry;
	uint64_t pa = leaf_pa(old, c->level);
	uint64_t *table = new_table(pt);

	if (!table)
		return -ENOMEM;
	for (unsigned int i = 0; i < ENTRIES; i++)
		table[i] = leaf_entry(pt->fmt, pa + i * level_size(c->level - 1), c->level - 1,
				      entry_prot(pt->fmt, old), entry_type(pt->fmt, old, c->level));
	WRITE_ONCE(*c->entry, (uint64_t)(uintptr_t)table | pt->fmt->table);
	return 0;
}

/* Unmaps what is at VA, or skips a hole. Returns how many of the SIZE bytes are done with. */
static int64_t unmap_one(struct pt *pt, uint64_t va, uint64_t size)
{
	struct cursor c = walk(pt, va, 1);
	uint64_t left = level_size(c.level) - va % level_size(c.level);

	if (is_present(pt, *c.entry)) {
		if (left != level_size(c.level) || left > size)
			return split(pt, &c);
		WRITE_ONCE(*c.entry, 0);
	}
	return (int64_t)MIN(left, size);
}

int pt_unmap(struct pt *pt, uint64_t va, uint64_t size)
{
	if (!in_reach(pt, va, 0, size))
		return -EINVAL;
	while (size) {
		int64_t done = unmap_one(pt, va, size);

		if (done < 0)
			return (int)done;
		va += (uint64_t)done;
		size -= (uint64_t)done;
	}
	return 0;
}

bool pt_lookup(const struct pt *pt, uint64_t va, struct pt_mapping *m)
{
	struct cursor c;
	uint64_t entry;

	if (!in_reach(pt, ALIGN_DOWN(va, PAGE_SIZE), 0, 0))
		return false;
	c = walk(pt, va, 1);
	entry = *c.entry;
	if (!is_present(pt, entry))
		return false;
	m->page = level_size(c.level);
	m->pa = leaf_pa(entry, c.level) + va % m->page;
	m->prot = entry_prot(pt->fmt, entry);
	m->type = entry_type(pt->fmt, entry, c.level);
	return true;
}

static int copy_table(struct pt *pt, uint64_t *to, const uint64_t *from, unsigned int level)
{
	for (unsigned int i = 0; i < ENTRIES; i++) {
		uint64_t *table;
		int err;

		if (!is_present(pt, from[i]) || is_leaf(pt, from[i], level)) {
			to[i] = from[i];
			continue;
		}
		table = new_table(pt);
		if (!table)
			return -ENOMEM;
		to[i] = (uint64_t)(uintptr_t)table | pt->fmt->table;
		err = copy_table(pt, table, table_at(from[i]), level - 1);
		if (err)
			return err;
	}
	return 0;
}

int pt_clone(struct pt *out, const struct pt *src)
{
	int err = pt_init(out, src->fmt, src->levels, src->max_page, src->alloc);

	if (err)
		return err;
	out->small_exec = src->small_exec;
	err = copy_table(out, table_at(out->root), table_at(src->root), src->levels);
	if (err)
		pt_free(out);
	return err;
}

static void free_table(struct pt *pt, uint64_t *table, unsigned int level)
{
	for (unsigned int i = 0; level > 1 && i < ENTRIES; i++)
		if (is_present(pt, table[i]) && !is_leaf(pt, table[i], level))
			free_table(pt, table_at(table[i]), level - 1);
	pt->alloc->free(pt->alloc->ctx, table);
	pt->tables--;
}

void pt_free(struct pt *pt)
{
	if (pt->root)
		free_table(pt, table_at(pt->root), pt->levels);
	pt->root = 0;
}
