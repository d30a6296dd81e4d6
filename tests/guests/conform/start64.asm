; Entered at 1 MiB as kind = flat32: turns on long mode, then exceptions and interrupts in 64-bit mode.
	bits 32
	extern main, on_event
	extern ap_main
	global catch_ip, catch_sp, idt, gdt, tss, set_idt, user_stack_top, pml4, pd, ap_start, ap_end
%include "arch/x86/general.inc"

	section .text.start
	global start
start:
	cld
	mov	esp, stack_top
	mov	eax, pdpt + 7
	mov	[pml4], eax
	mov	eax, pd + 7
	mov	ecx, 0
.pdpt:
	mov	[pdpt + 8 * ecx], eax
	add	eax, 4096
	inc	ecx
	cmp	ecx, 4
	jb	.pdpt
	xor	ecx, ecx
	mov	eax, 0x83		; 2 MiB pages of the supervisor's
.pd:
	mov	[pd + 8 * ecx], eax
	add	eax, 0x200000
	inc	ecx
	cmp	ecx, 2048
	jb	.pd
	mov	dword [pd + 8 * 512], 0x87	; memory once more from 1 GiB on, for everybody
	mov	eax, pml4
	mov	cr3, eax
	mov	eax, 1 << 5		; PAE
	mov	cr4, eax
	mov	ecx, 0xc0000080
	rdmsr
	or	eax, 1 << 8 | 1		; LME, SCE
	wrmsr
	mov	eax, cr0
	or	eax, 1 << 31 | 1 << 5
	and	eax, ~(1 << 30 | 1 << 29 | 1 << 2)
	mov	cr0, eax
	lgdt	[gdt_pointer]
	jmp	8:.long
	bits 64
	default rel
.long:
	mov	ax, 16
	mov	ds, ax
	mov	es, ax
	mov	fs, ax
	mov	gs, ax
	mov	ss, ax
	lea	rsp, [stack_top]
	lea	rax, [tss]
	mov	[gdt + 0x28 + 2], ax
	shr	rax, 16
	mov	[gdt + 0x28 + 4], al
	mov	[gdt + 0x28 + 7], ah
	lea	rax, [stack_top - 4096]
	mov	[tss + 4], rax		; RSP0
	mov	ax, 0x28
	ltr	ax
	call	set_idt
	call	main
.stay:
	hlt
	jmp	.stay

	section .text
set_idt:
	lea	rdi, [idt]
	lea	rdx, [stubs]
	mov	ecx, 256
.next:
	mov	rax, rdx
	mov	[rdi], ax
	mov	word [rdi + 2], 8
	mov	word [rdi + 4], 0x8e00
	shr	rax, 16
	mov	[rdi + 6], ax
	shr	rax, 16
	mov	[rdi + 8], rax
	add	rdi, 16
	add	rdx, 16
	loop	.next
	lidt	[idt_pointer]
	ret

; on_event() says whether the program goes on where it was, or at catch_ip.
event:
	push_all GENERAL
	cld
	mov	rdi, rsp
	mov	rbx, rsp
	and	rsp, ~15
	call	on_event
	mov	rsp, rbx
	test	eax, eax
	jz	.caught
	call	.pop
	add	rsp, 16
	iretq
.caught:				; with the registers that there were
	mov	eax, 16
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	call	.pop
	mov	rsp, [catch_sp]
	push	2
	popfq
	jmp	[catch_ip]
.pop:
	pop	qword [return]
	pop_all GENERAL
	jmp	[return]

%include "tests/guests/conform/stubs.inc"

; Where another processor begins, copied to 8000h: it leaves what it has found at 9000h, and follows.
	bits 16
ap_start:
	mov	[0x9000], eax
	mov	[0x9004], edx
	mov	eax, cr0
	mov	[0x9008], eax
	mov	eax, cr4
	mov	[0x900c], eax
	mov	[0x9010], cs
	mov	[0x9012], ds
	mov	sp, 0x8000
	pushfd
	pop	dword [0x9014]
	o32 lgdt [0x8000 + ap_gdt - ap_start]
	mov	eax, 1
	mov	cr0, eax
	jmp	dword 0x18:ap_32
ap_gdt:
	dw	127
	dd	gdt
ap_end:
	bits 32
ap_32:
	mov	ax, 16
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	eax, 1 << 5
	mov	cr4, eax
	mov	eax, pml4
	mov	cr3, eax
	mov	ecx, 0xc0000080
	rdmsr
	or	eax, 1 << 8
	wrmsr
	mov	eax, 1 << 31 | 1 << 5 | 1
	mov	cr0, eax
	jmp	8:ap_64
	bits 64
ap_64:
	lea	rsp, [ap_stack_top]
	lidt	[idt_pointer]
	call	ap_main
.stay:
	hlt
	jmp	.stay

	section .data
	align	8
; 8 code, 10h data, 18h 32-bit code, 28h TSS, 38h data and 40h code of CPL 3.
gdt:		dq 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0
		dq 0x0000890000000067 + 8192 + 1, 0, 0x00cff3000000ffff, 0x00affb000000ffff
		times 7 dq 0
gdt_pointer:	dw $ - gdt - 1
		dq gdt
idt_pointer:	dw 4095
		dq idt
catch_ip:	dq 0
catch_sp:	dq 0
return:		dq 0

	align	16
tss:		times 102 db 0
		dw 104			; the I/O permission bitmap
		times 8193 db 0xff

	section .bss
	align	4096
pml4:		resb 4096
pdpt:		resb 4096
pd:		resb 4096 * 4
idt:		resb 4096
		resb 12288
stack_top:
		resb 4096
ap_stack_top:
		resb 4096
user_stack_top:
