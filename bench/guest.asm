; The benchmark's guest: kind = flat64, and the same under KVM (bench/kvm.c). It makes 4 KiB pages of its own, arms its
; timer, and measures by RDTSC what its exits cost; with two processors it measures the way to the other one and back
; instead. Without a hypervisor it leaves out what the processor does not have. It says on COM1
;	bench: metric NAME TICKS COUNT		ticks of the TSC for COUNT rounds of a loop, the loop included
;	bench: metric spinning TICKS 1		for so long it did nothing
;	bench: check NAME ok|wrong
;	bench: end
	bits 64
	default rel
	org 0x200000
	[map symbols build/bench/guest.map]	; for bench/trace_exit.py

WARMUP		equ 200
COUNT		equ 2000
ROUNDS		equ 5			; of COUNT; the best counts, since a host may have its own timer ticks in the others

COM1		equ 0x3f8
LSR		equ COM1 + 5
THRE		equ 0x20
PM1_CNT		equ 0x604
SLP_EN		equ 1 << 13
PM_TIMER	equ 0x608
PIC_MASK	equ 0x21
IOAPIC		equ 0xfec00000
IOWIN		equ 0x10
IOAPICVER	equ 1
MSR_APIC_BASE	equ 0x1b
MSR_TSC_ADJUST	equ 0x3b
MSR_DEADLINE	equ 0x6e0
MSR_EFER	equ 0xc0000080
MSR_X2_EOI	equ 0x80b
MSR_X2_SVR	equ 0x80f
MSR_X2_ICR	equ 0x830
MSR_X2_TIMER	equ 0x832
MSR_X2_SELF	equ 0x83f
V_TIMER		equ 0x40
V_IPI		equ 0x41
RFLAGS_IF	equ 0x200

; Bits of CPUID 1 ECX.
HAS_X2APIC	equ 21
HAS_DEADLINE	equ 24
; Of CPUID 7 EBX.
HAS_TSC_ADJUST	equ 1

%ifndef SPIN
%define SPIN	200000000		; ticks
%endif

; Far enough that no loop ends after it, near enough for a 32-bit timer.
TIMER_AHEAD	equ 2000000000

TABLES		equ 0x400000		; page tables from here on: PML4, PDPT, two page directories, page tables
PML4		equ TABLES
PDPT		equ TABLES + 0x1000
PD_LOW		equ TABLES + 0x2000
PD_DEVICES	equ TABLES + 0x3000
PT_DEVICES	equ TABLES + 0x4000	; fec00000h to fedfffffh
PT_LOW		equ TABLES + 0x5000
LOW_MIB		equ 16			; mapped, and needed
AP_STACK	equ 0x500000
TRAMPOLINE	equ 0x8000
PTE_TABLE	equ 3
PTE_DEVICE	equ 0x13		; not cached

; To %2 where the processor does not have feature %1.
%macro UNLESS 2
	bt	dword [features], %1
	jnc	%2
%endmacro

; The best of ROUNDS times COUNT rounds of the macro %2, as metric %1. It may use all registers but R12 to R15.
%macro METRIC 2
	lea	r15, [%%name]
	call	begin
	mov	r12d, WARMUP
	jmp	%%loop
%%round:
	call	start_round
%%loop:
..@at_%2:
	%2
	dec	r12d
	jnz	%%loop
	call	end_round
	jnz	%%round
	call	print_metric
	jmp	%%over
%%name:	db %1, 0
%%over:
%endmacro

%macro CHECK 1
	jmp	%%over
%%name:	db %1, 0
%%over:	lea	r15, [%%name]
	lea	rax, [%%failed]		; where an exception that is not expected goes on
	mov	[resume], rax
	mov	[stack], rsp
	jmp	%%go
%%failed:
	mov	rsp, [stack]
	or	eax, 1			; not ZF
	call	verdict
	jmp	%%end
%%go:
%define CHECK_END %%end
%endmacro

; ZF: as a processor would.
%macro VERDICT 0
	call	verdict
CHECK_END:
%endmacro

start:
	cli
	cld
	mov	rsp, 0x90000
	push	rsi
	call	make_tables
	mov	eax, PML4
	mov	cr3, rax
	lgdt	[gdt_pointer]
	push	8
	lea	rax, [.reloaded]
	push	rax
	retfq
