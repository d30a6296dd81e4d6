; kind = flat64: writes all over the memory it was told of, then probes what it was not told of: each 2 MiB below 4 GiB,
; then both sides of each power of two up to the physical width. All of it must read as ones, written to or not.
; RDI = bytes of memory, less than 3 GiB here.
	bits 64
	default rel
	org 0x200000

FIRST	equ 0x400000
IOAPIC	equ 0xfec00000
LAPIC	equ 0xfee00000
WINDOW	equ 511 << 30		; where a page beyond 4 GiB is mapped
PAGE_2M	equ 0x83 | 0x10		; present, writable, large, uncached

start:
	cld
	cli
	mov	r12, rdi
	lea	rsi, [begun]
	call	puts
	; its own memory, again and again: a neighbour would notice
	mov	ebp, 4
.again:
	mov	rdi, FIRST
	mov	rcx, r12
	sub	rcx, rdi
	shr	rcx, 3
	mov	rax, 0x5a5aa5a55a5aa5a5
	rep	stosq
	dec	ebp
	jnz	.again

	; below 4 GiB
	lea	r13, [r12 + 0x1fffff]
	and	r13, -0x200000
.low:
	cmp	r13d, IOAPIC
	je	.next
	cmp	r13d, LAPIC
	je	.next
	mov	rdi, r13
	call	probe
	jne	.bad
.next:
	add	r13, 0x200000
	mov	rax, 1 << 32
	cmp	r13, rax
	jb	.low

	; the edges beyond, each through a window of 2 MiB
	lea	rax, [table]
	or	eax, 3
	mov	rdx, cr3
	mov	rdx, [rdx]		; the first entry of the top level
	and	rdx, ~0xfff
	mov	[rdx + 511 * 8], rax
	mov	eax, 0x80000008
	cpuid
	movzx	r15d, al		; physical width
	mov	r14d, 32
.edge:
	mov	eax, 1
	mov	ecx, r14d
	shl	rax, cl
	mov	r13, rax
	call	probe_high
	jne	.bad
	cmp	r14d, 32
	je	.upper			; just below 4 GiB is done, and may be the firmware's
	lea	rax, [r13 - 0x200000]
	call	probe_high
	jne	.bad
.upper:
	inc	r14d
	cmp	r14d, r15d
	jb	.edge
	lea	rsi, [good]
	jmp	.say
.bad:
	lea	rsi, [bad]
.say:
	call	puts
	jmp	poweroff

; RAX = physical address, a multiple of 2 MiB.
probe_high:
	or	rax, PAGE_2M
	mov	[table], rax
	mov	rdi, WINDOW
	invlpg	[rdi]
	call	probe
	jne	.done
	add	rdi, 0x1ffff8		; and its end
	call	probe
.done:
	ret

; ZF: eight bytes at RDI read as ones, and a write changes nothing. Changes RAX.
probe:
	mov	rax, [rdi]
	inc	rax
	jnz	.done
	mov	[rdi], rax		; zero
	mov	rax, [rdi]
	inc	rax
.done:
	ret

%include "common.inc"

begun:		db "prober64: begun", 13, 10, 0
good:		db "prober64: good", 13, 10, 0
bad:		db "prober64: found something", 13, 10, 0
	align 4096
table:		times 4096 db 0
