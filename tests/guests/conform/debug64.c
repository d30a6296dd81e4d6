/* Debug registers, single steps over what exits, exceptions in exceptions. */
#include "conform64.h"

#define IOAPIC	  ((volatile uint32_t *)0xfec00000)
#define DR6_CLEAR 0xffff0ff0ul

static void registers(void)
{
	CATCH("mov %0, %%dr6", "r"(1ul << 32));
	say_caught("DR6 upper half");
	CATCH("mov %0, %%dr7", "r"(1ul << 32));
	say_caught("DR7 upper half");
	write_dr6(0);
	say("DR6 0", "reads %lx", read_dr6());
	write_dr6(~0ul >> 32);
	say("DR6 all", "reads %lx", read_dr6() & ~0x10800ul);
	write_dr6(DR6_CLEAR);
	write_dr7(0);
	say("DR7 0", "reads %lx", read_dr7());
	write_dr7(0xfffffc00 & ~0x2000ul & 0xffff0000);
	say("DR7 conditions", "reads %lx", read_dr7());
	write_dr7(0x400);
	CATCH(".byte 0x0f, 0x21, 0xe0", "a"(0ul));
	say_caught("DR4 is DR6");
	write_cr4(read_cr4() | 8);
	CATCH(".byte 0x0f, 0x21, 0xe0", "a"(0ul));
	say_caught("DR4 with DE");
	write_cr4(read_cr4() & ~8ul);
	write_dr7(0x2400);
	CATCH("mov %%dr0, %%rax", "a"(0));
	say("DR7.GD", "exception %lx, dr6 %lx, dr7 %lx", caught.vector, read_dr6() & 0xe00f,
	    read_dr7());
	write_dr6(DR6_CLEAR);
	write_dr7(0x400);
}

/* One instruction between POPF with TF and POPF without: where the traps come, from the instruction
 * on. */
#define STEP(name, text, ...)                                                                    \
	do {                                                                                     \
		trap_begin(DB);                                                                  \
		CATCH("pushfq\n orl $0x100, (%%rsp)\n popfq\n 8: " text                          \
		      "\n nop\n pushfq\n andl $~0x100, (%%rsp)\n popfq\n lea 8b(%%rip), %%rax\n" \
		      "mov %%rax, step_base",                                                    \
		      __VA_ARGS__);                                                              \
		if (caught.vector != NONE)                                                       \
			say_caught(name);                                                        \
		trap_end(name, step_base);                                                       \
	} while (0)

word step_base;
static uint8_t bytes[64];

static void clear_step_bits(struct frame *f)
{
	(void)f;
	write_dr6(DR6_CLEAR);
}

