; kind = multiboot: an ELF file of 64 bits. Its entry is in 32-bit protected mode all the same.
	bits 32
	org 0x200000

elf:
	db	0x7f, "ELF", 2, 1, 1, 0
	times 8 db 0
	dw	2, 62			; ET_EXEC, EM_X86_64
	dd	1
	dq	start, phdr - elf, 0
	dd	0
	dw	64, 56, 1, 0, 0, 0
phdr:
	dd	1, 7
	dq	0, elf, elf, image_end - elf, bss_end - elf, 0x1000

	align	4, db 0
	dd	MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)

%include "multiboot.inc"
