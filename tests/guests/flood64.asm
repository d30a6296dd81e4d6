; kind = flat64: writes lines to its console for ever, as fast as it is let.
	bits 64
	default rel
	org 0x200000

start:
	cld
	cli
.line:
	lea	rsi, [text]
	call	puts
	jmp	.line

%include "common.inc"

text:		db "flood64: all this text is only here to be in the way", 13, 10, 0
