/* Numbers for entry.asm: build/gen/vmx_offsets.inc is made from what the compiler makes of this. */
#include <stddef.h>

#include "vmx/internal.h"

#define NUMBER(name, value) __asm__ volatile("\n->" #name " %0" ::"i"(value))
#define GPR(index)	    NUMBER(VCPU_##index, offsetof(struct vcpu, gpr) + 8 * (index))

void vmx_offsets(void);

void vmx_offsets(void)
{
	GPR(RAX);
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
	NUMBER(VMX_HOST_RSP, offsetof(struct vmx_vcpu, host_rsp));
	NUMBER(FIELD_HOST_RSP, VMCS_HOST_RSP);
	NUMBER(RUN_FAIL_VALID, RUN_FAIL_VALID);
	NUMBER(RUN_FAIL_INVALID, RUN_FAIL_INVALID);
}
