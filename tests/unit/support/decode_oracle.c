#include "tests/unit/support/decode_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/util.h"

struct oracle oracles[3];

void decode_oracle_init(void)
{
	static const struct {
		enum emul_mode mode;
		ZydisMachineMode machine;
		ZydisStackWidth stack;
	} modes[] = {
		{EMUL_MODE_16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
		{EMUL_MODE_32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
		{EMUL_MODE_64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
	};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		oracles[i].mode = modes[i].mode;
		ZydisDecoderInit(&oracles[i].decoder, modes[i].machine, modes[i].stack);
	}
}

/* How Zydis calls what emul/exec.c executes; the whole name, or with '*' how it begins. */
static const char *const names[OP_COUNT] = {
	[OP_ADD] = "add",
	[OP_OR] = "or",
	[OP_ADC] = "adc",
	[OP_SBB] = "sbb",
	[OP_AND] = "and",
	[OP_SUB] = "sub",
	[OP_XOR] = "xor",
	[OP_CMP] = "cmp",
	[OP_TEST] = "test",
	[OP_NOT] = "not",
	[OP_NEG] = "neg",
	[OP_INC] = "inc",
	[OP_DEC] = "dec",
	[OP_ROL] = "rol",
	[OP_ROR] = "ror",
	[OP_RCL] = "rcl",
	[OP_RCR] = "rcr",
	[OP_SHL] = "shl",
	[OP_SHR] = "shr",
	[OP_SAL] = "shl",
	[OP_SAR] = "sar",
	[OP_BT] = "bt",
	[OP_BTS] = "bts",
	[OP_BTR] = "btr",
	[OP_BTC] = "btc",
	[OP_MOV] = "mov",
	[OP_MOVZX] = "movzx",
	[OP_MOVSX] = "movsx*",
	[OP_MOVBE] = "movbe",
	[OP_MOVNTI] = "movnti",
	[OP_CMOV] = "cmov*",
	[OP_SETCC] = "set*",
	[OP_XCHG] = "xchg",
	[OP_XADD] = "xadd",
	[OP_CMPXCHG] = "cmpxchg",
	[OP_PUSH] = "push",
	[OP_POP] = "pop",
	[OP_MOVS] = "movs*",
	[OP_CMPS] = "cmps*",
	[OP_STOS] = "stos*",
	[OP_LODS] = "lods*",
	[OP_SCAS] = "scas*",
	[OP_INS] = "ins*",
	[OP_OUTS] = "outs*",
	[OP_CMPXCHG8B] = "cmpxchg*",
	[OP_SHLD] = "shld",
	[OP_SHRD] = "shrd",
	[OP_MUL] = "mul",
	[OP_IMUL] = "imul",
	[OP_DIV] = "div",
	[OP_IDIV] = "idiv",
	[OP_IMUL_REG] = "imul",
	[OP_IMUL_IMM] = "imul",
	[OP_BSF] = "bsf",
	[OP_BSR] = "bsr",
	[OP_TZCNT] = "tzcnt",
	[OP_LZCNT] = "lzcnt",
	[OP_POPCNT] = "popcnt",
	[OP_SMSW] = "smsw",
	[OP_CLFLUSH] = "cl*",
	[OP_MOV_VECTOR] = "*", /* more than one mnemonic: sizes, direction and register tell */
};

static bool called(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return strcmp(pattern, name) == 0;
}

static void complain(const struct sample *s, const char *what, long long got, long long want)
{
	char bytes[64] = "";

	for (unsigned int i = 0; i < 15; i++)
		sprintf(bytes + 3 * i, "%02x ", s->bytes[i]);
	fprintf(stderr, "%s(%d-bit) %s: %s is %lld, wanted %lld\n", bytes, s->oracle->mode,
		ZydisMnemonicGetString(s->z.mnemonic), what, got, want);
	abort();
}

#define SAME(s, what, got, want)                                                \
	do {                                                                    \
		if ((long long)(got) != (long long)(want))                      \
			complain(s, what, (long long)(got), (long long)(want)); \
	} while (0)

static int register_number(ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return EMUL_NO_REG;
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return EMUL_RIP;
	return ZydisRegisterGetId(r);
}

static bool is_string(const struct insn *i)
{
	return i->op >= OP_MOVS && i->op <= OP_OUTS;
}

static const ZydisDecodedOperand *visible_memory(const struct sample *s)
{
	for (unsigned int i = 0; i < s->z.operand_count_visible; i++)
		if (s->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &s->operands[i];
	return NULL;
}

static void compare_memory(const struct sample *s)
{
	const ZydisDecodedOperand *m = visible_memory(s);
	const struct insn *i = &s->insn;
	bool is_source = i->src == OPND_RM;

	SAME(s, "a memory operand", i->mem, m != NULL);
	if (!m)
		return;
	SAME(s, "address size", i->addr_size * 8, s->z.address_width);
	SAME(s, "segment", i->seg, m->mem.segment - ZYDIS_REGISTER_ES);
	/*
	 * Zydis 4.0 sees R13D and no displacement here; a processor does not (SDM vol. 2 table
	 * 2-5).
	 */
	if (i->addr_size == 4 && s->z.raw.modrm.mod == 0 && m->mem.base == ZYDIS_REGISTER_R13D)
		return;
	SAME(s, "base", i->base, register_number(m->mem.base));
	SAME(s, "index", i->index, register_number(m->mem.index));
	if (i->index != EMUL_NO_REG)
		SAME(s, "scale", i->scale, MAX(m->mem.scale, 1));
	if (i->has_modrm)
		SAME(s, "displacement", i->disp,
		     m->mem.disp.has_displacement ? m->mem.disp.value : 0);
	else /* MOV's offsets have no sign */
		SAME(s, "offset", i->disp, m->mem.disp.value & (~0ULL >> (64 - 8 * i->addr_size)));
	/* Zydis' is the line that goes. */
	if (i->op != OP_CLFLUSH)
		SAME(s, "operand size", (is_source ? i->src_size : i->op_size) * 8, m->size);
}

static ZydisRegister vector_register(const struct insn *i)
{
	if (i->vector == INSN_MMX)
		return ZYDIS_REGISTER_MM0 + i->reg;
	return (i->op_size == 32 ? ZYDIS_REGISTER_YMM0 : ZYDIS_REGISTER_XMM0) + i->reg;
}

/* The other operands, by the number of the register or the value. */
static void compare_operand(const struct sample *s, const ZydisDecodedOperand *o, unsigned int kind)
{
	const struct insn *i = &s->insn;
	unsigned int number = kind == OPND_RM ? i->rm : i->reg;
	/* A count is a byte; other immediates are as wide as the operand. */
	bool count = (i->op >= OP_ROL && i->op <= OP_BTC) || i->op == OP_SHLD || i->op == OP_SHRD;
	uint64_t mask = ~0ULL >> (count ? 56 : 64 - 8 * MIN(i->op_size, 8));

	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		SAME(s, "operand kind", kind == OPND_IMM || kind == OPND_ONE, true);
		if (kind == OPND_IMM)
			SAME(s, "immediate", i->imm & mask, o->imm.value.u & mask);
	} else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		   (kind == OPND_RM || kind == OPND_REG)) {
		ZydisRegister r = o->reg.value;

		if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
			SAME(s, "REX prefix", i->rex, 0);
		if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_DIL)
			SAME(s, "no REX prefix", i->rex == 0, false);
		/* Zydis counts AH to BH apart from SPL to DIL; their numbers are the same. */
		SAME(s, "register", number,
		     ZydisRegisterGetId(r) -
			     (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B ? 4 : 0));
		/*
		 * Of MOVSXD with a word destination a processor reads all 32 bits from memory
		 * alone.
		 */
		if (i->opcode == 0x63 && kind == i->src)
			return;
		SAME(s, "register's size", (kind == i->src ? i->src_size : i->op_size) * 8,
		     ZydisRegisterGetWidth(s->oracle->decoder.machine_mode, r));
	} else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && kind == OPND_VECTOR) {
		SAME(s, "vector register", o->reg.value, vector_register(i));
	} else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && kind == OPND_SREG) {
		SAME(s, "segment register", i->reg & 7, o->reg.value - ZYDIS_REGISTER_ES);
	}
}

