; kind = flat64: a shutdown in 64-bit mode, with values in the registers that the dump must show.
	bits 64
	default rel
	org 0x200000

start:
	cld
	lea	rsi, [hello]
	call	puts
	mov	r14, 0x1122334455667788
	mov	r15, 0x99aabbccddeeff00
	lidt	[empty]
	ud2

%include "common.inc"

empty:		dw 0
		dq 0
hello:		db "triple64: falling", 13, 10, 0
