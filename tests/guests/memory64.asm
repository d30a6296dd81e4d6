; kind = flat64: memory is zero at the start (but for what the loader put there), can be written to its last byte, and
; there is nothing behind it. RDI = bytes of memory, less than 1 GiB here.
	bits 64
	default rel
	org 0x200000

start:
	cld
	mov	r12, rdi
	; from behind this image to the end: all zero
	lea	rdi, [end_of_image]
	mov	rcx, r12
	sub	rcx, rdi
	shr	rcx, 3
	xor	eax, eax
	repe	scasq
	lea	rsi, [dirty]
	jne	.say
	; each page takes its own address as a mark, and keeps it
	mov	rdi, 0x400000
.mark:
	mov	[rdi], rdi
	add	rdi, 4096
	cmp	rdi, r12
	jb	.mark
	mov	rdi, 0x400000
	lea	rsi, [lost]
.look:
	cmp	[rdi], rdi
	jne	.say
	add	rdi, 4096
	cmp	rdi, r12
	jb	.look
	lea	rsi, [good]
.say:
	call	puts
	jmp	poweroff

%include "common.inc"

good:		db "memory64: good", 13, 10, 0
dirty:		db "memory64: not zero at the start", 13, 10, 0
lost:		db "memory64: a page lost its mark", 13, 10, 0
	align 8
end_of_image:
