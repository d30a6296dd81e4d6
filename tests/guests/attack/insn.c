/* Instructions: those of the extensions, those that are hidden, and those that user mode must not
 * have. */
#include "tests/guests/attack/attack.h"

struct insn {
	const char *name;
	uint8_t n, bytes[8];
	int kernel, user; /* vectors; ANY: it does not matter */
};
#define ANY (-2)
/* Operands and far pointers, where user mode sees them too. */
#define SCRATCH (USER_MEMORY + 0x2000)

/* RDI points to memory. What is hidden by CPUID is #UD, or #GP(0) where the processor checks CPL
 * first. */
static const struct insn extension[] = {
	{"vmcall", 3, {0x0f, 0x01, 0xc1}, NO_FAULT, BP},
	{"vmmcall", 3, {0x0f, 0x01, 0xd9}, NO_FAULT, BP},
	{"vmlaunch", 3, {0x0f, 0x01, 0xc2}, UD, UD},
	{"vmresume", 3, {0x0f, 0x01, 0xc3}, UD, UD},
	{"vmxoff", 3, {0x0f, 0x01, 0xc4}, UD, UD},
	{"vmxon", 4, {0xf3, 0x0f, 0xc7, 0x37}, UD, UD},
	{"vmclear", 4, {0x66, 0x0f, 0xc7, 0x37}, UD, UD},
	{"vmptrld", 3, {0x0f, 0xc7, 0x37}, UD, UD},
	{"vmptrst", 3, {0x0f, 0xc7, 0x3f}, UD, UD},
	{"vmread", 3, {0x0f, 0x78, 0xc3}, UD, UD},
	{"vmwrite", 3, {0x0f, 0x79, 0xc3}, UD, UD},
	{"invept", 5, {0x66, 0x0f, 0x38, 0x80, 0x07}, UD, UD},
	{"invvpid", 5, {0x66, 0x0f, 0x38, 0x81, 0x07}, UD, UD},
	{"vmfunc", 3, {0x0f, 0x01, 0xd4}, UD, UD},
	{"vmrun", 3, {0x0f, 0x01, 0xd8}, UD, ANY},
	{"vmload", 3, {0x0f, 0x01, 0xda}, UD, ANY},
	{"vmsave", 3, {0x0f, 0x01, 0xdb}, UD, ANY},
	{"stgi", 3, {0x0f, 0x01, 0xdc}, UD, ANY},
	{"clgi", 3, {0x0f, 0x01, 0xdd}, UD, ANY},
	{"skinit", 3, {0x0f, 0x01, 0xde}, UD, ANY},
	{"invlpga", 3, {0x0f, 0x01, 0xdf}, UD, ANY},
	{"getsec", 2, {0x0f, 0x37}, UD, UD},
	{"encls", 3, {0x0f, 0x01, 0xcf}, UD, UD},
	{"rsm", 2, {0x0f, 0xaa}, UD, UD},
	{"monitor", 3, {0x0f, 0x01, 0xc8}, UD, UD},
	{"mwait", 3, {0x0f, 0x01, 0xc9}, UD, UD},
	{"mcommit", 4, {0xf3, 0x0f, 0x01, 0xfa}, UD, UD},
	{"invlpgb", 3, {0x0f, 0x01, 0xfe}, UD, ANY},
	{"tlbsync", 3, {0x0f, 0x01, 0xff}, UD, ANY},
	{"pvalidate", 4, {0xf2, 0x0f, 0x01, 0xff}, UD, ANY},
	{"rmpadjust", 4, {0xf3, 0x0f, 0x01, 0xfe}, UD, ANY},
	{"enclu", 3, {0x0f, 0x01, 0xd7}, UD, UD},
	{"enclv", 3, {0x0f, 0x01, 0xc0}, UD, UD},
	{"pconfig", 3, {0x0f, 0x01, 0xc5}, UD, UD},
	{"tdcall", 4, {0x66, 0x0f, 0x01, 0xcc}, UD, UD},
	{"seamcall", 4, {0x66, 0x0f, 0x01, 0xcf}, UD, UD},
	{"monitorx", 3, {0x0f, 0x01, 0xfa}, UD, UD},
	{"mwaitx", 3, {0x0f, 0x01, 0xfb}, UD, UD},
};

