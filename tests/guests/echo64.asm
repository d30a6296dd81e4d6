; kind = flat64: sends back what is typed to it, byte by byte, until that is a 'q'.
	bits 64
	default rel
	org 0x200000

DR	equ 0x01		; LSR: a character was received

start:
	cld
	cli
	lea	rsi, [up]
	call	puts
.next:
	mov	dx, LSR
.wait:
	in	al, dx
	test	al, DR
	jz	.wait
	mov	dx, COM1
	in	al, dx
	cmp	al, 'q'
	je	poweroff
	mov	[typed], al
	lea	rsi, [typed]
	call	puts
	jmp	.next

%include "common.inc"

up:		db "echo64: up", 13, 10, 0
typed:		db 0, 0
