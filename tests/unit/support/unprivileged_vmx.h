/*
 * As tests/unit/support/unprivileged.h, for files of vmx/: the VMX instructions and the registers
 * that no VM entry switches belong to tests/unit/support/fake_vmx.c.
 */
#ifndef TESTS_UNIT_SUPPORT_UNPRIVILEGED_VMX_H
#define TESTS_UNIT_SUPPORT_UNPRIVILEGED_VMX_H

#include "arch/x86/tsc.h"
#include "tests/unit/support/unprivileged.h"
#include "vmx/vmcs.h"

/* In place of vmx/insn.h. */
#define VMX_INSN_H

enum vm_result { VM_SUCCEED, VM_FAIL_VALID, VM_FAIL_INVALID };

uint64_t vmread(enum vmcs_field field);
bool vmread_try(enum vmcs_field field, uint64_t *value);
void vmwrite(enum vmcs_field field, uint64_t value);
_Noreturn void vmx_access_failed(const char *insn, enum vmcs_field field, uint64_t value,
				 const void *caller);
const char *vmx_error_name(uint32_t number);
enum vm_result vmxon(uint64_t pa);
void vmxoff(void);
enum vm_result vmclear(uint64_t pa);
enum vm_result vmptrld(uint64_t pa);
enum vm_result invept(uint64_t type, uint64_t eptp);
enum vm_result invvpid(uint64_t type, uint16_t vpid);

enum fake_register { FAKE_CR2, FAKE_DR0, FAKE_DR1, FAKE_DR2, FAKE_DR3, FAKE_DR6, FAKE_REGISTERS };
uint64_t fake_read(enum fake_register r);
void fake_write(enum fake_register r, uint64_t value);

#define rdtsc()		    tsc_now()
#define read_cr0()	    0x80000033ull
#define read_cr4()	    0x2020ull
#define read_cr2()	    fake_read(FAKE_CR2)
#define read_dr0()	    fake_read(FAKE_DR0)
#define read_dr1()	    fake_read(FAKE_DR1)
#define read_dr2()	    fake_read(FAKE_DR2)
#define read_dr3()	    fake_read(FAKE_DR3)
#define read_dr6()	    fake_read(FAKE_DR6)
#define write_cr2(value)    fake_write(FAKE_CR2, value)
#define write_dr0(value)    fake_write(FAKE_DR0, value)
#define write_dr1(value)    fake_write(FAKE_DR1, value)
#define write_dr2(value)    fake_write(FAKE_DR2, value)
#define write_dr3(value)    fake_write(FAKE_DR3, value)
#define write_dr6(value)    fake_write(FAKE_DR6, value)

#endif
