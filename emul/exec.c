#include "emul/exec.h"

#include "emul/walk.h"
#include "lib/err.h"
#include "lib/string.h"
#include "lib/util.h"

enum { VECTOR_DE = 0, VECTOR_UD = 6, VECTOR_SS = 12, VECTOR_GP = 13 };

#define CR0_PE	      BIT(0)
#define ATTR_WRITABLE BIT(1) /* of data; of code: readable */
#define ATTR_DOWN     BIT(2) /* data that expands down */
#define ATTR_CODE     BIT(3)
#define ATTR_BIG      BIT(14)
#define ATTR_UNUSABLE BIT(16)

/* ---- exceptions ---- */

static enum emul_result raise(struct exec *x, uint8_t vector, bool has_error)
{
	/* In real mode no exception has an error code. */
	x->cpu->exc = (struct emul_exc){
		.vector = vector,
		.has_error = has_error && (x->cpu->cr0 & CR0_PE),
	};
	return EMUL_EXCEPTION;
}

enum emul_result exec_raise_gp(struct exec *x)
{
	return raise(x, VECTOR_GP, true);
}

/* ---- addresses ---- */

static bool limit_allows(const struct emul_seg *s, uint64_t offset, unsigned int size)
{
	uint64_t last = offset + size - 1;

	if ((s->attr & (ATTR_CODE | ATTR_DOWN)) != ATTR_DOWN)
		return last <= s->limit;
	return offset > s->limit && last <= (s->attr & ATTR_BIG ? 0xffffffff : 0xffff);
}

/* SDM vol. 3A 6.5; real and virtual-8086 mode know limits only. */
static bool type_allows(const struct exec *x, const struct emul_seg *s, bool write)
{
	if (!(x->cpu->cr0 & CR0_PE) || (x->cpu->rflags & RFLAGS_VM))
		return true;
	if (s->attr & ATTR_UNUSABLE)
		return false;
	if (s->attr & ATTR_CODE)
		return !write && (s->attr & ATTR_WRITABLE);
	return !write || (s->attr & ATTR_WRITABLE);
}

/* Where an offset lies, without checks. In 64-bit mode only FS and GS have a base. */
static uint64_t segment_address(const struct exec *x, enum emul_seg_id seg, uint64_t offset)
{
	if (x->cpu->mode != EMUL_MODE_64)
		return (uint32_t)(x->cpu->seg[seg].base + offset);
	return seg >= EMUL_FS ? x->cpu->seg[seg].base + offset : offset;
}

enum emul_result exec_linear(struct exec *x, enum emul_seg_id seg, uint64_t offset,
			     unsigned int size, bool write, uint64_t *linear)
{
	const struct emul_seg *s = &x->cpu->seg[seg];
	bool allowed;

	*linear = segment_address(x, seg, offset);
	if (x->cpu->mode == EMUL_MODE_64)
		allowed = walk_canonical(*linear, x->cpu->cr4) &&
			  walk_canonical(*linear + size - 1, x->cpu->cr4);
	else
		allowed = type_allows(x, s, write) && limit_allows(s, offset, size);
	return allowed ? EMUL_DONE : raise(x, seg == EMUL_SS ? VECTOR_SS : VECTOR_GP, true);
}

static uint64_t effective_address(const struct exec *x)
{
	const struct insn *i = &x->insn;
	uint64_t offset = i->disp;

	if (i->base == EMUL_RIP)
		offset += x->cpu->rip + i->length;
	else if (i->base != EMUL_NO_REG)
		offset += x->cpu->gpr[i->base];
	if (i->index != EMUL_NO_REG)
		offset += x->cpu->gpr[i->index] * i->scale;
	/* A bit number in a register reaches beyond the operand (SDM vol. 2A, BT). */
	if (i->op >= OP_BT && i->op <= OP_BTC && i->src == OPND_REG) {
		int64_t bit = alu_sign_extend(x->cpu->gpr[i->reg], i->op_size);

		offset += (uint64_t)(bit >> 3) & -(uint64_t)i->op_size;
	}
	return alu_zero_extend(offset, i->addr_size);
}

/* ---- operands ---- */

enum emul_result exec_read(struct exec *x, uint64_t linear, uint64_t *value, unsigned int size,
			   enum emul_access access)
{
	*value = 0;
	return x->ops->read(x->ctx, linear, value, size, access) ? EMUL_FAULT : EMUL_DONE;
}

