; kind = flat64: halts with interrupts off, for ever.
	bits 64
	default rel
	org 0x200000

start:
	cld
	cli
	lea	rsi, [hello]
	call	puts
.stay:
	hlt
	jmp	.stay

%include "common.inc"

hello:		db "hltoff64: halted", 13, 10, 0
