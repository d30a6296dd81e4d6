; kind = pvh: an ELF file of 64 bits with Xen's note of type 18. For debug_exit and debug_console.
	bits 32
	org 0x200000

elf:
	db	0x7f, "ELF", 2, 1, 1, 0
	times 8 db 0
	dw	2, 62			; ET_EXEC, EM_X86_64
	dd	1
	dq	elf, phdr - elf, 0	; whoever enters here gets nowhere
	dd	0
	dw	64, 56, 2, 0, 0, 0
phdr:
	dd	1, 7
	dq	0, elf, elf, image_end - elf, bss_end - elf, 0x1000
	dd	4, 4
	dq	notes - elf, notes, notes, notes_end - notes, notes_end - notes, 4
notes:
	dd	4, 6, 6			; XEN_ELFNOTE_GUEST_OS
	db	"Xen", 0, "Socle", 0, 0, 0
	dd	4, 4, 18
	db	"Xen", 0
	dd	start
notes_end:

start:
	mov	esp, stack_top
	cld
	mov	eax, 1
	cmp	dword [ebx], 0x336ec578
	jne	finish
	cmp	dword [ebx + 4], 1	; version
	jb	finish
	call	check_mode
	mov	eax, 3
	mov	esi, [ebx + 32]		; rsdp_paddr
	cmp	dword [esi], 'RSD '
	jne	finish
	str	ax
	mov	esi, cmdline_is
	call	say
	mov	esi, [ebx + 24]		; cmdline_paddr
	call	say
	mov	al, 10
	out	0xe9, al
	call	modules
	call	memory
	mov	eax, 33
	jmp	finish

modules:
	mov	ebp, [ebx + 12]		; nr_modules
	mov	edi, [ebx + 16]		; modlist_paddr
.next:
	test	ebp, ebp
	jz	.done
	mov	esi, module_is
	call	say
	mov	esi, [edi + 16]
	call	say
	mov	esi, colon
	call	say
	mov	esi, [edi]
	mov	ecx, [edi + 8]
	call	say_bytes
	add	edi, 32
	dec	ebp
	jmp	.next
.done:
	ret

memory:
	mov	edi, [ebx + 40]		; memmap_paddr
	mov	ebp, [ebx + 48]		; memmap_entries
	xor	ecx, ecx
.next:
	cmp	dword [edi + 16], 1
	jne	.no_ram
	add	ecx, [edi + 8]
.no_ram:
	add	edi, 24
	dec	ebp
	jnz	.next
	mov	esi, memory_is
	call	say
	mov	eax, ecx
	shr	eax, 10
	call	say_number
	mov	esi, kib
	jmp	say

%include "debug32.inc"

cmdline_is:	db "pvh: command line: ", 0
module_is:	db "pvh: module ", 0
colon:		db ": ", 0
memory_is:	db "pvh: memory ", 0
kib:		db " KiB", 10, 0
image_end:

	absolute $
	resb	4096
stack_top:
bss_end:
