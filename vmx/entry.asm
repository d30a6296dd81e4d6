; One entry into the guest and the exit from it (SDM vol. 3C chapters 27 and 28).
;
; An exit loads RSP from HOST_RSP and RIP from HOST_RIP; all general registers but RSP are still the
; guest's. A failed VMLAUNCH or VMRESUME goes on behind it, with the guest's registers loaded and
; the host's stack.

bits 64
default rel

%include "vmx_offsets.inc"

section .text

; enum vm_result vmx_enter(struct vcpu *v, struct vmx_vcpu *vv, bool launched)
global vmx_enter:function hidden
vmx_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi
	cmp	rsp, [rsi + VMX_HOST_RSP]
	jne	.set_host_rsp
.host_rsp_set:
	test	dl, dl
	mov	rax, [rdi + VCPU_RAX]
	mov	rcx, [rdi + VCPU_RCX]
	mov	rdx, [rdi + VCPU_RDX]
	mov	rbx, [rdi + VCPU_RBX]
	mov	rbp, [rdi + VCPU_RBP]
	mov	rsi, [rdi + VCPU_RSI]
	mov	r8, [rdi + VCPU_R8]
	mov	r9, [rdi + VCPU_R9]
	mov	r10, [rdi + VCPU_R10]
	mov	r11, [rdi + VCPU_R11]
	mov	r12, [rdi + VCPU_R12]
	mov	r13, [rdi + VCPU_R13]
	mov	r14, [rdi + VCPU_R14]
	mov	r15, [rdi + VCPU_R15]
	mov	rdi, [rdi + VCPU_RDI]
	jz	.launch
	vmresume
	jmp	.failed
.launch:
	vmlaunch
.failed:
	mov	eax, RESULT_FAIL_INVALID
	mov	ecx, RESULT_FAIL_VALID
	cmovz	eax, ecx
	add	rsp, 8
	jmp	leave
.set_host_rsp:
	mov	[rsi + VMX_HOST_RSP], rsp
	mov	eax, FIELD_HOST_RSP
	vmwrite	rax, rsp
	jmp	.host_rsp_set

; Where every VM exit lands (HOST_RIP).
global vmx_exit:function hidden
vmx_exit:
	xchg	rdi, [rsp]
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
	; What the guest left in registers must not steer speculation in here.
	xor	ecx, ecx
	xor	edx, edx
	xor	esi, esi
	xor	r8d, r8d
	xor	r9d, r9d
	xor	r10d, r10d
	xor	r11d, r11d
	mov	eax, RESULT_SUCCEED
leave:
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret
