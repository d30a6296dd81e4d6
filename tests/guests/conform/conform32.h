/* What 32-bit mode alone has. */
#ifndef CONFORM32_H
#define CONFORM32_H

#include "conform.h"

struct tss32 {
	uint16_t link, r0;
	uint32_t esp0;
	uint16_t ss0, r1;
	uint32_t stacks[4], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	struct {
		uint16_t selector, r;
	} segs[6];
	uint16_t ldt, r2, trap, iomap;
	uint8_t map[32];
	uint8_t map_end;
} __attribute__((packed, aligned(256)));

struct tss16 {
	uint16_t link, stacks[6], ip, flags, ax, cx, dx, bx, sp, bp, si, di, segs[4], ldt;
} __attribute__((packed, aligned(64)));

extern uint64_t gdt[64], idt[256];
void set_idt(void);

/* ACCESS is the descriptor's bits 47:40, with G, D and L from bit 12 on. LIMIT counts what G says.
 */
void describe(uint16_t selector, uint32_t base, uint32_t limit, uint32_t access);
void set_task_gate(uint16_t selector, uint16_t tss);
void set_idt_task_gate(uint8_t vector, uint16_t tss, uint8_t dpl);

void task_cases(void);
void mode_cases(void);

#endif
