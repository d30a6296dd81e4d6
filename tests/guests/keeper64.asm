; kind = flat64: gives every eight bytes of its memory a value and looks again and again, for five seconds, whether they
; stay. RDI = bytes of memory.
	bits 64
	default rel
	org 0x200000

FIRST	equ 0x400000		; behind this image and its stack

start:
	cld
	cli
	mov	r12, rdi
	lea	rsi, [begun]
	call	puts
	call	tsc_khz
	imul	r15, rax, 5000
	mov	rdi, FIRST
.fill:
	mov	rax, rdi
	not	rax
	stosq
	cmp	rdi, r12
	jb	.fill
	call	clock
	mov	r14, rax
.pass:
	mov	rdi, FIRST
	lea	rsi, [bad]
.look:
	mov	rax, rdi
	not	rax
	cmp	[rdi], rax
	jne	.say
	add	rdi, 8
	cmp	rdi, r12
	jb	.look
	call	clock
	sub	rax, r14
	cmp	rax, r15
	jb	.pass
	lea	rsi, [good]
.say:
	call	puts
	jmp	poweroff

%include "common.inc"
%include "clock.inc"

begun:		db "keeper64: begun", 13, 10, 0
good:		db "keeper64: good", 13, 10, 0
bad:		db "keeper64: its memory has changed", 13, 10, 0
