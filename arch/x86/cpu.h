/*
 * Single instructions of the processor as inline functions, and the names of the bits in its
 * control registers. Nothing here runs when the header is merely included; what is privileged may
 * only be called in the hypervisor (ring 0).
 */
#ifndef ARCH_X86_CPU_H
#define ARCH_X86_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/util.h"

/* SDM vol. 3A 2.5, APM vol. 2 3.1 */
#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR3_PWT	      BIT(3)
#define CR3_PCD	      BIT(4)
#define CR3_PCID_MASK 0xfffULL
#define CR3_NOFLUSH   BIT(63) /* in the operand of MOV to CR3 alone, with CR4.PCIDE */

#define CR4_VME	       BIT(0)
#define CR4_PVI	       BIT(1)
#define CR4_TSD	       BIT(2)
#define CR4_DE	       BIT(3)
#define CR4_PSE	       BIT(4)
#define CR4_PAE	       BIT(5)
#define CR4_MCE	       BIT(6)
#define CR4_PGE	       BIT(7)
#define CR4_PCE	       BIT(8)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP       BIT(11)
#define CR4_LA57       BIT(12)
#define CR4_VMXE       BIT(13)
#define CR4_SMXE       BIT(14)
#define CR4_FSGSBASE   BIT(16)
#define CR4_PCIDE      BIT(17)
#define CR4_OSXSAVE    BIT(18)
#define CR4_KL	       BIT(19)
#define CR4_SMEP       BIT(20)
#define CR4_SMAP       BIT(21)
#define CR4_PKE	       BIT(22)
#define CR4_CET	       BIT(23)
#define CR4_PKS	       BIT(24)
#define CR4_UINTR      BIT(25)

/* IA32_EFER: SDM vol. 3A 2.2.1, APM vol. 2 3.1.7 */
#define EFER_SCE     BIT(0)
#define EFER_LME     BIT(8)
#define EFER_LMA     BIT(10)
#define EFER_NXE     BIT(11)
#define EFER_SVME    BIT(12)
#define EFER_LMSLE   BIT(13)
#define EFER_FFXSR   BIT(14)
#define EFER_TCE     BIT(15)
#define EFER_MCOMMIT BIT(17)
#define EFER_INTWB   BIT(18)
#define EFER_UAIE    BIT(20)
#define EFER_AIBRSE  BIT(21)

#define RFLAGS_CF    BIT(0)
#define RFLAGS_FIXED BIT(1) /* always reads as 1 */
#define RFLAGS_PF    BIT(2)
#define RFLAGS_AF    BIT(4)
#define RFLAGS_ZF    BIT(6)
#define RFLAGS_SF    BIT(7)
#define RFLAGS_TF    BIT(8)
#define RFLAGS_IF    BIT(9)
#define RFLAGS_DF    BIT(10)
#define RFLAGS_OF    BIT(11)
#define RFLAGS_IOPL  (3ULL << 12)
#define RFLAGS_NT    BIT(14)
#define RFLAGS_RF    BIT(16)
#define RFLAGS_VM    BIT(17)
#define RFLAGS_AC    BIT(18)
#define RFLAGS_VIF   BIT(19)
#define RFLAGS_VIP   BIT(20)
#define RFLAGS_ID    BIT(21)

/* SDM vol. 3B 18.2.3 and 18.2.4 */
#define DR6_INIT	0xffff0ff0ULL
#define DR6_BS		BIT(14)
#define DR6_BREAKPOINTS 0xfULL /* B0 to B3 */
#define DR7_INIT	0x400ULL
#define DR7_ENABLED	0xffULL /* L0 to G3 */
#define DR7_GD		BIT(13)

/* XCR0 and IA32_XSS components: SDM vol. 1 13.1 */
#define XCR0_X87       BIT(0)
#define XCR0_SSE       BIT(1)
#define XCR0_AVX       BIT(2)
#define XCR0_BNDREGS   BIT(3)
#define XCR0_BNDCSR    BIT(4)
#define XCR0_OPMASK    BIT(5)
#define XCR0_ZMM_HI256 BIT(6)
#define XCR0_HI16_ZMM  BIT(7)
#define XCR0_PKRU      BIT(9)
#define XCR0_XTILECFG  BIT(17)
#define XCR0_XTILEDATA BIT(18)

