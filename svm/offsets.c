/* Numbers for entry.asm: build/gen/svm_offsets.inc is made from what the compiler makes of this. */
#include <stddef.h>

#include "core/vm.h"

#define GPR(index) \
	__asm__ volatile("\n->VCPU_" #index " %0" ::"i"(offsetof(struct vcpu, gpr) + 8 * (index)))

void svm_offsets(void);

void svm_offsets(void)
{
	GPR(RCX);
	GPR(RDX);
	GPR(RBX);
	GPR(RBP);
	GPR(RSI);
	GPR(RDI);
	GPR(R8);
	GPR(R9);
	GPR(R10);
	GPR(R11);
	GPR(R12);
	GPR(R13);
	GPR(R14);
	GPR(R15);
}
