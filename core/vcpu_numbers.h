/*
 * For the back ends' offsets.c: numbers for their assembly, and those of struct vcpu that both
 * entries into the guest want. A line "->NAME VALUE" among the compiler's output becomes NAME equ
 * VALUE.
 */
#ifndef CORE_VCPU_NUMBERS_H
#define CORE_VCPU_NUMBERS_H

#include <stddef.h>

#include "core/vm.h"

#define NUMBER(name, value) __asm__ volatile("\n->" #name " %0" ::"i"(value))
#define NUMBER_GPR(index)   NUMBER(VCPU_##index, offsetof(struct vcpu, gpr) + 8 * (index))

/* VCPU_RAX to VCPU_R15, without RSP. */
static always_inline void number_gprs(void)
{
	NUMBER_GPR(RAX);
	NUMBER_GPR(RCX);
	NUMBER_GPR(RDX);
	NUMBER_GPR(RBX);
	NUMBER_GPR(RBP);
	NUMBER_GPR(RSI);
	NUMBER_GPR(RDI);
	NUMBER_GPR(R8);
	NUMBER_GPR(R9);
	NUMBER_GPR(R10);
	NUMBER_GPR(R11);
	NUMBER_GPR(R12);
	NUMBER_GPR(R13);
	NUMBER_GPR(R14);
	NUMBER_GPR(R15);
}

#endif
