; kind = flat16: entered at 0:7c00 in real mode with DL = 0.
	bits 16
	org 0x7c00

start:
	mov	cl, dl
	call	.here			; the address that CALL pushes says where this runs
.here:
	pop	bp
	mov	bx, cs
	xor	ax, ax
	mov	ds, ax
	mov	ss, ax
	mov	sp, 0x7c00
	cld
	mov	si, bad_place
	cmp	bp, .here
	jne	.say
	test	bx, bx
	jne	.say
	mov	si, bad_dl
	test	cl, cl
	jne	.say
	mov	eax, cr0
	mov	si, bad_mode
	test	al, 1			; CR0.PE
	jnz	.say
	mov	si, hello
.say:
	call	puts
	jmp	poweroff

%include "common.inc"

hello:		db "flat16: hello", 13, 10, 0
bad_place:	db "flat16: wrong address", 13, 10, 0
bad_dl:		db "flat16: DL is not 0", 13, 10, 0
bad_mode:	db "flat16: not in real mode", 13, 10, 0
