; kind = flat16: asks for a reset through port 0xcf9.
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
	mov	dx, 0xcf9
	mov	al, 6
	out	dx, al
.stay:
	cli
	hlt
	jmp	.stay

%include "common.inc"

hello:		db "reset_cf9: up", 13, 10, 0