static void steps(void)
{
	on_trap = clear_step_bits;
	STEP("step NOP", "nop", "a"(0));
	STEP("step CPUID", "cpuid", "a"(0), "b"(0), "c"(0), "d"(0));
	STEP("step RDMSR", "rdmsr", "a"(0), "c"(0x1b), "d"(0));
	STEP("step WRMSR", "wrmsr", "a"(0), "c"(0xc0000102), "d"(0));
	STEP("step IN", "in %%dx, %%al", "a"(0), "d"(SCRATCH));
	STEP("step OUT", "out %%al, %%dx", "a"(0x11), "d"(SCRATCH));
	STEP("step REP OUTSB", "rep outsb", "S"(bytes), "d"(SCRATCH), "c"(3), "a"(0));
	STEP("step REP INSB", "rep insb", "D"(bytes), "d"(SCRATCH), "c"(3), "a"(0));
	STEP("step MOV CR0", "mov %%rbx, %%cr0", "b"(read_cr0()), "a"(0));
	STEP("step MOV CR3", "mov %%rbx, %%cr3", "b"(read_cr3()), "a"(0));
	STEP("step MOV CR4", "mov %%rbx, %%cr4", "b"(read_cr4() ^ 0x100), "a"(0));
	STEP("step MOV from CR0", "mov %%cr0, %%rbx", "b"(0), "a"(0));
	STEP("step MOV CR8", "mov %%rbx, %%cr8", "b"(0), "a"(0));
	STEP("step CLTS", "clts", "a"(0));
	STEP("step LMSW", "lmsw %%bx", "b"(read_cr0()), "a"(0));
	STEP("step MOV DR0", "mov %%rbx, %%dr0", "b"(0), "a"(0));
	STEP("step RDTSC", "rdtsc", "a"(0), "d"(0));
	STEP("step WBINVD", "wbinvd", "a"(0));
	STEP("step INVLPG", "invlpg (%%rbx)", "b"(bytes), "a"(0));
	STEP("step MMIO MOV", "mov %%ebx, (%%rdi)", "b"(0), "D"(IOAPIC), "a"(0));
	STEP("step MMIO read", "mov (%%rdi), %%ebx", "b"(0), "D"(IOAPIC), "a"(0));
	STEP("step MMIO REP STOSL", "rep stosl", "c"(3), "D"(bytes), "a"(0));
	STEP("step MMIO REP MOVSL", "rep movsl", "c"(1), "D"(bytes), "S"(IOAPIC), "a"(0));
	STEP("step MOV SS", "mov %%ss, %%ebx\n mov %%ebx, %%ss\n cpuid", "a"(0), "b"(0), "c"(0),
	     "d"(0));
	STEP("step STI and CPUID", "sti\n cpuid\n cli", "a"(0), "b"(0), "c"(0), "d"(0));
	returning[2] |= 1u << (0x50 - 64);
	STEP("step INT n", "int $0x50", "a"(0));
	returning[0] |= 1u << BP;
	STEP("step INT3", "int3", "a"(0));
	STEP("step INT1", ".byte 0xf1", "a"(0));
}

static void breakpoint(word address, word dr7)
{
	write_dr0(address);
	write_dr7(dr7 | 0x400);
	trap_begin(DB);
	on_trap = clear_step_bits;
}

static void breakpoints(void)
{
	static volatile uint32_t cell;

	breakpoint((word)&cell, 1 | 0xdul << 16);
	CATCH("8: movl $1, (%0)\n lea 8b(%%rip), %%rax\n mov %%rax, step_base", "D"(&cell), "a"(0));
	write_dr7(0x400);
	trap_end("breakpoint on a write", step_base);
	breakpoint((word)&cell, 1 | 0xful << 16);
	CATCH("8: movl (%0), %%eax\n lea 8b(%%rip), %%rax\n mov %%rax, step_base", "D"(&cell),
	      "a"(0));
	write_dr7(0x400);
	trap_end("breakpoint on a read", step_base);
	breakpoint((word)&IOAPIC[0], 1 | 0xdul << 16);
	CATCH("8: movl $0, (%0)\n lea 8b(%%rip), %%rax\n mov %%rax, step_base", "D"(IOAPIC),
	      "a"(0));
	write_dr7(0x400);
	trap_end("breakpoint on a device's memory", step_base);
	breakpoint((word)&IOAPIC[0], 1 | 0xful << 16);
	CATCH("8: movl (%0), %%eax\n lea 8b(%%rip), %%rax\n mov %%rax, step_base", "D"(IOAPIC),
	      "a"(0));
	write_dr7(0x400);
	trap_end("breakpoint on a device's memory, read", step_base);
	write_cr4(read_cr4() | 8);
	breakpoint(SCRATCH, 1 | 0x2ul << 16);
	CATCH("8: out %%al, %%dx\n in %%dx, %%al\n lea 8b(%%rip), %%rax\n mov %%rax, step_base",
	      "d"(SCRATCH), "a"(0x22));
	write_dr7(0x400);
	trap_end("breakpoint on a port", step_base);
	breakpoint(SCRATCH, 1 | 0x2ul << 16);
	CATCH("8: rep outsb\n lea 8b(%%rip), %%rax\n mov %%rax, step_base", "d"(SCRATCH),
	      "S"(bytes), "c"(2), "a"(0));
	write_dr7(0x400);
	trap_end("breakpoint on a port, REP OUTS", step_base);
	write_cr4(read_cr4() & ~8ul);
}

asm("break_here: cpuid\n ret\n");
void break_here(void);

static void resume(struct frame *f)
{
	write_dr6(DR6_CLEAR);
	f->flags |= 1 << 16;
}

