; Entries of all 256 vectors, and the instructions whose #GP is an answer.
%include "x86_offsets.inc"
%include "arch/x86/general.inc"
default rel
bits 64

global isr_stubs
global rdmsr_safe
global wrmsr_safe
global fixups
global fixups_end
extern isr_dispatch

section .text

; 16 bytes each. The processor has pushed SS, RSP, RFLAGS, CS, RIP, and for some exceptions an
; error code.
align 16
isr_stubs:
%assign vector 0
%rep 256
	align 16
%if vector >= 32 || !((ERROR_CODES >> vector) & 1)
	push 0
%endif
	push vector
	jmp near isr_common
%assign vector vector + 1
%endrep

; Builds struct int_frame (arch/x86/desc.h). The stack is aligned to 16 bytes here: the processor
; aligned it before it pushed (SDM vol. 3A 6.14.2), and 22 words have gone onto it.
isr_common:
	push_all GENERAL
	cld
	mov rdi, rsp
	call isr_dispatch
	pop_all GENERAL
	add rsp, 16
	iretq

; int rdmsr_safe(uint32_t index, uint64_t *value)
rdmsr_safe:
	mov ecx, edi
.instruction:
	rdmsr
	shl rdx, 32
	or rax, rdx
	mov [rsi], rax
	xor eax, eax
	ret
.fault:
	mov qword [rsi], 0
	mov eax, ERR_IO
	ret

; int wrmsr_safe(uint32_t index, uint64_t value)
wrmsr_safe:
	mov ecx, edi
	mov eax, esi
	mov rdx, rsi
	shr rdx, 32
.instruction:
	wrmsr
	xor eax, eax
	ret
.fault:
	mov eax, ERR_IO
	ret

; struct fixup (arch/x86/desc.c): distances from each field itself: nothing needs relocation.
section .rodata
align 4
fixups:
	dd rdmsr_safe.instruction - $
	dd rdmsr_safe.fault - $
	dd wrmsr_safe.instruction - $
	dd wrmsr_safe.fault - $
fixups_end:
