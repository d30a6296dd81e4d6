/* What 64-bit mode alone has. */
#ifndef CONFORM64_H
#define CONFORM64_H

#include "conform.h"

extern uint64_t pml4[512], pd[2048], gdt[16], idt[512];
extern uint8_t user_stack_top[];

/* The first 2 MiB are there once more, for CPL 3 as well. */
#define USER_ALIAS 0x40000000ul

/*
 * CATCH() at CPL 3; the end of the statement is INT 61h, whose gate is not for everybody
 * (in whose error code QEMU counts 16 bytes a gate).
 */
#define USER(text, ...)                                                                           \
	do {                                                                                      \
		caught.vector = NONE;                                                             \
		asm volatile(CATCH_BEGIN                                                          \
			     "pushq $0x3b\n pushq $user_stack_top + 0x40000000\n"                 \
			     "pushq $2\n pushq $0x43\n pushq $8f + 0x40000000\n iretq\n 8: " text \
			     "\n int $0x61\n9: nop"                                               \
			     :                                                                    \
			     : __VA_ARGS__                                                        \
			     : CATCH_CLOBBERS);                                                   \
		if (caught.vector == GP && (caught.error == 0x30a || caught.error == 0x612))      \
			caught.vector = NONE;                                                     \
	} while (0)

void identity_cases(void);
void apic_cases(void);
void register_cases(void);
void debug_cases(void);
void memory_cases(void);
void processor_cases(void);

#endif
