; kind = flat64: entered at 2 MiB in 64-bit mode, the first 4 GiB mapped to themselves, RDI = bytes of memory.
	bits 64
	default rel
	org 0x200000

start:
	mov	r12, rdi
	cld
	lea	rsi, [bad_place]
	lea	rax, [start]
	cmp	rax, 0x200000
	jne	.say
	mov	byte [rsp - 64], 0x5a	; the stack takes a write
	mov	rax, [abs 0x1ff000]		; and low memory is mapped
	lea	rsi, [hello]
.say:
	call	puts
	mov	rax, r12
	shr	rax, 20
	call	put_number
	lea	rsi, [mib]
	call	puts
	jmp	poweroff

%include "common.inc"
%include "number.inc"

hello:		db "flat64: hello, memory ", 0
bad_place:	db "flat64: wrong address, memory ", 0
mib:		db " MiB", 13, 10, 0
