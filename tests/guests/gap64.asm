; kind = flat64: looks at its TSC and at the ACPI timer again and again, and says after each second of its TSC how far
; apart two looks at each were at most. Between them it exits for nothing: whatever comes from outside finds it here.
	bits 64
	default rel
	org 0x200000

start:
	cld
	cli
	lea	rsi, [begun]
	call	puts
	call	tsc_khz
	mov	r15, rax
	imul	r14, r15, 1000		; ticks of a second
.second:
	call	look
	mov	r10, rax		; the second's beginning
	mov	r8, rax			; the last looks
	mov	r9, rbx
	xor	r12d, r12d		; the widest gaps
	xor	r13d, r13d
.next:
	mov	ecx, 10000
.busy:
	dec	ecx
	jnz	.busy
	call	look
	mov	rcx, rax
	sub	rcx, r8
	cmp	r12, rcx
	cmovb	r12, rcx
	mov	r8, rax
	mov	rcx, rbx
	sub	ecx, r9d
	and	ecx, 0xffffff		; the timer's 24 bits
	cmp	r13, rcx
	cmovb	r13, rcx
	mov	r9, rbx
	sub	rax, r10
	cmp	rax, r14
	jb	.next

	lea	rsi, [tsc]
	call	puts
	mov	rax, r12
	xor	edx, edx
	div	r15
	call	put_number
	lea	rsi, [timer]
	call	puts
	mov	rax, r13
	xor	edx, edx
	mov	ebx, 3580		; ticks of a millisecond
	div	rbx
	call	put_number
	lea	rsi, [end]
	call	puts
	jmp	.second

; RAX = TSC, RBX = ACPI timer. Changes RDX.
look:
	mov	dx, PM_TMR
	in	eax, dx
	mov	ebx, eax
	jmp	clock

%include "common.inc"
%include "clock.inc"
%include "number.inc"

begun:		db "gap64: begun", 13, 10, 0
tsc:		db "gap64: tsc ", 0
timer:		db " ms, timer ", 0
end:		db " ms", 13, 10, 0
