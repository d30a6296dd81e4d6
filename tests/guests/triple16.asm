; kind = flat16: a shutdown. With an empty interrupt table nothing can be delivered, the double fault neither.
	bits 16
	org 0x7c00

start:
	xor	ax, ax
	mov	ds, ax
	mov	ss, ax
	mov	sp, 0x7c00
	cld
	mov	si, hello
	call	puts
	lidt	[empty]
	int	3
	mov	si, survived
	call	puts
	jmp	poweroff

%include "common.inc"

empty:		dw 0
		dd 0
hello:		db "triple16: falling", 13, 10, 0
survived:	db "triple16: still here", 13, 10, 0
