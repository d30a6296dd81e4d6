#include "emul/tables.h"

#include "emul/insn.h"
#include "lib/util.h"

/* clang-format off */
#define __ IMM_NONE
#define XX ATTR_NONE
#define B_ IMM_8
#define Z_ IMM_Z
#define V_ IMM_V
#define J_ IMM_J
#define O_ IMM_OFFSET
#define M_ ATTR_MODRM
#define MB (ATTR_MODRM | IMM_8)
#define MZ (ATTR_MODRM | IMM_Z)
#define R_ (ATTR_MODRM | ATTR_REG_ONLY)
#define N_ ATTR_NOT_64
#define NB (ATTR_NOT_64 | IMM_8)
#define NM (ATTR_NOT_64 | ATTR_MODRM)
#define NF (ATTR_NOT_64 | IMM_FAR)
#define W_ IMM_16
#define E_ IMM_16_8

/* SDM vol. 2D table A-2. Group 3 (F6, F7) has an immediate for TEST only, which decode.c adds. */
const uint8_t insn_attr_one_byte[256] = {
	/* 00 */ M_, M_, M_, M_, B_, Z_, N_, N_, M_, M_, M_, M_, B_, Z_, N_, XX,
	/* 10 */ M_, M_, M_, M_, B_, Z_, N_, N_, M_, M_, M_, M_, B_, Z_, N_, N_,
	/* 20 */ M_, M_, M_, M_, B_, Z_, XX, N_, M_, M_, M_, M_, B_, Z_, XX, N_,
	/* 30 */ M_, M_, M_, M_, B_, Z_, XX, N_, M_, M_, M_, M_, B_, Z_, XX, N_,
	/* 40 */ __, __, __, __, __, __, __, __, __, __, __, __, __, __, __, __,
	/* 50 */ __, __, __, __, __, __, __, __, __, __, __, __, __, __, __, __,
	/* 60 */ N_, N_, NM, M_, XX, XX, XX, XX, Z_, MZ, B_, MB, __, __, __, __,
	/* 70 */ B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_, B_,
	/* 80 */ MB, MZ, MB | N_, MB, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 90 */ __, __, __, __, __, __, __, __, __, __, NF, __, __, __, __, __,
	/* a0 */ O_, O_, O_, O_, __, __, __, __, B_, Z_, __, __, __, __, __, __,
	/* b0 */ B_, B_, B_, B_, B_, B_, B_, B_, V_, V_, V_, V_, V_, V_, V_, V_,
	/* c0 */ MB, MB, W_, __, NM, NM, MB, MZ, E_, __, W_, __, __, B_, N_, __,
	/* d0 */ M_, M_, M_, M_, NB, NB, N_, __, M_, M_, M_, M_, M_, M_, M_, M_,
	/* e0 */ B_, B_, B_, B_, B_, B_, B_, B_, J_, J_, NF, B_, __, __, __, __,
	/* f0 */ XX, __, XX, XX, __, __, M_, M_, __, __, __, __, __, __, M_, M_,
};

/*
 * SDM vol. 2D table A-3, and AMD's 0F 0F. The maps 0F 38 and 0F 3A are uniform and need no table.
 */
const uint8_t insn_attr_0f[256] = {
	/* 00 */ M_, M_, M_, M_, XX, __, __, __, __, __, XX, __, XX, M_, __, MB,
	/* 10 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 20 */ R_, R_, R_, R_, XX, XX, XX, XX, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 30 */ __, __, __, __, __, __, XX, __, XX, XX, XX, XX, XX, XX, XX, XX,
	/* 40 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 50 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 60 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 70 */ MB, MB, MB, MB, M_, M_, M_, __, M_, M_, M_, M_, M_, M_, M_, M_,
	/* 80 */ J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_, J_,
	/* 90 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* a0 */ __, __, __, M_, MB, M_, M_, M_, __, __, __, M_, MB, M_, M_, M_,
	/* b0 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, MB, M_, M_, M_, M_, M_,
	/* c0 */ M_, M_, MB, M_, MB, MB, MB, M_, __, __, __, __, __, __, __, __,
	/* d0 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* e0 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
	/* f0 */ M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_, M_,
};
/* clang-format on */