enum emul_result exec_write(struct exec *x, uint64_t linear, uint64_t value, unsigned int size)
{
	return x->ops->write(x->ctx, linear, &value, size) ? EMUL_FAULT : EMUL_DONE;
}

enum emul_result exec_probe_write(struct exec *x, uint64_t linear, unsigned int size)
{
	return x->ops->probe_write(x->ctx, linear, size) ? EMUL_FAULT : EMUL_DONE;
}

static bool is_high_byte(const struct exec *x, unsigned int number, unsigned int size)
{
	return size == 1 && !x->insn.rex && number >= EMUL_RSP && number <= EMUL_RDI;
}

uint64_t exec_reg(const struct exec *x, unsigned int number, unsigned int size)
{
	if (is_high_byte(x, number, size))
		return x->cpu->gpr[number - EMUL_RSP] >> 8 & 0xff;
	return alu_zero_extend(x->cpu->gpr[number], size);
}

void exec_set_reg(struct exec *x, unsigned int number, uint64_t value, unsigned int size)
{
	uint64_t *reg = &x->cpu->gpr[number];

	value = alu_zero_extend(value, size);
	if (is_high_byte(x, number, size)) {
		reg = &x->cpu->gpr[number - EMUL_RSP];
		*reg = (*reg & ~0xff00ULL) | value << 8;
	} else if (size <= 2) {
		*reg = (*reg & ~alu_zero_extend(~0ULL, size)) | value;
	} else {
		*reg = value;
	}
}

static enum emul_result load(struct exec *x, enum insn_operand operand, unsigned int size,
			     enum emul_access access, uint64_t *value)
{
	const struct insn *i = &x->insn;

	switch (operand) {
	case OPND_RM:
		if (i->mem)
			return exec_read(x, x->linear, value, size, access);
		*value = exec_reg(x, i->rm, size);
		break;
	case OPND_REG:
		*value = exec_reg(x, i->reg, size);
		break;
	case OPND_SREG:
		*value = x->cpu->seg[i->reg & 7].selector;
		break;
	case OPND_ACC:
		*value = exec_reg(x, EMUL_RAX, size);
		break;
	case OPND_IMM:
		*value = i->imm;
		break;
	case OPND_CL:
		*value = exec_reg(x, EMUL_RCX, 1);
		break;
	default: /* OPND_ONE; nobody looks at OPND_NONE */
		*value = 1;
		break;
	}
	return EMUL_DONE;
}

static unsigned int dst_register(const struct insn *i)
{
	return i->dst == OPND_ACC ? EMUL_RAX : i->dst == OPND_REG ? i->reg : i->rm;
}

/* ---- instructions that compute a result from two operands ---- */

static void do_binary(struct exec *x)
{
	x->result = alu_binary(x->insn.op, x->dst, x->src, x->insn.op_size, &x->rflags);
}

static void do_unary(struct exec *x)
{
	x->result = alu_unary(x->insn.op, x->dst, x->insn.op_size, &x->rflags);
}

static void do_shift(struct exec *x)
{
	x->result = alu_shift(x->insn.op, x->dst, x->src, x->insn.op_size, &x->rflags);
}

static void do_bit(struct exec *x)
{
	x->result = alu_bit(x->insn.op, x->dst, x->src, x->insn.op_size, &x->rflags);
}

/* MOV, MOVZX, MOVNTI; XCHG. */
static void do_move(struct exec *x)
{
	x->result = x->src;
}

static void do_movsx(struct exec *x)
{
	x->result = alu_sign_extend(x->src, x->insn.src_size);
}

static void do_movbe(struct exec *x)
{
	x->result = __builtin_bswap64(x->src) >> (64 - 8 * x->insn.op_size);
}

static void do_cmov(struct exec *x)
{
	x->result = alu_condition(x->insn.opcode, x->cpu->rflags) ? x->src : x->dst;
}

static void do_setcc(struct exec *x)
{
	x->result = alu_condition(x->insn.opcode, x->cpu->rflags);
}

static void do_xadd(struct exec *x)
{
	x->result = alu_binary(OP_ADD, x->dst, x->src, x->insn.op_size, &x->rflags);
}

