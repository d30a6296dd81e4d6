/*
 * The VMX instructions (SDM vol. 3C chapter 31). VMREAD and VMWRITE cannot fail on a field that the
 * processor has and a VMCS that is current; where one does, the field, the error number and the
 * caller are printed and Socle panics.
 */
#ifndef VMX_INSN_H
#define VMX_INSN_H

#include <stdbool.h>
#include <stdint.h>

#include "vmx/vmcs.h"

/* What a VMX instruction said: CF is VMfailInvalid, ZF VMfailValid (31.2). */
enum vm_result { VM_SUCCEED, VM_FAIL_VALID, VM_FAIL_INVALID };

_Noreturn void vmx_access_failed(const char *insn, enum vmcs_field field, uint64_t value,
				 const void *caller) __attribute__((cold));

/* The meaning of a VM-instruction error number (31.4); never NULL. */
const char *vmx_error_name(uint32_t number);

/*
 * Out of line: FAILED (entry.asm) finds the value, the field, and on top the place. A call in C
 * would cost a frame in each function that is on the way of an exit.
 */
#define VMX_ACCESS(insn, failed)                                          \
	"8:\t" insn "\n\tjbe 9f\n"                                        \
	"\t.pushsection .text.unlikely, \"ax\", @progbits\n"              \
	"9:\tpush %[value]\n\tpush %[field]\n\tlea 8b(%%rip), %[field]\n" \
	"\tpush %[field]\n\tjmp " failed "\n\t.popsection"

static inline uint64_t vmread(enum vmcs_field field)
{
	uint64_t value;

	__asm__ volatile(VMX_ACCESS("vmread %[field], %[value]", "vmx_read_failed")
			 : [value] "=r"(value)
			 : [field] "r"((uint64_t)field)
			 : "cc", "memory");
	return value;
}

/* False: it failed, as on a field that the processor lacks; VALUE is as it was. */
static inline bool vmread_try(enum vmcs_field field, uint64_t *value)
{
	uint64_t read = *value;
	bool failed;

	__asm__ volatile("vmread %[field], %[value]"
			 : [value] "+r"(read), "=@ccbe"(failed)
			 : [field] "r"((uint64_t)field)
			 : "memory");
	*value = read;
	return !failed;
}

static inline void vmwrite(enum vmcs_field field, uint64_t value)
{
	__asm__ volatile(VMX_ACCESS("vmwrite %[value], %[field]", "vmx_write_failed")
			 :
			 : [field] "r"((uint64_t)field), [value] "r"(value)
			 : "cc", "memory");
}

#define DEFINE_VM_POINTER_INSN(name)                                                \
	static inline enum vm_result name(uint64_t pa)                              \
	{                                                                           \
		bool carry, zero;                                                   \
                                                                                    \
		__asm__ volatile(#name " %[pa]"                                     \
				 : "=@ccc"(carry), "=@ccz"(zero)                    \
				 : [pa] "m"(pa)                                     \
				 : "memory");                                       \
		return carry ? VM_FAIL_INVALID : zero ? VM_FAIL_VALID : VM_SUCCEED; \
	}

DEFINE_VM_POINTER_INSN(vmxon)
DEFINE_VM_POINTER_INSN(vmclear)
DEFINE_VM_POINTER_INSN(vmptrld)

static inline void vmxoff(void)
{
	__asm__ volatile("vmxoff" ::: "memory", "cc");
}

/* TYPE 1: the translations of one EPT pointer; 2: of all (31.3 INVEPT). */
static inline enum vm_result invept(uint64_t type, uint64_t eptp)
{
	struct {
		uint64_t eptp, reserved;
	} desc = {eptp, 0};
	bool failed;

	__asm__ volatile("invept %[desc], %[type]"
			 : "=@ccbe"(failed)
			 : [desc] "m"(desc), [type] "r"(type)
			 : "memory");
	return failed ? VM_FAIL_VALID : VM_SUCCEED;
}

/* TYPE 1: the translations of one VPID; 2: of all (31.3 INVVPID). */
static inline enum vm_result invvpid(uint64_t type, uint16_t vpid)
{
	struct {
		uint64_t vpid, address;
	} desc = {vpid, 0};
	bool failed;

	__asm__ volatile("invvpid %[desc], %[type]"
			 : "=@ccbe"(failed)
			 : [desc] "m"(desc), [type] "r"(type)
			 : "memory");
	return failed ? VM_FAIL_VALID : VM_SUCCEED;
}

#endif