.reloaded:
	mov	ax, 16
	mov	ss, ax
	mov	ds, ax
	mov	es, ax
	call	make_idt
	pop	rsi			; processors, where there is no hypervisor
	lidt	[idt_pointer]
	mov	eax, 1
	cpuid
	mov	[features], ecx
	mov	[processors], ebx
	call	enable_x2apic
	; Bochs' CPUID says nothing of processors in other packages: the loader does.
	cmp	byte [processors + 2], 1
	ja	two_processors
	cmp	esi, 1
	ja	two_processors

; ---- one processor: what an exit costs -----------------------------------------------------------------------------

%macro DO_CPUID 0
	xor	eax, eax
	cpuid
%endmacro
	METRIC	"cpuid", DO_CPUID

	; QEMU has HYPERVISOR set where it emulates the processor itself, and another name.
	mov	eax, 0x40000000
	cpuid
	cmp	ebx, 'KVMK'
	jne	.after_hypercall
	xor	eax, eax
	cpuid
	cmp	ecx, 'cAMD'
	je	.amd
%macro DO_VMCALL 0
	mov	eax, -1
	vmcall
%endmacro
	METRIC	"hypercall", DO_VMCALL
	jmp	.after_hypercall
.amd:
%macro DO_VMMCALL 0
	mov	eax, -1
	vmmcall
%endmacro
	METRIC	"hypercall", DO_VMMCALL
.after_hypercall:

%macro DO_RDMSR 0
	mov	ecx, MSR_APIC_BASE
	rdmsr
%endmacro
	METRIC	"rdmsr-apic-base", DO_RDMSR

	UNLESS	HAS_DEADLINE, .after_deadline
; As a kernel does, each deadline is another one.
%macro DO_DEADLINE 0
	mov	ecx, MSR_DEADLINE
	inc	r8d
	mov	eax, r8d
	mov	edx, r9d
	wrmsr
%endmacro
	METRIC	"wrmsr-tsc-deadline", DO_DEADLINE

; Of a TSC that is not the machine's: the machine's own timer would come at another time.
%macro MOVE_TSC 1
	mov	ecx, MSR_TSC_ADJUST
	mov	eax, %1
	xor	edx, edx
	wrmsr
%endmacro
	mov	eax, 7
	xor	ecx, ecx
	cpuid
	bt	ebx, HAS_TSC_ADJUST
	jnc	.after_deadline
	MOVE_TSC 1
%macro DO_DEADLINE_MOVED 0
	DO_DEADLINE
%endmacro
	METRIC	"wrmsr-tsc-deadline-moved", DO_DEADLINE_MOVED
	MOVE_TSC 0
.after_deadline:

%macro DO_UART 0
	mov	dx, LSR
	in	al, dx
%endmacro
	METRIC	"in-uart-status", DO_UART

%macro DO_PM_TIMER 0
	mov	dx, PM_TIMER
	in	eax, dx
%endmacro
	METRIC	"in-pm-timer", DO_PM_TIMER

%macro DO_PIC 0
	in	al, PIC_MASK
%endmacro
	METRIC	"in-pic-mask", DO_PIC

	mov	ebx, IOAPIC
	mov	dword [rbx], IOAPICVER
%macro DO_IOAPIC 0
	mov	ebx, IOAPIC
	mov	eax, [rbx + IOWIN]
%endmacro
	METRIC	"mmio-ioapic", DO_IOAPIC

	UNLESS	HAS_X2APIC, .after_self_ipi
	mov	qword [count_ipi], 0
%macro DO_SELF_IPI 0
	mov	ecx, MSR_X2_SELF
	mov	eax, V_IPI
	xor	edx, edx
	wrmsr
%endmacro
	sti
	METRIC	"self-ipi", DO_SELF_IPI
	cli
	CHECK	"self-ipi-each-delivered"
	cmp	qword [count_ipi], WARMUP + ROUNDS * COUNT
	VERDICT
.after_self_ipi:

