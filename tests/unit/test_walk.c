/* links: emul/walk.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "emul/walk.h"
#include "lib/err.h"
#include "lib/util.h"

/* Tables: level N of the tree lies at guest-physical N * 4 KiB; the page itself at PAGE. */
enum { MEMORY = 0x8000 };

#define PAGE 0x123000ULL
#define P    1ULL
#define W    2ULL
#define U    4ULL
#define A    0x20ULL
#define D    0x40ULL
#define PS   0x80ULL
#define NX   BIT(63)

#define PG   BIT(31)
#define WP   BIT(16)
#define PSE  BIT(4)
#define PAE  BIT(5)
#define LA57 BIT(12)
#define SMEP BIT(20)
#define SMAP BIT(21)
#define PKE  BIT(22)
#define NXE  BIT(11)
#define LMA  BIT(10)
#define AC   BIT(18)
#define OK   0xffffffff

struct machine {
	uint8_t memory[MEMORY];
	unsigned int reads, replaces;
	unsigned int refuse; /* how many replaces find another value */
};

enum kind { M32, MPAE, M4, M5 };

static const struct {
	uint8_t levels, size, bits;
	uint64_t cr4, efer;
} kinds[] = {
	[M32] = {2, 4, 10, PSE, 0},
	[MPAE] = {3, 8, 9, PAE, 0},
	[M4] = {4, 8, 9, PAE, LMA},
	[M5] = {5, 8, 9, PAE | LA57, LMA},
};

static int read_memory(void *ctx, uint64_t gpa, unsigned int size, uint64_t *value)
{
	struct machine *m = ctx;

	m->reads++;
	assert_true(IS_ALIGNED(gpa, size));
	if (gpa + size > MEMORY)
		return -ENOENT;
	*value = 0;
	memcpy(value, m->memory + gpa, size);
	return 0;
}

static int replace_memory(void *ctx, uint64_t gpa, unsigned int size, uint64_t old, uint64_t wanted)
{
	struct machine *m = ctx;

	assert_true(gpa + size <= MEMORY);
	m->replaces++;
	if (m->refuse) {
		m->refuse--;
		return -EAGAIN;
	}
	assert_memory_equal(m->memory + gpa, &old, size);
	memcpy(m->memory + gpa, &wanted, size);
	return 0;
}

static const struct walk_ops ops = {read_memory, replace_memory};
static const struct walk_ops ops_no_marks = {read_memory, NULL};

static uint64_t where(enum kind kind, unsigned int level, uint64_t linear)
{
	uint64_t index =
		linear >> (12 + (level - 1) * kinds[kind].bits) & (BIT(kinds[kind].bits) - 1);

	return level * 0x1000ULL + index * kinds[kind].size;
}

/* A tree for one page with all rights; the bits of FLIP[level] are turned over. */
static void build(struct machine *m, enum kind kind, uint64_t linear, const uint64_t flip[6])
{
	memset(m, 0, sizeof(*m));
	for (unsigned int level = kinds[kind].levels; level >= 1; level--) {
		uint64_t entry = (level == 1 ? PAGE : (level - 1) * 0x1000ULL) | P;

		if (kind != MPAE || level != 3)
			entry |= W | U;
		entry ^= flip[level];
		memcpy(m->memory + where(kind, level, linear), &entry, kinds[kind].size);
	}
}

static uint64_t entry_at(const struct machine *m, enum kind kind, unsigned int level,
			 uint64_t linear)
{
	uint64_t entry = 0;

	memcpy(&entry, m->memory + where(kind, level, linear), kinds[kind].size);
	return entry;
}

static struct walk_regs regs_for(enum kind kind)
{
	return (struct walk_regs){
		.cr0 = PG | 1,
		.cr3 = kinds[kind].levels * 0x1000ULL,
		.cr4 = kinds[kind].cr4,
		.efer = kinds[kind].efer,
		.gib_pages = true,
		.phys_width = 40,
	};
}

struct right_case {
	const char *name;
	enum kind kind;
	enum walk_access access;
	uint8_t cpl;
	uint64_t cr0, cr4, efer, rflags; /* added to the kind's own */
	uint32_t pkru;
	bool implicit;
	uint64_t flip[6];
	uint32_t want; /* error code, or OK */
};

