/*
 * The page below 1 MiB through which cores start: arch/x86/trampoline.asm's code, then this.
 * Private to arch/x86.
 */
#ifndef ARCH_X86_TRAMPOLINE_H
#define ARCH_X86_TRAMPOLINE_H

#include <stdint.h>

#define TRAMPOLINE_DATA_OFFSET 0x800

/* The operand of a far JMP through memory. */
struct far_ptr {
	uint32_t offset;
	uint16_t selector;
} __attribute__((packed));

struct trampoline_data {
	uint64_t gdt[4]; /* null, 64-bit code, data, 32-bit code */
	uint64_t entry;	 /* ap_entry in the image */
	uint32_t base;	 /* physical address of the page */
	uint32_t cr3, cr4;
	struct far_ptr far32, far64;
	uint16_t gdt_limit; /* with the next: the operand of LGDT */
	uint32_t gdt_base;
} __attribute__((packed));

/* In trampoline.asm. From trampoline_start to trampoline_end is what is copied. */
extern const uint8_t trampoline_start[], trampoline_32[], trampoline_64[], trampoline_end[];
void ap_entry(void);

#endif
