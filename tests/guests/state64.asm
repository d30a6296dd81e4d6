; kind = flat64: keeps values of its own in every register that a core shares among its vCPUs, and looks for two seconds
; whether they stay. At the start all must be as after power-up. The memory's size makes two guests' values different.
	bits 64
	default rel
	org 0x200000

OSFXSR	equ 1 << 9
OSXSAVE	equ 1 << 18
PKE	equ 1 << 22
VECTORS	equ 32 * 64		; bytes: zmm0 to zmm31
ROUNDS	equ 500			; of 4 ms

%macro FAIL 1			; message when the last comparison found a difference
	lea	rsi, [%1]
	jne	say
%endmacro

start:
	cld
	cli
	mov	r12, rdi
	shr	r12, 20			; MiB: the seed
	call	vector_modes
	lea	rsi, [begun]
	call	puts

	; what another vCPU has left would be here
	call	store_vectors
	lea	rdi, [seen]
	mov	ecx, VECTORS / 8
	xor	eax, eax
	repe	scasq
	FAIL	dirty_vectors
	call	read_debug
	mov	rax, [seen]
	or	rax, [seen + 8]
	or	rax, [seen + 16]
	or	rax, [seen + 24]
	FAIL	dirty_debug
	call	find_keys
	cmp	byte [has_keys], 0
	je	.no_keys
	xor	ecx, ecx
	rdpkru
	test	eax, eax
	FAIL	dirty_keys
.no_keys:
	lea	rbx, [msrs]
.first_msr:
	mov	ecx, [rbx]
	jrcxz	.first_done
	rdmsr
	or	eax, edx
	FAIL	dirty_msr
	add	rbx, 4
	jmp	.first_msr
.first_done:

	call	make_values
	call	find_msrs
	cmp	byte [has_spec_ctrl], 0
	je	.no_spec_ctrl
	lea	rsi, [with_spec_ctrl]
	call	puts
.no_spec_ctrl:
	call	load_all
	call	tsc_khz
	lea	r15, [rax * 4]		; ticks of 4 ms
	call	load_vectors		; nothing above changed them, but a look costs nothing
	mov	r14d, ROUNDS
.round:
	call	load_general
	call	clock
	mov	r13, rax
.wait:
	call	clock
	sub	rax, r13
	cmp	rax, r15
	jb	.wait
	call	check_general
	jne	say
	call	check_all
	jne	say
	dec	r14d
	jnz	.round
	cmp	byte [has_keys], 0
	je	.all
	lea	rsi, [with_keys]
	call	puts
.all:
	lea	rsi, [good]
say:
	fninit
	call	puts
	jmp	poweroff

; [mode] = 0: XMM, 1: YMM, 2: ZMM, whatever there is, turned on.
vector_modes:
	mov	rax, cr4
	or	eax, OSFXSR
	mov	cr4, rax
	fninit
	mov	eax, 1
	cpuid
	test	ecx, 1 << 26		; XSAVE
	jz	.done
	mov	rax, cr4
	or	eax, OSXSAVE
	mov	cr4, rax
	mov	eax, 0xd
	xor	ecx, ecx
	cpuid
	mov	esi, 3
	test	al, 4
	jz	.set
	mov	byte [mode], 1
	mov	esi, 7
	and	al, 0xe0
	cmp	al, 0xe0
	jne	.set
	mov	byte [mode], 2
	mov	esi, 0xe7
.set:
	mov	eax, esi
	xor	edx, edx
	xor	ecx, ecx
	xsetbv
.done:
	ret

; Values from the seed and the place.
make_values:
	lea	rdi, [wanted]
	mov	ecx, VECTORS / 8
	imul	rax, r12, 0x01030507
.next:
	imul	rax, rax, 0x5851f42d
	add	rax, r12
	stosq
	loop	.next
	ret

%macro FOR_VECTORS 4		; count, instruction, register, bytes
%assign i 0
%rep %1
	%2	%3 %+ i, [rsi + i * %4]
%assign i i + 1
%endrep
%endmacro

%macro STORE_VECTORS 4
%assign i 0
%rep %1
	%2	[rdi + i * %4], %3 %+ i
%assign i i + 1
%endrep
%endmacro

load_vectors:
	lea	rsi, [wanted]
	cmp	byte [mode], 1
	je	.ymm
	ja	.zmm
	FOR_VECTORS 16, movdqu, xmm, 16
	ret
.ymm:
	FOR_VECTORS 16, vmovdqu, ymm, 32
	ret
.zmm:
	FOR_VECTORS 32, vmovdqu64, zmm, 64
	ret

