/*
 * A guest that shows what its processor does, a line a case, and judges nothing: the same guest
 * runs bare and under Socle, and the lines are compared. In 32-bit and in 64-bit mode.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned long word;

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum {
	DE,
	DB,
	NMI,
	BP,
	OF,
	BR,
	UD,
	NM,
	DF,
	TS = 10,
	NP,
	SS,
	GP,
	PF,
	MF = 16,
	AC,
	MC,
	XM,
	NONE = 0xff
};

/* What the stubs push, and the processor before them. */
struct frame {
	word regs[sizeof(word) == 8 ? 15 : 8];
	word vector, error, ip, cs, flags, sp, ss;
	word es, ds, fs, gs; /* from virtual-8086 mode */
};

/* The last exception that was caught, or NONE in vector. */
extern struct frame caught;
extern word caught_cr2;
extern word catch_ip, catch_sp;

/* Traps and interrupts that return: each is a line of the log. */
struct trap {
	word vector, error, ip, dr6, flags;
};
#define TRAPS 64
extern struct trap traps[TRAPS];
extern unsigned int trap_count;
/* Which vectors return, bit by bit. Others end the statement that CATCH() began. */
extern uint32_t returning[8];
/* Called in each that returns, unless NULL. */
extern void (*on_trap)(struct frame *f);

void trap_begin(unsigned int vector);
/* The log's lines under NAME: vector, where it came relative to BASE, DR6 and error code. */
void trap_end(const char *name, word base);

/*
 * Runs one asm statement in which registers but the stack pointer may change, until its end or its
 * first exception. The label 9 is behind it.
 */
#define CATCH(text, ...)                                                                    \
	do {                                                                                \
		caught.vector = NONE;                                                       \
		asm volatile(CATCH_BEGIN text "\n9: nop" : : __VA_ARGS__ : CATCH_CLOBBERS); \
	} while (0)

#ifdef __x86_64__
#define CATCH_BEGIN    "movq $9f, catch_ip\n movq %%rsp, catch_sp\n"
#define CATCH_CLOBBERS "memory", "cc"
#define REG(x)	       "r" x
#else
#define CATCH_BEGIN    "movl $9f, catch_ip\n movl %%esp, catch_sp\n"
#define CATCH_CLOBBERS "memory", "cc"
#define REG(x)	       "e" x
#endif

/* "NAME: " and the line; %x %u %s. */
void say(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says which exception was caught: vector and error code. */
void say_caught(const char *name);

void cases(void);
/* What 32-bit and 64-bit mode have in common. */
void common_cases(void);

struct regs {
	uint32_t a, b, c, d;
};
struct regs cpuid(uint32_t leaf, uint32_t sub);
/* They catch: the vector, or NONE. */
unsigned int rdmsr(uint32_t index, uint64_t *value);
unsigned int wrmsr(uint32_t index, uint64_t value);

static inline void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t value)
{
	asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

#define COM1	0x3f8
#define SCRATCH (COM1 + 7)

/* MOV to and from control and debug registers. */
#define REGISTER(name)                                                      \
	static inline word read_##name(void)                                \
	{                                                                   \
		word value;                                                 \
                                                                            \
		asm volatile("mov %%" #name ", %0" : "=r"(value));          \
		return value;                                               \
	}                                                                   \
	static inline void write_##name(word value)                         \
	{                                                                   \
		asm volatile("mov %0, %%" #name : : "r"(value) : "memory"); \
	}
REGISTER(cr0)
REGISTER(cr2)
REGISTER(cr3)
REGISTER(cr4)
REGISTER(dr0)
REGISTER(dr6)
REGISTER(dr7)

#endif
