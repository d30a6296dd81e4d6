; kind = flat64: writes more to its console than the port below takes meanwhile, with interrupts off and without a pause,
; and powers off.
	bits 64
	default rel
	org 0x200000

LINES	equ 1400		; 80 KB: more than Socle keeps and sends meanwhile

start:
	cld
	cli
	mov	ecx, LINES
.line:
	push	rcx
	lea	rsi, [text]
	call	puts
	pop	rcx
	loop	.line
	lea	rsi, [done]
	call	puts
	jmp	poweroff

%include "common.inc"

text:		db "burst64: text, of which there is more than fits anywhere", 13, 10, 0
done:		db "burst64: done", 13, 10, 0