static void compare_string(const struct sample *s)
{
	const struct insn *i = &s->insn;

	SAME(s, "address size", i->addr_size * 8, s->z.address_width);
	for (unsigned int n = 0; n < s->z.operand_count; n++) {
		const ZydisDecodedOperand *o = &s->operands[n];

		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		SAME(s, "element size", i->op_size * 8, o->size);
		if (ZydisRegisterGetId(o->mem.base) == EMUL_RSI)
			SAME(s, "segment", i->seg, o->mem.segment - ZYDIS_REGISTER_ES);
	}
}

static void compare_meaning(const struct sample *s)
{
	const struct insn *i = &s->insn;
	const char *name = ZydisMnemonicGetString(s->z.mnemonic);

	SAME(s, "instruction", called(names[i->op], name), true);
	SAME(s, "lock", i->lock, (s->z.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0);
	if (is_string(i)) {
		compare_string(s);
		return;
	}
	compare_memory(s);
	if (i->dst != OPND_NONE)
		compare_operand(s, &s->operands[0], i->dst);
	if (i->src != OPND_NONE)
		compare_operand(s, &s->operands[i->dst != OPND_NONE], i->src);
	if ((i->op == OP_SHLD || i->op == OP_SHRD || i->op == OP_IMUL_IMM) &&
	    s->operands[2].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		compare_operand(s, &s->operands[2], OPND_IMM);
}

/*
 * All of Zydis' ADD to OUTS with a memory operand must be known; loading a segment register is not.
 */
static void compare_unknown(const struct sample *s)
{
	const char *name = ZydisMnemonicGetString(s->z.mnemonic);

	if (!visible_memory(s) || s->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    s->insn.opcode == 0x8e)
		return;
	for (unsigned int op = OP_NONE + 1; op < OP_COUNT; op++)
		if (!strchr(names[op], '*') && called(names[op], name))
			complain(s, "executable", 0, 1);
}

bool decode_oracle_compare(struct sample *s)
{
	bool z_ok = ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(&s->oracle->decoder, s->bytes, 15, &s->z, s->operands));
	int err = insn_decode(&s->insn, s->bytes, 15, s->oracle->mode);

	/* Instructions of the Knights Corner coprocessors, which reused encodings. */
	if (z_ok && strncmp(ZydisISAExtGetString(s->z.meta.isa_ext), "KNC", 3) == 0)
		return false;
	if (!z_ok) {
		/*
		 * We need not know every hole of the opcode maps, but those around what we execute.
		 */
		if (!err && s->insn.op != OP_NONE)
			complain(s, "an invalid instruction's length", s->insn.length, -EINVAL);
		return false;
	}
	if (err)
		complain(s, "error", err, 0);
	SAME(s, "length", s->insn.length, s->z.length);
	if (s->insn.op != OP_NONE)
		compare_meaning(s);
	else
		compare_unknown(s);
	return true;
}
