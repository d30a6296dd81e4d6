; kind = flat64: exceptions, traps, NMIs and the instructions of both vendors' extensions, one line for each piece:
; "events64: NAME: ok" or "FAILED". A piece whose event never comes is the one after the last line.
	bits 64
	default rel
	org 0x200000

%define NAME "events64"
%define NMI_HANDLER
%include "pieces.inc"

APIC		equ 0xfee00000
APIC_EOI	equ 0xb0
APIC_SVR	equ 0xf0
APIC_ICR	equ 0x300
APIC_ICR_HIGH	equ 0x310
SEND_NMI	equ 0x4400		; to the APIC ID in the high half
SELF_IPI	equ 1 << 18
DEBUG		equ 1
NMI		equ 2
UD		equ 6
GP		equ 13
PF		equ 14
V_LOW		equ 0x41
V_HIGH		equ 0x81
V_SOFT		equ 0x50
TF		equ 1 << 8
STEPS		equ 16

; The instruction must fault with vector %1; BAD counts those that do not.
%macro MUST_FAULT 2+
	mov	byte [fault], 0xff
	lea	r14, [%%after]
	mov	[resume], r14
	%2
%%after:
	mov	rsp, [stack]
	cmp	byte [fault], %1
	setne	r14b
	movzx	r14, r14b
	add	[bad], r14
%endmacro

%macro VERDICT_OF_BAD 0
	cmp	qword [bad], 0
	mov	qword [bad], 0
	DONE
%endmacro

start:
	cli
	cld
	START_PIECES
	mov	r13d, APIC
	mov	dword [r13 + APIC_SVR], 0x1ff
	mov	dword [r13 + APIC_ICR_HIGH], 0

PIECE "AMD-V instructions"
	xor	eax, eax
	MUST_FAULT UD, vmrun
	MUST_FAULT UD, vmload
	MUST_FAULT UD, vmsave
	MUST_FAULT UD, stgi
	MUST_FAULT UD, clgi
	MUST_FAULT UD, skinit
	MUST_FAULT UD, invlpga
	mov	eax, 1			; no page begins there
	MUST_FAULT UD, vmload
	VERDICT_OF_BAD
PIECE "VT-x instructions"
	MUST_FAULT UD, vmxon [scratch]
	MUST_FAULT UD, vmxoff
	MUST_FAULT UD, vmclear [scratch]
	MUST_FAULT UD, vmptrld [scratch]
	MUST_FAULT UD, vmptrst [scratch]
	MUST_FAULT UD, vmlaunch
	MUST_FAULT UD, vmresume
	MUST_FAULT UD, vmread rax, rbx
	MUST_FAULT UD, vmwrite rax, rbx
	VERDICT_OF_BAD
PIECE "VMCALL and VMMCALL"
	mov	rcx, -1
	mov	eax, 0x7777		; no such call: -KVM_ENOSYS
	vmcall
	lea	rbx, [rax + 1000]
	mov	eax, 0x7777
	vmmcall
	add	rax, 1000
	or	rbx, rax
	not	rcx			; no other register changes
	or	rbx, rcx
DONE
PIECE "hidden instructions"
	xor	ecx, ecx
	xor	edx, edx
	MUST_FAULT UD, monitor
	MUST_FAULT UD, mwait
	mov	ecx, 0x12345
	MUST_FAULT GP, rdpmc
	MUST_FAULT UD, rsm
	VERDICT_OF_BAD
PIECE "cache instructions"
	wbinvd
	invd
	cmp	byte [fault], UD
DONE
PIECE "prefixes before CPUID"
	xor	eax, eax
	xor	ecx, ecx
	db	0x48, 0x0f, 0xa2	; REX.W CPUID
	mov	esi, ebx
	xor	eax, eax
	xor	ecx, ecx
	db	0x66, 0x2e, 0x0f, 0xa2
	cmp	esi, ebx
DONE
PIECE "CR0 through its parts"
	smsw	ax
	mov	rbx, rax
	or	eax, 8			; TS
	lmsw	ax
	mov	rcx, cr0
	test	ecx, 8
	jz	.cr0_bad
	clts
	mov	rcx, cr0
	test	ecx, 8
	jnz	.cr0_bad
	mov	rax, cr0
	bts	rax, 30			; CD
	mov	cr0, rax
	mov	rcx, cr0
	cmp	rax, rcx
	jne	.cr0_bad
	xor	edx, edx
	smsw	rdx			; SMSW reads all of CR0 into 64 bits
	cmp	edx, ecx
	jne	.cr0_bad
	btr	rax, 30
	mov	cr0, rax
	mov	rcx, cr0
	cmp	rax, rcx
.cr0_bad:
DONE
PIECE "CR4.MCE reads back"
	mov	rax, cr4
	or	eax, 1 << 6
	mov	cr4, rax
	mov	rbx, cr4
	cmp	rax, rbx
	jne	.mce_bad
	btr	rax, 6
	mov	cr4, rax
	mov	rbx, cr4
	cmp	rax, rbx
