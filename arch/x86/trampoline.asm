; How a core comes from real mode, where SIPI puts it, to ap_entry in the image (SDM vol. 3A 9.8.5,
; 9.9.1). The code from trampoline_start on is copied to a page below 1 MiB, and struct
; trampoline_data is filled in behind it.
%include "x86_offsets.inc"
default rel

global trampoline_start
global trampoline_32
global trampoline_64
global trampoline_end
global ap_entry
extern pcpus
extern cpu_count
extern smp_ap_start

%define DATA(field) (TRAMPOLINE_DATA + field)

section .text
bits 16
trampoline_start:
	cli
	cld
	mov ax, cs
	mov ds, ax
	mov ebx, [DATA(TD_BASE)]
	o32 lgdt [DATA(TD_GDT_PTR)]
	mov eax, CR0_PROTECTED
	mov cr0, eax
	o32 jmp far [DATA(TD_FAR32)]

bits 32
trampoline_32:
	mov ax, 0x10
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov eax, [ebx + DATA(TD_CR4)]
	mov cr4, eax
	mov eax, [ebx + DATA(TD_CR3)]
	mov cr3, eax
	mov ecx, EFER_INDEX
	mov eax, EFER_LONG
	xor edx, edx
	wrmsr
	mov eax, CR0_PAGED
	mov cr0, eax
	jmp far [ebx + DATA(TD_FAR64)]

bits 64
trampoline_64:
	mov ebx, ebx
	jmp [rbx + DATA(TD_ENTRY)]
trampoline_end:

; A core takes the struct pcpu that has its own APIC ID, and only while it is expected: one that
; comes too late, or that nobody asked for, stays here. No stack until then.
ap_entry:
	xor eax, eax
	cpuid
	cmp eax, 0xb
	jb .initial_id
	mov eax, 0xb
	xor ecx, ecx
	cpuid
	test ebx, ebx		; SDM vol. 2A CPUID: leaf 0bh is there only if EBX is not 0
	jnz .have_id
.initial_id:
	mov eax, 1
	cpuid
	shr ebx, 24
	mov edx, ebx
.have_id:
	lea rsi, [pcpus]
	mov ecx, [cpu_count]
.next:
	mov rdi, [rsi]
	cmp [rdi + PCPU_APIC_ID], edx
	je .found
	add rsi, 8
	dec ecx
	jnz .next
.halt:
	cli
	hlt
	jmp .halt
.found:
	mov eax, STATE_STARTING
	mov edx, STATE_ENTERED
	lock cmpxchg [rdi + PCPU_STATE], edx
	jne .halt
	mov rsp, [rdi + PCPU_STACK_TOP]
	xor ebp, ebp
	call smp_ap_start
	jmp .halt
