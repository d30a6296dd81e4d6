; Indirect branches of Socle's C code (gcc's -mindirect-branch=thunk-extern): a jump, or where that
; is taken out, a return whose prediction leads into a loop that does nothing.
%include "arch/x86/alternatives.inc"
bits 64
default rel

section .text

%macro THUNK 1
	align	16
global __x86_indirect_thunk_%1:function hidden
__x86_indirect_thunk_%1:
%%jump:
	jmp	%1
	TAKEN_OUT_FOR %%jump, MIT_RETPOLINE
	call	%%set
%%caught:
	pause
	lfence
	jmp	%%caught
%%set:
	mov	[rsp], %1
	ret
%endmacro

%macro THUNKS 1-*
%rep %0
	THUNK	%1
%rotate 1
%endrep
%endmacro

	THUNKS	rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
