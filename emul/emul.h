/*
 * Executes one guest instruction whose memory operand lies in emulated MMIO, or a string
 * instruction on an emulated port. The caller copies a vCPU's registers in, offers memory and ports
 * by callback, and copies the registers back.
 */
#ifndef EMUL_EMUL_H
#define EMUL_EMUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emul/insn.h"

struct emul_seg {
	uint64_t base;
	uint32_t limit; /* in bytes, granularity applied */
	uint32_t attr;	/* as in a VMCS, SDM vol. 3C table 25-2 */
	uint16_t selector;
};

struct emul_exc {
	uint8_t vector;
	bool has_error;
	uint32_t error;
};

/* One vCPU's registers as the guest sees them, and below them what became of the instruction. */
struct emul_cpu {
	uint64_t gpr[16]; /* in the order of the encodings: RAX RCX RDX RBX RSP RBP RSI RDI R8.. */
	uint64_t rip, rflags, cr0, cr4;
	struct emul_seg seg[EMUL_SEG_COUNT];
	struct emul_seg tr; /* for the I/O permission bitmap of INS and OUTS */
	enum emul_mode mode;
	uint8_t cpl;
	uint32_t rep_max; /* iterations before EMUL_REP; 0 counts as 1, and TF makes it 1 */

	uint8_t length;	     /* out: bytes of the instruction once it is decoded, else 0 */
	struct emul_exc exc; /* out: with EMUL_EXCEPTION */
};

enum emul_access {
	EMUL_READ,	  /* the operand is only read */
	EMUL_READ_MODIFY, /* it will be written next: check the page as for a write */
	EMUL_READ_SYSTEM, /* an implicit supervisor access (the TSS), whatever the CPL */
};

/*
 * Addresses are linear, checked against segment limits and canonical form; an access may cross a
 * page, and then both pages must be translated before the first byte moves. SIZE is 1, 2, 4, 8, or
 * 16 (CMPXCHG16B, XMM) or 32 (YMM): each call is one access of the processor's. 0, or <0 after the
 * callback has recorded what is to happen (an injected page fault).
 */
struct emul_ops {
	/* Never crosses a page. */
	int (*fetch)(void *ctx, uint64_t linear, void *buf, unsigned int size);
	int (*read)(void *ctx, uint64_t linear, void *buf, unsigned int size,
		    enum emul_access access);
	int (*write)(void *ctx, uint64_t linear, const void *buf, unsigned int size);
	/*
	 * Whether write() would succeed; moves nothing. Asked before a read that a later fault must
	 * not repeat.
	 */
	int (*probe_write)(void *ctx, uint64_t linear, unsigned int size);
	/*
	 * All bytes of vector register NUMBER, to BUF or from it: 8 (INSN_MMX), 16 (INSN_XMM) or 32
	 * (INSN_VEX, clearing what is above when it writes). 0, or the exception that says why it
	 * cannot be had. NULL: those are not executed.
	 */
	uint8_t (*vector)(void *ctx, enum insn_vector kind, unsigned int number, uint8_t buf[32],
			  bool write);
	/* Ports, with size 1, 2 or 4. The privilege to use the port has been checked. */
	int (*pio_in)(void *ctx, uint16_t port, uint32_t *value, unsigned int size);
	int (*pio_out)(void *ctx, uint16_t port, uint32_t value, unsigned int size);
	/*
	 * Asked before each iteration of a repeated instruction: has it lasted long enough? From
	 * the second one on, the others then wait (EMUL_REP). NULL: never.
	 */
	bool (*enough)(void *ctx);
};

enum emul_result {
	EMUL_DONE,	  /* RIP is behind it, RF is clear; the caller honours TF */
	EMUL_REP,	  /* some iterations are done, RIP still points at it: call again */
	EMUL_EXCEPTION,	  /* inject cpu->exc */
	EMUL_FAULT,	  /* a callback failed */
	EMUL_UNSUPPORTED, /* none that is executed here */
};

/*
 * Executes the instruction at CS:RIP. BYTES are its first N bytes where the processor captured
 * them; whatever is missing is fetched. With any result but EMUL_DONE no register has changed,
 * apart from what the finished iterations of a repeated string instruction have done.
 */
enum emul_result emul_exec(struct emul_cpu *cpu, const struct emul_ops *ops, void *ctx,
			   const uint8_t *bytes, size_t n);

/*
 * The linear address of INSN's memory operand, for the caller's own instructions (LMSW m16): INSN
 * is at CS:RIP and has `mem` set, SIZE bytes are going to be read. EMUL_DONE or EMUL_EXCEPTION.
 */
enum emul_result emul_operand_address(struct emul_cpu *cpu, const struct insn *insn,
				      unsigned int size, uint64_t *linear);

#endif
