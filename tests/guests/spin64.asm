; kind = flat64: never gives its processor away: interrupts off, no exit of its own will.
; Bochs 2.7 enters a guest whose IF is clear with the host's masks still on, and takes no external interrupt from there
; until the guest writes IF again: so this one does, all the time.
	bits 64
	default rel
	org 0x200000

start:
	cld
	lea	rsi, [hello]
	call	puts
.stay:
	cli
	jmp	.stay

%include "common.inc"

hello:		db "spin64: spinning", 13, 10, 0
