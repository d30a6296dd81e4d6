/* Instructions on device memory and string port I/O: registers, flags, and what faults. */
#include "conform64.h"

#define IOAPIC_SELECT (*(volatile uint32_t *)0xfec00000)
#define IOAPIC_WINDOW (*(volatile uint32_t *)0xfec00010)
#define FLAGS	      0x8c5ul /* OF SF ZF PF CF: AF is not defined for all */

/* 4 KiB pages from here on: memory, nothing, memory that cannot be written, the I/O APIC. */
#define PAGES 0x80000000ul

static uint64_t table[512] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));

/*
 * One instruction on a register of the I/O APIC with a vector in bits 7:0 and the mask in 16: its
 * new value, EAX, ECX, EDX and the flags.
 */
#define DEVICE(text)                                                                       \
	do {                                                                               \
		word a = 0x10042, c = 3, d = 0x77, flags;                                  \
                                                                                           \
		IOAPIC_SELECT = 0x10;                                                      \
		IOAPIC_WINDOW = 0x10042;                                                   \
		caught.vector = NONE;                                                      \
		asm volatile(CATCH_BEGIN "pushq $2\n popfq\n" text "\n9: pushfq\n popq %3" \
			     : "+a"(a), "+c"(c), "+d"(d), "=&r"(flags)                     \
			     : "b"(&IOAPIC_WINDOW)                                         \
			     : CATCH_CLOBBERS);                                            \
		if (caught.vector != NONE)                                                 \
			say_caught(text);                                                  \
		else                                                                       \
			say(text, "%x, eax %lx ecx %lx edx %lx flags %lx",                 \
			    IOAPIC_WINDOW & 0x1ffff, a, c, d, flags & FLAGS);              \
	} while (0)

static void operands(void)
{
	write_cr4(read_cr4() | 3ul << 9); /* OSFXSR, OSXMMEXCPT */
	DEVICE("movl (%%rbx), %%edx");
	DEVICE("movl %%edx, (%%rbx)");
	DEVICE("movl $0x10099, (%%rbx)");
	DEVICE("movslq (%%rbx), %%rdx");
	DEVICE("addl %%ecx, (%%rbx)");
	DEVICE("addl (%%rbx), %%edx");
	DEVICE("stc\n adcl %%ecx, (%%rbx)");
	DEVICE("stc\n sbbl $1, (%%rbx)");
	DEVICE("subl $0x42, (%%rbx)");
	DEVICE("orl $0x81, (%%rbx)");
	DEVICE("andl $0x10002, (%%rbx)");
	DEVICE("xorl %%edx, (%%rbx)");
	DEVICE("xorl (%%rbx), %%edx");
	DEVICE("cmpl %%eax, (%%rbx)");
	DEVICE("cmpl $0x20000, (%%rbx)");
	DEVICE("testl $0x42, (%%rbx)");
	DEVICE("incl (%%rbx)");
	DEVICE("decl (%%rbx)");
	DEVICE("shll $1, (%%rbx)");
	DEVICE("shrl %%cl, (%%rbx)");
	DEVICE("roll %%cl, (%%rbx)");
	DEVICE("stc\n rcrl $1, (%%rbx)");
	DEVICE("sarl $2, (%%rbx)");
	DEVICE("xchgl %%edx, (%%rbx)");
	DEVICE("xaddl %%ecx, (%%rbx)");
	DEVICE("cmpxchgl %%edx, (%%rbx)");
	DEVICE("movl $1, %%eax\n lock cmpxchgl %%edx, (%%rbx)");
	DEVICE("btl $6, (%%rbx)");
	DEVICE("btsl %%ecx, (%%rbx)");
	DEVICE("lock btrl $1, (%%rbx)");
	DEVICE("btcl $7, (%%rbx)");
	DEVICE("movntil %%edx, (%%rbx)");
	DEVICE("cmpl $1, %%ecx\n cmovgl (%%rbx), %%edx");
	DEVICE("mull (%%rbx)");
	DEVICE("imull (%%rbx)");
	DEVICE("imull (%%rbx), %%edx");
	DEVICE("imull $-3, (%%rbx), %%edx");
	DEVICE("movl $0x12345678, %%eax\n xorl %%edx, %%edx\n divl (%%rbx)");
	DEVICE("movl $-0x1234567, %%eax\n cltd\n idivl (%%rbx)");
	DEVICE("bsfl (%%rbx), %%edx\n testl %%edx, %%edx");
	DEVICE("bsrl (%%rbx), %%edx\n testl %%edx, %%edx");
	DEVICE("popcntl (%%rbx), %%edx");
	DEVICE("movd (%%rbx), %%xmm3\n movd %%xmm3, %%edx");
	DEVICE("movl $0x10033, %%edx\n movd %%edx, %%xmm9\n movd %%xmm9, (%%rbx)");
	DEVICE("movl $0x10034, %%edx\n movd %%edx, %%xmm9\n movss %%xmm9, (%%rbx)");
	DEVICE("movd (%%rbx), %%mm3\n movd %%mm3, %%edx\n emms");
	DEVICE("movl $0x10035, %%edx\n movd %%edx, %%mm5\n movd %%mm5, (%%rbx)\n emms");
	DEVICE("clflush (%%rbx)");
	DEVICE("shldl $4, %%edx, (%%rbx)");
	DEVICE("shrdl %%cl, %%edx, (%%rbx)");
	DEVICE("movl -12(%%rbx,%%rcx,4), %%edx");
	DEVICE("addr32 movl (%%ebx), %%edx");
	DEVICE("movabsl 0xfec00010, %%eax");
	DEVICE(".byte 0xf0, 0x89, 0x13");
}

