/* Hardware task switches, by each way there is, and each thing that stops one. */
#include "conform32.h"

#define SEL_OLD	   0x28
#define SEL_NEW	   0x30
#define SEL_16	   0x38
#define SEL_GATE   0x40
#define SEL_LDT	   0x48
#define SEL_SPARE  0x50
#define SEL_ABSENT 0x58
#define SEL_FAULT  0x60 /* and three more */

#define RF_NT (1u << 14)
#define RF_VM (1u << 17)
#define RF_TF (1u << 8)

struct tss32 old_tss, new_tss;
struct tss16 tss16;
static uint64_t ldt[4];
static uint8_t new_stack[4096] __attribute__((aligned(16)));

/* What the new task saw. */
static struct {
	uint32_t count, flags, cr0, dr7, error, esp, cr3;
	uint16_t tr, ldtr, gs;
} seen;

static uint16_t get_tr(void)
{
	uint16_t tr;

	asm volatile("str %0" : "=r"(tr));
	return tr;
}

static void look(void)
{
	seen.count++;
	asm volatile("pushfl\n popl %0" : "=r"(seen.flags));
	seen.cr0 = read_cr0();
	seen.cr3 = read_cr3();
	seen.dr7 = read_dr7();
	seen.tr = get_tr();
	asm volatile("sldt %0" : "=r"(seen.ldtr));
	asm volatile("movw %%gs, %0" : "=r"(seen.gs));
	asm volatile("clts");
}

/* Tasks: each begins here when its turn comes for the first time, and goes on behind its IRET or
 * JMP. */
void task_look(void);
asm("task_look:\n call look_c\n iret\n jmp task_look\n"
    "task_error:\n pop error_code\n mov %esp, error_esp\n call look_c\n iret\n jmp task_error\n"
    "task_back:\n call look_c\n ljmp $0x28, $0\n jmp task_back\n"
    "task_fault:\n pop error_code\n mov %ebx, fault_vector\n ljmp $0x28, $0\n");
void task_error(void);
void task_back(void);
void task_fault(void);
uint32_t error_code, error_esp, user_word, fault_vector;
void look_c(void);
void look_c(void)
{
	look();
}

static void describe_tss(uint16_t selector, void *tss, uint32_t limit, uint8_t access)
{
	describe(selector, (uint32_t)tss, limit, access);
}

/* Everything as it should be: we are in the old task, the new one is ready. */
static void prepare(void (*entry)(void))
{
	old_tss = (struct tss32){.iomap = sizeof(old_tss)};
	new_tss = (struct tss32){
		.eip = (uint32_t)entry,
		.eflags = 2,
		.esp = (uint32_t)new_stack + sizeof(new_stack),
		.ebx = 0xb,
		.segs = {{16, 0}, {8, 0}, {16, 0}, {16, 0}, {16, 0}, {16, 0}},
		.cr3 = read_cr3(),
		.iomap = sizeof(new_tss),
		.esp0 = (uint32_t)new_stack + sizeof(new_stack) / 2,
		.ss0 = 16,
	};
	describe_tss(SEL_OLD, &old_tss, sizeof(old_tss) - 1, 0x89);
	describe_tss(SEL_NEW, &new_tss, sizeof(new_tss) - 1, 0x89);
	describe_tss(SEL_16, &tss16, sizeof(tss16) - 1, 0x81);
	describe(SEL_LDT, (uint32_t)ldt, sizeof(ldt) - 1, 0x82);
	gdt[SEL_SPARE / 8] = gdt[2];
	gdt[SEL_ABSENT / 8] = gdt[2] & ~(1ull << 47);
	set_task_gate(SEL_GATE, SEL_NEW);
	asm volatile("ltr %w0" : : "r"(SEL_OLD));
	seen.count = 0;
	error_code = 0;
	write_dr6(0xffff0ff0);
}

static void say_busy(const char *name)
{
	say(name, "access old %x new %x, tr %x, link %x", (uint8_t)(gdt[SEL_OLD / 8] >> 40),
	    (uint8_t)(gdt[SEL_NEW / 8] >> 40), get_tr(), new_tss.link);
}