.mce_bad:
DONE
PIECE "page fault's address"
	mov	rbx, 0x7f0012345678	; nothing is mapped there
	mov	byte [fault], 0xff
	MUST_FAULT PF, mov al, [rbx]
	mov	rax, cr2
	sub	rax, rbx
	add	[bad], rax
	VERDICT_OF_BAD
PIECE "software interrupts"
	mov	qword [counts + 8 * V_SOFT], 0
	int	V_SOFT
.after_int:
	lea	rax, [.after_int]
	sub	rax, [last_rip]
	mov	rbx, rax
	mov	byte [returning], 1
	int3
.after_int3:
	mov	byte [returning], 0
	lea	rax, [.after_int3]
	sub	rax, [last_rip]
	or	rbx, rax
	mov	rax, [counts + 8 * V_SOFT]
	dec	rax
	or	rbx, rax
DONE
PIECE "single step over exits"
	call	begin_steps
	pushfq
	or	dword [rsp], TF
	popfq
	nop				; the first trap comes after this one
.s0:	in	al, dx
.s1:	rdmsr
.s2:	cpuid
.s3:	nop
.s4:	pushfq
.s5:	and	dword [rsp], ~TF
.s6:	popfq
.s7:	nop
	lea	rsi, [step_wanted]
	lea	rdi, [step_rips]
	mov	ecx, 8
	repe	cmpsq
	jne	.steps_bad
	cmp	qword [step_count], 8
	jne	.steps_bad
	mov	rax, [step_dr6]		; BS in each
	cmp	rax, 8
.steps_bad:
	mov	byte [returning], 0
DONE
PIECE "data breakpoint"
	call	begin_steps
	lea	rax, [scratch]
	mov	dr0, rax
	mov	eax, 0xd0401		; L0 and LE: a write of 4 bytes
	mov	dr7, rax
	xor	eax, eax
	mov	dr6, rax
	cpuid				; an exit leaves them as they are
	mov	dword [scratch], 7
.after_write:
	mov	eax, 0x400
	mov	dr7, rax
	mov	byte [returning], 0
	lea	rax, [.after_write]
	cmp	rax, [step_rips]
	jne	.bp_bad
	mov	rax, dr6
	and	eax, 0x400f
	cmp	eax, 1
	jne	.bp_bad
	mov	rax, dr0
	lea	rbx, [scratch]
	cmp	rax, rbx
.bp_bad:
DONE
PIECE "interrupt by CR8"
	mov	qword [counts + 8 * V_LOW], 0
	mov	eax, 5
	mov	cr8, rax
	mov	dword [r13 + APIC_ICR], SELF_IPI | V_LOW
	sti
	mov	ecx, 100000
.held:	loop	.held
	cmp	qword [counts + 8 * V_LOW], 0
	jne	.cr8_bad
	mov	dword [r13 + APIC_ICR], SELF_IPI | V_HIGH
	cmp	qword [counts + 8 * V_HIGH], 1
	jne	.cr8_bad
	xor	eax, eax
	mov	cr8, rax
	nop
	cmp	qword [counts + 8 * V_LOW], 1
	jne	.cr8_bad
	mov	rax, cr8
	test	rax, rax
.cr8_bad:
	cli
DONE
PIECE "interrupt window"
	mov	qword [counts + 8 * V_LOW], 0
	mov	qword [counts + 8 * V_HIGH], 0
	mov	dword [r13 + APIC_ICR], SELF_IPI | V_LOW
	mov	dword [r13 + APIC_ICR], SELF_IPI | V_HIGH
	mov	ecx, 100000
.masked: loop	.masked
	mov	rax, [counts + 8 * V_LOW]
	add	rax, [counts + 8 * V_HIGH]
	jnz	.window_bad
	sti
	nop
	nop
	cli
	mov	rax, [counts + 8 * V_LOW]
	add	rax, [counts + 8 * V_HIGH]
	cmp	rax, 2
.window_bad:
DONE
PIECE "NMI"
	mov	dword [r13 + APIC_ICR], SEND_NMI
	nop
	cmp	qword [nmi_count], 1
DONE
PIECE "NMI wakes HLT"
	mov	byte [nmi_sends], 1	; a second one waits while the first is handled
	mov	dword [r13 + APIC_ICR], SEND_NMI
	nop
	cmp	qword [nmi_count], 3
	jne	.nmi_bad
	cmp	qword [nmi_nested], 0
	jne	.nmi_bad
	cmp	qword [nmi_leaks], 0
.nmi_bad:
DONE
PIECE "NMI after an IRET that faults"
	mov	byte [nmi_faults], 1
	mov	byte [fault], 0xff
	lea	r14, [.after_fault]
	mov	[resume], r14
	mov	dword [r13 + APIC_ICR], SEND_NMI
	nop
	ud2