#define RM   OPND_RM
#define REG  OPND_REG
#define IMM  OPND_IMM
#define LOCK ROW_LOCK

/* A group: one opcode whose ModRM reg field selects the instruction (SDM vol. 2D table A-6). */
enum {
	OP_GROUP = 0x80, /* added to the number below, it stands for an insn_op */
	GROUP_1 = 0,
	GROUP_1A,
	GROUP_2,
	GROUP_3,
	GROUP_4,
	GROUP_5,
	GROUP_7,
	GROUP_8,
	GROUP_9,
	GROUP_11,
	GROUP_15,
	GROUP_COUNT
};

_Static_assert((int)OP_COUNT <= (int)OP_GROUP,
	       "an instruction's number must differ from a group's");

static const struct insn_row groups[GROUP_COUNT][8] = {
	[GROUP_1] = {{OP_ADD, RM, IMM, LOCK},
		     {OP_OR, RM, IMM, LOCK},
		     {OP_ADC, RM, IMM, LOCK},
		     {OP_SBB, RM, IMM, LOCK},
		     {OP_AND, RM, IMM, LOCK},
		     {OP_SUB, RM, IMM, LOCK},
		     {OP_XOR, RM, IMM, LOCK},
		     {OP_CMP, RM, IMM, 0}},
	[GROUP_1A] = {{OP_POP, RM, 0, ROW_STACK}},
	/* The count is the opcode's. */
	[GROUP_2] = {{OP_ROL, RM, 0, 0},
		     {OP_ROR, RM, 0, 0},
		     {OP_RCL, RM, 0, 0},
		     {OP_RCR, RM, 0, 0},
		     {OP_SHL, RM, 0, 0},
		     {OP_SHR, RM, 0, 0},
		     {OP_SAL, RM, 0, 0},
		     {OP_SAR, RM, 0, 0}},
	[GROUP_3] = {{OP_TEST, RM, IMM, 0},
		     {OP_TEST, RM, IMM, 0},
		     {OP_NOT, RM, 0, LOCK},
		     {OP_NEG, RM, 0, LOCK},
		     {OP_MUL, 0, RM, 0},
		     {OP_IMUL, 0, RM, 0},
		     {OP_DIV, 0, RM, 0},
		     {OP_IDIV, 0, RM, 0}},
	[GROUP_4] = {{OP_INC, RM, 0, LOCK}, {OP_DEC, RM, 0, LOCK}},
	[GROUP_5] =
		{{OP_INC, RM, 0, LOCK}, {OP_DEC, RM, 0, LOCK}, [6] = {OP_PUSH, 0, RM, ROW_STACK}},
	[GROUP_7] = {[4] = {OP_SMSW, RM, 0, 0}},
	[GROUP_8] = {[4] = {OP_BT, RM, IMM, 0},
		     {OP_BTS, RM, IMM, LOCK},
		     {OP_BTR, RM, IMM, LOCK},
		     {OP_BTC, RM, IMM, LOCK}},
	[GROUP_9] = {[1] = {OP_CMPXCHG8B, RM, 0, LOCK | ROW_MEM_ONLY}},
	[GROUP_11] = {{OP_MOV, RM, IMM, 0}},
	/* Of memory; CLWB has a 66h. */
	[GROUP_15] = {[6] = {OP_CLFLUSH, 0, RM, ROW_SRC_8 | ROW_NO_PREFIX},
		      {OP_CLFLUSH, 0, RM, ROW_SRC_8 | ROW_NO_PREFIX}},
};

#define GROUP(n, src, flags)                  \
	{                                     \
		OP_GROUP | (n), 0, src, flags \
	}
#define ALU(opcode, op, lock)                                                                      \
	[opcode] = {op, RM, REG, ROW_BYTE | (lock)}, {op, RM, REG, lock}, {op, REG, RM, ROW_BYTE}, \
	{                                                                                          \
		op, REG, RM, 0                                                                     \
	}

