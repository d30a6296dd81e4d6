; kind = flat64: keeps its processor busy for ever and says after each second of its clock how much of that it had:
; whatever lies between two looks at the TSC that are further apart than 375 us was somebody else's.
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
	imul	r12, r15, 3
	shr	r12, 3			; ticks of 375 us: what is longer was not ours
	call	clock
	mov	r10, rax		; the second's beginning
	mov	r8, rax			; the last look
.second:
	xor	r11d, r11d		; ticks that were ours
.busy:
	call	clock
	mov	rbx, rax
	sub	rbx, r8
	mov	r8, rax
	cmp	rbx, r12
	ja	.taken
	add	r11, rbx
.taken:
	sub	rax, r10
	cmp	rax, r14
	jb	.busy

	mov	r13, rax		; a second that was overrun is a longer one
	lea	rsi, [had]
	call	puts
	imul	rax, r11, 1000
	xor	edx, edx
	div	r13
	call	put_number
	lea	rsi, [of]
	call	puts
	mov	r10, r8
	jmp	.second

%include "common.inc"
%include "clock.inc"
%include "number.inc"

begun:		db "share64: begun", 13, 10, 0
had:		db "share64: had ", 0
of:		db " of 1000", 13, 10, 0
