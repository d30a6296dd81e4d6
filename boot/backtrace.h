/*
 * Who called whom, from a stack without frame pointers: every word on it that points behind a call
 * instruction is a return address, or the remains of one. Pure; also compiled for the build
 * machine.
 */
#ifndef BOOT_BACKTRACE_H
#define BOOT_BACKTRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/symbols.h"

struct backtrace_code {
	uint64_t image;	     /* address that symbols count from */
	uint64_t start, end; /* of the text */
	const uint8_t *text; /* its bytes */
	struct symbols symbols;
};

/*
 * One return address. SURE: the call before it leads to the function that the address before is
 * in.
 */
typedef void backtrace_sink(void *ctx, uint64_t address, bool sure);

/*
 * Calls SINK for return addresses among COUNT words from STACK, the innermost first, MAX at most.
 * PC is where the innermost function was. The same address several times in a row counts once.
 */
void backtrace(const struct backtrace_code *code, uint64_t pc, const uint64_t *stack, size_t count,
	       unsigned int max, backtrace_sink *sink, void *ctx);

#endif
