/* An instruction on its way, shared by emul/exec.c and emul/string.c. */
#ifndef EMUL_EXEC_H
#define EMUL_EXEC_H

#include "emul/alu.h"
#include "emul/emul.h"

struct exec {
	struct emul_cpu *cpu;
	const struct emul_ops *ops;
	void *ctx;
	struct insn insn;
	uint64_t linear; /* of the memory operand */
	uint64_t rflags; /* what RFLAGS becomes when all has succeeded */
	/* The operands as read, and the result. */
	uint64_t dst, src, result;
};

/* EMUL_EXCEPTION, with the exception left in x->cpu->exc. */
enum emul_result exec_raise_gp(struct exec *x);

/*
 * Checks SIZE bytes at SEG:OFFSET, for writing if WRITE, against the segment's limit and type, or
 * canonical form, and gives their linear address. EMUL_DONE, or EMUL_EXCEPTION (#GP, #SS).
 */
enum emul_result exec_linear(struct exec *x, enum emul_seg_id seg, uint64_t offset,
			     unsigned int size, bool write, uint64_t *linear);

/* One access of up to 8 bytes. EMUL_DONE, or EMUL_FAULT. */
enum emul_result exec_read(struct exec *x, uint64_t linear, uint64_t *value, unsigned int size,
			   enum emul_access access);
enum emul_result exec_write(struct exec *x, uint64_t linear, uint64_t value, unsigned int size);
enum emul_result exec_probe_write(struct exec *x, uint64_t linear, unsigned int size);

/* General register NUMBER as SIZE bytes; AH to BH are 4 to 7 with size 1 and no REX prefix. */
uint64_t exec_reg(const struct exec *x, unsigned int number, unsigned int size);
void exec_set_reg(struct exec *x, unsigned int number, uint64_t value, unsigned int size);

/* MOVS, CMPS, STOS, LODS, SCAS, INS and OUTS, with all their repetitions. */
enum emul_result exec_string(struct exec *x);

#endif