static void execution(void)
{
	breakpoint((word)break_here, 1);
	on_trap = resume;
	CATCH("call break_here", "a"(0), "b"(0), "c"(0), "d"(0));
	write_dr7(0x400);
	trap_end("breakpoint on CPUID", (word)break_here);
}

/* ---- exceptions ---- */

static void gate(unsigned int vector, bool present)
{
	if (present)
		idt[2 * vector] |= 1ull << 47;
	else
		idt[2 * vector] &= ~(1ull << 47);
}

static void exceptions(void)
{
	CATCH("xorl %%edx, %%edx\n movl $1, %%eax\n xorl %%ecx, %%ecx\n divl %%ecx", "a"(0), "c"(0),
	      "d"(0));
	say_caught("DIV by 0");
	CATCH("int $0x50", "a"(0));
	say_caught("INT 50h");
	CATCH("mov %0, %%ds", "r"(0x1000));
	say_caught("MOV DS beyond the table");
	CATCH("movb $1, (%0)", "r"(0x4000000000ul), "a"(0));
	say_caught("write to no page");
	CATCH("mov (%0), %%al", "r"(0x800000000000ul), "a"(0));
	say_caught("no canonical address");
	CATCH("push %%rbp\n mov %0, %%rbp\n mov (%%rbp), %%al\n pop %%rbp", "r"(0x800000000000ul),
	      "a"(0));
	say_caught("no canonical address of the stack");
	gate(0x50, false);
	CATCH("int $0x50", "a"(0));
	say_caught("INT n, gate absent");
	gate(0x50, true);
	gate(UD, false);
	CATCH("ud2", "a"(0));
	say_caught("#UD, gate absent");
	gate(UD, true);
	gate(GP, false);
	CATCH("mov %0, %%ds", "r"(0x1000));
	say_caught("#GP, gate absent");
	gate(GP, true);
	gate(PF, false);
	CATCH("movb $1, (%0)", "r"(0x4000000000ul), "a"(0));
	say_caught("#PF, gate absent");
	gate(PF, true);
	gate(BP, false);
	CATCH("int3", "a"(0));
	say_caught("INT3, gate absent");
	gate(BP, true);
	gate(DB, false);
	CATCH(".byte 0xf1", "a"(0));
	say_caught("INT1, gate absent");
	gate(DB, true);
	USER("int3", "a"(0));
	say_caught("INT3 at CPL 3");
	USER(".byte 0xf1", "a"(0));
	say_caught("INT1 at CPL 3");
	CATCH("lock; nop", "a"(0));
	say_caught("LOCK NOP");
	CATCH(".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, "
	      "0x66, 0x0f, 0xa2",
	      "a"(0), "b"(0), "c"(0), "d"(0));
	say_caught("CPUID of 16 bytes");
}

/*
 * The flags that a fault saves have RF set, whoever raised it, and those of an interrupt or a trap
 * have not (SDM vol. 3B 18.3.1.1).
 */
static void saved_rf(void)
{
#define RF(name, ...)                                            \
	do {                                                     \
		CATCH(__VA_ARGS__);                              \
		say(name, "exception %lx, RF %u", caught.vector, \
		    (unsigned int)caught.flags >> 16 & 1);       \
	} while (0)

	RF("RF of #DE", "divl %%ecx", "a"(1), "c"(0), "d"(0));
	RF("RF of #UD", "ud2", "a"(0));
	RF("RF of #PF", "movb $1, (%0)", "r"(0x4000000000ul), "a"(0));
	RF("RF of #GP", "mov %0, %%ds", "r"(0x1000));
	RF("RF of a fault of RDPMC", "rdpmc", "c"(0x7fff), "a"(0), "d"(0));
	RF("RF of a fault of WRMSR", "wrmsr", "c"(0x277), "a"(2), "d"(0));
	RF("RF of a fault of MOV to CR0", "mov %0, %%cr0", "r"(read_cr0() | 1ul << 32));
	RF("RF of INT n", "int $0x50", "a"(0));
}

void debug_cases(void)
{
	registers();
	steps();
	breakpoints();
	execution();
	exceptions();
	saved_rf();
}