/* AVX's moves: what is above the 128 bits goes. */
static void vectors(void)
{
	if (!(cpuid(1, 0).c & 1u << 28))
		return;
	write_cr4(read_cr4() | 1ul << 18);
	asm volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
	DEVICE("vmovd (%%rbx), %%xmm3\n vmovd %%xmm3, %%edx");
	DEVICE("movl $0x10036, %%edx\n vmovd %%edx, %%xmm11\n vmovd %%xmm11, (%%rbx)");
	DEVICE("movl $0x10037, %%edx\n vmovd %%edx, %%xmm7\n vmovss %%xmm7, (%%rbx)");
	DEVICE("vpcmpeqd %%xmm4, %%xmm4, %%xmm4\n vinsertf128 $1, %%xmm4, %%ymm4, %%ymm4\n"
	       "vmovss (%%rbx), %%xmm4\n vextractf128 $1, %%ymm4, %%xmm4\n vmovd %%xmm4, %%edx");
	asm volatile("xsetbv" : : "a"(3), "d"(0), "c"(0));
	DEVICE("vmovd (%%rbx), %%xmm3\n vmovd %%xmm3, %%edx");
	write_cr4(read_cr4() & ~(1ul << 18));
}

/* String instructions: one element, since the next one would be no register. */
static void strings(void)
{
	static uint32_t cell[2];

#define STRING(text, df, si, di)                                                              \
	do {                                                                                  \
		word a = 0x10042, c = 1, s = (word)(si), t = (word)(di), flags;               \
                                                                                              \
		IOAPIC_SELECT = 0x10;                                                         \
		IOAPIC_WINDOW = 0x10042;                                                      \
		cell[0] = 0x10055;                                                            \
		asm volatile(df "\n" text "\n cld\n pushfq\n popq %4"                         \
			     : "+a"(a), "+c"(c), "+S"(s), "+D"(t), "=&r"(flags)               \
			     :                                                                \
			     : "memory", "cc");                                               \
		say(text ", " df, "%x, cell %x, rax %lx rcx %lx rsi +%lx rdi +%lx flags %lx", \
		    IOAPIC_WINDOW & 0x1ffff, cell[0], a, c, s - (word)(si), t - (word)(di),   \
		    flags & FLAGS);                                                           \
	} while (0)

	STRING("movsl", "cld", &IOAPIC_WINDOW, cell);
	STRING("movsl", "std", cell, &IOAPIC_WINDOW);
	STRING("rep movsl", "cld", cell, &IOAPIC_WINDOW);
	STRING("stosl", "cld", cell, &IOAPIC_WINDOW);
	STRING("rep stosl", "std", cell, &IOAPIC_WINDOW);
	STRING("lodsl", "cld", &IOAPIC_WINDOW, cell);
	STRING("scasl", "cld", cell, &IOAPIC_WINDOW);
	STRING("repne scasl", "cld", cell, &IOAPIC_WINDOW);
	STRING("cmpsl", "cld", cell, &IOAPIC_WINDOW);
	STRING("repe cmpsl", "cld", &IOAPIC_WINDOW, cell);
	STRING("addr32 lodsl", "cld", &IOAPIC_WINDOW, cell);
}

