; Passes each character that is typed to the port of tests/hooks/faults.c, and says so afterwards; q powers off. Before,
; it asks the terminal where its cursor is, and writes from the beginning of the line what only Socle says.
	bits 64
	default rel
	org 0x200000

FAULT_PORT	equ 0x5c0
DATA_READY	equ 1

start:
	cld
	lea	rsi, [ready]
	call	puts
.wait:
	mov	dx, LSR
	in	al, dx
	test	al, DATA_READY
	jz	.wait
	mov	dx, COM1
	in	al, dx
	cmp	al, 'q'
	je	poweroff
	mov	[typed], al
	mov	dx, FAULT_PORT
	out	dx, al
	lea	rsi, [lived]
	call	puts
	jmp	.wait

%include "common.inc"

ready:	db 27, "[6n", 13, "socle: vm c: started", 13, 10
	db "fault64: ready", 13, 10, 0
lived:	db "fault64: after "
typed:	db "?", 13, 10, 0