static const struct right_case rights[] = {
	{"4: read", M4, WALK_READ, 0, .want = OK},
	{"4: user read", M4, WALK_READ, 3, .want = OK},
	{"4: user read of a supervisor page", M4, WALK_READ, 3, .flip = {0, U}, .want = 5},
	{"4: user read under a supervisor PML4E", M4, WALK_READ, 3, .flip = {[4] = U}, .want = 5},
	{"4: user write of a supervisor page", M4, WALK_WRITE, 3, .flip = {0, U}, .want = 7},
	{"4: user write of a read-only page", M4, WALK_WRITE, 3, .flip = {0, W}, .want = 7},
	{"4: user read of a read-only page", M4, WALK_READ, 3, .flip = {0, W}, .want = OK},
	{"4: supervisor write, read-only, WP=0", M4, WALK_WRITE, 0, .flip = {0, W}, .want = OK},
	{"4: supervisor write, read-only, WP=1", M4, WALK_WRITE, 0, WP, .flip = {0, W}, .want = 3},
	{"4: read-only PDPTE, WP=1", M4, WALK_WRITE, 2, WP, .flip = {[3] = W}, .want = 3},
	{"4: no page", M4, WALK_READ, 0, .flip = {0, P}, .want = 0},
	{"4: no page, user write", M4, WALK_WRITE, 3, .flip = {0, P}, .want = 6},
	{"4: no PML4E, fetch without NX and SMEP", M4, WALK_FETCH, 0, .flip = {[4] = P}, .want = 0},
	{"4: no page, fetch with NXE", M4, WALK_FETCH, 3, .efer = NXE, .flip = {0, P},
	 .want = 0x14},
	{"4: fetch from an NX page", M4, WALK_FETCH, 0, .efer = NXE, .flip = {0, NX}, .want = 0x11},
	{"4: fetch under an NX PML4E", M4, WALK_FETCH, 3, .efer = NXE, .flip = {[4] = NX},
	 .want = 0x15},
	{"4: read of an NX page", M4, WALK_READ, 3, .efer = NXE, .flip = {0, NX}, .want = OK},
	{"4: NX without NXE is reserved", M4, WALK_READ, 0, .flip = {0, NX}, .want = 9},
	{"4: SMEP", M4, WALK_FETCH, 0, .cr4 = SMEP, .want = 0x11},
	{"4: SMEP, user fetch", M4, WALK_FETCH, 3, .cr4 = SMEP, .want = OK},
	{"4: SMEP, supervisor page", M4, WALK_FETCH, 0, .cr4 = SMEP, .flip = {0, U}, .want = OK},
	{"4: SMAP", M4, WALK_READ, 0, .cr4 = SMAP, .want = 1},
	{"4: SMAP, write", M4, WALK_WRITE, 0, .cr4 = SMAP, .want = 3},
	{"4: SMAP with AC", M4, WALK_READ, 0, .cr4 = SMAP, .rflags = AC, .want = OK},
	{"4: SMAP, implicit, AC set", M4, WALK_READ, 3, .cr4 = SMAP, .rflags = AC, .implicit = true,
	 .want = 1},
	{"4: SMAP, user", M4, WALK_READ, 3, .cr4 = SMAP, .want = OK},
	{"4: SMAP, supervisor page", M4, WALK_READ, 0, .cr4 = SMAP, .flip = {0, U}, .want = OK},
	{"4: SMAP, fetch", M4, WALK_FETCH, 0, .cr4 = SMAP, .want = OK},
	{"4: implicit read of a supervisor page", M4, WALK_READ, 3, .implicit = true,
	 .flip = {0, U}, .want = OK},
	{"4: PML4E with PS", M4, WALK_READ, 0, .flip = {[4] = PS}, .want = 9},
	{"4: address beyond the width", M4, WALK_READ, 0, .flip = {0, BIT(40)}, .want = 9},
	{"4: PDE beyond the width, user write", M4, WALK_WRITE, 3, .flip = {[2] = BIT(51)},
	 .want = 0xf},
	{"4: ignored bits", M4, WALK_READ, 0, .flip = {0, BIT(52) | BIT(62) | BIT(9)}, .want = OK},
	{"4: 2 MiB page with a reserved bit", M4, WALK_READ, 0, .flip = {[2] = PS | BIT(13)},
	 .want = 9},
	{"4: 1 GiB page with a reserved bit", M4, WALK_READ, 0, .flip = {[3] = PS | BIT(29)},
	 .want = 9},
	{"4: PKRU.AD", M4, WALK_READ, 0, .cr4 = PKE, .pkru = 4, .flip = {0, BIT(59)}, .want = 0x21},
	{"4: PKRU.AD of another key", M4, WALK_READ, 3, .cr4 = PKE, .pkru = 4, .want = OK},
	{"4: PKRU.AD, no PKE", M4, WALK_READ, 3, .pkru = 4, .flip = {0, BIT(59)}, .want = OK},
	{"4: PKRU.AD, supervisor page", M4, WALK_READ, 0, .cr4 = PKE, .pkru = 4,
	 .flip = {0, BIT(59) | U}, .want = OK},
	{"4: PKRU.AD, fetch", M4, WALK_FETCH, 3, .cr4 = PKE, .pkru = 4, .flip = {0, BIT(59)},
	 .want = OK},
	{"4: PKRU.WD, user write", M4, WALK_WRITE, 3, .cr4 = PKE, .pkru = BIT(31),
	 .flip = {0, 15ULL << 59}, .want = 0x27},
	{"4: PKRU.WD, user read", M4, WALK_READ, 3, .cr4 = PKE, .pkru = BIT(31),
	 .flip = {0, 15ULL << 59}, .want = OK},
	{"4: PKRU.WD, supervisor write, WP=0", M4, WALK_WRITE, 0, .cr4 = PKE, .pkru = BIT(31),
	 .flip = {0, 15ULL << 59}, .want = OK},
	{"4: PKRU.WD, supervisor write, WP=1", M4, WALK_WRITE, 0, WP, .cr4 = PKE, .pkru = BIT(31),
	 .flip = {0, 15ULL << 59}, .want = 0x23},
	{"5: read", M5, WALK_READ, 3, .want = OK},
	{"5: user read under a supervisor PML5E", M5, WALK_READ, 3, .flip = {[5] = U}, .want = 5},
	{"5: no PML5E", M5, WALK_READ, 0, .flip = {[5] = P}, .want = 0},
	{"5: PML5E with PS", M5, WALK_READ, 0, .flip = {[5] = PS}, .want = 9},
	{"PAE: user write", MPAE, WALK_WRITE, 3, .want = OK},
	{"PAE: no PDPTE", MPAE, WALK_READ, 0, .flip = {[3] = P}, .want = 0},
	{"PAE: PDPTE with reserved bits", MPAE, WALK_READ, 0, .flip = {[3] = W}, .want = 9},
	{"PAE: PDPTE with PS", MPAE, WALK_READ, 0, .flip = {[3] = PS}, .want = 9},
	{"PAE: bits 62:52 are reserved", MPAE, WALK_READ, 0, .flip = {0, BIT(62)}, .want = 9},
	{"PAE: read-only page", MPAE, WALK_WRITE, 3, .flip = {0, W}, .want = 7},
	{"PAE: fetch from an NX page", MPAE, WALK_FETCH, 3, .efer = NXE, .flip = {[2] = NX},
	 .want = 0x15},
	{"PAE: keys are of long mode only", MPAE, WALK_READ, 3, .cr4 = PKE, .pkru = ~0u,
	 .want = OK},
	{"32: user write", M32, WALK_WRITE, 3, .want = OK},
	{"32: read-only PDE", M32, WALK_WRITE, 3, .flip = {[2] = W}, .want = 7},
	{"32: no NX", M32, WALK_FETCH, 3, .efer = NXE, .flip = {0, P}, .want = 4},
	{"32: SMEP", M32, WALK_FETCH, 0, .cr4 = SMEP, .want = 0x11},
	{"32: 4 MiB page with bit 21", M32, WALK_READ, 0, .flip = {[2] = PS | BIT(21)}, .want = 9},
};