; ---- CPUID as it also comes ----------------------------------------------------------------------------------------

	CHECK	"cpuid-with-prefix"
	xor	eax, eax
	cpuid
	mov	r8d, ebx
	mov	r9d, edx
	xor	eax, eax
	xor	ebx, ebx
	db	0x66, 0x0f, 0xa2	; what follows makes a wrong length fault: A2h would store AL at 9090909090909090h
	times 9 nop
	sub	ebx, r8d
	sub	edx, r9d
	or	ebx, edx
	VERDICT

	UNLESS	HAS_X2APIC, .after_in_shadow
	; The interrupt waits for the instruction behind STI, and for no more.
	CHECK	"cpuid-in-shadow"
	mov	qword [irq_rip], 0
	mov	ecx, MSR_X2_SELF
	mov	eax, V_IPI
	xor	edx, edx
	wrmsr
	xor	eax, eax
	sti
	cpuid
.after_shadow:
	nop
	cli
	lea	rax, [.after_shadow]
	cmp	[irq_rip], rax
	VERDICT
.after_in_shadow:

	; One single-step trap, behind CPUID, with BS in DR6.
	CHECK	"cpuid-with-tf"
	mov	qword [db_rip], 0
	mov	qword [db_count], 0
	mov	qword [db_dr6], 0
	xor	eax, eax
	mov	dr6, rax
	pushfq
	or	dword [rsp], 0x100
	popfq
	cpuid
.after_step:
	nop
	nop
	lea	rax, [.after_step]
	sub	rax, [db_rip]
	mov	rbx, [db_count]
	dec	rbx
	or	rax, rbx
	mov	rbx, [db_dr6]
	and	ebx, 0x400f
	xor	ebx, 0x4000
	or	rax, rbx
	VERDICT

; ---- doing nothing -------------------------------------------------------------------------------------------------

	call	begin
	call	start_round
	lea	r14, [r13 + SPIN]
	sti
.spin:
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	cmp	rax, r14
	jb	.spin
	cli
	lea	rsi, [text_spinning]
	call	puts
	mov	eax, SPIN
	call	print_number
	mov	eax, 1
	call	print_number
	lea	rsi, [text_line]
	call	puts
	jmp	finish

; ---- two processors ------------------------------------------------------------------------------------------------

two_processors:
	lea	rsi, [trampoline]
	mov	edi, TRAMPOLINE
	mov	ecx, trampoline_size
	rep	movsb
	mov	ecx, MSR_X2_ICR
	mov	edx, 1			; APIC ID 1
	mov	eax, 0x4500		; INIT
	wrmsr
	call	short_wait
	mov	eax, 0x4600 | TRAMPOLINE >> 12
	mov	edx, 1
	mov	ecx, MSR_X2_ICR
	wrmsr
.started:
	pause
	cmp	byte [ap_ready], 0
	je	.started
	call	short_wait		; it is in HLT by then
	mov	qword [count_ipi], 0
	xor	ebp, ebp
%macro DO_PING 0
	mov	ecx, MSR_X2_ICR
	mov	edx, 1
	mov	eax, 0x4000 | V_IPI
	wrmsr
%%more:	sti
	hlt
	cli
	cmp	[count_ipi], rbp
	je	%%more
	mov	rbp, [count_ipi]
%endmacro
	METRIC	"ipi-halted-and-back", DO_PING
	jmp	finish

unexpected:
	mov	rsp, 0x90000
	lea	rsi, [text_exception]
	call	puts
finish:
	lea	rsi, [text_end]
	call	puts
	mov	dx, PM1_CNT
	mov	ax, SLP_EN
	out	dx, ax
.stay:
	cli
	hlt
	jmp	.stay

; Some ten thousand instructions, without an exit.
short_wait:
	mov	ecx, 20000
.more:	dec	ecx
	jnz	.more
	ret

; The second processor: answers each interrupt from the handler.
ap_start:
	mov	esp, AP_STACK
	lidt	[idt_pointer]
	call	enable_x2apic
	mov	byte [ap_ready], 1
.sleep:
	sti
	hlt
	jmp	.sleep

; ---- measuring -----------------------------------------------------------------------------------------------------

