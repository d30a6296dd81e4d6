#include "emul/exec.h"

#include "lib/util.h"

enum { TSS_MAP_BASE = 0x66, TSS_LIMIT_MIN = 0x67 };

#define CR0_PE BIT(0)

/* ---- ports ---- */

/* The I/O permission bitmap, SDM vol. 1 19.5.2. The processor reads two bytes of it, always. */
static enum emul_result check_bitmap(struct exec *x, uint16_t port, unsigned int size)
{
	const struct emul_seg *tr = &x->cpu->tr;
	unsigned int type = tr->attr & 0xf;
	uint64_t map, bits;
	enum emul_result r;

	/* A 16-bit TSS has no bitmap. */
	if ((type != 9 && type != 11) || tr->limit < TSS_LIMIT_MIN)
		return exec_raise_gp(x);
	r = exec_read(x, tr->base + TSS_MAP_BASE, &map, 2, EMUL_READ_SYSTEM);
	if (r)
		return r;
	map += port / 8;
	if (map + 1 > tr->limit)
		return exec_raise_gp(x);
	r = exec_read(x, tr->base + map, &bits, 2, EMUL_READ_SYSTEM);
	if (!r && (bits >> port % 8 & (BIT(size) - 1)))
		return exec_raise_gp(x);
	return r;
}

static enum emul_result check_port(struct exec *x)
{
	const struct emul_cpu *cpu = x->cpu;
	unsigned int iopl = (cpu->rflags & RFLAGS_IOPL) >> 12;

	if (!(cpu->cr0 & CR0_PE) || (cpu->cpl <= iopl && !(cpu->rflags & RFLAGS_VM)))
		return EMUL_DONE;
	return check_bitmap(x, cpu->gpr[EMUL_RDX], x->insn.op_size);
}

static enum emul_result port_in(struct exec *x, uint64_t *value)
{
	uint32_t data = 0;

	if (x->ops->pio_in(x->ctx, x->cpu->gpr[EMUL_RDX], &data, x->insn.op_size))
		return EMUL_FAULT;
	*value = data;
	return EMUL_DONE;
}

static enum emul_result port_out(struct exec *x, uint64_t value)
{
	if (x->ops->pio_out(x->ctx, x->cpu->gpr[EMUL_RDX], value, x->insn.op_size))
		return EMUL_FAULT;
	return EMUL_DONE;
}

/* ---- one iteration ---- */

/* What an instruction takes and where it goes; the rest follows. */
enum {
	FROM_SI = 1 << 0,  /* first operand: memory at SEG:rSI, */
	FROM_ACC = 1 << 1, /* the accumulator, */
	FROM_PORT = 1 << 2,
	TO_DI = 1 << 3, /* written to: memory at ES:rDI, */
	TO_ACC = 1 << 4,
	TO_PORT = 1 << 5,
	WITH_DI = 1 << 6, /* compared with memory at ES:rDI */
};

static const uint8_t shapes[OP_COUNT] = {
	[OP_MOVS] = FROM_SI | TO_DI,   [OP_CMPS] = FROM_SI | WITH_DI,  [OP_STOS] = FROM_ACC | TO_DI,
	[OP_LODS] = FROM_SI | TO_ACC,  [OP_SCAS] = FROM_ACC | WITH_DI, [OP_INS] = FROM_PORT | TO_DI,
	[OP_OUTS] = FROM_SI | TO_PORT,
};

static enum emul_result read_source(struct exec *x, unsigned int shape, uint64_t si)
{
	unsigned int size = x->insn.op_size;

	if (shape & FROM_SI)
		return exec_read(x, si, &x->src, size, EMUL_READ);
	if (shape & FROM_PORT)
		return port_in(x, &x->src);
	x->src = exec_reg(x, EMUL_RAX, size);
	return EMUL_DONE;
}

static enum emul_result put_result(struct exec *x, unsigned int shape, uint64_t di)
{
	unsigned int size = x->insn.op_size;
	enum emul_result r;

	if (shape & TO_DI)
		return exec_write(x, di, x->src, size);
	if (shape & TO_PORT)
		return port_out(x, x->src);
	if (shape & TO_ACC) {
		exec_set_reg(x, EMUL_RAX, x->src, size);
		return EMUL_DONE;
	}
	r = exec_read(x, di, &x->dst, size, EMUL_READ);
	if (!r)
		alu_binary(OP_CMP, x->src, x->dst, size, &x->rflags);
	return r;
}

static void advance(struct exec *x, unsigned int reg)
{
	unsigned int size = x->insn.op_size, width = x->insn.addr_size;
	uint64_t step = x->cpu->rflags & RFLAGS_DF ? -(uint64_t)size : size;

	exec_set_reg(x, reg, x->cpu->gpr[reg] + step, width);
}

static enum emul_result iterate(struct exec *x)
{
	unsigned int shape = shapes[x->insn.op], size = x->insn.op_size;
	unsigned int width = x->insn.addr_size;
	uint64_t si = 0, di = 0;
	enum emul_result r = EMUL_DONE;

	if (shape & FROM_SI)
		r = exec_linear(x, x->insn.seg, exec_reg(x, EMUL_RSI, width), size, false, &si);
	if (!r && (shape & (TO_DI | WITH_DI)))
		r = exec_linear(x, EMUL_ES, exec_reg(x, EMUL_RDI, width), size, shape & TO_DI, &di);
	/* A device's register or a port must not be read for a write that then faults. */
	if (!r && (shape & TO_DI) && !(shape & FROM_ACC))
		r = exec_probe_write(x, di, size);
	if (!r)
		r = read_source(x, shape, si);
	if (!r)
		r = put_result(x, shape, di);
	if (r)
		return r;
	if (shape & FROM_SI)
		advance(x, EMUL_RSI);
	if (shape & (TO_DI | WITH_DI))
		advance(x, EMUL_RDI);
	x->cpu->rflags = x->rflags;
	return EMUL_DONE;
}

/* ---- all iterations ---- */

/* CMPS and SCAS also end by ZF: REPE when it is clear, REPNE when it is set. */
static bool comparison_ends(const struct exec *x)
{
	bool equal = x->rflags & RFLAGS_ZF;

	return (shapes[x->insn.op] & WITH_DI) && equal == (x->insn.rep == 0xf2);
}

static enum emul_result repeat(struct exec *x)
{
	unsigned int width = x->insn.addr_size;
	uint32_t most = x->cpu->rflags & RFLAGS_TF ? 1 : MAX(x->cpu->rep_max, 1u);
	uint64_t left = exec_reg(x, EMUL_RCX, width);

	for (uint32_t i = 0; left; i++) {
		enum emul_result r;

		bool enough = x->ops->enough && x->ops->enough(x->ctx);

		if (i == most || (i && enough))
			return EMUL_REP;
		r = iterate(x);
		if (r)
			return r;
		exec_set_reg(x, EMUL_RCX, --left, width);
		if (comparison_ends(x))
			break;
	}
	return EMUL_DONE;
}

enum emul_result exec_string(struct exec *x)
{
	bool port = shapes[x->insn.op] & (FROM_PORT | TO_PORT);
	enum emul_result r = port ? check_port(x) : EMUL_DONE;

	if (r)
		return r;
	return x->insn.rep ? repeat(x) : iterate(x);
}
