/*
 * Integer arithmetic on 1, 2, 4 or 8 bytes with the flags that the SDM, vol. 2, gives each result.
 */
#ifndef EMUL_ALU_H
#define EMUL_ALU_H

#include <stdbool.h>
#include <stdint.h>

#include "emul/insn.h"

#define RFLAGS_CF   (1ULL << 0)
#define RFLAGS_PF   (1ULL << 2)
#define RFLAGS_AF   (1ULL << 4)
#define RFLAGS_ZF   (1ULL << 6)
#define RFLAGS_SF   (1ULL << 7)
#define RFLAGS_TF   (1ULL << 8)
#define RFLAGS_DF   (1ULL << 10)
#define RFLAGS_OF   (1ULL << 11)
#define RFLAGS_IOPL (3ULL << 12)
#define RFLAGS_RF   (1ULL << 16)
#define RFLAGS_VM   (1ULL << 17)

/* The low SIZE bytes of VALUE, extended with zeros or with the sign. */
uint64_t alu_zero_extend(uint64_t value, unsigned int size);
uint64_t alu_sign_extend(uint64_t value, unsigned int size);

/*
 * Each returns the result, in SIZE bytes, and updates *RFLAGS. Flags that the manual leaves
 * undefined are either kept or set as most processors set them.
 */

/*
 * ADD, OR, ADC, SBB, AND, SUB, XOR; CMP (as SUB) and TEST (as AND) also return what they computed.
 */
uint64_t alu_binary(enum insn_op op, uint64_t dst, uint64_t src, unsigned int size,
		    uint64_t *rflags);
/* NOT, NEG, INC, DEC. */
uint64_t alu_unary(enum insn_op op, uint64_t dst, unsigned int size, uint64_t *rflags);
/* ROL to SAR. COUNT is masked here. */
uint64_t alu_shift(enum insn_op op, uint64_t dst, unsigned int count, unsigned int size,
		   uint64_t *rflags);
/* BT to BTC; BIT is taken modulo the operand's width. */
uint64_t alu_bit(enum insn_op op, uint64_t dst, uint64_t bit, unsigned int size, uint64_t *rflags);

/* BSF, BSR (ZF: no bit, no result), TZCNT, LZCNT and POPCNT. */
uint64_t alu_scan(enum insn_op op, uint64_t src, unsigned int size, uint64_t *rflags);
/* SHLD, SHRD: SRC's bits come in at the open end. COUNT is masked here. */
uint64_t alu_double_shift(enum insn_op op, uint64_t dst, uint64_t src, unsigned int count,
			  unsigned int size, uint64_t *rflags);
/* *HIGH:*LOW, of SIZE bytes each, become A times B. */
void alu_multiply(bool is_signed, uint64_t a, uint64_t b, unsigned int size, uint64_t *low,
		  uint64_t *high, uint64_t *rflags);
/*
 * *HIGH:*LOW by DIVISOR, all of SIZE bytes: the quotient goes to *LOW, the remainder to *HIGH.
 * False, and nothing changed: #DE.
 */
bool alu_divide(bool is_signed, uint64_t divisor, unsigned int size, uint64_t *low, uint64_t *high);

/* The condition in the low four bits of Jcc, SETcc and CMOVcc (SDM vol. 1 appendix B). */
bool alu_condition(unsigned int code, uint64_t rflags);

#endif
