/* wraps: mitigations_choose lifecycle_parked vmx_handle_exit svm_enter */
/*
 * Socle with every countermeasure against speculation that can be had, whatever the processor is:
 * emulators take the MSRs' writes and ignore them. When a VM has ended, it says whether their code
 * was put in, and what a guest's exits have left in registers.
 */
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/mitigations.h"
#include "core/lifecycle.h"
#include "core/vm.h"
#include "lib/log.h"

#define NOP 0x90

uint32_t __real_mitigations_choose(const struct mit_cpu *cpu, struct strbuf *missing);
uint32_t __wrap_mitigations_choose(const struct mit_cpu *cpu, struct strbuf *missing);
void __real_lifecycle_parked(struct vcpu *v);
void __wrap_lifecycle_parked(struct vcpu *v);

/* arch/x86/mitigations_cpu.c */
struct alternative {
	int32_t site;
	uint16_t length, mask;
};

extern const struct alternative _alternatives_start[], _alternatives_end[];

/* By the assembly below. */
extern uint64_t guarded_exits, guarded_left;

static uint32_t chosen;

/*
 * The registers that carry nothing of the hypervisor's behind an exit must carry nothing of the
 * guest's: all but RAX, RBX, RDI and RSP (vmx/entry.asm), and all that C may change but RAX, RCX
 * and RDX (svm/entry.asm).
 */
__asm__(".pushsection .bss\n"
	".balign 8\n"
	"guarded_exits: .skip 8\n"
	"guarded_left: .skip 8\n"
	".popsection\n"
	".text\n"
	".globl __wrap_vmx_handle_exit\n"
	"__wrap_vmx_handle_exit:\n"
	"	mov %rcx, %rax\n"
	"	or %rdx, %rax\n"
	"	or %rbp, %rax\n"
	"	or %rsi, %rax\n"
	"	or %r8, %rax\n"
	"	or %r9, %rax\n"
	"	or %r10, %rax\n"
	"	or %r11, %rax\n"
	"	or %r12, %rax\n"
	"	or %r13, %rax\n"
	"	or %r14, %rax\n"
	"	or %r15, %rax\n"
	"	lock or %rax, guarded_left(%rip)\n"
	"	lock incq guarded_exits(%rip)\n"
	"	jmp __real_vmx_handle_exit\n"
	".globl __wrap_svm_enter\n"
	"__wrap_svm_enter:\n"
	"	call __real_svm_enter\n"
	"	mov %rsi, %rax\n"
	"	or %rdi, %rax\n"
	"	or %r8, %rax\n"
	"	or %r9, %rax\n"
	"	or %r10, %rax\n"
	"	or %r11, %rax\n"
	"	lock or %rax, guarded_left(%rip)\n"
	"	lock incq guarded_exits(%rip)\n"
	"	ret\n");

/*
 * Enhanced IBRS of AMD's is a bit of EFER, which is no MSR to write what one likes to; nor is
 * SPEC_CTRL where it is really there.
 */
uint32_t __wrap_mitigations_choose(const struct mit_cpu *cpu, struct strbuf *missing)
{
	(void)__real_mitigations_choose(cpu, missing);
	sb_reset(missing);
	chosen = MIT_VERW | MIT_RSB | MIT_RETPOLINE | MIT_IBRS | MIT_IBPB_EXIT | MIT_IBRS_ALWAYS |
		 MIT_IBPB | MIT_L1D | MIT_BHI | MIT_BHB | MIT_GDS | MIT_SRBDS | MIT_ZENBLEED;
	if (cpu->leaf7_edx & CPUID_7_EDX_IBRS_IBPB && !(cpu->leaf7_2_edx & CPUID_7_2_EDX_BHI_CTRL))
		chosen &= ~(uint32_t)MIT_BHI;
	return chosen;
}

/* Pieces of text whose jump is still there. */
static unsigned int left_out(unsigned int *pieces)
{
	unsigned int n = 0;

	for (const struct alternative *a = _alternatives_start; a < _alternatives_end; a++) {
		const uint8_t *site =
			(const uint8_t *)((uintptr_t)&a->site + (uintptr_t)(intptr_t)a->site);

		for (unsigned int i = 0; i < a->length; i++)
			n += site[i] != NOP;
		++*pieces;
	}
	return n;
}

void __wrap_lifecycle_parked(struct vcpu *v)
{
	unsigned int pieces = 0, out = left_out(&pieces);

	log_info("guarded: %u pieces of text, %u bytes of them left out; "
		 "exits: %llu, left in registers: %llx",
		 pieces, out, (unsigned long long)guarded_exits, (unsigned long long)guarded_left);
	__real_lifecycle_parked(v);
}