; Arms the timer, and forgets the last metric. R9D:R8D is the deadline.
begin:
	UNLESS	HAS_DEADLINE, .unarmed
	mov	ecx, MSR_X2_TIMER
	mov	eax, V_TIMER | 2 << 17	; TSC-deadline mode
	xor	edx, edx
	wrmsr
	rdtsc
	add	eax, TIMER_AHEAD
	adc	edx, 0
	and	eax, ~0xffff		; room for a metric that counts it up
	mov	r8d, eax
	mov	r9d, edx
	mov	ecx, MSR_DEADLINE
	wrmsr
.unarmed:
	mov	qword [best], -1
	mov	dword [rounds], ROUNDS
	mov	dword [warm], 1
	ret

start_round:
	mov	r12d, COUNT
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	mov	r13, rax
	ret

; ZF when it was the last. The first was to warm up.
end_round:
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	sub	rax, r13
	cmp	dword [warm], 0
	mov	dword [warm], 0
	jne	.more
	cmp	rax, [best]
	jae	.worse
	mov	[best], rax
.worse:
	dec	dword [rounds]
	ret
.more:
	or	eax, 1
	ret

; ---- saying it -----------------------------------------------------------------------------------------------------

print_metric:
	lea	rsi, [text_metric]
	call	puts
	mov	rsi, r15
	call	puts
	mov	rax, [best]
	call	print_number
	mov	eax, COUNT
	call	print_number
	lea	rsi, [text_line]
	jmp	puts

verdict:
	lea	r14, [text_ok]
	lea	rax, [text_wrong]
	cmovnz	r14, rax
	lea	rsi, [text_check]
	call	puts
	mov	rsi, r15
	call	puts
	mov	rsi, r14
	jmp	puts

; A space and RAX in decimal.
print_number:
	lea	rsi, [number_end]
	mov	ecx, 10
.digit:
	xor	edx, edx
	div	rcx
	add	dl, '0'
	dec	rsi
	mov	[rsi], dl
	test	rax, rax
	jnz	.digit
	dec	rsi
	mov	byte [rsi], ' '
puts:
	lodsb
	test	al, al
	jz	.done
	mov	bl, al
.wait:
	mov	dx, LSR
	in	al, dx
	test	al, THRE
	jz	.wait
	mov	al, bl
	mov	dx, COM1
	out	dx, al
	jmp	puts
.done:
	ret

; ---- tables --------------------------------------------------------------------------------------------------------

make_tables:
	mov	edi, TABLES
	xor	eax, eax
	mov	ecx, 0x1000 * (5 + LOW_MIB / 2) / 8
	rep	stosq
	mov	dword [abs PML4], PDPT | PTE_TABLE
	mov	dword [abs PDPT], PD_LOW | PTE_TABLE
	mov	dword [abs PDPT + 3 * 8], PD_DEVICES | PTE_TABLE
	mov	dword [abs PD_DEVICES + (IOAPIC >> 21 & 511) * 8], PT_DEVICES | PTE_TABLE
	mov	eax, IOAPIC | PTE_DEVICE
	mov	[abs PT_DEVICES], rax
	mov	edi, PD_LOW
	mov	eax, PT_LOW | PTE_TABLE
	mov	ecx, LOW_MIB / 2
	call	.fill
	mov	edi, PT_LOW
	mov	eax, PTE_TABLE
	mov	ecx, LOW_MIB * 256
.fill:
	mov	[rdi], rax
	add	rdi, 8
	add	rax, 0x1000
	dec	ecx
	jnz	.fill
	ret

; 256 gates, each to a stub of 16 bytes.
make_idt:
	lea	rdi, [idt]
	lea	rbx, [stubs]
	mov	ecx, 256
.next:
	mov	rax, rbx
	mov	[rdi], ax
	mov	word [rdi + 2], 8
	mov	word [rdi + 4], 0x8e00	; present interrupt gate
	shr	rax, 16
	mov	[rdi + 6], ax
	shr	rax, 16
	mov	[rdi + 8], rax
	add	rdi, 16
	add	rbx, 16
	dec	ecx
	jnz	.next
	ret

enable_x2apic:
	UNLESS	HAS_X2APIC, .without
	mov	ecx, MSR_APIC_BASE
	rdmsr
	or	eax, 3 << 10
	wrmsr
	mov	ecx, MSR_X2_SVR
	mov	eax, 0x1ff
	xor	edx, edx
	wrmsr
