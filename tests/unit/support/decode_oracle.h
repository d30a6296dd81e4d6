/*
 * The decoder against Zydis: whether there is such an instruction, its length, and for what
 * emul/exec.c executes its operands, in three modes. For a unit test and a fuzzer.
 */
#ifndef TESTS_UNIT_SUPPORT_DECODE_ORACLE_H
#define TESTS_UNIT_SUPPORT_DECODE_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include <Zydis/Zydis.h>

#include "emul/insn.h"

struct oracle {
	ZydisDecoder decoder;
	enum emul_mode mode;
};

/* 16, 32 and 64 bits. */
extern struct oracle oracles[3];

struct sample {
	uint8_t bytes[16]; /* 15 of them are looked at */
	const struct oracle *oracle;
	struct insn insn;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

void decode_oracle_init(void);

/* Decodes S->bytes by both. Where they differ: says how, and aborts. Returns whether it is an
 * instruction. */
bool decode_oracle_compare(struct sample *s);

#endif