static void map_pages(void)
{
	table[0] = (word)page | 3;
	table[1] = 0;
	table[2] = (word)page | 1;
	table[3] = 0xfec00000 | 3;
	table[4] = 0xfec00000 | 1;
	pd[1024] = (word)table | 3;
	write_cr0(read_cr0() | 1ul << 16); /* WP */
	write_cr3(read_cr3());
}

#define AT(n, offset) (PAGES + (n)*4096 + (offset))

static void faults(void)
{
#define FAULT(name, text, si, di, count)                                                 \
	do {                                                                             \
		outb(SCRATCH, 0x5a);                                                     \
		CATCH(text, "S"(si), "D"(di), "c"((word)(count)), "a"(0), "d"(SCRATCH)); \
		say_caught(name);                                                        \
		say(name, "rcx %lx, rsi +%lx, rdi +%lx", caught.regs[13],                \
		    caught.regs[9] - (word)(si), caught.regs[8] - (word)(di));           \
	} while (0)

	for (unsigned int i = 0; i < 4096; i++)
		page[i] = (uint8_t)i;
	FAULT("REP OUTSB into nothing", "rep outsb", AT(0, 0xffd), PAGES, 8);
	say("REP OUTSB into nothing", "port %x", inb(SCRATCH));
	FAULT("REP INSB into nothing", "rep insb", PAGES, AT(0, 0xffd), 8);
	FAULT("INSB into what cannot be written", "insb", PAGES, AT(2, 0), 8);
	FAULT("REP INSL over a page's end", "rep insl", PAGES, AT(0, 0xffe), 8);
	FAULT("OUTSB from a bad address", "outsb", 0x800000000000ul, PAGES, 8);
	FAULT("MOVSL from a device into nothing", "movsl", AT(3, 0x10), AT(1, 0), 8);
	FAULT("MOVSL from nothing to a device", "movsl", AT(1, 0), AT(3, 0x10), 8);
	FAULT("MOV to a device that cannot be written", "movl %%eax, (%%rdi)", PAGES, AT(4, 0x10),
	      0);
	FAULT("OR on a device that cannot be written", "orl %%eax, (%%rdi)", PAGES, AT(4, 0x10), 0);
	FAULT("XCHG on a device that cannot be written", "xchgl %%eax, (%%rdi)", PAGES, AT(4, 0x10),
	      0);
	FAULT("PUSH of nothing", "pushq (%%rsi)", AT(1, 0), PAGES, 0);
}

static void bitmap(void)
{
	static uint8_t *map;
	extern uint8_t tss[];

	map = tss + 104;
	USER("outb %%al, %%dx", "a"(0x33), "d"(SCRATCH));
	say_caught("OUT at CPL 3, denied");
	USER("rep outsb", "S"((word)page + USER_ALIAS), "c"(2ul), "d"(SCRATCH));
	say_caught("REP OUTSB at CPL 3, denied");
	map[SCRATCH / 8] &= (uint8_t) ~(1u << SCRATCH % 8);
	USER("outb %%al, %%dx", "a"(0x33), "d"(SCRATCH));
	say_caught("OUT at CPL 3, allowed");
	say("OUT at CPL 3, allowed", "port %x", inb(SCRATCH));
	USER("rep outsb", "S"((word)page + USER_ALIAS), "c"(2ul), "d"(SCRATCH));
	say_caught("REP OUTSB at CPL 3, allowed");
	say("REP OUTSB at CPL 3, allowed", "port %x", inb(SCRATCH));
	USER("rep insb", "D"((word)page), "c"(2ul), "d"(SCRATCH));
	say("REP INSB at CPL 3 into the system's memory", "exception %lx error %lx", caught.vector,
	    caught.error);
	USER("outw %%ax, %%dx", "a"(0x33), "d"(SCRATCH));
	say_caught("OUTW at CPL 3, half allowed");
	map[SCRATCH / 8] |= (uint8_t)(1u << SCRATCH % 8);
}

void memory_cases(void)
{
	operands();
	vectors();
	strings();
	map_pages();
	faults();
	bitmap();
}