static void say_seen(const char *name)
{
	say(name, "came %u times, nt %x vm %x ts %x tr %x ldtr %x", seen.count, seen.flags & RF_NT,
	    seen.flags & RF_VM, seen.cr0 & 8, seen.tr, seen.ldtr);
}

#define JMP_NEW	 "ljmp $0x30, $0"
#define CALL_NEW "lcall $0x30, $0"

static void by_jump(void)
{
	prepare(task_back);
	write_dr7(0x4ff);
	CATCH(JMP_NEW, "b"(0x1234567));
	write_dr7(0x400);
	say_caught("task jmp");
	say_seen("task jmp");
	say_busy("task jmp");
	say("task jmp", "saved ebx %x, at the label %u, dr7 %x, ts %lx", old_tss.ebx,
	    old_tss.eip == catch_ip, seen.dr7, read_cr0() & 8);
	asm volatile("clts");
}

static void by_call(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (!i)
			prepare(task_look);
		CATCH(CALL_NEW, "b"(0));
		say_caught("task call and iret");
		say_seen("task call and iret");
		say_busy("task call and iret");
		say("task call and iret", "new eip %u, new nt %x",
		    (unsigned int)(new_tss.eip - (uint32_t)task_look), new_tss.eflags & RF_NT);
	}
}

static void by_gate(void)
{
	prepare(task_look);
	CATCH("lcall $0x40, $0", "b"(0));
	say_caught("task call by gate");
	say_seen("task call by gate");
	say_busy("task call by gate");
}

static void by_interrupt(void)
{
	uint32_t after;

	prepare(task_look);
	set_idt_task_gate(0x50, SEL_NEW, 0);
	asm volatile("int $0x50\n1: movl $1b, %0" : "=r"(after) : : "memory");
	say_seen("task int");
	say_busy("task int");
	say("task int", "eip after it %u", old_tss.eip == after);
	set_idt_task_gate(3, SEL_NEW, 0);
	prepare(task_look);
	asm volatile("int3\n1: movl $1b, %0" : "=r"(after) : : "memory");
	say_seen("task int3");
	say("task int3", "eip after it %u", old_tss.eip == after);
	set_idt();
}

/* Faults: without and with an error code; the handler moves the saved EIP on. */
static void skip2(void)
{
	look();
	old_tss.eip += 2;
}

void skip2_c(void);
void skip2_c(void)
{
	skip2();
}
asm("task_skip:\n call skip2_c\n iret\n jmp task_skip\n"
    "task_skip_error:\n pop error_code\n movl %esp, error_esp\n call skip2_c\n iret\n jmp "
    "task_skip_error\n");
void task_skip(void);
void task_skip_error(void);

static void by_exception(void)
{
	prepare(task_skip);
	set_idt_task_gate(UD, SEL_NEW, 0);
	asm volatile("ud2" : : : "memory");
	say_seen("task #UD");
	say_busy("task #UD");
	say("task #UD", "rf %x", old_tss.eflags >> 16 & 1);
	set_idt();
	prepare(task_skip_error);
	set_idt_task_gate(NP, SEL_NEW, 0);
	asm volatile("movw %w0, %%gs\n nop" : : "a"(SEL_ABSENT) : "memory");
	say_seen("task #NP");
	say("task #NP", "error %x, esp %x", error_code,
	    (uint32_t)new_stack + sizeof(new_stack) - error_esp);
	set_idt();
	asm volatile("movw %w0, %%gs" : : "a"(16));
}

static void to_16_bits(void)
{
	prepare(task_look);
	tss16 = (struct tss16){
		.ip = 0x100,
		.flags = 2,
		.sp = 0x800,
		.bx = 0x1234,
		.segs = {16, SEL_SPARE, 16, 16},
	};
	/* IRET in a segment that begins at new_stack. */
	new_stack[0x100] = 0x89;
	new_stack[0x101] = 0x1d;
	*(uint32_t *)&new_stack[0x102] = (uint32_t)&user_word;
	new_stack[0x106] = 0xcf;
	describe(SEL_SPARE, (uint32_t)new_stack, 0xfff, 0x409a);
	CATCH("lcall $0x38, $0", "b"(0));
	say_caught("task of 16 bits");
	say("task of 16 bits", "ebx %x, tr %x, link %x, access %x, eip %x, sp %x", user_word,
	    get_tr(), tss16.link, (uint8_t)(gdt[SEL_16 / 8] >> 40), tss16.ip, tss16.sp);
}

