#include "arch/x86/pages.h"

#include <stdbool.h>

#include "lib/assert.h"
#include "lib/err.h"
#include "lib/spinlock.h"
#include "lib/string.h"

#define WORD_BITS 64

/* LOCK guards all else; base and total do not change after pages_init(). */
static struct {
	struct spinlock lock;
	uint64_t base;
	size_t total, used, peak;
	size_t hint;   /* no page below it is free */
	uint64_t *map; /* a set bit is a page in use; at BASE itself */
} pool;

static bool page_used(size_t page)
{
	return pool.map[page / WORD_BITS] >> (page % WORD_BITS) & 1;
}

static void mark(size_t first, size_t count, bool used)
{
	for (size_t page = first; page < first + count; page++) {
		assert(page_used(page) != used);
		pool.map[page / WORD_BITS] ^= BIT(page % WORD_BITS);
	}
}

int pages_init(uint64_t base, uint64_t size)
{
	size_t total = size / PAGE_SIZE;
	size_t map_pages = ALIGN_UP(ALIGN_UP(total, WORD_BITS) / 8, PAGE_SIZE) / PAGE_SIZE;

	if (!IS_ALIGNED(base, PAGE_SIZE) || !IS_ALIGNED(size, PAGE_SIZE) || total <= map_pages)
		return -EINVAL;
	pool.base = base;
	pool.total = total;
	pool.map = (uint64_t *)(uintptr_t)base;
	memset(pool.map, 0, map_pages * PAGE_SIZE);
	mark(0, map_pages, true);
	pool.used = pool.peak = pool.hint = map_pages;
	return 0;
}

/* The number of free pages from FIRST on, COUNT at most. */
static size_t free_run(size_t first, size_t count)
{
	size_t n = 0;

	while (n < count && !page_used(first + n))
		n++;
	return n;
}

/* The first page of a free run; pool.total when there is none. */
static size_t find_run(size_t count)
{
	uint64_t page = pool.hint;

	for (;;) {
		size_t n;

		if (page >= pool.total || count > pool.total - page)
			return pool.total;
		n = free_run(page, count);
		if (n == count)
			return page;
		page += n + 1;
	}
}

static size_t take_run(size_t count)
{
	size_t page = find_run(count);

	if (page == pool.total)
		return page;
	mark(page, count, true);
	pool.used += count;
	pool.peak = MAX(pool.peak, pool.used);
	if (page == pool.hint)
		pool.hint += count;
	return page;
}

void *pages_alloc(size_t count)
{
	size_t page;
	void *p;

	if (!count)
		return NULL;
	spin_lock(&pool.lock);
	page = take_run(count);
	spin_unlock(&pool.lock);
	if (page == pool.total)
		return NULL;
	p = (void *)(uintptr_t)(pool.base + page * PAGE_SIZE);
	return memset(p, 0, count * PAGE_SIZE);
}

void pages_free(void *pages, size_t count)
{
	uint64_t offset = (uint64_t)(uintptr_t)pages - pool.base;
	size_t page = offset / PAGE_SIZE;

	if (!pages || !count)
		return;
	assert(IS_ALIGNED(offset, PAGE_SIZE) && page < pool.total && count <= pool.total - page);
	spin_lock(&pool.lock);
	mark(page, count, false);
	pool.used -= count;
	pool.hint = MIN(pool.hint, page);
	spin_unlock(&pool.lock);
}

size_t pages_used(void)
{
	return pool.used;
}

size_t pages_peak(void)
{
	return pool.peak;
}

size_t pages_total(void)
{
	return pool.total;
}