/* SDM vol. 3A 6.3.1, APM vol. 2 8.2 */
enum exception_vector {
	EXC_DE = 0,
	EXC_DB = 1,
	EXC_NMI = 2,
	EXC_BP = 3,
	EXC_OF = 4,
	EXC_BR = 5,
	EXC_UD = 6,
	EXC_NM = 7,
	EXC_DF = 8,
	EXC_TS = 10,
	EXC_NP = 11,
	EXC_SS = 12,
	EXC_GP = 13,
	EXC_PF = 14,
	EXC_MF = 16,
	EXC_AC = 17,
	EXC_MC = 18,
	EXC_XM = 19,
	EXC_VE = 20,
	EXC_CP = 21,
	EXC_HV = 28,
	EXC_VC = 29,
	EXC_SX = 30,
	EXC_COUNT = 32
};

/* The vectors whose delivery pushes an error code: SDM vol. 3A table 6-1, APM vol. 2 table 8-1. */
#define EXC_ERROR_CODE_MASK                                                                  \
	(BIT(EXC_DF) | BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) | BIT(EXC_PF) | \
	 BIT(EXC_AC) | BIT(EXC_CP) | BIT(EXC_VC) | BIT(EXC_SX))

/* Page fault error code: SDM vol. 3A 4.7 */
#define PF_P	BIT(0)
#define PF_W	BIT(1)
#define PF_U	BIT(2)
#define PF_RSVD BIT(3)
#define PF_I	BIT(4)
#define PF_PK	BIT(5)

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

