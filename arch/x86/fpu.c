#include "arch/x86/fpu.h"

#include <stdbool.h>

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "lib/string.h"

/* The legacy region and the XSAVE header: SDM vol. 1 13.4.1, 13.4.2 */
#define LEGACY_SIZE  512
#define HEADER_SIZE  64
#define FCW_OFFSET   0
#define MXCSR_OFFSET 24
#define FCW_INIT     0x37f
#define MXCSR_INIT   0x1f80
#define COMPONENTS   63

#define FSW_ES BIT(7) /* an exception that is not masked waits: SDM vol. 1 8.1.3.3 */

static struct {
	bool xsave, xsaves;
	bool pointers_stay; /* see forget_pointers() */
	uint64_t xcr0, xss; /* what may be set */
} fpu = {.xcr0 = XCR0_X87 | XCR0_SSE};

void fpu_init(void)
{
	struct cpuid_regs main, one;

	fpu.xsave = cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE;
	fpu.pointers_stay =
		!(cpuid_or_zero(0x80000008, 0).ebx & CPUID_80000008_EBX_XSAVEERPTR);
	if (!fpu.xsave)
		return;
	main = cpuid(0xd, 0);
	one = cpuid(0xd, 1);
	fpu.xcr0 = (uint64_t)main.edx << 32 | main.eax;
	fpu.xsaves = one.eax & CPUID_D_1_EAX_XSAVES;
	fpu.xss = fpu.xsaves ? (uint64_t)one.edx << 32 | one.ecx : 0;
}

uint64_t fpu_supported_xcr0(void)
{
	return fpu.xcr0;
}

/* XSAVE's standard format (SDM vol. 1 13.4). */
static size_t standard_size(uint64_t mask)
{
	size_t size = LEGACY_SIZE + HEADER_SIZE;

	for (unsigned int i = 2; i < COMPONENTS; i++) {
		struct cpuid_regs r;

		if (!(mask & BIT(i)))
			continue;
		r = cpuid(0xd, i);
		size = MAX(size, (size_t)r.ebx + r.eax);
	}
	return size;
}

/*
 * The standard format, not the compacted one of XSAVES: no supervisor state is given to guests, and
 * Bochs 2.7 writes an area by XSAVES that its XRSTORS refuses (a reserved word of the header).
 */
size_t fpu_size(uint64_t mask)
{
	return fpu.xsave ? standard_size(mask) : LEGACY_SIZE;
}

/* A header without a single component means "all in their initial state": SDM vol. 1 13.6. */
void fpu_init_area(void *area, uint64_t mask)
{
	static const uint16_t fcw = FCW_INIT;
	static const uint32_t mxcsr = MXCSR_INIT;
	char *bytes = area;

	memset(area, 0, fpu_size(mask));
	memcpy(bytes + FCW_OFFSET, &fcw, sizeof(fcw));
	memcpy(bytes + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
}

static void clear_ts(void)
{
	if (read_cr0() & CR0_TS)
		__asm__ volatile("clts" ::: "memory");
}

void fpu_save(void *area, uint64_t mask)
{
	uint32_t lo = (uint32_t)mask, hi = (uint32_t)(mask >> 32);

	clear_ts();
	if (fpu.xsave)
		__asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

/*
 * Where an area has no x87 exception pending, AMD's processors before XSAVEERPTR leave the pointers
 * to the last x87 instruction and its operand, and its opcode, as they are: as another guest has
 * left them (APM vol. 5 FXRSTOR). An instruction of Socle's own takes their place.
 */
static void forget_pointers(void)
{
	static const int32_t zero;

	__asm__ volatile("fnclex\n\temms\n\tfildl %0" ::"m"(zero));
}

void fpu_restore(const void *area, uint64_t mask)
{
	uint32_t lo = (uint32_t)mask, hi = (uint32_t)(mask >> 32);

	clear_ts();
	if (fpu.pointers_stay)
		forget_pointers();
	if (fpu.xsave)
		__asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}

/* The number is part of the instruction. */
#define MOVE(insn, reg, n)                                                                  \
	case n:                                                                             \
		if (write)                                                                  \
			__asm__ volatile(insn " (%0), %%" reg #n ::"r"(buf) : "memory");    \
		else                                                                        \
			__asm__ volatile(insn " %%" reg #n ", (%0)" ::"r"(buf) : "memory"); \
		break;

#define MOVE_0_TO_7(insn, reg) \
	MOVE(insn, reg, 0)     \
	MOVE(insn, reg, 1)     \
	MOVE(insn, reg, 2)     \
	MOVE(insn, reg, 3)     \
	MOVE(insn, reg, 4)     \
	MOVE(insn, reg, 5)     \
	MOVE(insn, reg, 6)     \
	MOVE(insn, reg, 7)

#define MOVE_0_TO_15(insn, reg) \
	MOVE_0_TO_7(insn, reg)  \
	MOVE(insn, reg, 8)      \
	MOVE(insn, reg, 9)      \
	MOVE(insn, reg, 10)     \
	MOVE(insn, reg, 11)     \
	MOVE(insn, reg, 12)     \
	MOVE(insn, reg, 13)     \
	MOVE(insn, reg, 14)     \
	MOVE(insn, reg, 15)

void fpu_xmm(unsigned int number, uint8_t buf[16], bool write)
{
	clear_ts();
	switch (number & 15) {
		MOVE_0_TO_15("movdqu", "xmm")
	}
}

bool fpu_ymm(unsigned int number, uint8_t buf[32], bool write)
{
	const uint64_t needed = XCR0_SSE | XCR0_AVX;

	if (!fpu.xsave || (xgetbv(0) & needed) != needed)
		return false;
	clear_ts();
	switch (number & 15) {
		MOVE_0_TO_15("vmovdqu", "ymm")
	}
	return true;
}

bool fpu_mmx(unsigned int number, uint8_t buf[8], bool write)
{
	uint16_t status;

	clear_ts();
	__asm__ volatile("fnstsw %0" : "=a"(status));
	if (status & FSW_ES)
		return false;
	switch (number & 7) {
		MOVE_0_TO_7("movq", "mm")
	}
	return true;
}

void fpu_set_xcr0(uint64_t value)
{
	if (fpu.xsave && xgetbv(0) != value)
		xsetbv(0, value);
}

void fpu_set_xss(uint64_t value)
{
	if (fpu.xsaves && rdmsr(MSR_IA32_XSS) != value)
		wrmsr(MSR_IA32_XSS, value);
}