static void test_rights(void **state)
{
	const uint64_t linear = 0x7654321;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
		const struct right_case *c = &rights[i];
		struct walk_regs regs = regs_for(c->kind);
		struct walk_result r;
		struct machine m;
		int err;

		regs.cr0 |= c->cr0;
		regs.cr4 |= c->cr4;
		regs.efer |= c->efer;
		regs.rflags = c->rflags;
		regs.pkru = c->pkru;
		regs.cpl = c->cpl;
		regs.implicit = c->implicit;
		build(&m, c->kind, linear, c->flip);
		err = walk_translate(&regs, &ops, &m, linear, c->access, &r);
		if (err != (c->want == OK ? 0 : -EFAULT) || (err && r.error != c->want))
			fail_msg("%s: returned %d, error code %#x", c->name, err, r.error);
		if (!err && r.gpa != (PAGE | 0x321))
			fail_msg("%s: gpa %#llx", c->name, (unsigned long long)r.gpa);
		if (err && m.replaces)
			fail_msg("%s: a faulting access has marked an entry", c->name);
	}
}

static const struct {
	enum kind kind;
	unsigned int leaf;
	uint64_t linear, flip[6], gpa, size;
} pages[] = {
	{M4, 1, 0xffff812345678abc, {0}, PAGE | 0xabc, 0x1000},
	{M4, 2, 0xffff812345678abc, {[2] = 0x1000 | PS | 0x12ffe00000}, 0x12ffe78abc, 0x200000},
	{M4, 2, 0xffff812345678abc, {[2] = PS | 0x200000}, 0x278abc, 0x200000},
	{M4, 3, 0xffff812345678abc, {[3] = 0x2000 | PS | 0x40000000}, 0x45678abc, 0x40000000},
	{M5, 1, 0xff12345678abcdef, {0}, PAGE | 0xdef, 0x1000},
	{M5, 3, 0xff12345678abcdef, {[3] = 0x2000 | PS | 0x80000000}, 0xb8abcdef, 0x40000000},
	{MPAE, 1, 0xc7654321, {0}, PAGE | 0x321, 0x1000},
	{MPAE, 2, 0xc7654321, {[2] = PS | 0xfe00000000}, 0xfe00054321, 0x200000},
	{M32, 1, 0xc7654321, {0}, PAGE | 0x321, 0x1000},
	{M32, 2, 0xc7654321, {[2] = PS | 0x1000 | 0xc0000000}, 0xc0254321, 0x400000},
	/* PSE-36: bits 20:13 are address bits 39:32. */
	{M32, 2, 0xc7654321, {[2] = PS | 0x1000 | 0xc0000000 | 0xa5 << 13}, 0xa5c0254321, 0x400000},
};