/* The operand of LGDT, SGDT, LIDT and SIDT in 64-bit mode. */
struct desc_ptr {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

_Static_assert(sizeof(struct desc_ptr) == 10, "SDM vol. 3A 2.4.1");

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

/* For registers that are known to exist: #GP here is a broken invariant. See rdmsr_safe(). */
static inline uint64_t rdmsr(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t index, uint64_t value)
{
	__asm__ volatile("wrmsr" ::"c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

/*
 * For registers that may not exist or may refuse the value: 0, or -EIO when the instruction raised
 * #GP (*VALUE is then 0). Works once idt_load() has run on this core (arch/x86/desc.h).
 */
int rdmsr_safe(uint32_t index, uint64_t *value);
int wrmsr_safe(uint32_t index, uint64_t value);

#define DEFINE_CONTROL_REGISTER(name)                                            \
	static inline uint64_t read_##name(void)                                 \
	{                                                                        \
		uint64_t value;                                                  \
                                                                                 \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(value)::"memory"); \
		return value;                                                    \
	}                                                                        \
	static inline void write_##name(uint64_t value)                          \
	{                                                                        \
		__asm__ volatile("mov %0, %%" #name ::"r"(value) : "memory");    \
	}

DEFINE_CONTROL_REGISTER(cr0)
DEFINE_CONTROL_REGISTER(cr2)
DEFINE_CONTROL_REGISTER(cr3)
DEFINE_CONTROL_REGISTER(cr4)
DEFINE_CONTROL_REGISTER(cr8)
DEFINE_CONTROL_REGISTER(dr0)
DEFINE_CONTROL_REGISTER(dr1)
DEFINE_CONTROL_REGISTER(dr2)
DEFINE_CONTROL_REGISTER(dr3)
DEFINE_CONTROL_REGISTER(dr6)
DEFINE_CONTROL_REGISTER(dr7)

/* Needs CR4.OSXSAVE. */
static inline uint64_t xgetbv(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
	return (uint64_t)hi << 32 | lo;
}

/* CR4.PKE is set wherever the processor has it. */
static inline uint32_t rdpkru(void)
{
	uint32_t value;

	__asm__ volatile("rdpkru" : "=a"(value) : "c"(0) : "edx");
	return value;
}

/* #GP on a value that the processor does not support: check it against CPUID 0xd first. */
static inline void xsetbv(uint32_t index, uint64_t value)
{
	__asm__ volatile("xsetbv" ::"c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

#define DEFINE_PORT_IO(suffix, type)                                                            \
	static inline type in##suffix(uint16_t port)                                            \
	{                                                                                       \
		type value;                                                                     \
                                                                                                \
		__asm__ volatile("in" #suffix " %1, %0" : "=a"(value) : "Nd"(port) : "memory"); \
		return value;                                                                   \
	}                                                                                       \
	static inline void out##suffix(uint16_t port, type value)                               \
	{                                                                                       \
		__asm__ volatile("out" #suffix " %0, %1" ::"a"(value), "Nd"(port) : "memory");  \
	}

DEFINE_PORT_IO(b, uint8_t)
DEFINE_PORT_IO(w, uint16_t)
DEFINE_PORT_IO(l, uint32_t)

/*
 * One access of exactly this width; the address must be mapped uncached where it is a device. gcc
 * stores small constants by AND and OR where that is shorter, which read a register first.
 */
#define DEFINE_MMIO(bits)                                                            \
	static inline uint##bits##_t mmio_read##bits(uint64_t addr)                  \
	{                                                                            \
		return *(const volatile uint##bits##_t *)(uintptr_t)addr;            \
	}                                                                            \
	static inline void mmio_write##bits(uint64_t addr, uint##bits##_t value)     \
	{                                                                            \
		__asm__ volatile("mov %1, %0"                                        \
				 : "=m"(*(volatile uint##bits##_t *)(uintptr_t)addr) \
				 : "r"(value));                                      \
	}

DEFINE_MMIO(8)
DEFINE_MMIO(16)
DEFINE_MMIO(32)
DEFINE_MMIO(64)

static inline void cpu_cli(void)
{
	__asm__ volatile("cli" ::: "memory");
}

static inline void cpu_sti(void)
{
	__asm__ volatile("sti" ::: "memory");
}

/*
 * Takes the interrupts that are pending and comes back with interrupts off: STI holds them for one
 * instruction.
 */
static inline void cpu_irq_window(void)
{
	__asm__ volatile("sti; nop; cli" ::: "memory");
}

/*
 * Called with interrupts off; sleeps until the next one has been handled. None can slip in before
 * HLT.
 */
static inline void cpu_idle(void)
{
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}

static inline void cpu_hlt(void)
{
	__asm__ volatile("hlt" ::: "memory");
}

static inline void cpu_pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

static inline uint64_t read_rflags(void)
{
	uint64_t flags;

	__asm__ volatile("pushfq; pop %0" : "=r"(flags)::"memory");
	return flags;
}

static inline void cpu_mfence(void)
{
	__asm__ volatile("mfence" ::: "memory");
}

static inline void cpu_lfence(void)
{
	__asm__ volatile("lfence" ::: "memory");
}

static inline void cpu_wbinvd(void)
{
	__asm__ volatile("wbinvd" ::: "memory");
}

static inline void cpu_invlpg(uint64_t va)
{
	__asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}

/* Not ordered with what stands around it; tsc_now() is (arch/x86/tsc.h). */
static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (uint64_t)hi << 32 | lo;
}

static inline struct desc_ptr sgdt(void)
{
	struct desc_ptr p;

	__asm__ volatile("sgdt %0" : "=m"(p));
	return p;
}

static inline struct desc_ptr sidt(void)
{
	struct desc_ptr p;

	__asm__ volatile("sidt %0" : "=m"(p));
	return p;
}

static inline void lgdt(const struct desc_ptr *p)
{
	__asm__ volatile("lgdt %0" ::"m"(*p) : "memory");
}

static inline void lidt(const struct desc_ptr *p)
{
	__asm__ volatile("lidt %0" ::"m"(*p) : "memory");
}

static inline uint16_t str(void)
{
	uint16_t selector;

	__asm__ volatile("str %0" : "=r"(selector));
	return selector;
}

static inline void lldt(uint16_t selector)
{
	__asm__ volatile("lldt %0" ::"r"(selector) : "memory");
}

#define DEFINE_READ_SELECTOR(name)                                        \
	static inline uint16_t read_##name(void)                          \
	{                                                                 \
		uint16_t selector;                                        \
                                                                          \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(selector)); \
		return selector;                                          \
	}

DEFINE_READ_SELECTOR(cs)
DEFINE_READ_SELECTOR(ss)
DEFINE_READ_SELECTOR(ds)
DEFINE_READ_SELECTOR(es)
DEFINE_READ_SELECTOR(fs)
DEFINE_READ_SELECTOR(gs)

#endif