.after_fault:
	mov	rsp, [stack]
	cmp	byte [fault], GP
	jne	.iret_bad
	test	dword [fault_flags], TF
	jnz	.iret_bad
	mov	dword [r13 + APIC_ICR], SEND_NMI
	nop
	cmp	qword [nmi_count], 5
.iret_bad:
DONE
PIECE "NMI behind MOV SS"
	mov	ecx, 200
.shadow:
	mov	ax, 16
	mov	dword [r13 + APIC_ICR], SEND_NMI
	mov	ss, ax
	nop
	mov	ss, ax
	pushfq
	pop	rbx
	test	ebx, TF
	jnz	.shadow_bad
	loop	.shadow
	cmp	qword [nmi_count], 205
	jne	.shadow_bad
	cmp	qword [nmi_leaks], 0
.shadow_bad:
DONE
PIECE "vector registers"
	mov	rax, cr4
	or	eax, 3 << 9		; OSFXSR, OSXMMEXCPT
	mov	cr4, rax
	mov	rax, 0x123456789abcdef0
	movq	xmm7, rax
	mov	ecx, 1000
.exits:	push	rcx
	xor	eax, eax
	cpuid
	pop	rcx
	loop	.exits
	movq	rbx, xmm7
	mov	rax, 0x123456789abcdef0
	cmp	rax, rbx
DONE
	PIECES_END

begin_steps:
	mov	dx, COM1 + 7		; the scratch register
	mov	ecx, 0x1b
	xor	eax, eax
	mov	[step_count], rax
	mov	[step_dr6], rax
	mov	byte [returning], 1
	ret

; The vector is on top, below it an error code where there is one, then RIP, CS, RFLAGS. No register changes.
exception:
	cmp	byte [returning], 0
	jne	trap
	pop	qword [vector]
	push	rax
	push	rbx
	mov	al, [vector]
	mov	[fault], al
	mov	rbx, [rsp + 32]
	cmp	al, GP
	cmove	rbx, [rsp + 40]
	mov	[fault_flags], rbx
	pop	rbx
	pop	rax
	jmp	[resume]

; #DB and #BP that return.
trap:
	push	rax
	push	rbx
	mov	rbx, [rsp + 24]
	mov	[last_rip], rbx
	cmp	byte [rsp + 16], DEBUG
	jne	.done
	mov	rax, [step_count]
	and	eax, STEPS - 1
	push	rcx
	lea	rcx, [step_rips]
	mov	[rcx + 8 * rax], rbx
	pop	rcx
	inc	qword [step_count]
	mov	rax, dr6
	bt	eax, 14
	adc	qword [step_dr6], 0
	test	eax, 0xf		; a breakpoint's bits are looked at later
	jnz	.done
	xor	eax, eax
	mov	dr6, rax
.done:
	pop	rbx
	pop	rax
	add	rsp, 8
	iretq

nmi:
	push	rax
	push	rcx
	inc	qword [nmi_count]
	test	dword [rsp + 40], TF	; the flags that it interrupted
	jz	.clean
	inc	qword [nmi_leaks]
.clean:
	inc	qword [nmi_depth]
	cmp	qword [nmi_depth], 1
	je	.first
	inc	qword [nmi_nested]
.first:
	cmp	byte [nmi_sends], 0
	je	.no_more
	mov	byte [nmi_sends], 0
	mov	dword [r13 + APIC_ICR], SEND_NMI
	mov	ecx, 10000
.wait:	loop	.wait
	xor	eax, eax
	cpuid				; an exit does not let it in either
.no_more:
	dec	qword [nmi_depth]
	cmp	byte [nmi_faults], 0
	je	.return
	mov	byte [nmi_faults], 0
	mov	word [rsp + 32], 0x78	; a code segment beyond the GDT
.return:
	pop	rcx
	pop	rax
	add	rsp, 8
	iretq

interrupt:
	push	rax
	push	rcx
	mov	eax, [rsp + 16]
	lea	rcx, [counts]
	inc	qword [rcx + 8 * rax]
	cmp	eax, V_SOFT
	mov	rax, [rsp + 24]
	mov	[last_rip], rax
	je	.soft
	mov	dword [r13 + APIC_EOI], 0
.soft:
	pop	rcx
	pop	rax
	add	rsp, 8
	iretq

%include "common.inc"

	align	8
step_wanted:	dq start.s0, start.s1, start.s2, start.s3, start.s4, start.s5, start.s6, start.s7
bad:		dq 0
fault_flags:	dq 0
vector:		dq 0
last_rip:	dq 0
nmi_count:	dq 0
nmi_depth:	dq 0
nmi_nested:	dq 0
nmi_leaks:	dq 0
step_count:	dq 0
step_dr6:	dq 0
step_rips:	times STEPS dq 0
scratch:	dq 0
returning:	db 0
nmi_sends:	db 0
nmi_faults:	db 0
