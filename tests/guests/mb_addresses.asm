; kind = multiboot: the header's address fields say where the file goes: below 1 MiB. Some bytes come before what is
; loaded.
	bits 32
	org 0x8000 - 100

	times 100 db 0xcc
loaded:
	align	4, db 0
header:
	dd	MB_MAGIC, MB_FLAGS | MB_ADDRESSES, -(MB_MAGIC + (MB_FLAGS | MB_ADDRESSES))
	dd	header, loaded, image_end, bss_end, start

%include "multiboot.inc"

	times 64 db 0xcc		; and some behind it