static void test_page_sizes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		struct walk_regs regs = regs_for(pages[i].kind);
		struct walk_result r;
		struct machine m;

		build(&m, pages[i].kind, pages[i].linear, pages[i].flip);
		assert_int_equal(walk_translate(&regs, &ops, &m, pages[i].linear, WALK_READ, &r),
				 0);
		assert_int_equal(r.gpa, pages[i].gpa);
		assert_int_equal(r.page_size, pages[i].size);
		assert_int_equal(m.reads, kinds[pages[i].kind].levels - pages[i].leaf + 1);
	}
}

static void test_page_size_needs_support(void **state)
{
	struct walk_regs regs = regs_for(M4);
	struct walk_result r;
	struct machine m;

	(void)state;
	build(&m, M4, 0, (uint64_t[6]){[3] = PS});
	regs.gib_pages = false;
	assert_int_equal(walk_translate(&regs, &ops, &m, 0, WALK_READ, &r), -EFAULT);
	assert_int_equal(r.error, PF_PRESENT | PF_RESERVED);

	/* Without CR4.PSE the PDE's bit 7 means nothing. */
	regs = regs_for(M32);
	regs.cr4 = 0;
	build(&m, M32, 0, (uint64_t[6]){[2] = PS});
	assert_int_equal(walk_translate(&regs, &ops, &m, 0, WALK_READ, &r), 0);
	assert_int_equal(r.gpa, PAGE);
}

static void test_marks(void **state)
{
	struct walk_regs regs;
	struct walk_result r;
	struct machine m;

	(void)state;
	for (enum kind k = M32; k <= M5; k++) {
		unsigned int top = kinds[k].levels - (k == MPAE);

		regs = regs_for(k);
		build(&m, k, 0x5000, (uint64_t[6]){0});
		assert_int_equal(walk_translate(&regs, &ops, &m, 0x5000, WALK_READ, &r), 0);
		for (unsigned int level = top; level >= 1; level--)
			assert_int_equal(entry_at(&m, k, level, 0x5000) & (A | D), A);
		assert_int_equal(walk_translate(&regs, &ops, &m, 0x5000, WALK_WRITE, &r), 0);
		for (unsigned int level = top; level >= 1; level--)
			assert_int_equal(entry_at(&m, k, level, 0x5000) & (A | D),
					 level == 1 ? A | D : A);
		if (k == MPAE)
			assert_int_equal(entry_at(&m, k, 3, 0x5000), 0x2000 | P);
		/* All is marked already: nothing more to write. */
		m.replaces = 0;
		assert_int_equal(walk_translate(&regs, &ops, &m, 0x5000, WALK_WRITE, &r), 0);
		assert_int_equal(m.replaces, 0);
	}
	build(&m, M4, 0, (uint64_t[6]){0});
	regs = regs_for(M4);
	assert_int_equal(walk_translate(&regs, &ops_no_marks, &m, 0, WALK_WRITE, &r), 0);
	assert_int_equal(entry_at(&m, M4, 1, 0) & (A | D), 0);
}

