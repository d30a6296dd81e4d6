#include "efi/carve.h"

#include <stdbool.h>

#include "lib/assert.h"
#include "lib/err.h"
#include "lib/string.h"

#define HIGH GIB(4)

static uint64_t end_of(struct boot_extent e)
{
	return e.base + e.size;
}

static void remove_at(struct carve *c, size_t i)
{
	c->count--;
	memmove(c->free + i, c->free + i + 1, (c->count - i) * sizeof(*c->free));
}

static int insert_at(struct carve *c, size_t i, struct boot_extent e)
{
	if (c->count == c->max)
		return -ENOSPC;
	memmove(c->free + i + 1, c->free + i, (c->count - i) * sizeof(*c->free));
	c->free[i] = e;
	c->count++;
	return 0;
}

void carve_init(struct carve *c, struct boot_extent *free, size_t max)
{
	*c = (struct carve){.free = free, .max = max};
}

int carve_add(struct carve *c, struct boot_extent e)
{
	size_t i = 0;

	if (e.size == 0 || end_of(e) < e.base)
		return 0;
	while (i < c->count && end_of(c->free[i]) < e.base)
		i++;
	while (i < c->count && c->free[i].base <= end_of(e)) {
		uint64_t end = MAX(end_of(e), end_of(c->free[i]));

		e.base = MIN(e.base, c->free[i].base);
		e.size = end - e.base;
		remove_at(c, i);
	}
	return insert_at(c, i, e);
}

void carve_align(struct carve *c, uint64_t align)
{
	for (size_t i = c->count; i-- > 0;) {
		uint64_t end = ALIGN_DOWN(end_of(c->free[i]), align);
		uint64_t base = ALIGN_UP(c->free[i].base, align);

		/* BASE below the old one: it wrapped around. */
		if (base < c->free[i].base || base >= end)
			remove_at(c, i);
		else
			c->free[i] = (struct boot_extent){base, end - base};
	}
}

uint64_t carve_total(const struct carve *c)
{
	uint64_t total = 0;

	for (size_t i = 0; i < c->count; i++)
		total += c->free[i].size;
	return total;
}

/* Takes E, which lies in extent I. */
static int take(struct carve *c, size_t i, struct boot_extent e)
{
	struct boot_extent all = c->free[i];
	struct boot_extent before = {all.base, e.base - all.base};
	struct boot_extent after = {end_of(e), end_of(all) - end_of(e)};

	assert(e.base >= all.base && end_of(e) <= end_of(all));
	if (before.size && after.size) {
		if (insert_at(c, i + 1, after))
			return -ENOSPC;
		c->free[i] = before;
	} else if (before.size || after.size) {
		c->free[i] = before.size ? before : after;
	} else {
		remove_at(c, i);
	}
	return 0;
}

/* The highest multiple of ALIGN in E at which SIZE bytes end at or below LIMIT. */
static bool fit_high(struct boot_extent e, uint64_t size, uint64_t align, uint64_t limit,
		     uint64_t *base)
{
	uint64_t end = MIN(end_of(e), limit);

	if (end < size)
		return false;
	*base = ALIGN_DOWN(end - size, align);
	return *base >= e.base;
}

int carve_one(struct carve *c, uint64_t size, uint64_t align, uint64_t limit,
	      struct boot_extent *out)
{
	size_t best = c->count;
	uint64_t base;

	for (size_t i = 0; i < c->count; i++) {
		if (!fit_high(c->free[i], size, align, limit, &base) ||
		    (best < c->count && c->free[i].size >= c->free[best].size))
			continue;
		best = i;
		*out = (struct boot_extent){base, size};
	}
	return best == c->count ? -ENOMEM : take(c, best, *out);
}

/*
 * Where a VM's SIZE bytes would stand in E. A small VM takes the end, which leaves the boundaries
 * of 1 GiB at the extent's start to those who can use them.
 */
static bool fit_vm(struct boot_extent e, uint64_t size, uint64_t align, uint64_t *base)
{
	if (size < GIB(1))
		return fit_high(e, size, CARVE_PAGE, UINT64_MAX, base);
	*base = ALIGN_UP(e.base, align);
	return *base >= e.base && *base <= end_of(e) && end_of(e) - *base >= size;
}

/* All of SIZE from the smallest extent that holds it, on the given side of 4 GiB. */
static bool take_whole(struct carve *c, uint64_t size, uint64_t align, bool high,
		       struct boot_extent *out)
{
	size_t best = c->count;
	uint64_t base;

	for (size_t i = 0; i < c->count; i++) {
		if ((c->free[i].base >= HIGH) != high || !fit_vm(c->free[i], size, align, &base) ||
		    (best < c->count && c->free[i].size >= c->free[best].size))
			continue;
		best = i;
		*out = (struct boot_extent){base, size};
	}
	return best < c->count && take(c, best, *out) == 0;
}

static bool take_single(struct carve *c, uint64_t size, struct boot_extent *out)
{
	return take_whole(c, size, GIB(1), true, out) ||
	       take_whole(c, size, CARVE_PAGE, true, out) ||
	       take_whole(c, size, GIB(1), false, out) ||
	       take_whole(c, size, CARVE_PAGE, false, out);
}

/* All of the largest extent; with PREFER_HIGH, of the largest above 4 GiB while there is one. */
static struct boot_extent take_largest(struct carve *c, bool prefer_high)
{
	size_t best = 0;
	struct boot_extent e;

	for (size_t i = 1; i < c->count; i++) {
		bool high = c->free[i].base >= HIGH, best_high = c->free[best].base >= HIGH;

		if (prefer_high && high != best_high ? high : c->free[i].size > c->free[best].size)
			best = i;
	}
	e = c->free[best];
	remove_at(c, best);
	return e;
}

/* The list holds SIZE bytes. Returns how many extents were taken, and how much is MISSING. */
static size_t gather(struct carve *c, uint64_t size, bool prefer_high, struct boot_extent *out,
		     uint64_t *missing)
{
	size_t n = 0;

	for (*missing = size; *missing && n < CARVE_EXTENTS; n++) {
		if (!take_single(c, *missing, &out[n]))
			out[n] = take_largest(c, prefer_high);
		assert(out[n].size <= *missing); /* no single one held it all */
		*missing -= out[n].size;
	}
	return n;
}

static void give_back(struct carve *c, const struct boot_extent *e, size_t n)
{
	while (n-- > 0)
		carve_add(c, e[n]); /* there is room: it came from there */
}

static void sort(struct boot_extent *e, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct boot_extent x = e[i];
		size_t j = i;

		for (; j > 0 && e[j - 1].base > x.base; j--)
			e[j] = e[j - 1];
		e[j] = x;
	}
}

int carve_vm(struct carve *c, uint64_t size, struct boot_extent *out)
{
	uint64_t missing;
	size_t n;

	if (carve_total(c) < size)
		return -ENOMEM;
	n = gather(c, size, true, out, &missing);
	if (missing) {
		give_back(c, out, n);
		n = gather(c, size, false, out, &missing);
	}
	if (missing) {
		give_back(c, out, n);
		return -E2BIG;
	}
	sort(out, n);
	return (int)n;
}
