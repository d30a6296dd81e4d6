; Entries into the guest and the exits from it (SDM vol. 3C chapters 27 and 28).
;
; An exit loads RSP from HOST_RSP and RIP from HOST_RIP; all general registers but RSP are still the
; guest's. A failed VMLAUNCH or VMRESUME goes on behind it, with the guest's registers loaded and
; the host's stack.

bits 64
default rel

%include "vmx_offsets.inc"
%include "arch/x86/alternatives.inc"

extern vmx_handle_exit
extern vmx_handle_exit_timed
extern vmx_access_failed

; All registers but RSP from the vCPU at RBX.
%macro LOAD_GUEST 0
	mov	rax, [rbx + VCPU_RAX]
	mov	rcx, [rbx + VCPU_RCX]
	mov	rdx, [rbx + VCPU_RDX]
	mov	rbp, [rbx + VCPU_RBP]
	mov	rsi, [rbx + VCPU_RSI]
	mov	r8, [rbx + VCPU_R8]
	mov	r9, [rbx + VCPU_R9]
	mov	r10, [rbx + VCPU_R10]
	mov	r11, [rbx + VCPU_R11]
	mov	r12, [rbx + VCPU_R12]
	mov	r13, [rbx + VCPU_R13]
	mov	r14, [rbx + VCPU_R14]
	mov	r15, [rbx + VCPU_R15]
	mov	rdi, [rbx + VCPU_RDI]
	mov	rbx, [rbx + VCPU_RBX]
%endmacro

; LOAD_GUEST, and nothing of the hypervisor's for the guest to find in the processor.
%macro LEAVE_NOTHING 0
	ONLY_FOR MIT_IBRS, %%free
	WRITE_MSR SPEC_CTRL_INDEX, 0
%%free:
	LOAD_GUEST
	ONLY_FOR MIT_VERW, %%clear
	verw	[data_selector]
%%clear:
%endmacro

section .rodata
data_selector:	dw DATA_SELECTOR

section .text

; enum vmx_run_result vmx_enter(struct vcpu *v, struct vmx_vcpu *vv, bool launched)
;
; Enters the guest for as long as vmx_handle_exit() says so. The host's stack holds v on top all the
; while.
global vmx_enter:function hidden
vmx_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi
	mov	rbx, rdi
	cmp	rsp, [rsi + VMX_HOST_RSP]
	jne	.set_host_rsp
.host_rsp_set:
	test	dl, dl
	jnz	resume_guarded
	LEAVE_NOTHING
	vmlaunch
	jmp	failed
.set_host_rsp:
	mov	[rsi + VMX_HOST_RSP], rsp
	mov	eax, FIELD_HOST_RSP
	vmwrite	rax, rsp
	jmp	.host_rsp_set

; What an exit does: v's registers to memory, and the handler %2 with v. %1: guarded or not.
%macro EXIT 2
	push	rdi
	mov	rdi, [rsp + 8]
	mov	[rdi + VCPU_RAX], rax
	mov	[rdi + VCPU_RCX], rcx
	mov	[rdi + VCPU_RDX], rdx
	mov	[rdi + VCPU_RBX], rbx
	mov	[rdi + VCPU_RBP], rbp
	mov	[rdi + VCPU_RSI], rsi
	mov	[rdi + VCPU_R8], r8
	mov	[rdi + VCPU_R9], r9
	mov	[rdi + VCPU_R10], r10
	mov	[rdi + VCPU_R11], r11
	mov	[rdi + VCPU_R12], r12
	mov	[rdi + VCPU_R13], r13
	mov	[rdi + VCPU_R14], r14
	mov	[rdi + VCPU_R15], r15
	pop	qword [rdi + VCPU_RDI]
	; What the guest left in registers must not steer speculation in here; C overwrites RAX
	; first.
	xor	ecx, ecx
	xor	edx, edx
	xor	ebp, ebp
	xor	esi, esi
	xor	r8d, r8d
	xor	r9d, r9d
	xor	r10d, r10d
	xor	r11d, r11d
	xor	r12d, r12d
	xor	r13d, r13d
	xor	r14d, r14d
	xor	r15d, r15d
	mov	rbx, rdi
%if %1
	ONLY_FOR MIT_IBRS, %%guarded
	WRITE_MSR SPEC_CTRL_INDEX, SPEC_CTRL_IBRS
%%guarded:
	ONLY_FOR MIT_BHB, %%forgotten
	CLEAR_BRANCH_HISTORY
%%forgotten:
%endif
	call	%2
	test	eax, eax
	jnz	leave
%endmacro

; Where every VM exit lands (HOST_RIP): by whether costs are measured, and whether this processor
; wants something done around exits, which stays out of everybody else's way.
	align	16
global vmx_exit_timed:function hidden
vmx_exit_timed:
	EXIT	0, vmx_handle_exit_timed
	jmp	resume

	align	16
global vmx_exit_guarded_timed:function hidden
vmx_exit_guarded_timed:
	EXIT	1, vmx_handle_exit_timed
	jmp	resume_guarded

	align	16
global vmx_exit_guarded:function hidden
vmx_exit_guarded:
	EXIT	1, vmx_handle_exit
resume_guarded:
	LEAVE_NOTHING
	vmresume
	jmp	failed

	align	16
global vmx_exit:function hidden
vmx_exit:
	EXIT	0, vmx_handle_exit
resume:
	LOAD_GUEST
	vmresume
failed:
	mov	eax, RUN_FAIL_INVALID
	mov	ecx, RUN_FAIL_VALID
	cmovz	eax, ecx
leave:
	; Returns up to here had their calls behind the exit. The next ones have not.
	ONLY_FOR MIT_RSB, leave_filled
	FILL_RETURN_STACK
leave_filled:
	add	rsp, 8
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret

; A VMREAD or VMWRITE has failed (vmx/insn.h): on the stack are where, the field and the value.
%macro ACCESS_FAILED 2
global %1:function hidden
%1:
	pop	rcx
	pop	rsi
	pop	rdx
	lea	rdi, [%%name]
	and	rsp, -16
	call	vmx_access_failed
section .rodata
%%name:	db %2, 0
section .text
%endmacro

	ACCESS_FAILED vmx_read_failed, "VMREAD"
	ACCESS_FAILED vmx_write_failed, "VMWRITE"
