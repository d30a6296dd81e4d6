/*
 * Instructions, decoded from bytes alone: the length of every one there is, and for those that
 * emul/exec.c can execute also what they do to which operands (SDM vol. 2 chapter 2 and appendix
 * A).
 */
#ifndef EMUL_INSN_H
#define EMUL_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSN_MAX 15 /* bytes; a longer one is #GP (SDM vol. 2 2.3.11) */

/*
 * The code segment's default size: CS.L and EFER.LMA: 64; else CS.D: 32 or 16 (real and
 * virtual-8086 mode: 16).
 */
enum emul_mode { EMUL_MODE_16 = 16, EMUL_MODE_32 = 32, EMUL_MODE_64 = 64 };

/* In the order of the encodings (SDM vol. 2 table 2-2 and appendix B). */
enum emul_seg_id { EMUL_ES, EMUL_CS, EMUL_SS, EMUL_DS, EMUL_FS, EMUL_GS, EMUL_SEG_COUNT };

enum emul_gpr_id {
	EMUL_RAX,
	EMUL_RCX,
	EMUL_RDX,
	EMUL_RBX,
	EMUL_RSP,
	EMUL_RBP,
	EMUL_RSI,
	EMUL_RDI,
	EMUL_R8,
	EMUL_R15 = 15,
	EMUL_NO_REG = 0xff, /* no base, no index */
	EMUL_RIP = 0xfe,    /* the base of RIP-relative addressing */
};

/*
 * What emul/exec.c does. ADD to CMP, ROL to SAR and BT to BTC are in the order of their encodings.
 */
enum insn_op {
	OP_NONE, /* known by length only */
	OP_ADD,
	OP_OR,
	OP_ADC,
	OP_SBB,
	OP_AND,
	OP_SUB,
	OP_XOR,
	OP_CMP,
	OP_TEST,
	OP_NOT,
	OP_NEG,
	OP_INC,
	OP_DEC,
	OP_ROL,
	OP_ROR,
	OP_RCL,
	OP_RCR,
	OP_SHL,
	OP_SHR,
	OP_SAL,
	OP_SAR,
	OP_BT,
	OP_BTS,
	OP_BTR,
	OP_BTC,
	OP_MOV,
	OP_MOVZX,
	OP_MOVSX,
	OP_MOVBE,
	OP_MOVNTI,
	OP_CMOV,
	OP_SETCC,
	OP_XCHG,
	OP_XADD,
	OP_CMPXCHG,
	OP_CMPXCHG8B,
	OP_SHLD,
	OP_SHRD,
	OP_MUL, /* this one and the next three: of the accumulator */
	OP_IMUL,
	OP_DIV,
	OP_IDIV,
	OP_IMUL_REG, /* register by operand, */
	OP_IMUL_IMM, /* operand by immediate, into a register */
	OP_BSF,
	OP_BSR,
	OP_TZCNT,
	OP_LZCNT,
	OP_POPCNT,
	OP_SMSW,       /* to memory alone */
	OP_CLFLUSH,    /* and CLFLUSHOPT, CLWB */
	OP_MOV_VECTOR, /* moves between memory and an MMX, XMM or YMM register */
	OP_PUSH,
	OP_POP,
	OP_MOVS,
	OP_CMPS,
	OP_STOS,
	OP_LODS,
	OP_SCAS,
	OP_INS,
	OP_OUTS,
	OP_COUNT
};

enum insn_operand {
	OPND_NONE,
	OPND_RM,   /* register `rm`, or memory when `mem` */
	OPND_REG,  /* general register `reg` */
	OPND_SREG, /* segment register `reg` */
	OPND_ACC,  /* AL, AX, EAX, RAX */
	OPND_IMM,  /* `imm` */
	OPND_ONE,  /* the constant 1 of D0 and D1 */
	OPND_CL,
	OPND_VECTOR, /* register `reg` of `vector` */
};

/* Which registers OPND_VECTOR names. A VEX prefix clears what is above the bytes that are loaded.
 */
enum insn_vector { INSN_MMX, INSN_XMM, INSN_VEX };

struct insn {
	uint8_t length;	   /* bytes, 1 to 15 */
	uint8_t op;	   /* enum insn_op */
	uint8_t dst, src;  /* enum insn_operand */
	uint8_t op_size;   /* bytes: 1, 2, 4, 8; 16 for CMPXCHG16B and of XMM, 32 of YMM */
	uint8_t src_size;  /* bytes; differs from op_size for MOVZX and MOVSX only */
	uint8_t addr_size; /* bytes: 2, 4, 8 */
	uint8_t mode;	   /* enum emul_mode */
	uint8_t map;	   /* 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A, more by EVEX */
	uint8_t opcode;
	uint8_t modrm;	/* 0 when there is none */
	uint8_t rex;	/* the REX prefix, 0 for none */
	uint8_t rep;	/* F2h, F3h (the last of them), or 0 */
	uint8_t vector; /* enum insn_vector, with OP_MOV_VECTOR */
	bool lock;
	bool opsize_prefix; /* 66h */
	bool has_modrm;
	bool aligned;	 /* OP_MOV_VECTOR: #GP unless the operand is aligned to its size */
	bool mem;	 /* OPND_RM is memory */
	uint8_t reg, rm; /* register numbers, REX.R and REX.B included */
	/* The memory operand's address: also the source of MOVS, CMPS, LODS, OUTS (`seg` alone). */
	uint8_t seg;		    /* enum emul_seg_id, override or default */
	uint8_t base, index, scale; /* scale: 1, 2, 4, 8 */
	int64_t disp;		    /* sign-extended; the whole offset for MOV's moffs forms */
	int64_t imm;		    /* sign-extended to 64 bits */
};

/*
 * Decodes the instruction that starts at BYTES, N of which may be read. Returns 0, or
 *   -EAGAIN  more bytes are needed
 *   -E2BIG   longer than 15 bytes: #GP(0)
 *   -EINVAL  no such instruction: #UD
 * Near branches with an operand-size prefix in 64-bit mode are measured as Intel processors do (a
 * 32-bit displacement).
 */
int insn_decode(struct insn *insn, const uint8_t *bytes, size_t n, enum emul_mode mode);

/* The length in bytes of the instruction at BYTES, or an error of insn_decode(). */
int emul_length(const uint8_t *bytes, size_t n, enum emul_mode mode);

#endif