static const struct insn privileged[] = {
	{"rdpmc", 2, {0x0f, 0x33}, GP, GP},
	{"invd", 2, {0x0f, 0x08}, NO_FAULT, GP},
	{"wbinvd", 2, {0x0f, 0x09}, NO_FAULT, GP},
	{"hlt", 1, {0xf4}, ANY, GP},
	{"cli", 1, {0xfa}, NO_FAULT, GP},
	{"in", 2, {0xe4, 0x80}, NO_FAULT, GP},
	{"out", 2, {0xe6, 0x80}, NO_FAULT, GP},
	{"outsb", 1, {0x6e}, ANY, GP},
	{"insb", 1, {0x6c}, ANY, GP},
	{"rdmsr", 2, {0x0f, 0x32}, ANY, GP},
	{"wrmsr", 2, {0x0f, 0x30}, ANY, GP},
	{"mov from cr0", 3, {0x0f, 0x20, 0xc0}, NO_FAULT, GP},
	{"mov from cr8", 4, {0x44, 0x0f, 0x20, 0xc0}, NO_FAULT, GP},
	{"mov from cr1", 3, {0x0f, 0x20, 0xc8}, UD, ANY},
	{"mov from cr7", 3, {0x0f, 0x20, 0xf8}, UD, ANY},
	{"mov from dr7", 3, {0x0f, 0x21, 0xf8}, NO_FAULT, GP},
	{"clts", 2, {0x0f, 0x06}, NO_FAULT, GP},
	{"lmsw", 3, {0x0f, 0x01, 0xf7}, ANY, GP},
	{"lgdt", 3, {0x0f, 0x01, 0x17}, ANY, GP},
	{"lidt", 3, {0x0f, 0x01, 0x1f}, ANY, GP},
	{"ltr", 3, {0x0f, 0x00, 0xdf}, ANY, GP},
	{"invlpg", 3, {0x0f, 0x01, 0x3f}, NO_FAULT, GP},
	{"swapgs", 3, {0x0f, 0x01, 0xf8}, ANY, GP},
	{"sysret", 3, {0x48, 0x0f, 0x07}, ANY, ANY},
	{"cpuid", 2, {0x0f, 0xa2}, NO_FAULT, BP},
	{"pause", 2, {0xf3, 0x90}, NO_FAULT, BP},
	{"smsw", 3, {0x0f, 0x01, 0xe0}, NO_FAULT, BP},
	{"int 80h", 2, {0xcd, 0x80}, NO_FAULT, BP},
	{"int 41h", 2, {0xcd, 0x41}, NO_FAULT, GP},
	{"int 2", 2, {0xcd, 0x02}, ANY, GP},
	{"int3", 1, {0xcc}, BP, BP},
};

static void try_table(const struct insn *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct insn *p = &table[i];
		int vector;

		if (p->kernel != ANY) {
			vector = try_code(p->bytes, p->n, SCRATCH);
			EXPECT(vector == p->kernel, "%s: vector %lu, not %lu", (uint64_t)p->name,
			       vector, p->kernel);
		}
		if (p->user == ANY)
			continue;
		vector = try_user_code(p->bytes, p->n, USER_WINDOW + SCRATCH);
		EXPECT(vector == p->user, "%s in user mode: vector %lu, not %lu", (uint64_t)p->name,
		       vector, p->user);
	}
}

static void extensions(void)
{
	try_table(extension, ARRAY_SIZE(extension));
}

static void privileges(void)
{
	try_table(privileged, ARRAY_SIZE(privileged));
}

/* The error code names the gate; one that user mode may call is called. */
static void software_interrupts(void)
{
	static const uint8_t int41[] = {0xcd, 0x41}, int80[] = {0xcd, 0x80}, int_3[] = {0xcc},
			     int_cd3[] = {0xcd, 3};
	struct rt_cpu *cpu = rt_self();
	uint32_t before = cpu->ints[0x80];
	uint64_t gate = rt_idt[2 * BP];

	/* QEMU's TCG (7.2) counts gates of 16 bytes as two. */
	EXPECT(try_user_code(int41, 2, 0) == GP &&
		       (cpu->error == (0x41 << 3 | 2) || (is_amd && cpu->error == (0x41 << 4 | 2))),
	       "INT 41h: error %lx", cpu->error, 0, 0);
	EXPECT(try_user_code(int80, 2, 0) == BP && cpu->ints[0x80] == before + 1,
	       "INT 80h: %lu taken", cpu->ints[0x80], 0, 0);
	EXPECT(try_user_code(int_cd3, 2, 0) == BP, "INT 3 of two bytes", 0, 0, 0);
	rt_idt[2 * BP] = gate & ~(3ull << 45);
	EXPECT(try_user_code(int_3, 1, 0) == GP &&
		       (cpu->error == (3 << 3 | 2) || (is_amd && cpu->error == (3 << 4 | 2))),
	       "INT3: error %lx", cpu->error, 0, 0);
	EXPECT(try_user_code(int_cd3, 2, 0) == GP &&
		       (cpu->error == (3 << 3 | 2) || (is_amd && cpu->error == (3 << 4 | 2))),
	       "INT 3: error %lx", cpu->error, 0, 0);
	/* A gate that is not there; then a task gate, which 64-bit mode does not have. */
	rt_idt[2 * BP] = gate & ~BIT(47);
	EXPECT(try_code(int_3, 1, 0) == NP &&
		       (cpu->error == (3 << 3 | 2) || (is_amd && cpu->error == (3 << 4 | 2))),
	       "no gate: error %lx", cpu->error, 0, 0);
	rt_idt[2 * BP] = (uint64_t)0x40 << 16 | 0x85ull << 40;
	EXPECT(try_code(int_3, 1, 0) == GP &&
		       (cpu->error == (3 << 3 | 2) || (is_amd && cpu->error == (3 << 4 | 2))),
	       "task gate: error %lx", cpu->error, 0, 0);
	rt_idt[2 * BP] = gate;
}