/* Another vCPU changes an entry under our hands: the walk starts anew, but not for ever. */
static void test_race(void **state)
{
	struct walk_regs regs = regs_for(M4);
	struct walk_result r;
	struct machine m;

	(void)state;
	build(&m, M4, 0, (uint64_t[6]){0});
	m.refuse = 2;
	assert_int_equal(walk_translate(&regs, &ops, &m, 0, WALK_WRITE, &r), 0);
	assert_int_equal(m.reads, 3 * 4);
	assert_int_equal(entry_at(&m, M4, 1, 0) & (A | D), A | D);
	build(&m, M4, 0, (uint64_t[6]){0});
	m.refuse = 1000000;
	assert_int_equal(walk_translate(&regs, &ops, &m, 0, WALK_WRITE, &r), -EAGAIN);
}

static void test_table_outside_memory(void **state)
{
	struct walk_regs regs = regs_for(M4);
	struct walk_result r;
	struct machine m;

	(void)state;
	build(&m, M4, 0, (uint64_t[6]){[3] = BIT(30)});
	assert_int_equal(walk_translate(&regs, &ops, &m, 0, WALK_READ, &r), -EIO);
	regs.cr3 = MEMORY;
	assert_int_equal(walk_translate(&regs, &ops, &m, 0, WALK_READ, &r), -EIO);
}

static void test_cr3_low_bits(void **state)
{
	struct walk_regs regs = regs_for(M4);
	struct walk_result r;
	struct machine m;

	(void)state;
	build(&m, M4, 0x1000, (uint64_t[6]){0});
	regs.cr3 |= 0x8000000000000fff; /* no-flush bit and PCID */
	assert_int_equal(walk_translate(&regs, &ops, &m, 0x1000, WALK_READ, &r), 0);
	/* PAE: a table of 32 bytes, not a page. */
	regs = regs_for(MPAE);
	build(&m, MPAE, 0x1000, (uint64_t[6]){0});
	memcpy(m.memory + 0x7020, m.memory + 0x3000, 32);
	regs.cr3 = 0x7020;
	assert_int_equal(walk_translate(&regs, &ops, &m, 0x1000, WALK_READ, &r), 0);
	assert_int_equal(r.gpa, PAGE);
}

static void test_pdpte_registers(void **state)
{
	const uint64_t pdpte[4] = {0, 0, 0x2000 | P, 0};
	struct walk_regs regs = regs_for(MPAE);
	struct walk_result r;
	struct machine m;

	(void)state;
	build(&m, MPAE, 0x80001000, (uint64_t[6]){[3] = P});
	regs.pdpte = pdpte;
	assert_int_equal(walk_translate(&regs, &ops, &m, 0x80001000, WALK_READ, &r), 0);
	assert_int_equal(r.gpa, PAGE);
	assert_int_equal(m.reads, 2);
	assert_int_equal(walk_translate(&regs, &ops, &m, 0x1000, WALK_READ, &r), -EFAULT);
	assert_int_equal(r.error, 0);
}

static void test_no_paging(void **state)
{
	struct walk_regs regs = {.cr0 = 1, .cpl = 3};
	struct walk_result r;
	struct machine m = {.reads = 0};

	(void)state;
	assert_int_equal(walk_translate(&regs, &ops, &m, 0xfee00080, WALK_WRITE, &r), 0);
	assert_int_equal(r.gpa, 0xfee00080);
	assert_true(r.writable);
	assert_int_equal(m.reads, 0);
}

static void test_writable(void **state)
{
	struct walk_regs regs = regs_for(M4);
	struct walk_result r;
	struct machine m;

	(void)state;
	regs.cr0 |= WP;
	build(&m, M4, 0, (uint64_t[6]){0});
	assert_int_equal(walk_translate(&regs, &ops, &m, 0, WALK_READ, &r), 0);
	assert_true(r.writable);
	build(&m, M4, 0, (uint64_t[6]){[2] = W});
	assert_int_equal(walk_translate(&regs, &ops, &m, 0, WALK_READ, &r), 0);
	assert_false(r.writable);
}

static void test_canonical(void **state)
{
	(void)state;
	assert_true(walk_canonical(0x7fffffffffff, 0));
	assert_false(walk_canonical(0x800000000000, 0));
	assert_true(walk_canonical(0x800000000000, LA57));
	assert_true(walk_canonical(0xffff800000000000, 0));
	assert_false(walk_canonical(0xffff7fffffffffff, 0));
	assert_false(walk_canonical(0x100000000000000, LA57));
	assert_true(walk_canonical(0xff00000000000000, LA57));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_page_sizes),
		cmocka_unit_test(test_page_size_needs_support),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_table_outside_memory),
		cmocka_unit_test(test_cr3_low_bits),
		cmocka_unit_test(test_pdpte_registers),
		cmocka_unit_test(test_no_paging),
		cmocka_unit_test(test_writable),
		cmocka_unit_test(test_canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
