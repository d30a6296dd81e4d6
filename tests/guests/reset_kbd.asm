; kind = flat16: asks for a reset through the keyboard controller, port 0x64.
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
	mov	dx, 0x64
	mov	al, 0xfe
	out	dx, al
.stay:
	cli
	hlt
	jmp	.stay

%include "common.inc"

hello:		db "reset_kbd: up", 13, 10, 0
