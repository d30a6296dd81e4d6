; kind = flat64: goes through what the platform offers a guest, one line for each piece: "platform64: NAME: ok" or
; "FAILED". A piece whose interrupt never comes is the one after the last line.
	bits 64
	default rel
	org 0x200000

%define NAME "platform64"
%include "pieces.inc"

APIC		equ 0xfee00000		; its registers: SDM vol. 3A 11.4.1
APIC_EOI	equ 0xb0
APIC_SVR	equ 0xf0
APIC_ICR	equ 0x300
APIC_LVT_TIMER	equ 0x320
APIC_INIT_COUNT	equ 0x380
APIC_CURRENT	equ 0x390
APIC_DIVIDE	equ 0x3e0
IOAPIC		equ 0xfec00000
PM_TIMER	equ 0x608
MSR_APIC_BASE	equ 0x1b
MSR_DEADLINE	equ 0x6e0
MSR_X2_EOI	equ 0x80b
MSR_X2_TIMER	equ 0x832
MSR_X2_SELF	equ 0x83f
MSR_EFER	equ 0xc0000080
PERIOD		equ 5000000		; long enough for an emulated processor to get anything else done
UD		equ 6
GP		equ 13
V_TIMER		equ 0x40
V_IPI		equ 0x41
V_SERIAL	equ 0x42

; The next instruction must fault with vector %1.
%macro EXPECT_FAULT 2+
	mov	byte [fault], 0xff
	lea	rax, [%%after]
	mov	[resume], rax
	call	%%try
	jmp	%%after
%%try:	%2
	ret
%%after:
	mov	rsp, [stack]
	cmp	byte [fault], %1
%endmacro

; Sleep until interrupt %1 has come %2 times in all.
%macro AWAIT 2
%%more:	sti
	hlt
	cli
	cmp	qword [counts + 8 * %1], %2
	jb	%%more
%endmacro

start:
	cli
	cld
	START_PIECES
	mov	r13d, APIC
	mov	r12d, IOAPIC

PIECE "cpuid"
	mov	eax, 1
	cpuid
	mov	[features], ecx
	and	ecx, 1 << 31 | 1 << 5	; running under a hypervisor; VMX
	cmp	ecx, 1 << 31
DONE
PIECE "paravirtual leaf"
	mov	eax, 0x40000000
	cpuid
	sub	ebx, 'KVMK'
	sub	ecx, 'VMKV'
	or	ebx, ecx
	sub	edx, 'M'
	or	ebx, edx
DONE
PIECE "undefined instruction"
	EXPECT_FAULT UD, ud2
DONE
PIECE "unknown MSR read"
	mov	ecx, 0x00c0ffee
	EXPECT_FAULT GP, rdmsr
DONE
PIECE "unknown MSR write"
	mov	ecx, 0x00c0ffee
	xor	edx, edx
	EXPECT_FAULT GP, wrmsr
DONE
PIECE "CR4.VMXE"
	mov	rbx, cr4
	bts	rbx, 13
	EXPECT_FAULT GP, mov cr4, rbx
DONE
PIECE "VMXON"
	EXPECT_FAULT UD, vmxon [features]
DONE
PIECE "CR4 reads back"
	mov	rax, cr4
	bt	eax, 13
	sbb	eax, eax
	test	eax, eax
DONE
PIECE "EFER"
	mov	ecx, MSR_EFER
	rdmsr
	and	eax, 1 << 12 | 1 << 10 | 1 << 8	; SVME, LMA, LME
	cmp	eax, 1 << 10 | 1 << 8
DONE
PIECE "APIC base"
	mov	ecx, MSR_APIC_BASE
	rdmsr
	cmp	eax, APIC | 1 << 11 | 1 << 8	; enabled, BSP, xAPIC mode
DONE
PIECE "absent port"
	mov	dx, 0x1234
	in	eax, dx
	cmp	eax, 0xffffffff
DONE
PIECE "PM timer"
	mov	dx, PM_TIMER
	in	eax, dx
	mov	ebx, eax
.tick:
	in	eax, dx
	sub	eax, ebx
	and	eax, 0xffffff
	jz	.tick
	cmp	eax, 0x400000		; it moved on, not back
	sbb	eax, eax
	cmp	eax, -1
DONE
PIECE "string output"
	mov	dx, COM1 + 2
	mov	al, 7			; FIFO on and empty
	out	dx, al
	call	drain
	mov	dx, COM1
	lea	rsi, [string]
	mov	ecx, string_size
	rep	outsb
	test	ecx, ecx