store_vectors:
	lea	rdi, [seen]
	mov	ecx, VECTORS / 8
	xor	eax, eax
	rep	stosq
	lea	rdi, [seen]
	cmp	byte [mode], 1
	je	.ymm
	ja	.zmm
	STORE_VECTORS 16, movdqu, xmm, 16
	ret
.ymm:
	STORE_VECTORS 16, vmovdqu, ymm, 32
	ret
.zmm:
	STORE_VECTORS 32, vmovdqu64, zmm, 64
	ret

read_debug:
	mov	rax, dr0
	mov	[seen], rax
	mov	rax, dr1
	mov	[seen + 8], rax
	mov	rax, dr2
	mov	[seen + 16], rax
	mov	rax, dr3
	mov	[seen + 24], rax
	ret

; What clock leaves alone and the loop does not use; the rest holds what the loop needs.
%define GENERAL rbx, rcx, rsi, rdi, rbp, r8, r9, r10, r11

%macro LOAD_GENERAL 1-*
%assign i 1
%rep %0
	imul	%1, r12, 0x01010101 * i
%assign i i + 1
%rotate 1
%endrep
%endmacro

%macro CHECK_GENERAL 1-*
%assign i 1
%rep %0
	imul	rax, r12, 0x01010101 * i
	cmp	%1, rax
	jne	.bad
%assign i i + 1
%rotate 1
%endrep
%endmacro

load_general:
	LOAD_GENERAL GENERAL
	ret

; ZF: they are as they were. Otherwise RSI = message.
check_general:
	CHECK_GENERAL GENERAL
	ret
.bad:
	lea	rsi, [bad_general]
	ret

; ECX and EDX of CPUID's leaf 7, 0 where there is none.
leaf_7:
	xor	eax, eax
	cpuid
	xor	ecx, ecx
	xor	edx, edx
	cmp	eax, 7
	jb	.done
	mov	eax, 7
	cpuid
.done:
	ret

; PKRU is reached by CR4.PKE alone, whatever XCR0 has.
find_keys:
	call	leaf_7
	test	ecx, 1 << 3
	jz	.done
	mov	rax, cr4
	or	eax, PKE
	mov	cr4, rax
	mov	byte [has_keys], 1
.done:
	ret

; Those that not every processor has: RDTSCP's; and whether there is SPEC_CTRL.
find_msrs:
	mov	eax, 0x80000001
	cpuid
	test	edx, 1 << 27
	jz	.no_aux
	mov	dword [msrs.aux], 0xc0000103
.no_aux:
	call	leaf_7
	not	edx
	test	edx, 3 << 26		; IBRS, STIBP
	setz	[has_spec_ctrl]
	ret

; Two guests whose memory differs by 2 MiB have different values of these. EAX and EDX for PAT (low and high half alike):
; each byte a memory type. EAX for SPEC_CTRL: IBRS or STIBP. RAX for DR6, RAX for DR7: conditions, none enabled.
pat_value:
	mov	eax, 0x00070406
	mov	edx, 0x00070106
	test	r12d, 2
	cmovnz	eax, edx
	mov	edx, eax
	ret
spec_ctrl_value:
	mov	eax, r12d
	shr	eax, 1
	and	eax, 1
	inc	eax
	xor	edx, edx
	ret
dr6_value:
	mov	eax, 0xffff0ff5
	mov	edx, 0xffff0ffa
	test	r12d, 2
	cmovnz	eax, edx
	ret
dr7_value:
	mov	eax, 0x000d0400
	mov	edx, 0x00d00400
	test	r12d, 2
	cmovnz	eax, edx
	ret

; Debug registers (none enabled), CR2, MSRs, x87, vectors.
load_all:
	lea	rax, [r12 * 8 + 0x1000]
	mov	dr0, rax
	inc	rax
	mov	dr1, rax
	inc	rax
	mov	dr2, rax
	inc	rax
	mov	dr3, rax
	inc	rax
	mov	cr2, rax
	call	dr6_value
	mov	dr6, rax
	call	dr7_value
	mov	dr7, rax
	call	pat_value
	mov	ecx, 0x277
	wrmsr
	cmp	byte [has_keys], 0
	je	.no_keys
	lea	eax, [r12d * 4]
	xor	ecx, ecx
	xor	edx, edx
	wrpkru
.no_keys:
	cmp	byte [has_spec_ctrl], 0
	je	.others
	call	spec_ctrl_value
	mov	ecx, 0x48
	wrmsr
.others:
	lea	rbx, [msrs]
.msr:
	mov	ecx, [rbx]
	jrcxz	.x87
	call	msr_value
	xor	edx, edx
	wrmsr
	add	rbx, 4
	jmp	.msr
