; kind = flat64: never gives its processor away: interrupts off, no exit of its own will.
	bits 64
	default rel
	org 0x200000

start:
	cld
	lea	rsi, [hello]
	call	puts
	cli
.stay:
	jmp	.stay

%include "common.inc"

hello:		db "spin64: spinning", 13, 10, 0