/* Instructions with a memory operand; those that never have one would only make the table long. */
static const struct insn_row rows_one_byte[256] = {
	ALU(0x00, OP_ADD, LOCK),
	ALU(0x08, OP_OR, LOCK),
	ALU(0x10, OP_ADC, LOCK),
	ALU(0x18, OP_SBB, LOCK),
	ALU(0x20, OP_AND, LOCK),
	ALU(0x28, OP_SUB, LOCK),
	ALU(0x30, OP_XOR, LOCK),
	ALU(0x38, OP_CMP, 0),
	[0x63] = {OP_MOVSX, REG, RM, ROW_SRC_32}, /* MOVSXD; ARPL outside 64-bit mode */
	[0x69] = {OP_IMUL_IMM, REG, RM, 0},
	[0x6b] = {OP_IMUL_IMM, REG, RM, 0},
	[0x6c] = {OP_INS, 0, 0, ROW_BYTE},
	[0x6d] = {OP_INS, 0, 0, 0},
	[0x6e] = {OP_OUTS, 0, 0, ROW_BYTE},
	[0x6f] = {OP_OUTS, 0, 0, 0},
	[0x80] = GROUP(GROUP_1, IMM, ROW_BYTE),
	[0x81] = GROUP(GROUP_1, IMM, 0),
	[0x82] = GROUP(GROUP_1, IMM, ROW_BYTE),
	[0x83] = GROUP(GROUP_1, IMM, 0),
	[0x84] = {OP_TEST, RM, REG, ROW_BYTE},
	[0x85] = {OP_TEST, RM, REG, 0},
	[0x86] = {OP_XCHG, RM, REG, ROW_BYTE | LOCK},
	[0x87] = {OP_XCHG, RM, REG, LOCK},
	[0x88] = {OP_MOV, RM, REG, ROW_BYTE},
	[0x89] = {OP_MOV, RM, REG, 0},
	[0x8a] = {OP_MOV, REG, RM, ROW_BYTE},
	[0x8b] = {OP_MOV, REG, RM, 0},
	[0x8c] = {OP_MOV, RM, OPND_SREG, 0},
	[0x8f] = GROUP(GROUP_1A, 0, 0),
	[0xa0] = {OP_MOV, OPND_ACC, RM, ROW_BYTE},
	[0xa1] = {OP_MOV, OPND_ACC, RM, 0},
	[0xa2] = {OP_MOV, RM, OPND_ACC, ROW_BYTE},
	[0xa3] = {OP_MOV, RM, OPND_ACC, 0},
	[0xa4] = {OP_MOVS, 0, 0, ROW_BYTE},
	[0xa5] = {OP_MOVS, 0, 0, 0},
	[0xa6] = {OP_CMPS, 0, 0, ROW_BYTE},
	[0xa7] = {OP_CMPS, 0, 0, 0},
	[0xaa] = {OP_STOS, 0, 0, ROW_BYTE},
	[0xab] = {OP_STOS, 0, 0, 0},
	[0xac] = {OP_LODS, 0, 0, ROW_BYTE},
	[0xad] = {OP_LODS, 0, 0, 0},
	[0xae] = {OP_SCAS, 0, 0, ROW_BYTE},
	[0xaf] = {OP_SCAS, 0, 0, 0},
	[0xc0] = GROUP(GROUP_2, IMM, ROW_BYTE),
	[0xc1] = GROUP(GROUP_2, IMM, 0),
	[0xc6] = GROUP(GROUP_11, 0, ROW_BYTE),
	[0xc7] = GROUP(GROUP_11, 0, 0),
	[0xd0] = GROUP(GROUP_2, OPND_ONE, ROW_BYTE),
	[0xd1] = GROUP(GROUP_2, OPND_ONE, 0),
	[0xd2] = GROUP(GROUP_2, OPND_CL, ROW_BYTE),
	[0xd3] = GROUP(GROUP_2, OPND_CL, 0),
	[0xf6] = GROUP(GROUP_3, 0, ROW_BYTE),
	[0xf7] = GROUP(GROUP_3, 0, 0),
	[0xfe] = GROUP(GROUP_4, 0, ROW_BYTE),
	[0xff] = GROUP(GROUP_5, 0, 0),
};

