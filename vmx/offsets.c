/* Numbers for entry.asm: build/gen/vmx_offsets.inc is made from what the compiler makes of this. */
#include "core/vcpu_numbers.h"
#include "vmx/internal.h"

void vmx_offsets(void);

void vmx_offsets(void)
{
	number_gprs();
	NUMBER(VMX_HOST_RSP, offsetof(struct vmx_vcpu, host_rsp));
	NUMBER(FIELD_HOST_RSP, VMCS_HOST_RSP);
	NUMBER(RUN_FAIL_VALID, RUN_FAIL_VALID);
	NUMBER(RUN_FAIL_INVALID, RUN_FAIL_INVALID);
}
