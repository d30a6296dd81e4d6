/* What the decoder knows of each opcode. For emul/decode.c alone. */
#ifndef EMUL_TABLES_H
#define EMUL_TABLES_H

#include <stdint.h>

/* What follows an opcode: the low bits name the immediate, the others are flags. */
enum insn_attr {
	IMM_NONE,
	IMM_8,
	IMM_16,
	IMM_16_8,   /* ENTER */
	IMM_Z,	    /* 16 or 32 bits, by operand size */
	IMM_V,	    /* 16, 32 or 64 bits, by operand size */
	IMM_J,	    /* displacement of a near branch: as IMM_Z, 32 bits in 64-bit mode */
	IMM_FAR,    /* IMM_Z and a selector */
	IMM_OFFSET, /* MOV's offset: 16, 32 or 64 bits, by address size */
	IMM_32,
	IMM_KIND = 0x0f,
	ATTR_MODRM = 0x10,
	ATTR_REG_ONLY = 0x20, /* ModRM's mod field is ignored: it always names registers */
	ATTR_NOT_64 = 0x40,   /* no instruction in 64-bit mode */
	ATTR_NONE = 0x80,     /* no instruction */
};

extern const uint8_t insn_attr_one_byte[256], insn_attr_0f[256];

enum insn_row_flag {
	ROW_BYTE = 1 << 0,	/* operand size is 1 */
	ROW_SRC_8 = 1 << 1,	/* the source is a byte, */
	ROW_SRC_16 = 1 << 2,	/* a word, */
	ROW_SRC_32 = 1 << 3,	/* a doubleword */
	ROW_STACK = 1 << 4,	/* operand size defaults to 64 bits in 64-bit mode */
	ROW_LOCK = 1 << 5,	/* LOCK is allowed when the destination is memory */
	ROW_MEM_ONLY = 1 << 6,	/* there is no register form */
	ROW_NO_PREFIX = 1 << 7, /* REP prefixes select another instruction */
};

/* An instruction that emul/exec.c executes. */
struct insn_row {
	uint8_t op, dst, src, flags;
};

/*
 * A move between memory and a vector register, by its mandatory prefix (0, 66h, F2h, F3h; SDM
 * vol. 2 2.1.2), which a VEX prefix contains.
 */
struct vector_row {
	uint8_t map, opcode, prefix;
	uint8_t size; /* bytes in memory; with REX.W those of VECTOR_WIDE have 8, with VEX.L 16
			 become 32 */
	uint8_t flags;
};

enum vector_row_flag {
	VECTOR_STORE = 1,
	VECTOR_ALIGNED = 2,
	VECTOR_WIDE = 4,
	VECTOR_MMX = 8,	       /* of an MMX register: there is none with VEX */
	VECTOR_ANY_LENGTH = 16 /* of one element, where VEX.L means nothing */
};

/* NULL: there is none. */
const struct vector_row *vector_row(unsigned int map, uint8_t opcode, uint8_t prefix);

/*
 * The row of an opcode in map 0 to 2, REG being bits 5:3 of ModRM and REP its last F2h or F3h
 * prefix. Its op is OP_NONE for everything that is not executed here.
 */
struct insn_row insn_row(unsigned int map, uint8_t opcode, unsigned int reg, uint8_t rep);

#endif