/* Far transfers to a TSS, which switch tasks in 32-bit mode only. */
static void task_switches(void)
{
	static const uint8_t call[] = {0xff, 0x1f}, jump[] = {0xff, 0x2f};
	struct {
		uint32_t offset;
		uint16_t selector;
	} *target = (void *)(uintptr_t)SCRATCH;

	target->offset = 0;
	target->selector = 0x50;
	EXPECT(try_code(call, 2, SCRATCH) == GP, "far CALL to a TSS", 0, 0, 0);
	EXPECT(try_code(jump, 2, SCRATCH) == GP, "far JMP to a TSS", 0, 0, 0);
	EXPECT(try_user_code(call, 2, USER_WINDOW + SCRATCH) == GP, "far CALL in user mode", 0, 0,
	       0);
	target->selector = 0x3b;
	EXPECT(try_code(call, 2, SCRATCH) == GP, "far CALL to nothing", 0, 0, 0);
}

/* Each register half is garbage; only RAX, which answers, may change. */
static uint64_t regs[8];

static void do_hypercall(uint64_t vmmcall)
{
	__asm__ volatile(
		"push %%rbx; push %%rbp\n"
		"mov 0(%0), %%rax; mov 8(%0), %%rbx; mov 16(%0), %%rcx; mov 24(%0), %%rdx\n"
		"mov 32(%0), %%rsi; mov 40(%0), %%r12; mov 48(%0), %%r13\n"
		"test %1, %1; jz 1f; vmmcall; jmp 2f; 1: vmcall; 2:\n"
		"mov %%rax, 0(%0); mov %%rbx, 8(%0); mov %%rcx, 16(%0); mov %%rdx, 24(%0)\n"
		"mov %%rsi, 32(%0); mov %%r12, 40(%0); mov %%r13, 48(%0)\n"
		"pop %%rbp; pop %%rbx" ::"r"((uint64_t *)regs),
		"r"(vmmcall)
		: "rax", "rcx", "rdx", "rsi", "r12", "r13", "memory", "cc");
}

static void hypercalls(void)
{
	static const uint64_t garbage[] = {0,
					   1,
					   0xffffffff,
					   0x100000000,
					   0xffffffff00000000,
					   0x8000000000000000,
					   ~0ull,
					   0x4b564d0000000001,
					   0xdeadbeef00000009,
					   11,
					   12};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(garbage); i++) {
		for (size_t r = 0; r < 7; r++)
			regs[r] = garbage[i / 2] ^ (r ? r << 32 : 0);
		EXPECT(rt_try(do_hypercall, i & 1) == NO_FAULT, "hypercall %lx faults",
		       garbage[i / 2], 0, 0);
		EXPECT((int64_t)regs[0] < 0 && (int64_t)regs[0] >= -1000,
		       "hypercall %lx answers %lx", garbage[i / 2], regs[0], 0);
		for (size_t r = 1; r < 7; r++)
			EXPECT(regs[r] == (garbage[i / 2] ^ r << 32),
			       "register %lu is %lx after hypercall %lx", r, regs[r],
			       garbage[i / 2]);
	}
}

static const struct attack_case insn_table_cases[] = {
	{"extension instructions", extensions},
	{"privileges", privileges},
	{"software interrupts", software_interrupts},
	{"task switches in 64-bit mode", task_switches},
	{"hypercalls", hypercalls},
};
CASES(insn_table);