.without:
	ret

; ---- interrupts ----------------------------------------------------------------------------------------------------

on_debug:
	push	rax
	mov	rax, dr6
	mov	[db_dr6], rax
	mov	rax, [rsp + 8]
	mov	[db_rip], rax
	inc	qword [db_count]
	and	dword [rsp + 24], ~0x100
	pop	rax
	iretq

on_exception:
	mov	rax, [resume]
	jmp	rax

on_ipi:
	push	rax
	push	rcx
	push	rdx
	mov	rax, [rsp + 24]
	mov	[irq_rip], rax
	xor	eax, eax
	xor	edx, edx
	mov	ecx, MSR_X2_EOI
	wrmsr
	mov	rax, rsp
	cmp	rax, 0x100000		; the first processor's stack is low
	jae	.second
	; QEMU's TCG (7.2) may deliver an interrupt that VMRUN has injected once more in its handler,
	; without another VMRUN: docs/differences.md. No processor interrupts where IF is clear.
	test	dword [rsp + 40], RFLAGS_IF
	jz	.done
	inc	qword [count_ipi]
	jmp	.done
.second:
	mov	ecx, MSR_X2_ICR
	mov	eax, 0x4000 | V_IPI
	xor	edx, edx		; APIC ID 0
	wrmsr
.done:
	pop	rdx
	pop	rcx
	pop	rax
	iretq

on_timer:
	push	rax
	push	rcx
	push	rdx
	xor	eax, eax
	xor	edx, edx
	mov	ecx, MSR_X2_EOI
	wrmsr
	pop	rdx
	pop	rcx
	pop	rax
	iretq

	align	16
stubs:
%assign vector 0
%rep 256
	%if vector == 1
	jmp	strict near on_debug
	%elif vector == V_TIMER
	jmp	strict near on_timer
	%elif vector == V_IPI
	jmp	strict near on_ipi
	%elif vector < 32
	jmp	strict near on_exception
	%else
	iretq				; spurious
	%endif
	align	16
%assign vector vector + 1
%endrep

; ---- from real mode to here, at TRAMPOLINE -------------------------------------------------------------------------

	align	16
trampoline:
	bits	16
%define AT(label) (TRAMPOLINE + (label) - trampoline)
	cli
	xor	ax, ax
	mov	ds, ax
	o32 lgdt [AT(.gdt_pointer)]
	mov	eax, 0x20		; PAE
	mov	cr4, eax
	mov	eax, PML4
	mov	cr3, eax
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, 0x100		; LME
	wrmsr
	mov	eax, 0x80000011		; PG, ET, PE
	mov	cr0, eax
	jmp	dword 8:AT(.long_mode)
	bits	64
.long_mode:
	mov	ax, 16
	mov	ss, ax
	mov	ds, ax
	mov	es, ax
	mov	eax, ap_start
	jmp	rax
.gdt_pointer:
	dw	gdt_end - gdt - 1
	dd	gdt
trampoline_size	equ $ - trampoline

; ---- data ----------------------------------------------------------------------------------------------------------

text_metric:	db "bench: metric ", 0
text_spinning:	db "bench: metric spinning", 0
text_check:	db "bench: check ", 0
text_ok:	db " ok", 13, 10, 0
text_wrong:	db " wrong", 13, 10, 0
text_exception:	db "bench: check no-exception wrong", 13, 10, 0
text_end:	db "bench: end"
text_line:	db 13, 10, 0
		times 21 db 0
number_end:	db 0

	align	8
gdt:		dq 0, 0x00209b0000000000, 0x00cf93000000ffff
gdt_end:
gdt_pointer:	dw gdt_end - gdt - 1
		dq gdt
idt_pointer:	dw 4095
		dq idt
best:		dq 0
features:	dd 0
processors:	dd 0			; CPUID 1 EBX
rounds:		dd 0
warm:		dd 0
resume:		dq unexpected
stack:		dq 0
count_ipi:	dq 0
irq_rip:	dq 0
db_rip:		dq 0
db_dr6:		dq 0
db_count:	dq 0
ap_ready:	db 0
	align	16
idt:		times 4096 db 0
