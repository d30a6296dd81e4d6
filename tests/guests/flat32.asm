; kind = flat32: entered at 1 MiB in 32-bit protected mode, flat segments, paging off, EBX = 0.
	bits 32
	org 0x100000

start:
	mov	ecx, ebx
	call	.here
.here:
	pop	ebp
	cld
	mov	esi, bad_place
	cmp	ebp, .here
	jne	.say
	mov	esi, bad_stack
	cmp	esp, 0x90000
	ja	.say
	mov	esi, bad_ebx
	test	ecx, ecx
	jne	.say
	mov	esi, bad_mode
	mov	eax, cr0
	and	eax, 0x80000001		; CR0.PG, CR0.PE
	cmp	eax, 1
	jne	.say
	mov	esi, hello
.say:
	call	puts
	jmp	poweroff

%include "common.inc"

hello:		db "flat32: hello", 13, 10, 0
bad_place:	db "flat32: wrong address", 13, 10, 0
bad_stack:	db "flat32: the stack is not below 0x90000", 13, 10, 0
bad_ebx:	db "flat32: EBX is not 0", 13, 10, 0
bad_mode:	db "flat32: not in protected mode without paging", 13, 10, 0