static const struct insn_row rows_0f[] = {
	[0x01] = GROUP(GROUP_7, 0, 0),
	[0x40 ... 0x4f] = {OP_CMOV, REG, RM, 0},
	[0x90 ... 0x9f] = {OP_SETCC, RM, 0, ROW_BYTE},
	[0xa3] = {OP_BT, RM, REG, 0},
	[0xa4] = {OP_SHLD, RM, REG, 0}, /* by an immediate; */
	[0xa5] = {OP_SHLD, RM, REG, 0}, /* by CL */
	[0xab] = {OP_BTS, RM, REG, LOCK},
	[0xac] = {OP_SHRD, RM, REG, 0},
	[0xad] = {OP_SHRD, RM, REG, 0},
	[0xae] = GROUP(GROUP_15, 0, 0),
	[0xaf] = {OP_IMUL_REG, REG, RM, 0},
	[0xb0] = {OP_CMPXCHG, RM, REG, ROW_BYTE | LOCK},
	[0xb1] = {OP_CMPXCHG, RM, REG, LOCK},
	[0xb3] = {OP_BTR, RM, REG, LOCK},
	[0xb6] = {OP_MOVZX, REG, RM, ROW_SRC_8},
	[0xb7] = {OP_MOVZX, REG, RM, ROW_SRC_16},
	[0xba] = GROUP(GROUP_8, 0, 0),
	[0xbb] = {OP_BTC, RM, REG, LOCK},
	[0xbc] = {OP_BSF, REG, RM, 0},
	[0xbd] = {OP_BSR, REG, RM, 0},
	[0xbe] = {OP_MOVSX, REG, RM, ROW_SRC_8},
	[0xbf] = {OP_MOVSX, REG, RM, ROW_SRC_16},
	[0xc0] = {OP_XADD, RM, REG, ROW_BYTE | LOCK},
	[0xc1] = {OP_XADD, RM, REG, LOCK},
	[0xc3] = {OP_MOVNTI, RM, REG, ROW_MEM_ONLY | ROW_NO_PREFIX},
	[0xc7] = GROUP(GROUP_9, 0, 0),
};

/* From F0h on. */
static const struct insn_row rows_0f38[] = {
	{OP_MOVBE, REG, RM, ROW_MEM_ONLY | ROW_NO_PREFIX},
	{OP_MOVBE, RM, REG, ROW_MEM_ONLY | ROW_NO_PREFIX},
};

static const struct vector_row vector_rows[] = {
	{1, 0x10, 0x00, 16, 0},		       /* MOVUPS */
	{1, 0x10, 0x66, 16, 0},		       /* MOVUPD */
	{1, 0x10, 0xf3, 4, VECTOR_ANY_LENGTH}, /* MOVSS */
	{1, 0x10, 0xf2, 8, VECTOR_ANY_LENGTH}, /* MOVSD */
	{1, 0x11, 0x00, 16, VECTOR_STORE},
	{1, 0x11, 0x66, 16, VECTOR_STORE},
	{1, 0x11, 0xf3, 4, VECTOR_ANY_LENGTH | VECTOR_STORE},
	{1, 0x11, 0xf2, 8, VECTOR_ANY_LENGTH | VECTOR_STORE},
	{1, 0x28, 0x00, 16, VECTOR_ALIGNED}, /* MOVAPS */
	{1, 0x28, 0x66, 16, VECTOR_ALIGNED}, /* MOVAPD */
	{1, 0x29, 0x00, 16, VECTOR_ALIGNED | VECTOR_STORE},
	{1, 0x29, 0x66, 16, VECTOR_ALIGNED | VECTOR_STORE},
	{1, 0x2b, 0x00, 16, VECTOR_ALIGNED | VECTOR_STORE}, /* MOVNTPS */
	{1, 0x2b, 0x66, 16, VECTOR_ALIGNED | VECTOR_STORE}, /* MOVNTPD */
	{1, 0x6e, 0x00, 4, VECTOR_MMX | VECTOR_WIDE},	    /* MOVD, MOVQ */
	{1, 0x6e, 0x66, 4, VECTOR_WIDE},
	{1, 0x6f, 0x00, 8, VECTOR_MMX},	     /* MOVQ */
	{1, 0x6f, 0x66, 16, VECTOR_ALIGNED}, /* MOVDQA */
	{1, 0x6f, 0xf3, 16, 0},		     /* MOVDQU */
	{1, 0x7e, 0x00, 4, VECTOR_MMX | VECTOR_WIDE | VECTOR_STORE},
	{1, 0x7e, 0x66, 4, VECTOR_WIDE | VECTOR_STORE},
	{1, 0x7e, 0xf3, 8, 0}, /* MOVQ */
	{1, 0x7f, 0x00, 8, VECTOR_MMX | VECTOR_STORE},
	{1, 0x7f, 0x66, 16, VECTOR_ALIGNED | VECTOR_STORE},
	{1, 0x7f, 0xf3, 16, VECTOR_STORE},
	{1, 0xd6, 0x66, 8, VECTOR_STORE},		    /* MOVQ */
	{1, 0xe7, 0x00, 8, VECTOR_MMX | VECTOR_STORE},	    /* MOVNTQ */
	{1, 0xe7, 0x66, 16, VECTOR_ALIGNED | VECTOR_STORE}, /* MOVNTDQ */
	{1, 0xf0, 0xf2, 16, 0},				    /* LDDQU */
	{2, 0x2a, 0x66, 16, VECTOR_ALIGNED},		    /* MOVNTDQA */
};

const struct vector_row *vector_row(unsigned int map, uint8_t opcode, uint8_t prefix)
{
	for (size_t i = 0; i < ARRAY_SIZE(vector_rows); i++) {
		const struct vector_row *r = &vector_rows[i];

		if (r->opcode == opcode && r->map == map && r->prefix == prefix)
			return r;
	}
	return NULL;
}

static const struct {
	const struct insn_row *rows;
	uint16_t count;
	uint8_t first;
} maps[] = {
	{rows_one_byte, ARRAY_SIZE(rows_one_byte), 0},
	{rows_0f, ARRAY_SIZE(rows_0f), 0},
	{rows_0f38, ARRAY_SIZE(rows_0f38), 0xf0},
};

/* With F3h: on a processor without them these are BSF and BSR, which CPUID would have to say. */
static const struct insn_row rows_0f_rep[] = {
	{OP_POPCNT, REG, RM, 0},
	{OP_TZCNT, REG, RM, 0},
	{OP_LZCNT, REG, RM, 0},
};

static struct insn_row plain_row(unsigned int map, uint8_t opcode, uint8_t rep)
{
	if (map == 1 && rep == 0xf3 && opcode == 0xb8)
		return rows_0f_rep[0];
	if (map == 1 && rep == 0xf3 && (opcode == 0xbc || opcode == 0xbd))
		return rows_0f_rep[opcode - 0xbb];
	if (map >= ARRAY_SIZE(maps) || (unsigned int)opcode - maps[map].first >= maps[map].count)
		return (struct insn_row){0};
	return maps[map].rows[opcode - maps[map].first];
}

struct insn_row insn_row(unsigned int map, uint8_t opcode, unsigned int reg, uint8_t rep)
{
	struct insn_row row = plain_row(map, opcode, rep);
	const struct insn_row *member;

	if (!(row.op & OP_GROUP))
		return row;
	member = &groups[row.op & ~OP_GROUP][reg];
	return (struct insn_row){
		.op = member->op,
		.dst = member->dst,
		.src = row.src ? row.src : member->src,
		.flags = row.flags | member->flags,
	};
}
