; kind = multiboot: an ELF file of 32 bits, linked to run at 3 GiB and loaded at 2 MiB.
	bits 32
	org 0x200000

VIRTUAL	equ 0xc0000000
elf:
	db	0x7f, "ELF", 1, 1, 1, 0
	times 8 db 0
	dw	2, 3			; ET_EXEC, EM_386
	dd	1, start + VIRTUAL, phdr - elf, 0, 0
	dw	52, 32, 1, 0, 0, 0
phdr:
	dd	1, 0, elf + VIRTUAL, elf, image_end - elf, bss_end - elf, 7, 0x1000

	align	4, db 0
	dd	MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)

%include "multiboot.inc"
