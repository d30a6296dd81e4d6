; A multiboot kernel in C: its header, the entry, interrupts, and where other processors start. For debug_console = 0xe9
; and debug_exit = 0xf4.
	bits	32
	extern	main, interrupt, ap_main
	global	start, stubs, trampoline, trampoline_end

MAGIC	equ 0x1badb002
FLAGS	equ 3			; modules on page boundaries, memory information
CODE	equ 8
DATA	equ 16
TRAMPOLINE equ 0x8000		; where it is copied to, for a start-up IPI with vector 8

	section	.text
	align	4
	dd	MAGIC, FLAGS, -(MAGIC + FLAGS)

start:
	cli
	cld
	mov	esp, stack_top
	lgdt	[gdt_pointer]
	jmp	CODE:.reloaded
.reloaded:
	mov	cx, DATA
	mov	ds, cx
	mov	es, cx
	mov	ss, cx
	mov	fs, cx
	mov	gs, cx
	push	ebx
	push	eax
	call	main
.stay:
	hlt
	jmp	.stay

; Copied to TRAMPOLINE: a processor after its start-up IPI.
	bits	16
trampoline:
	cli
	xor	ax, ax
	mov	ds, ax
	lgdt	[TRAMPOLINE + .pointer - trampoline]
	mov	eax, cr0
	or	al, 1
	mov	cr0, eax
	jmp	dword CODE:ap_start
	align	4
.pointer:
	dw	gdt_end - gdt - 1
	dd	gdt
trampoline_end:

	bits	32
ap_start:
	mov	cx, DATA
	mov	ds, cx
	mov	es, cx
	mov	ss, cx
	mov	esp, ap_stack_top
	call	ap_main
.stay:
	hlt
	jmp	.stay

	align	8
gdt:
	dq	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_end:
gdt_pointer:
	dw	gdt_end - gdt - 1
	dd	gdt

; interrupt(vector, error code or 0) for each vector, 16 bytes apart.
%macro STUB 1
	align	16
%if %1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17
	push	dword %1
%else
	push	dword 0
	push	dword %1
%endif
	jmp	deliver
%endmacro

	align	16
stubs:
%assign vector 0
%rep 256
	STUB	vector
%assign vector vector + 1
%endrep

deliver:
	pushad
	push	dword [esp + 36]	; the error code
	push	dword [esp + 36]	; the vector
	cld
	call	interrupt
	add	esp, 8
	popad
	add	esp, 8
	; One interrupt at a time: a level-triggered one whose device is not quiet would come for ever.
	and	dword [esp + 8], ~0x200
	iret

	section	.bss
	align	16
	resb	16384
stack_top:
	resb	8192
ap_stack_top:

	section	.note.GNU-stack noalloc noexec nowrite progbits