/* A failed comparison writes the old value back: there is a write cycle in any case. */
static void do_cmpxchg(struct exec *x)
{
	uint64_t accumulator = exec_reg(x, EMUL_RAX, x->insn.op_size);

	alu_binary(OP_CMP, accumulator, x->dst, x->insn.op_size, &x->rflags);
	x->result = x->rflags & RFLAGS_ZF ? x->src : x->dst;
}

static void do_scan(struct exec *x)
{
	x->result = alu_scan(x->insn.op, x->src, x->insn.op_size, &x->rflags);
}

static void do_smsw(struct exec *x)
{
	x->result = x->cpu->cr0;
}

static void do_double_shift(struct exec *x)
{
	uint64_t count = x->insn.opcode & 1 ? x->cpu->gpr[EMUL_RCX] : (uint64_t)x->insn.imm;

	x->result = alu_double_shift(x->insn.op, x->dst, x->src, (uint8_t)count, x->insn.op_size,
				     &x->rflags);
}

static void do_imul(struct exec *x)
{
	uint64_t other = x->insn.op == OP_IMUL_IMM ? (uint64_t)x->insn.imm : x->dst, high;

	alu_multiply(true, x->src, other, x->insn.op_size, &x->result, &high, &x->rflags);
}

/* ---- instructions of another shape ---- */

/* MUL, IMUL, DIV, IDIV of RDX:RAX; of AX alone, which is AH:AL, when the operand is a byte. */
static enum emul_result run_accumulator(struct exec *x)
{
	unsigned int size = x->insn.op_size;
	bool is_signed = x->insn.op == OP_IMUL || x->insn.op == OP_IDIV;
	uint64_t low = exec_reg(x, EMUL_RAX, size);
	uint64_t high = size == 1 ? x->cpu->gpr[EMUL_RAX] >> 8 & 0xff : exec_reg(x, EMUL_RDX, size);
	enum emul_result r = load(x, OPND_RM, size, EMUL_READ, &x->src);

	if (r)
		return r;
	if (x->insn.op <= OP_IMUL)
		alu_multiply(is_signed, low, x->src, size, &low, &high, &x->rflags);
	else if (!alu_divide(is_signed, x->src, size, &low, &high))
		return raise(x, VECTOR_DE, false);
	if (size == 1) {
		exec_set_reg(x, EMUL_RAX, low | high << 8, 2);
		return EMUL_DONE;
	}
	exec_set_reg(x, EMUL_RAX, low, size);
	exec_set_reg(x, EMUL_RDX, high, size);
	return EMUL_DONE;
}

static unsigned int stack_size(const struct exec *x)
{
	if (x->cpu->mode == EMUL_MODE_64)
		return 8;
	return x->cpu->seg[EMUL_SS].attr & ATTR_BIG ? 4 : 2;
}

static enum emul_result run_push(struct exec *x)
{
	unsigned int size = x->insn.op_size, width = stack_size(x);
	uint64_t top = alu_zero_extend(x->cpu->gpr[EMUL_RSP] - size, width);
	uint64_t linear;
	enum emul_result r = exec_linear(x, EMUL_SS, top, size, true, &linear);

	if (!r && x->insn.mem)
		r = exec_probe_write(x, linear, size);
	if (!r)
		r = load(x, OPND_RM, size, EMUL_READ, &x->src);
	if (!r)
		r = exec_write(x, linear, x->src, size);
	if (!r)
		exec_set_reg(x, EMUL_RSP, top, width);
	return r;
}

/* An address based on RSP is computed with the value after the POP (SDM vol. 2B). */
static enum emul_result run_pop(struct exec *x)
{
	unsigned int size = x->insn.op_size, width = stack_size(x);
	uint64_t rsp = x->cpu->gpr[EMUL_RSP], linear;
	enum emul_result r =
		exec_linear(x, EMUL_SS, alu_zero_extend(rsp, width), size, false, &linear);

	if (r)
		return r;
	exec_set_reg(x, EMUL_RSP, rsp + size, width);
	if (x->insn.mem)
		r = exec_linear(x, x->insn.seg, effective_address(x), size, true, &x->linear);
	if (!r && x->insn.mem)
		r = exec_probe_write(x, x->linear, size);
	if (!r)
		r = exec_read(x, linear, &x->result, size, EMUL_READ);
	if (!r && x->insn.mem)
		r = exec_write(x, x->linear, x->result, size);
	if (r)
		x->cpu->gpr[EMUL_RSP] = rsp;
	else if (!x->insn.mem)
		exec_set_reg(x, x->insn.rm, x->result, size);
	return r;
}

