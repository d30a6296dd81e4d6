; The way into C for guests made with tests/guests/rt: 32-bit multiboot entry, long mode, the second processor's start
; from real mode, the gates of all vectors, and calls that survive their exceptions.
MB_MAGIC	equ 0x1badb002
MB_FLAGS	equ 2
CR0_LONG	equ 0x80000031		; PG NE ET PE
CR4_LONG	equ 0x620		; OSXMMEXCPT OSFXSR PAE
EFER		equ 0xc0000080
EFER_LME	equ 0x100
KERNEL_CS	equ 0x08
KERNEL_DS	equ 0x10
USER_CS		equ 0x23
USER_DS		equ 0x1b
TSS_FIRST	equ 0x40
STACK_BYTES	equ 0x10000
TRAMPOLINE	equ 0x8000
USER_PAGE	equ 2			; of 2 MiB each
USER_DEVICES	equ 1536
RESUME_RIP	equ 0			; struct rt_cpu
RESUME_RSP	equ 8
NOTE		equ 16
%include "arch/x86/general.inc"

	global rt_entry, rt_gates, rt_try_asm, rt_user_asm, rt_gdt, rt_gdt_pointer, rt_trampoline, rt_trampoline_end
	global rt_stacks, rt_pml4, rt_ap_count, rt_landing
	extern rt_main, rt_ap_main, rt_interrupt, rt_cpus

	section .multiboot
	align	4
	dd	MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)

	section .text
	bits 32
rt_entry:
	cli
	cld
	mov	[info], ebx
	mov	esp, rt_stacks + STACK_BYTES
	call	map_memory
	call	long_mode
	lgdt	[rt_gdt_pointer]
	jmp	KERNEL_CS:boot64

long_mode:
	mov	eax, CR4_LONG
	mov	cr4, eax
	mov	eax, rt_pml4
	mov	cr3, eax
	mov	ecx, EFER
	rdmsr
	or	eax, EFER_LME
	wrmsr
	mov	eax, CR0_LONG
	mov	cr0, eax
	ret

; The first 4 GiB to themselves for the kernel. At 512 GiB, for user mode, what is at 4 MiB and from 3 GiB on.
map_memory:
	mov	dword [rt_pml4], pdpt + 3
	mov	dword [rt_pml4 + 8], user_pdpt + 7
	mov	eax, page_dirs + 3
	mov	ebx, user_dirs + 7
	xor	ecx, ecx
.tables:
	mov	[pdpt + ecx * 8], eax
	mov	[user_pdpt + ecx * 8], ebx
	add	eax, 4096
	add	ebx, 4096
	inc	ecx
	cmp	ecx, 4
	jb	.tables
	mov	eax, 0x83
	xor	ecx, ecx
.pages:
	mov	[page_dirs + ecx * 8], eax
	lea	ebx, [eax + 4]
	cmp	ecx, USER_PAGE
	je	.user
	cmp	ecx, USER_DEVICES
	jb	.next
.user:
	mov	[user_dirs + ecx * 8], ebx
.next:
	add	eax, 0x200000
	inc	ecx
	cmp	ecx, 2048
	jb	.pages
	ret

	bits 64
boot64:
	mov	edi, [info]
	mov	rsp, rt_stacks + STACK_BYTES
	call	load_segments
	call	rt_main
.stay:	cli
	hlt
	jmp	.stay

load_segments:
	mov	ax, KERNEL_DS
	mov	ss, ax
	mov	ds, ax
	mov	es, ax
	xor	eax, eax
	mov	fs, ax
	mov	gs, ax
	ret

; Copied to TRAMPOLINE: a second processor's first instructions, in real mode.
	bits 16
rt_trampoline:
	cli
	xor	ax, ax
	mov	ds, ax
	o32 lgdt [TRAMPOLINE + trampoline_gdt - rt_trampoline]
	mov	eax, 0x11
	mov	cr0, eax
	jmp	dword 0x18 + 0x18:ap32
	align	8, db 0
trampoline_gdt:
	dw	TSS_FIRST + 16 * 2 - 1
	dd	rt_gdt
rt_trampoline_end:

	bits 32
ap32:
	mov	ax, KERNEL_DS
	mov	ds, ax
	mov	ss, ax
	mov	es, ax
	mov	esp, rt_stacks + 2 * STACK_BYTES
	call	long_mode
	jmp	KERNEL_CS:ap64
	bits 64
ap64:
	call	load_segments
	mov	rsp, rt_stacks + 2 * STACK_BYTES
	call	rt_ap_main
.stay:	cli
	hlt
	jmp	.stay

; ---- gates ----

; The processor aligns the stack before it pushes a frame, so that its alignment tells whether an error code is there:
; an interrupt with an exception's vector has none.
%macro GATE 1
	align	32, db 0xcc
	test	spl, 8
	jz	%%has_error
	push	0
%%has_error:
	push	%1
	jmp	near save
%endmacro
	align	32
rt_gates:
%assign vector 0
%rep 256
	GATE	vector
%assign vector vector + 1
%endrep

save:
	push_all GENERAL
	cld
	mov	rdi, rsp
	mov	rbp, rsp
	and	rsp, -16
	call	rt_interrupt
	mov	rsp, rbp
	pop_all GENERAL
	add	rsp, 16
	iretq

; rt_try_asm(fn, argument, cpu): calls fn(argument); an exception lands at rt_landing with RSP as here.
rt_try_asm:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdx
	mov	rax, rt_landing
	mov	[rdx + RESUME_RIP], rax
	mov	[rdx + RESUME_RSP], rsp
	mov	r15, [rdx + NOTE]
	mov	rax, rdi
	mov	rdi, rsi
	call	rax
	mov	eax, -1
rt_landing:
	pop	rdx
	mov	qword [rdx + RESUME_RIP], 0
	cld
	mov	cx, KERNEL_DS
	mov	ds, cx
	mov	es, cx
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

; rt_user_asm(rip, rsp, registers, rflags): goes to user mode; only an exception comes back, through rt_try.
; registers: RAX RCX RDX RBX RBP RSI RDI R8
rt_user_asm:
	push	USER_DS
	push	rsi
	push	rcx
	push	USER_CS
	push	rdi
	mov	rax, USER_DS
	mov	ds, ax
	mov	es, ax
	mov	r8, [rdx + 56]
	mov	rdi, [rdx + 48]
	mov	rsi, [rdx + 40]
	mov	rbp, [rdx + 32]
	mov	rbx, [rdx + 24]
	mov	rcx, [rdx + 8]
	mov	rax, [rdx]
	mov	rdx, [rdx + 16]
	iretq

	section .data
	align	16
rt_gdt:
	dq	0
	dq	0x00209b0000000000		; 08h: 64-bit code
	dq	0x00cf93000000ffff		; 10h: data
	dq	0x00cff3000000ffff		; 18h: user data
	dq	0x0020fb0000000000		; 20h: 64-bit user code
	dq	0x00cffb000000ffff		; 28h: 32-bit user code
	dq	0x00cf9b000000ffff		; 30h: 32-bit code
	dq	0				; 38h
	times 4 dq 0				; 40h, 50h: TSS of processors 0 and 1
rt_gdt_pointer:
	dw	$ - rt_gdt - 1
	dq	rt_gdt

	section .bss
	alignb	4096
rt_pml4:	resb 4096
pdpt:		resb 4096
user_pdpt:	resb 4096
page_dirs:	resb 4 * 4096
user_dirs:	resb 4 * 4096
	alignb	4096
rt_stacks:	resb 2 * STACK_BYTES
info:		resd 1