static void traps_and_steps(void)
{
	prepare(task_back);
	new_tss.trap = 1;
	trap_begin(DB);
	CATCH(JMP_NEW, "b"(0));
	say_caught("task T bit");
	trap_end("task T bit", (word)task_back);
	prepare(task_back);
	trap_begin(DB);
	CATCH("pushfl\n orl $0x100, (%%esp)\n popfl\n" JMP_NEW, "b"(0));
	asm volatile("pushfl\n andl $~0x100, (%%esp)\n popfl" : : : "memory");
	say_caught("task jmp, stepped");
	say("task jmp, stepped", "first +%lx, saved tf %x, count %u", traps[0].ip - (word)task_back,
	    old_tss.eflags & RF_TF, trap_count > 0);
	trap_count = 0;
	trap_end("task jmp, stepped", 0);
	prepare(task_back);
	new_tss.eflags |= RF_TF;
	trap_begin(DB);
	CATCH(JMP_NEW, "b"(0));
	say("task that steps", "first +%lx, dr6 %lx", traps[0].ip - (word)task_back,
	    traps[0].dr6 & 0xe00f);
	trap_count = 0;
	trap_end("task that steps", 0);
}

/* ---- what stops one ---- */

static void fails(const char *name)
{
	CATCH(JMP_NEW, "b"(0));
	say_caught(name);
	say(name, "new task's eip %u, tr %x, old busy %x", caught.ip == (word)task_back, get_tr(),
	    (uint8_t)(gdt[SEL_OLD / 8] >> 40));
	asm volatile("clts");
}

static void before_the_switch(void)
{
	prepare(task_back);
	gdt[SEL_NEW / 8] &= ~(1ull << 47);
	fails("task absent");
	prepare(task_back);
	gdt[SEL_NEW / 8] |= 1ull << 41;
	fails("task busy");
	prepare(task_back);
	describe_tss(SEL_NEW, &new_tss, 0x66, 0x89);
	fails("task state too short");
	prepare(task_back);
	describe_tss(SEL_NEW, &new_tss, 0x67, 0x8c);
	fails("task of no type");
	prepare(task_back);
	CATCH("lcall $0x1f8, $0", "b"(0));
	say_caught("task from an empty descriptor");
	prepare(task_back);
	CATCH("lcall $0x1000, $0", "b"(0));
	say_caught("task beyond the table");
	prepare(task_back);
	CATCH("pushfl\n orl $0x4000, (%%esp)\n popfl\n iret", "b"(0));
	say_caught("task iret, null link");
	prepare(task_back);
	old_tss.link = SEL_NEW;
	CATCH("pushfl\n orl $0x4000, (%%esp)\n popfl\n iret", "b"(0));
	say_caught("task iret, link not busy");
	prepare(task_back);
	gdt[SEL_NEW / 8] &= ~(1ull << 47);
	set_idt_task_gate(0x50, SEL_NEW, 0);
	CATCH("int $0x50", "b"(0));
	say_caught("task int, absent");
	set_idt_task_gate(UD, SEL_NEW, 0);
	CATCH("ud2", "b"(0));
	say_caught("task #UD, absent");
	set_idt();
}

/*
 * The new task may have no stack: what it raises is handled by tasks of their own, from which the
 * first one is jumped back to.
 */
static void fault_in_task(const char *name)
{
	static struct tss32 tss[4];
	static uint8_t stack[256] __attribute__((aligned(16)));

	for (unsigned int i = 0; i < COUNT(tss); i++) {
		tss[i] = new_tss;
		tss[i].eip = (uint32_t)task_fault;
		tss[i].esp = (uint32_t)stack + sizeof(stack);
		tss[i].ebx = TS + i;
		tss[i].ldt = 0;
		for (unsigned int n = 0; n < 6; n++)
			tss[i].segs[n].selector = n == 1 ? 8 : 16;
		describe_tss((uint16_t)(SEL_FAULT + 8 * i), &tss[i], 0x67, 0x89);
		set_idt_task_gate((uint8_t)(TS + i), (uint16_t)(SEL_FAULT + 8 * i), 0);
	}
	fault_vector = NONE;
	error_code = 0;
	CATCH(JMP_NEW, "b"(0));
	asm volatile("clts");
	set_idt();
	if (fault_vector == NONE) {
		say(name, "came %u times, ldtr %x gs %x", seen.count, seen.ldtr, seen.gs);
		return;
	}
	say(name, "exception %x error %x in task %x at +%x", fault_vector, error_code,
	    tss[fault_vector - TS].link, new_tss.eip - (uint32_t)task_back);
	say(name, "saved cs %x ss %x ds %x ldt %x", new_tss.segs[1].selector,
	    new_tss.segs[2].selector, new_tss.segs[3].selector, new_tss.ldt);
}

static void in_the_new_task(void)
{
	static const struct {
		const char *name;
		uint8_t seg; /* 6: LDTR */
		uint16_t selector;
	} cases[] = {
		{"task cs null", 1, 0},
		{"task cs is data", 1, 16},
		{"task cs of another level", 1, 0x18},
		{"task cs beyond the table", 1, 0x1000},
		{"task ss null", 2, 0},
		{"task ss is code", 2, 8},
		{"task ss of another level", 2, 0x20},
		{"task ss's rpl", 2, 0x13},
		{"task ss absent", 2, SEL_ABSENT},
		{"task ds null", 3, 0},
		{"task ds is a task", 3, SEL_NEW},
		{"task ds absent", 3, SEL_ABSENT},
		{"task ds in no table", 3, 4},
		{"task gs's rpl", 5, 0x13},
		{"task ldt null", 6, 0},
		{"task ldt", 6, SEL_LDT},
		{"task ldt is data", 6, 16},
		{"task ldt in an ldt", 6, SEL_LDT | 4},
		{"task ldt beyond the table", 6, 0x1000},
	};

	for (unsigned int i = 0; i < COUNT(cases); i++) {
		prepare(task_back);
		if (cases[i].seg == 6)
			new_tss.ldt = cases[i].selector;
		else
			new_tss.segs[cases[i].seg].selector = cases[i].selector;
		fault_in_task(cases[i].name);
	}
	prepare(task_back);
	gdt[SEL_LDT / 8] &= ~(1ull << 47);
	new_tss.ldt = SEL_LDT;
	fault_in_task("task ldt absent");
	prepare(task_back);
	gdt[SEL_SPARE / 8] = gdt[1] & ~(1ull << 47);
	new_tss.segs[1].selector = SEL_SPARE;
	fault_in_task("task cs absent");
	prepare(task_back);
	describe(SEL_SPARE, 0, 0xfff, 0x409a);
	new_tss.segs[1].selector = SEL_SPARE;
	fault_in_task("task eip beyond cs");
}

/* ---- interrupts ---- */

#define APIC	 0xfee00000u
#define EOI	 (*(volatile uint32_t *)(APIC + 0xb0))
#define SVR	 (*(volatile uint32_t *)(APIC + 0xf0))
#define ICR_LOW	 (*(volatile uint32_t *)(APIC + 0x300))
#define ICR_HIGH (*(volatile uint32_t *)(APIC + 0x310))

static void by_interrupts_from_outside(void)
{
	prepare(task_look);
	SVR = 0x1ff;
	set_idt_task_gate(0x51, SEL_NEW, 0);
	ICR_LOW = 0x40051; /* to itself */
	asm volatile("sti\n nop\n nop\n cli" : : : "memory");
	EOI = 0;
	say_seen("task external interrupt");
	say_busy("task external interrupt");
	set_idt();
	prepare(task_look);
	set_idt_task_gate(NMI, SEL_NEW, 0);
	ICR_HIGH = 0;
	ICR_LOW = 0x4400;
	asm volatile("nop\n nop\n nop" : : : "memory");
	say_seen("task NMI");
	ICR_LOW = 0x4400; /* the task's IRET has ended blocking */
	asm volatile("nop\n nop\n nop" : : : "memory");
	say_seen("task NMI again");
	set_idt();
}

void task_cases(void)
{
	by_jump();
	by_call();
	by_gate();
	by_interrupt();
	by_exception();
	to_16_bits();
	traps_and_steps();
	before_the_switch();
	in_the_new_task();
	by_interrupts_from_outside();
}
