; Entered at 1 MiB as kind = flat32: exceptions and interrupts in 32-bit protected mode.
	bits 32
	extern main, on_event
	global catch_ip, catch_sp, idt, gdt, gdt_pointer, set_idt, user_stack_top, stack_top

	section .text.start
	global start
start:
	cld
	mov	esp, stack_top
	lgdt	[gdt_pointer]
	jmp	8:.reload
.reload:
	mov	ax, 16
	mov	ds, ax
	mov	es, ax
	mov	fs, ax
	mov	gs, ax
	mov	ss, ax
	call	set_idt
	call	main
.stay:
	hlt
	jmp	.stay

	section .text
; 256 interrupt gates, each to a stub of 16 bytes.
set_idt:
	push	edi
	mov	edi, idt
	mov	edx, stubs
	mov	ecx, 256
.next:
	mov	[edi], dx
	mov	word [edi + 2], 8
	mov	word [edi + 4], 0x8e00
	mov	eax, edx
	shr	eax, 16
	mov	[edi + 6], ax
	add	edi, 8
	add	edx, 16
	loop	.next
	lidt	[idt_pointer]
	pop	edi
	ret

; on_event() says whether the program goes on where it was, or at catch_ip.
event:
	pushad
	mov	ax, 16
	mov	ds, ax
	mov	es, ax
	cld
	push	esp
	call	on_event
	add	esp, 4
	test	eax, eax
	jz	.caught
	popad
	add	esp, 8
	iretd
.caught:				; with the registers that there were
	mov	eax, 16
	mov	fs, ax
	mov	gs, ax
	popad
	mov	esp, [catch_sp]
	push	2
	popfd
	jmp	[catch_ip]

%include "tests/guests/conform/stubs.inc"

	section .data
	align	8
; 8 code, 10h data, 18h and 20h those of CPL 3, 28h the first of the test's own.
gdt:		dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff
		times 59 dq 0
gdt_pointer:	dw $ - gdt - 1
		dd gdt
idt_pointer:	dw 2047
		dd idt
catch_ip:	dd 0
catch_sp:	dd 0

	section .bss
	align	16
idt:		resb 2048
		resb 8192
stack_top:
		resb 4096
user_stack_top:
