; _Noreturn void panic(const char *format, ...)
;
; Goes on in C with the caller's registers as a struct int_frame (arch/x86/desc.h), and with the
; arguments as a va_list (System V ABI for AMD64, 3.5.7).
%include "arch/x86/general.inc"
default rel
bits 64

global panic
extern panic_at

section .text

panic:
	mov	r11, rsp
	and	rsp, -16
	push	0
	push	0x10			; SS and, below, CS of Socle's
	push	r11
	add	qword [rsp], 8
	pushfq
	push	0x08
	push	qword [r11]
	push	0			; no error code
	push	0			; no vector
	push_all GENERAL
	mov	rax, rsp
	; The argument registers as the ABI's register save area has them, lowest address first.
	push	r9
	push	r8
	push	rcx
	push	rdx
	push	rsi
	push	rdi
	mov	rcx, rsp
	push	rcx
	lea	rdx, [r11 + 8]
	push	rdx
	mov	rdx, 48 << 32 | 8	; no vector registers; the format is taken
	push	rdx
	mov	rdx, rsp
	mov	rsi, rdi
	mov	rdi, rax
	cld
	call	panic_at
	ud2
