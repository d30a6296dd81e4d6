/*
 * What guests written in C stand on: a processor or two in 64-bit mode, the first 4 GiB mapped to
 * themselves, gates for all vectors, calls that survive their
 * exceptions, and the debug ports for output (debug_console = 0xe9, debug_exit = 0xf4).
 */
#ifndef RT_H
#define RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n)	      (1ull << (n))
/* User mode sees, at this distance, the memory at USER_MEMORY and the devices above 3 GiB. */
#define USER_WINDOW 0x8000000000ull
#define USER_MEMORY 0x400000u
#define USER_STACK  0x5f0000u
#define APIC	    0xfee00000u
#define IOAPIC	    0xfec00000u
#define KERNEL_CS   0x08
#define KERNEL_DS   0x10
#define NO_SEGMENT  0x38 /* an empty descriptor */
#define V_IPI	    0x41 /* any vector from 32 on is counted */
#define V_TIMER	    0x42
#define V_LINE	    0x43
#define V_ERROR	    0x44

enum {
	DE = 0,
	DB = 1,
	NMI = 2,
	BP = 3,
	OF = 4,
	UD = 6,
	NM = 7,
	DF = 8,
	TS = 10,
	NP = 11,
	SS = 12,
	GP = 13,
	PF = 14,
	AC = 17
};
#define NO_FAULT (-1)

struct rt_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct rt_cpu {
	uint64_t resume_rip, resume_rsp; /* start.asm */
	/* In R15 while rt_try() runs, for who reads a dump of registers. */
	uint64_t note;
	/* The exception that ended the last rt_try(). */
	uint64_t error, rip, cr2, dr6;
	struct rt_frame frame;
	uint32_t steps;	       /* single steps still to be let through */
	uint32_t stepped;      /* #DB seen while steps were let through */
	uint32_t debugs;       /* #DB seen at all */
	uint32_t ints[256];    /* interrupts and NMIs taken */
	uint32_t burst;	       /* interrupts since rt_try() began */
	bool land_after_steps; /* the last of them ends the rt_try() */
	bool no_eoi;	       /* interrupts are not acknowledged */
	bool bad_iret;	       /* an NMI that comes in rt_try() ends in an IRET to no segment */
};

extern struct rt_cpu rt_cpus[2];
extern const char *rt_cmdline;
extern uint64_t rt_idt[256 * 2];
extern uint64_t rt_gdt[];
extern uint64_t rt_pml4[512];
extern char rt_stacks[];

/* Provided by the guest. */
void rt_guest(void);
void rt_second(void); /* the second processor, after rt_start_second() */

unsigned int rt_cpu_id(void);
static inline struct rt_cpu *rt_self(void)
{
	return &rt_cpus[rt_cpu_id()];
}

/* Calls fn(argument); returns the vector of the exception that ended it, or NO_FAULT. */
int rt_try(void (*fn)(uint64_t), uint64_t argument);
/* Runs CODE, in USER_MEMORY, in user mode; returns the exception that ends it. */
int rt_try_user(const void *code, const uint64_t registers[8], uint64_t rflags);

void rt_init_cpu(unsigned int id);
uint8_t *rt_tss(unsigned int id);
/* INIT and start-up IPI to APIC ID 1. False: it did not come within ten seconds. */
bool rt_start_second(void);
/* Has it come to rt_second() since it was started last? */
bool rt_second_is_up(void);
/* Said by who is about to send it INIT. */
void rt_second_is_down(void);
void rt_reset_apic(void); /* off and on again: as after power-up, enabled by software */

void rt_putc(char c);
void rt_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void rt_exit(uint32_t status);
/* The number behind NAME= on the command line, decimal or 0x. */
uint64_t rt_option(const char *name, uint64_t otherwise);
const char *rt_option_text(const char *name); /* up to a space, or NULL */
void rt_wait_us(uint32_t us);		      /* by the ACPI timer */

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);

/* ---- instructions ---- */

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (uint64_t)hi << 32 | lo;
}

#define RT_PORT(suffix, type)                                                                   \
	static inline void out##suffix(uint16_t port, type value)                               \
	{                                                                                       \
		__asm__ volatile("out" #suffix " %0, %1" ::"a"(value), "Nd"(port) : "memory");  \
	}                                                                                       \
	static inline type in##suffix(uint16_t port)                                            \
	{                                                                                       \
		type value;                                                                     \
                                                                                                \
		__asm__ volatile("in" #suffix " %1, %0" : "=a"(value) : "Nd"(port) : "memory"); \
		return value;                                                                   \
	}
RT_PORT(b, uint8_t)
RT_PORT(w, uint16_t)
RT_PORT(l, uint32_t)

#define RT_REGISTER(name)                                                        \
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
RT_REGISTER(cr0)
RT_REGISTER(cr2)
RT_REGISTER(cr3)
RT_REGISTER(cr4)
RT_REGISTER(cr8)
RT_REGISTER(dr0)
RT_REGISTER(dr1)
RT_REGISTER(dr2)
RT_REGISTER(dr3)
RT_REGISTER(dr6)
RT_REGISTER(dr7)

struct rt_cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct rt_cpuid cpuid(uint32_t leaf, uint32_t sub)
{
	struct rt_cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(sub));
	return r;
}

static inline uint32_t mmio_read(uint64_t address)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void mmio_write(uint64_t address, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" ::"r"(value), "r"(address) : "memory");
}

#endif
