; kind = flat64: uses addresses behind its memory. Whatever that gets it, it must be the only one to notice.
	bits 64
	default rel
	org 0x200000

start:
	cld
	mov	r12, rdi
	lea	rsi, [hello]
	call	puts
	mov	rax, [r12 + 0x1000]
	mov	[r12 + 0x1000], rax
	mov	rcx, r12
	jmp	rcx			; no instruction can be fetched there

%include "common.inc"

hello:		db "wild64: leaving its memory", 13, 10, 0
