/* links: emul/exec.c emul/string.c emul/alu.c emul/decode.c emul/tables.c emul/walk.c */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "emul/alu.h"
#include "emul/emul.h"
#include "emul/walk.h"
#include "lib/util.h"

/*
 * A hostile guest: the input's head says in what state the processor is, the rest are instruction
 * bytes and whatever memory holds, page tables included. Any outcome will do, but the promises of
 * emul/emul.h and emul/walk.h must hold. Inputs shorter than the head do nothing: run it with
 * -len_control=0.
 */

struct head {
	struct emul_cpu cpu;
	uint8_t mode, fail_at;
	struct walk_regs regs;
	uint64_t linear;
	uint8_t access;
};

struct guest {
	const uint8_t *data; /* SIZE bytes, at least 1, that repeat */
	size_t size;
	unsigned int accesses, fail_at;
};

static void fill(const struct guest *g, uint64_t address, void *buf, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		((uint8_t *)buf)[i] = g->data[(address + i) % g->size];
}

static int outcome(struct guest *g)
{
	return ++g->accesses == g->fail_at ? -1 : 0;
}

static void check_size(unsigned int size)
{
	assert(size && size <= 32 && (size & (size - 1)) == 0);
}

static int fetch(void *ctx, uint64_t linear, void *buf, unsigned int size)
{
	assert(size && linear / PAGE_SIZE == (linear + size - 1) / PAGE_SIZE);
	fill(ctx, linear, buf, size);
	return outcome(ctx);
}

static int read_memory(void *ctx, uint64_t linear, void *buf, unsigned int size,
		       enum emul_access access)
{
	(void)access;
	check_size(size);
	fill(ctx, linear, buf, size);
	return outcome(ctx);
}

static int write_memory(void *ctx, uint64_t linear, const void *buf, unsigned int size)
{
	(void)linear;
	(void)buf;
	check_size(size);
	return outcome(ctx);
}

static int probe_write(void *ctx, uint64_t linear, unsigned int size)
{
	(void)linear;
	check_size(size);
	return outcome(ctx);
}

static int pio_in(void *ctx, uint16_t port, uint32_t *value, unsigned int size)
{
	assert(size == 1 || size == 2 || size == 4);
	fill(ctx, port, value, size);
	return outcome(ctx);
}

static int pio_out(void *ctx, uint16_t port, uint32_t value, unsigned int size)
{
	(void)port;
	(void)value;
	assert(size == 1 || size == 2 || size == 4);
	return outcome(ctx);
}

static uint8_t vector(void *ctx, enum insn_vector kind, unsigned int number, uint8_t buf[32],
		      bool write)
{
	assert(number < (kind == INSN_MMX ? 8 : 16));
	if (!write)
		fill(ctx, number, buf, kind == INSN_MMX ? 8 : kind == INSN_XMM ? 16 : 32);
	return 0;
}

static const struct emul_ops ops = {.fetch = fetch,
				    .read = read_memory,
				    .write = write_memory,
				    .probe_write = probe_write,
				    .vector = vector,
				    .pio_in = pio_in,
				    .pio_out = pio_out};

static void fuzz_exec(const struct head *head, struct guest *g)
{
	static const enum emul_mode modes[] = {EMUL_MODE_16, EMUL_MODE_32, EMUL_MODE_64};
	struct emul_cpu cpu = head->cpu, before;
	enum emul_result r;
	struct insn insn;

	cpu.mode = modes[head->mode % 3];
	cpu.cpl &= 3;
	cpu.rep_max %= 64;
	if (cpu.mode != EMUL_MODE_64)
		cpu.rip = (uint32_t)cpu.rip;
	before = cpu;
	r = emul_exec(&cpu, &ops, g, g->data, MIN(g->size, INSN_MAX));
	assert(cpu.length <= INSN_MAX);
	assert(r == EMUL_DONE || cpu.rip == before.rip);
	if (r == EMUL_EXCEPTION)
		assert(cpu.exc.vector == 0 || cpu.exc.vector == 6 || cpu.exc.vector == 12 ||
		       cpu.exc.vector == 13);
	/* Only a string instruction may have got half way. */
	if (r == EMUL_DONE || (cpu.length && insn_decode(&insn, g->data, g->size, cpu.mode) == 0 &&
			       insn.op >= OP_MOVS && insn.op <= OP_OUTS))
		return;
	if (cpu.length && g->size < INSN_MAX)
		return;
	assert(memcmp(cpu.gpr, before.gpr, sizeof(cpu.gpr)) == 0 && cpu.rflags == before.rflags);
}

static int read_entry(void *ctx, uint64_t gpa, unsigned int size, uint64_t *value)
{
	assert((size == 4 || size == 8) && gpa % size == 0 && gpa < BIT(52));
	fill(ctx, gpa, value, size);
	return outcome(ctx);
}

static int replace_entry(void *ctx, uint64_t gpa, unsigned int size, uint64_t old, uint64_t wanted)
{
	assert(gpa % size == 0 && (old & 1) && (wanted & ~old & ~0x60ULL) == 0 && wanted != old);
	return outcome(ctx);
}

static void fuzz_walk(const struct head *head, struct guest *g)
{
	static const struct walk_ops walk_ops = {read_entry, replace_entry};
	struct walk_regs regs = head->regs;
	struct walk_result r;
	int err;

	regs.pdpte = NULL;
	regs.phys_width = 32 + regs.phys_width % 21;
	regs.cpl &= 3;
	g->accesses = 0;
	err = walk_translate(&regs, &walk_ops, g, head->linear, head->access % 3, &r);
	if (err == 0)
		assert(r.gpa < BIT(52) && r.page_size >= PAGE_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest g = {.data = data + sizeof(struct head), .size = size - sizeof(struct head)};
	struct head head;

	if (size <= sizeof(head))
		return 0;
	memcpy(&head, data, sizeof(head));
	/* A bool holds 0 or 1. */
	head.cpu.exc.has_error = false;
	head.regs.implicit = *(uint8_t *)(data + offsetof(struct head, regs.implicit)) & 1;
	head.regs.gib_pages = *(uint8_t *)(data + offsetof(struct head, regs.gib_pages)) & 1;
	g.fail_at = head.fail_at;
	fuzz_exec(&head, &g);
	fuzz_walk(&head, &g);
	return 0;
}
