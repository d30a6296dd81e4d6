#include "arch/x86/desc.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/msr.h"
#include "lib/assert.h"

#define VECTORS	  256
#define STUB_SIZE 16

/* SDM vol. 3A 3.4.5, accessed bits set beforehand */
#define GDT_CODE64 0x00af9b000000ffffULL
#define GDT_DATA   0x00cf93000000ffffULL

#define GATE_INTERRUPT 0x8e /* present, DPL 0, 64-bit interrupt gate */
#define TSS_AVAILABLE  0x89ULL

/* SDM vol. 3A figure 6-8 */
struct idt_gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_high, reserved;
};

_Static_assert(sizeof(struct idt_gate) == 16, "SDM vol. 3A 6.14.1");

/*
 * An instruction that may fault, and where to go on if it does; distances from the fields
 * themselves.
 */
struct fixup {
	int32_t instruction, resume;
};

extern const uint8_t isr_stubs[];
extern const struct fixup fixups[], fixups_end[];
void isr_dispatch(struct int_frame *frame);

static struct idt_gate idt[VECTORS] __attribute__((aligned(16)));
static irq_handler *handlers[VECTORS];
static fault_hook *nmi_hook, *mc_hook;

static const uint8_t gate_ist[EXC_COUNT] = {
	[EXC_NMI] = IST_NMI,
	[EXC_MC] = IST_MC,
	[EXC_DF] = IST_DF,
};

void idt_init(void)
{
	for (unsigned int i = 0; i < VECTORS; i++) {
		uint64_t stub = (uint64_t)(uintptr_t)isr_stubs + i * STUB_SIZE;

		idt[i] = (struct idt_gate){
			.offset_low = (uint16_t)stub,
			.selector = SEL_CODE,
			.ist = i < EXC_COUNT ? gate_ist[i] : IST_NONE,
			.type = GATE_INTERRUPT,
			.offset_mid = (uint16_t)(stub >> 16),
			.offset_high = (uint32_t)(stub >> 32),
		};
	}
}

uint64_t idt_base(void)
{
	return (uint64_t)(uintptr_t)idt;
}

/* SDM vol. 3A 8.2.3 figure 8-4 */
static void make_gdt(struct pcpu *cpu)
{
	uint64_t base = (uint64_t)(uintptr_t)&cpu->tss;
	uint64_t limit = sizeof(cpu->tss) - 1;

	cpu->gdt[SEL_CODE / 8] = GDT_CODE64;
	cpu->gdt[SEL_DATA / 8] = GDT_DATA;
	cpu->gdt[SEL_TSS / 8] =
		limit | (base & 0xffffff) << 16 | TSS_AVAILABLE << 40 | (base >> 24 & 0xff) << 56;
	cpu->gdt[SEL_TSS / 8 + 1] = base >> 32;
	cpu->tss.iomap_base = sizeof(cpu->tss);
}

static void load_segments(void)
{
	__asm__ volatile("push %0\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "push %%rax\n\t"
			 "lretq\n"
			 "1:\tmov %1, %%ds\n\t"
			 "mov %1, %%es\n\t"
			 "mov %1, %%ss\n\t"
			 "mov %2, %%fs\n\t"
			 "mov %2, %%gs\n\t"
			 "lldt %w2\n\t"
			 "ltr %w3"
			 :
			 : "i"(SEL_CODE), "r"(SEL_DATA), "r"(0), "r"(SEL_TSS)
			 : "rax", "memory");
}

void desc_load(struct pcpu *cpu)
{
	struct desc_ptr gdtr = {sizeof(cpu->gdt) - 1, (uint64_t)(uintptr_t)cpu->gdt};
	struct desc_ptr idtr = {sizeof(idt) - 1, idt_base()};

	make_gdt(cpu);
	lgdt(&gdtr);
	load_segments();
	wrmsr(MSR_IA32_FS_BASE, 0);
	wrmsr(MSR_IA32_GS_BASE, (uint64_t)(uintptr_t)cpu);
	lidt(&idtr);
}

void irq_register(unsigned int vector, irq_handler *handler)
{
	assert(vector >= VEC_FIRST && vector < VEC_SPURIOUS);
	WRITE_ONCE(handlers[vector], handler);
}

void nmi_set_hook(fault_hook *hook)
{
	WRITE_ONCE(nmi_hook, hook);
}

void mc_set_hook(fault_hook *hook)
{
	WRITE_ONCE(mc_hook, hook);
}

static uint64_t fixup_target(const int32_t *field)
{
	return (uint64_t)(uintptr_t)field + (uint64_t)(int64_t)*field;
}

static bool fix_up(struct int_frame *frame)
{
	for (const struct fixup *f = fixups; f < fixups_end; f++) {
		if (frame->rip == fixup_target(&f->instruction)) {
			frame->rip = fixup_target(&f->resume);
			return true;
		}
	}
	return false;
}

static bool handle_exception(struct int_frame *frame)
{
	fault_hook *nmi = READ_ONCE(nmi_hook), *mc = READ_ONCE(mc_hook);

	switch (frame->vector) {
	case EXC_NMI:
		return nmi && nmi(frame);
	case EXC_MC:
		return mc && mc(frame);
	case EXC_GP:
		return fix_up(frame);
	default:
		return false;
	}
}

static void handle_irq(unsigned int vector)
{
	irq_handler *handler = READ_ONCE(handlers[vector]);

	/*
	 * The spurious vector sets no bit in service and must not be acknowledged: SDM vol. 3A
	 * 11.9.
	 */
	if (vector == VEC_SPURIOUS)
		return;
	if (handler)
		handler(vector);
	else
		this_cpu()->irq_unexpected++;
	apic_eoi();
}

/* From isr.asm. */
void isr_dispatch(struct int_frame *frame)
{
	if (frame->vector >= VEC_FIRST)
		handle_irq((unsigned int)frame->vector);
	else if (!handle_exception(frame))
		exception_panic(frame);
}

const char *exception_name(unsigned int vector)
{
	static const char names[EXC_COUNT][4] = {
		[EXC_DE] = "#DE", [EXC_DB] = "#DB", [EXC_NMI] = "NMI", [EXC_BP] = "#BP",
		[EXC_OF] = "#OF", [EXC_BR] = "#BR", [EXC_UD] = "#UD",  [EXC_NM] = "#NM",
		[EXC_DF] = "#DF", [EXC_TS] = "#TS", [EXC_NP] = "#NP",  [EXC_SS] = "#SS",
		[EXC_GP] = "#GP", [EXC_PF] = "#PF", [EXC_MF] = "#MF",  [EXC_AC] = "#AC",
		[EXC_MC] = "#MC", [EXC_XM] = "#XM", [EXC_VE] = "#VE",  [EXC_CP] = "#CP",
		[EXC_HV] = "#HV", [EXC_VC] = "#VC", [EXC_SX] = "#SX",
	};

	if (vector >= EXC_COUNT)
		return "interrupt";
	return names[vector][0] ? names[vector] : "exception";
}
