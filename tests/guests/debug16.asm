; kind = flat16: prints through debug_console = 0xe9, and ends with a status through debug_exit = 0xf4.
	bits 16
	org 0x7c00

start:
	cld
	mov	si, hello
	mov	dx, 0xe9
	in	al, dx
	cmp	al, dl			; the port says that it is there
	je	.next
	mov	si, none
.next:
	lodsb
	test	al, al
	jz	.done
	out	dx, al
	jmp	.next
.done:
	mov	dx, 0xf4
	mov	ax, 300
	out	dx, ax
	hlt

hello:	db "debug16: hello", 10, 0
none:	db "debug16: the port does not answer", 10, 0