.x87:
	mov	[number], r12
%rep 8
	fild	qword [number]
	inc	qword [number]
%endrep
	fxsave	[fx_wanted]
	jmp	load_vectors

; EAX for MSR ECX.
msr_value:
	lea	eax, [ecx + r12d * 4]
	and	eax, 0x00ffffff
	ret

; ZF: all is as it was set. Otherwise RSI = message.
check_all:
	call	store_vectors
	lea	rsi, [seen]
	lea	rdi, [wanted]
	mov	ecx, 16 * 16 / 8
	cmp	byte [mode], 1
	jb	.compare
	mov	ecx, 16 * 32 / 8
	je	.compare
	mov	ecx, VECTORS / 8
.compare:
	repe	cmpsq
	lea	rsi, [bad_vectors]
	jne	.done
	call	read_debug
	lea	rax, [r12 * 8 + 0x1000]
	lea	rsi, [bad_debug]
%assign i 0
%rep 4
	cmp	[seen + i * 8], rax
	jne	.done
	inc	rax
%assign i i + 1
%endrep
	mov	rdx, cr2
	lea	rsi, [bad_cr2]
	cmp	rdx, rax
	jne	.done
	lea	rsi, [bad_debug]
	call	dr6_value
	mov	rdx, dr6
	cmp	rdx, rax
	jne	.done
	call	dr7_value
	mov	rdx, dr7
	cmp	rdx, rax
	jne	.done
	lea	rsi, [bad_pat]
	mov	ecx, 0x277
	rdmsr
	mov	ebx, eax
	cmp	edx, eax
	jne	.done
	call	pat_value
	cmp	ebx, eax
	jne	.done
	cmp	byte [has_keys], 0
	je	.no_keys
	lea	rsi, [bad_keys]
	xor	ecx, ecx
	rdpkru
	lea	edx, [r12d * 4]
	cmp	eax, edx
	jne	.done
.no_keys:
	cmp	byte [has_spec_ctrl], 0
	je	.others
	lea	rsi, [bad_spec_ctrl]
	mov	ecx, 0x48
	rdmsr
	mov	ebx, eax
	call	spec_ctrl_value
	cmp	ebx, eax
	jne	.done
.others:
	lea	rbx, [msrs]
.msr:
	mov	ecx, [rbx]
	jrcxz	.x87
	rdmsr
	mov	edi, eax
	call	msr_value
	lea	rsi, [bad_msr]
	cmp	eax, edi
	jne	.done
	test	edx, edx
	jne	.done
	add	rbx, 4
	jmp	.msr
.x87:
	fxsave	[fx]
	lea	rsi, [bad_x87]
%assign i 0
%rep 8
	mov	rax, [fx + 32 + i * 16]
	cmp	rax, [fx_wanted + 32 + i * 16]
	jne	.done
%assign i i + 1
%endrep
.done:
	ret

%include "common.inc"
%include "clock.inc"

msrs:	dd 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0x174, 0x175, 0x176
.aux:	dd 0, 0

begun:		db "state64: begun", 13, 10, 0
with_spec_ctrl:	db "state64: SPEC_CTRL is there", 13, 10, 0
with_keys:	db "state64: PKRU is there", 13, 10, 0
good:		db "state64: good", 13, 10, 0
dirty_vectors:	db "state64: vector registers are not zero at the start", 13, 10, 0
dirty_debug:	db "state64: debug registers are not zero at the start", 13, 10, 0
dirty_keys:	db "state64: PKRU is not zero at the start", 13, 10, 0
dirty_msr:	db "state64: an MSR is not zero at the start", 13, 10, 0
bad_vectors:	db "state64: a vector register has changed", 13, 10, 0
bad_debug:	db "state64: a debug register has changed", 13, 10, 0
bad_cr2:	db "state64: CR2 has changed", 13, 10, 0
bad_general:	db "state64: a general register has changed", 13, 10, 0
bad_pat:	db "state64: PAT has changed", 13, 10, 0
bad_keys:	db "state64: PKRU has changed", 13, 10, 0
bad_spec_ctrl:	db "state64: SPEC_CTRL has changed", 13, 10, 0
bad_msr:	db "state64: an MSR has changed", 13, 10, 0
bad_x87:	db "state64: an x87 register has changed", 13, 10, 0
mode:		db 0
has_spec_ctrl:	db 0
has_keys:	db 0
	align 64
number:		dq 0
	align 64
fx:		times 512 db 0
fx_wanted:	times 512 db 0
wanted:		times VECTORS db 0
seen:		times VECTORS db 0
