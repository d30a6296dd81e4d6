/* Protected mode without paging and what it leads to. */
#include "conform32.h"

void describe(uint16_t selector, uint32_t base, uint32_t limit, uint32_t access)
{
	gdt[selector / 8] = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
			    (uint64_t)(access & 0xff) << 40 | (uint64_t)(limit >> 16 & 0xf) << 48 |
			    (uint64_t)(access >> 12) << 52 | (uint64_t)(base >> 24) << 56;
}

void set_task_gate(uint16_t selector, uint16_t tss)
{
	gdt[selector / 8] = (uint64_t)tss << 16 | 0x85ull << 40;
}

void set_idt_task_gate(uint8_t vector, uint16_t tss, uint8_t dpl)
{
	idt[vector] = (uint64_t)tss << 16 | (uint64_t)(0x85 | dpl << 5) << 40;
}

void cases(void)
{
	task_cases();
	mode_cases();
	/* Intel's processors have it in 64-bit mode alone, and say so (SDM vol. 2A, CPUID). */
	say("cpuid SYSCALL", "%u", cpuid(0x80000001, 0).d >> 11 & 1);
}
