; One entry into the guest and the exit from it (APM vol. 2 15.5, 15.17).
;
; CLGI holds every interrupt and NMI back. Only then interrupts are enabled, so that one that is
; pending ends VMRUN at once instead of being taken here: VMRUN looks at the host's IF for physical
; interrupts (15.21.1). After the exit GIF is clear again; STGI comes last, with the host's FS, GS,
; TR and LDTR in place and IF clear: an NMI that ended VMRUN is taken behind it.

bits 64
default rel

%include "svm_offsets.inc"
%include "arch/x86/alternatives.inc"

section .rodata
data_selector:	dw DATA_SELECTOR

section .text

; void svm_enter(struct vcpu *v, uint64_t vmcb_pa, uint64_t host_pa)
global svm_enter:function
svm_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdx
	push	rdi
	mov	rax, rsi
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
	clgi
	sti
	ONLY_FOR MIT_VERW, .clear
	verw	[data_selector]
.clear:
	vmload
	vmrun
	vmsave				; VMEXIT has restored the host's RAX and RSP
	mov	rax, [rsp + 8]
	vmload
	pop	rax
	mov	[rax + VCPU_RCX], rcx
	mov	[rax + VCPU_RDX], rdx
	mov	[rax + VCPU_RBX], rbx
	mov	[rax + VCPU_RBP], rbp
	mov	[rax + VCPU_RSI], rsi
	mov	[rax + VCPU_RDI], rdi
	mov	[rax + VCPU_R8], r8
	mov	[rax + VCPU_R9], r9
	mov	[rax + VCPU_R10], r10
	mov	[rax + VCPU_R11], r11
	mov	[rax + VCPU_R12], r12
	mov	[rax + VCPU_R13], r13
	mov	[rax + VCPU_R14], r14
	mov	[rax + VCPU_R15], r15
	; What the guest left in registers must not steer speculation in here. RDX and those that C
	; preserves are loaded below, RAX points to the vCPU.
	xor	ecx, ecx
	xor	esi, esi
	xor	edi, edi
	xor	r8d, r8d
	xor	r9d, r9d
	xor	r10d, r10d
	xor	r11d, r11d
	; It was the guest that had the last word on predictions, so the one return that is
	; executed before svm_fill_return_stack() gets an entry of its own: others follow calls
	; that were made since.
	ONLY_FOR MIT_RSB, .covered
	call	.over
	int3
.over:
	add	rsp, 8
.covered:
	ONLY_FOR MIT_IBPB_EXIT, .guarded
	WRITE_MSR PRED_CMD_INDEX, PRED_CMD_IBPB
.guarded:
	cli
	stgi
	pop	rdx
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret

; void svm_fill_return_stack(void)
global svm_fill_return_stack:function
svm_fill_return_stack:
	ONLY_FOR MIT_RSB, .filled
	FILL_RETURN_STACK
.filled:
	ret