/* CMPXCHG8B and CMPXCHG16B: RDX:RAX against memory, RCX:RBX into it, in two halves. */
static enum emul_result run_cmpxchg8b(struct exec *x)
{
	unsigned int size = x->insn.op_size, half = size / 2;
	uint8_t memory[16] = {0};
	uint64_t old[2] = {0}, wanted[2];
	bool same;

	if (size == 16 && !IS_ALIGNED(x->linear, 16))
		return exec_raise_gp(x);
	if (x->ops->read(x->ctx, x->linear, memory, size, EMUL_READ_MODIFY))
		return EMUL_FAULT;
	memcpy(&old[0], memory, half);
	memcpy(&old[1], memory + half, half);
	same = old[0] == exec_reg(x, EMUL_RAX, half) && old[1] == exec_reg(x, EMUL_RDX, half);
	wanted[0] = same ? exec_reg(x, EMUL_RBX, half) : old[0];
	wanted[1] = same ? exec_reg(x, EMUL_RCX, half) : old[1];
	memcpy(memory, &wanted[0], half);
	memcpy(memory + half, &wanted[1], half);
	if (x->ops->write(x->ctx, x->linear, memory, size))
		return EMUL_FAULT;
	x->rflags = same ? x->rflags | RFLAGS_ZF : x->rflags & ~RFLAGS_ZF;
	if (!same) {
		exec_set_reg(x, EMUL_RAX, old[0], half);
		exec_set_reg(x, EMUL_RDX, old[1], half);
	}
	return EMUL_DONE;
}

/*
 * What is shorter than the register comes with zeros above it. The register is asked for first in
 * any case: where it cannot be had, nothing is read.
 */
static enum emul_result run_mov_vector(struct exec *x)
{
	const struct insn *i = &x->insn;
	uint8_t value[32] = {0}, vector;

	if (!x->ops->vector)
		return EMUL_UNSUPPORTED;
	if (i->aligned && !IS_ALIGNED(x->linear, i->op_size))
		return exec_raise_gp(x);
	vector = x->ops->vector(x->ctx, i->vector, i->reg, value, false);
	if (vector)
		return raise(x, vector, false);
	if (i->dst == OPND_RM)
		return x->ops->write(x->ctx, x->linear, value, i->op_size) ? EMUL_FAULT : EMUL_DONE;
	memset(value, 0, sizeof(value));
	if (x->ops->read(x->ctx, x->linear, value, i->op_size, EMUL_READ))
		return EMUL_FAULT;
	x->ops->vector(x->ctx, i->vector, i->reg, value, true);
	return EMUL_DONE;
}

/* A device's memory is in no cache; the address has been checked. */
static enum emul_result run_clflush(struct exec *x)
{
	(void)x;
	return EMUL_DONE;
}

/* ---- all of them ---- */

enum { READS = 1, WRITES = 2, UPDATES = READS | WRITES };

/* What does it: one of computes[], or from HOW_CMPXCHG8B on one of runs[]. */
enum how {
	HOW_BINARY,
	HOW_UNARY,
	HOW_SHIFT,
	HOW_BIT,
	HOW_MOVE,
	HOW_MOVSX,
	HOW_MOVBE,
	HOW_CMOV,
	HOW_SETCC,
	HOW_XADD,
	HOW_CMPXCHG,
	HOW_DOUBLE_SHIFT,
	HOW_IMUL,
	HOW_SCAN,
	HOW_SMSW,
	HOW_CMPXCHG8B,
	HOW_ACCUMULATOR,
	HOW_CLFLUSH,
	HOW_MOV_VECTOR,
	HOW_PUSH,
	HOW_POP,
	HOW_STRING,
};

/* x->result from x->dst and x->src; */
static void (*const computes[])(struct exec *x) = {
	[HOW_BINARY] = do_binary, [HOW_UNARY] = do_unary,     [HOW_SHIFT] = do_shift,
	[HOW_BIT] = do_bit,	  [HOW_MOVE] = do_move,	      [HOW_MOVSX] = do_movsx,
	[HOW_MOVBE] = do_movbe,	  [HOW_CMOV] = do_cmov,	      [HOW_SETCC] = do_setcc,
	[HOW_XADD] = do_xadd,	  [HOW_CMPXCHG] = do_cmpxchg, [HOW_DOUBLE_SHIFT] = do_double_shift,
	[HOW_IMUL] = do_imul,	  [HOW_SCAN] = do_scan,	      [HOW_SMSW] = do_smsw,
};