DONE
PIECE "APIC timer, one-shot"
	mov	dword [r13 + APIC_SVR], 0x1ff
	mov	dword [r13 + APIC_DIVIDE], 0xb	; by 1
	mov	dword [r13 + APIC_LVT_TIMER], V_TIMER
	mov	dword [r13 + APIC_INIT_COUNT], 100000
	AWAIT	V_TIMER, 1
	cmp	dword [r13 + APIC_CURRENT], 0	; current count
DONE
PIECE "APIC timer, periodic"
	mov	dword [r13 + APIC_LVT_TIMER], V_TIMER | 1 << 17
	mov	dword [r13 + APIC_INIT_COUNT], PERIOD
	AWAIT	V_TIMER, 4
	mov	dword [r13 + APIC_INIT_COUNT], 0
	cmp	eax, eax
DONE
PIECE "IPI to itself"
	mov	dword [r13 + APIC_ICR], 1 << 18 | V_IPI
	AWAIT	V_IPI, 1
	cmp	eax, eax
DONE
PIECE "I/O APIC and serial interrupt"
	mov	dword [r12], 0x10 + 2 * 4 + 1	; pin 4, high half: to processor 0
	mov	dword [r12 + 0x10], 0
	mov	dword [r12], 0x10 + 2 * 4
	mov	dword [r12 + 0x10], V_SERIAL
	mov	dx, COM1 + 4
	mov	al, 0xb			; OUT2 lets the interrupt out
	out	dx, al
	mov	dx, COM1 + 1
	mov	al, 2			; transmitter empty
	out	dx, al
	AWAIT	V_SERIAL, 1
	xor	eax, eax
	mov	dx, COM1 + 1
	out	dx, al
	cmp	eax, eax
DONE
	test	dword [features], 1 << 21
	jz	.no_x2apic
PIECE "x2APIC mode"
	mov	ecx, MSR_APIC_BASE
	rdmsr
	or	eax, 1 << 10
	wrmsr
	mov	byte [x2apic], 1
	rdmsr
	and	eax, 3 << 10
	cmp	eax, 3 << 10
DONE
PIECE "x2APIC self IPI"
	mov	ecx, MSR_X2_SELF
	mov	eax, V_IPI
	xor	edx, edx
	wrmsr
	AWAIT	V_IPI, 2
	cmp	eax, eax
DONE
	test	dword [features], 1 << 24
	jz	.no_x2apic
PIECE "TSC deadline"
	mov	ecx, MSR_X2_TIMER
	mov	eax, V_TIMER | 2 << 17
	xor	edx, edx
	wrmsr
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	add	rax, 1000000
	mov	rbx, rax
	mov	rdx, rax
	shr	rdx, 32
	mov	ecx, MSR_DEADLINE
	wrmsr
	mov	rax, [counts + 8 * V_TIMER]
	inc	rax
	mov	[awaited], rax
.deadline:
	sti
	hlt
	cli
	mov	rax, [awaited]
	cmp	[counts + 8 * V_TIMER], rax
	jb	.deadline
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	cmp	rax, rbx		; not before its time
	sbb	eax, eax
	test	eax, eax
DONE
.no_x2apic:
	PIECES_END

; Wait until the serial port's transmitter is empty.
drain:
	mov	dx, LSR
	in	al, dx
	test	al, 0x40
	jz	drain
	ret

exception:				; the vector is on top; what lies below does not matter, nothing returns
	pop	rax
	mov	[fault], al
	mov	rax, [resume]
	jmp	rax

interrupt:
	push	rax
	push	rcx
	push	rdx
	mov	eax, [rsp + 24]
	lea	rcx, [counts]
	inc	qword [rcx + 8 * rax]
	cmp	byte [x2apic], 0
	jne	.msr
	mov	dword [r13 + APIC_EOI], 0
	jmp	.serial
.msr:
	xor	eax, eax
	xor	edx, edx
	mov	ecx, MSR_X2_EOI
	wrmsr
.serial:
	mov	dx, COM1 + 2		; reading the reason takes back a transmitter interrupt
	in	al, dx
	pop	rdx
	pop	rcx
	pop	rax
	add	rsp, 8
	iretq

%include "common.inc"

string:		db "rep outsb", 13, 10
string_size	equ $ - string

	align	8
features:	dd 0, 0
awaited:	dq 0
x2apic:		db 0
