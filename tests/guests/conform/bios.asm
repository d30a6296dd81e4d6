; A disk that a PC's BIOS boots: this sector brings what follows it to 1 MiB and enters it as kind = flat32 does.
; IMAGE is the guest's file.
	bits 16
	org 0x7c00

BUFFER	equ 0x10000
HERE	equ (image_end - image + 511) / 512
PIECE	equ 32			; sectors at a time

start:
	cli
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, 0x7c00
	cld
	mov	[drive], dl
	mov	cx, (HERE + PIECE - 1) / PIECE
.load:
	push	cx
	mov	si, packet
	mov	dl, [drive]
	mov	ah, 0x42		; extended read
	int	0x13
	jc	$
	pop	cx
	add	word [packet.segment], PIECE * 512 / 16
	add	dword [packet.sector], PIECE
	loop	.load
	in	al, 0x92		; A20
	or	al, 2
	and	al, 0xfe
	out	0x92, al
	mov	al, 0xff		; no interrupts of the 8259s
	out	0x21, al
	out	0xa1, al
	lgdt	[gdt_pointer]
	mov	eax, 0x31		; NE ET PE
	mov	cr0, eax
	jmp	8:.protected
	bits 32
.protected:
	mov	ax, 16
	mov	ds, ax
	mov	es, ax
	mov	fs, ax
	mov	gs, ax
	mov	ss, ax
	mov	esi, BUFFER
	mov	edi, 0x100000
	mov	ecx, HERE * 512 / 4
	rep	movsd
	mov	esp, 0x90000
	xor	ebx, ebx
	mov	eax, 0x100000
	jmp	eax

	align	8
gdt:		dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:	dw $ - gdt - 1
		dd gdt
packet:		db 16, 0
		dw PIECE
		dw 0
.segment:	dw BUFFER / 16
.sector:	dq 1
drive:		db 0
	times	510 - ($ - $$) db 0
	dw	0xaa55
image:
	incbin	IMAGE
image_end:
	times	516096 - ($ - $$) db 0	; whole cylinders of 16 heads and 63 sectors