/* or everything. */
static enum emul_result (*const runs[])(struct exec *x) = {
	run_cmpxchg8b, run_accumulator, run_clflush, run_mov_vector, run_push, run_pop, exec_string,
};

static const struct {
	uint8_t how; /* enum how */
	uint8_t dst; /* what happens to the destination */
} table[OP_COUNT] = {
	[OP_ADD] = {HOW_BINARY, UPDATES},
	[OP_OR] = {HOW_BINARY, UPDATES},
	[OP_ADC] = {HOW_BINARY, UPDATES},
	[OP_SBB] = {HOW_BINARY, UPDATES},
	[OP_AND] = {HOW_BINARY, UPDATES},
	[OP_SUB] = {HOW_BINARY, UPDATES},
	[OP_XOR] = {HOW_BINARY, UPDATES},
	[OP_CMP] = {HOW_BINARY, READS},
	[OP_TEST] = {HOW_BINARY, READS},
	[OP_NOT] = {HOW_UNARY, UPDATES},
	[OP_NEG] = {HOW_UNARY, UPDATES},
	[OP_INC] = {HOW_UNARY, UPDATES},
	[OP_DEC] = {HOW_UNARY, UPDATES},
	[OP_ROL... OP_SAR] = {HOW_SHIFT, UPDATES},
	[OP_BT] = {HOW_BIT, READS},
	[OP_BTS] = {HOW_BIT, UPDATES},
	[OP_BTR] = {HOW_BIT, UPDATES},
	[OP_BTC] = {HOW_BIT, UPDATES},
	[OP_MOV] = {HOW_MOVE, WRITES},
	[OP_MOVZX] = {HOW_MOVE, WRITES},
	[OP_MOVSX] = {HOW_MOVSX, WRITES},
	[OP_MOVBE] = {HOW_MOVBE, WRITES},
	[OP_MOVNTI] = {HOW_MOVE, WRITES},
	[OP_CMOV] = {HOW_CMOV, UPDATES},
	[OP_SETCC] = {HOW_SETCC, WRITES},
	[OP_XCHG] = {HOW_MOVE, UPDATES},
	[OP_XADD] = {HOW_XADD, UPDATES},
	[OP_CMPXCHG] = {HOW_CMPXCHG, UPDATES},
	[OP_CMPXCHG8B] = {HOW_CMPXCHG8B, UPDATES},
	[OP_SHLD] = {HOW_DOUBLE_SHIFT, UPDATES},
	[OP_SHRD] = {HOW_DOUBLE_SHIFT, UPDATES},
	[OP_MUL... OP_IDIV] = {HOW_ACCUMULATOR, READS},
	[OP_IMUL_REG] = {HOW_IMUL, UPDATES},
	[OP_IMUL_IMM] = {HOW_IMUL, WRITES},
	[OP_BSF... OP_POPCNT] = {HOW_SCAN, WRITES},
	[OP_SMSW] = {HOW_SMSW, WRITES},
	[OP_CLFLUSH] = {HOW_CLFLUSH, READS},
	[OP_MOV_VECTOR] = {HOW_MOV_VECTOR, UPDATES},
	[OP_PUSH] = {HOW_PUSH, READS},
	[OP_POP] = {HOW_POP, 0},
	[OP_MOVS... OP_OUTS] = {HOW_STRING, 0},
};

/* Registers are written last, when nothing can fail any more. */
static enum emul_result store(struct exec *x)
{
	const struct insn *i = &x->insn;
	bool to_memory = i->dst == OPND_RM && i->mem;
	enum emul_result r;

	/* Without a bit to find, processors leave all of the register as it is. */
	if ((i->op == OP_BSF || i->op == OP_BSR) && x->rflags & RFLAGS_ZF)
		return EMUL_DONE;
	if (to_memory) {
		r = exec_write(x, x->linear, x->result, i->op_size);
		if (r)
			return r;
	}
	if (i->op == OP_XCHG || i->op == OP_XADD)
		exec_set_reg(x, i->reg, x->dst, i->op_size);
	if (i->op == OP_CMPXCHG && !(x->rflags & RFLAGS_ZF))
		exec_set_reg(x, EMUL_RAX, x->dst, i->op_size);
	else if (!to_memory)
		exec_set_reg(x, dst_register(i), x->result, i->op_size);
	return EMUL_DONE;
}

static enum emul_result run_operands(struct exec *x, unsigned int dst)
{
	const struct insn *i = &x->insn;
	enum emul_result r = EMUL_DONE;

	if (dst & READS)
		r = load(x, i->dst, i->op_size, dst & WRITES ? EMUL_READ_MODIFY : EMUL_READ,
			 &x->dst);
	if (!r)
		r = load(x, i->src, i->src_size, EMUL_READ, &x->src);
	if (r)
		return r;
	computes[table[i->op].how](x);
	return dst & WRITES ? store(x) : EMUL_DONE;
}

static enum emul_result run(struct exec *x)
{
	const struct insn *i = &x->insn;
	unsigned int how = table[i->op].how, dst = table[i->op].dst;
	enum emul_result r;

	if (i->mem && dst) {
		bool is_dst = i->dst == OPND_RM;

		r = exec_linear(x, i->seg, effective_address(x), is_dst ? i->op_size : i->src_size,
				is_dst && (dst & WRITES), &x->linear);
		if (r)
			return r;
	}
	if (how >= ARRAY_SIZE(computes))
		return runs[how - ARRAY_SIZE(computes)](x);
	return run_operands(x, dst);
}

/* Fetches what follows the first HAVE bytes, as far as the page and the code segment go. */
static enum emul_result fetch_more(struct exec *x, uint8_t *bytes, size_t *have)
{
	uint64_t offset = x->cpu->rip + *have, linear;
	size_t n = INSN_MAX - *have;

	if (x->cpu->mode == EMUL_MODE_64) {
		if (!walk_canonical(offset, x->cpu->cr4))
			return exec_raise_gp(x);
	} else {
		offset = (uint32_t)offset;
		if (offset > x->cpu->seg[EMUL_CS].limit)
			return exec_raise_gp(x);
		n = MIN(n, x->cpu->seg[EMUL_CS].limit - offset + 1);
	}
	linear = segment_address(x, EMUL_CS, offset);
	n = MIN(n, PAGE_SIZE - linear % PAGE_SIZE);
	if (x->ops->fetch(x->ctx, linear, bytes + *have, n))
		return EMUL_FAULT;
	*have += n;
	return EMUL_DONE;
}

static enum emul_result fetch_and_decode(struct exec *x, const uint8_t *given, size_t n)
{
	uint8_t bytes[INSN_MAX];
	size_t have = MIN(n, sizeof(bytes));
	int err;

	if (have)
		memcpy(bytes, given, have);
	while ((err = insn_decode(&x->insn, bytes, have, x->cpu->mode)) == -EAGAIN) {
		enum emul_result r = fetch_more(x, bytes, &have);

		if (r)
			return r;
	}
	if (err == -E2BIG)
		return exec_raise_gp(x);
	return err ? raise(x, VECTOR_UD, false) : EMUL_DONE;
}

enum emul_result emul_exec(struct emul_cpu *cpu, const struct emul_ops *ops, void *ctx,
			   const uint8_t *bytes, size_t n)
{
	struct exec x = {.cpu = cpu, .ops = ops, .ctx = ctx, .rflags = cpu->rflags};
	enum emul_result r;

	cpu->length = 0;
	r = fetch_and_decode(&x, bytes, n);
	if (r)
		return r;
	cpu->length = x.insn.length;
	if (x.insn.op == OP_NONE)
		return EMUL_UNSUPPORTED;
	r = run(&x);
	if (r)
		return r;
	cpu->rflags = x.rflags & ~RFLAGS_RF;
	cpu->rip = alu_zero_extend(cpu->rip + x.insn.length, cpu->mode == EMUL_MODE_64 ? 8 : 4);
	return EMUL_DONE;
}

enum emul_result emul_operand_address(struct emul_cpu *cpu, const struct insn *insn,
				      unsigned int size, uint64_t *linear)
{
	struct exec x = {.cpu = cpu, .insn = *insn};

	return exec_linear(&x, insn->seg, effective_address(&x), size, false, linear);
}
