/* What the second processor does to itself for ever, and that it can be started anew every time. */
#include "tests/guests/attack/attack.h"

#define WHILE_US 20000

extern const char attack_ac_start[], attack_ac_end[];
#define AC_START 0x9000u

/* A busy host may keep the second processor waiting. */
static bool soon(volatile const uint64_t *value, uint64_t wanted)
{
	for (unsigned int i = 0; i < 10000 && *value != wanted; i++)
		rt_wait_us(1000);
	return *value == wanted;
}

/* JOB sets second_count to 1 when it begins. */
static void must_come_back(void (*job)(void))
{
	EXPECT(restart_second(), "it does not start", 0, 0, 0);
	second_job = job;
	EXPECT(soon(&second_count, 1), "it does not begin", 0, 0, 0);
	rt_wait_us(WHILE_US);
	EXPECT(restart_second(), "it does not start again", 0, 0, 0);
}

/* The frame of a debug exception is itself watched: delivering it is the next one (CVE-2015-8104).
 */
static void debug_without_end(void)
{
	static uint64_t stack[512] __attribute__((aligned(64)));

	/* Its handler's stack is always this one, through the third entry of the IST. */
	*(uint64_t *)(rt_tss(1) + 52) = (uint64_t)(stack + 256);
	rt_idt[2 * DB] |= 3ull << 32;
	write_dr0((uint64_t)(stack + 255));
	write_dr7(0x00090403); /* writes, 8 bytes */
	second_count = 1;
	for (;;)
		*(volatile uint64_t *)(stack + 255) = 1;
}

/*
 * Handlers of #DB that make the next one, on the same stack, for ever: by INT1, with nothing but
 * exits in between, if anything; by TF, which POPF sets again for one instruction.
 */
extern const char attack_int1[], attack_tf[];
__asm__(".pushsection .text\n"
	"attack_int1: .byte 0xf1; jmp attack_int1\n"
	"attack_tf: pushfq; orl $0x100, (%rsp); popfq; nop; jmp attack_tf\n"
	".popsection");

static const char *volatile debug_handler;

static void handler_without_end(void)
{
	static uint64_t stack[512] __attribute__((aligned(64)));

	*(uint64_t *)(rt_tss(1) + 52) = (uint64_t)(stack + 512);
	second_count = 1;
	((void (*)(void))debug_handler)();
}

static void endless_handler(const char *handler)
{
	const uint64_t gate[2] = {rt_idt[2 * DB], rt_idt[2 * DB + 1]};
	const uint64_t at = (uint64_t)handler;

	rt_idt[2 * DB] = (at & 0xffff) | KERNEL_CS << 16 | 3ull << 32 | 0x8eull << 40 |
			 (at >> 16 & 0xffff) << 48;
	rt_idt[2 * DB + 1] = at >> 32;
	debug_handler = handler;
	must_come_back(handler_without_end);
	rt_idt[2 * DB] = gate[0];
	rt_idt[2 * DB + 1] = gate[1];
}

/* QEMU 7.2 has no INT1, and ends when a watched stack is what it delivers an exception on. */
static void endless_debug(void)
{
	uint64_t gate = rt_idt[2 * DB];

	endless_handler(attack_tf);
	if (is_amd)
		return;
	endless_handler(attack_int1);
	must_come_back(debug_without_end);
	rt_idt[2 * DB] = gate;
}

/* The alignment check of CVE-2015-5307: second.asm, in 32-bit user mode, where no return is. */
static void endless_alignment(void)
{
	volatile uint64_t *says = (volatile uint64_t *)(uintptr_t)0x9ff0;

	memcpy((void *)(uintptr_t)AC_START, attack_ac_start,
	       (size_t)(attack_ac_end - attack_ac_start));
	*says = 0;
	mmio_write(APIC + 0x310, 1u << 24);
	mmio_write(APIC + 0x300, 0x4500);
	mmio_write(APIC + 0x300, 0x4600 | AC_START >> 12);
	EXPECT(soon(says, 1), "it did not get there: %lx", *says, 0, 0);
	rt_wait_us(WHILE_US);
	EXPECT(restart_second(), "it does not start again", 0, 0, 0);
}

static void halted_for_good(void)
{
	second_count = 1;
	__asm__ volatile("cli; hlt");
	second_count = 2;
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void halt_with_interrupts_off(void)
{
	EXPECT(restart_second(), "it does not start", 0, 0, 0);
	second_job = halted_for_good;
	EXPECT(soon(&second_count, 1), "it does not begin", 0, 0, 0);
	rt_wait_us(WHILE_US);
	mmio_write(APIC + 0x310, 1u << 24);
	mmio_write(APIC + 0x300, 0x4041); /* no interrupt wakes it */
	rt_wait_us(WHILE_US);
	EXPECT(second_count == 1, "an interrupt woke it", 0, 0, 0);
	mmio_write(APIC + 0x300, 0x4400); /* an NMI does */
	EXPECT(soon(&second_count, 2), "an NMI did not wake it", 0, 0, 0);
	EXPECT(restart_second(), "it does not start again", 0, 0, 0);
}

static void pause_for_ever(void)
{
	second_count = 1;
	for (;;)
		__asm__ volatile("pause");
}

static void spin_for_ever(void)
{
	second_count = 1;
	for (;;)
		;
}

/* Bochs 2.7 lets no interrupt of the machine's end a turn in which IF is never written. */
static void pause_writing_if(void)
{
	second_count = 1;
	for (;;)
		__asm__ volatile("pause; sti; cli");
}

static void spin_writing_if(void)
{
	second_count = 1;
	for (;;)
		__asm__ volatile("sti; cli");
}

static void loops(void)
{
	must_come_back(is_amd ? pause_for_ever : pause_writing_if);
	must_come_back(is_amd ? spin_for_ever : spin_writing_if);
}

/* With gaps: an NMI that waits is taken right behind the IRET of the one before, so that a flood
 * without any leaves its target not one instruction. */
static void flood_of_nmis(void)
{
	mmio_write(APIC + 0x310, 0);
	for (;;) {
		mmio_write(APIC + 0x300, 0x4400);
		if (!(++second_count % 64))
			rt_wait_us(100);
	}
}

/* Of two NMIs at once one may be lost; of a flood some come, and the processor goes on between
 * them. */
static void nmi_flood(void)
{
	struct rt_cpu *cpu = rt_self();
	uint32_t before = cpu->ints[NMI];

	second_job = flood_of_nmis;
	for (unsigned int i = 0; i < 10000 && (i < 50 || cpu->ints[NMI] == before); i++)
		rt_wait_us(1000);
	EXPECT(restart_second(), "it does not start again", 0, 0, 0);
	EXPECT(cpu->ints[NMI] > before, "no NMI of %lu", second_count, 0, 0);
}

static void nmi_to_itself(uint64_t unused)
{
	(void)unused;
	mmio_write(APIC + 0x310, 0);
	mmio_write(APIC + 0x300, 0x4400);
	cpuid(0, 0);
}

static void wait_us(uint64_t us)
{
	rt_wait_us((uint32_t)us);
}

/*
 * The handler's IRET faults, which lets the next NMI in all the same (SDM vol. 3A 6.7.1; the IRET
 * that ends the fault's own handler does so on any processor). Then in a flood of them.
 */
static void faulting_iret(void)
{
	struct rt_cpu *cpu = rt_self();
	uint32_t before = cpu->ints[NMI];
	uint64_t gate = rt_idt[2 * GP];

	/* Another NMI may come in the fault's handler: not on its stack. */
	rt_idt[2 * GP] |= 2ull << 32;
	cpu->bad_iret = true;
	for (unsigned int i = 0; i < 100; i++) {
		int vector = rt_try(nmi_to_itself, 0);

		EXPECT(vector == GP && cpu->error == NO_SEGMENT, "vector %lu, error %lx", vector,
		       cpu->error, 0);
	}
	EXPECT(cpu->ints[NMI] == before + 100, "%lu NMIs of 100", cpu->ints[NMI] - before, 0, 0);
	second_job = flood_of_nmis;
	for (unsigned int i = 0; i < 100; i++) {
		int vector = rt_try(wait_us, 200);

		EXPECT(vector == GP || vector == NO_FAULT, "vector %lu in a flood", vector, 0, 0);
	}
	EXPECT(restart_second(), "it does not start again", 0, 0, 0);
	cpu->bad_iret = false;
	rt_idt[2 * GP] = gate;
}

/* It sends itself a start-up IPI, which means nothing, and INIT, which stops it. */
static void init_to_itself(void)
{
	mmio_write(APIC + 0x310, 1u << 24);
	mmio_write(APIC + 0x300, 0x46ff);
	mmio_write(APIC + 0x300, 0x4500);
	for (;;)
		second_count++;
}

static void init_itself(void)
{
	uint64_t count;

	second_job = init_to_itself;
	rt_wait_us(WHILE_US);
	for (unsigned int i = 0; i < 100; i++) {
		count = second_count;
		rt_wait_us(1000);
		if (second_count == count)
			break;
	}
	EXPECT(second_count == count, "it still runs: %lu", second_count, 0, 0);
	EXPECT(restart_second(), "it does not start again", 0, 0, 0);
}

/* INIT and start-up as close to each other as they can be. */
static void start_races(void)
{
	for (unsigned int i = 0; i < 100; i++) {
		mmio_write(APIC + 0x310, 1u << 24);
		mmio_write(APIC + 0x300, 0x4500);
		if (i & 1)
			mmio_write(APIC + 0x300, 0x8500);
		mmio_write(APIC + 0x300, 0x4608);
		if (i & 2)
			mmio_write(APIC + 0x300, 0x4608);
		if (i & 4)
			mmio_write(APIC + 0x300, 0x4400);
		if (i & 8)
			rt_wait_us(i);
	}
	EXPECT(restart_second(), "it does not start again", 0, 0, 0);
	init_itself();
}

/*
 * It writes a byte of the instruction that the first processor's exit is about to have decoded. One
 * byte only: no emulator then executes half of one and half of another. What follows returns.
 */
#define SHARED (USER_MEMORY + 0x3000)
static volatile uint8_t *const shared = (uint8_t *)(uintptr_t)SHARED;

static const struct rewriting {
	uint8_t code[4]; /* a RET is behind it */
	uint8_t n, at, count, bytes[10];
	bool user; /* in user mode too */
} rewritings[] = {
	/* CPUID RDMSR WBINVD INVD UD2 RDTSC CLTS RDPMC EMMS */
	{{0x0f, 0xa2}, 2, 1, 9, {0xa2, 0x32, 0x09, 0x08, 0x0b, 0x31, 0x06, 0x33, 0x77}, false},
	/* MOV CR4, RAX; MOV RAX, CR4; MOV RAX, DR4; NOP */
	{{0x0f, 0x22, 0xe0}, 3, 1, 4, {0x22, 0x20, 0x21, 0x1f}, false},
	/* On a device: MOV from and to it, ADD, XOR, XCHG, CMP, OR, and an opcode that is not. What
	 * Socle cannot execute there in kernel mode would be the VM's end. */
	{{0x8b, 0x07}, 2, 0, 9, {0x8b, 0x89, 0x03, 0x01, 0x31, 0x87, 0x3b, 0x0b, 0x06}, true},
};
static const struct rewriting *volatile rewriting;

static void rewrite(void)
{
	const struct rewriting *r = rewriting;

	for (unsigned int i = 0;; i++) {
		shared[r->at] = r->bytes[i % r->count];
		second_count++;
	}
}

static void call_shared(uint64_t rdi)
{
	uint64_t rax = read_cr4();

	__asm__ volatile("push %%rbx; call *%1; pop %%rbx"
			 : "+a"(rax)
			 : "r"(shared), "D"(rdi), "c"(0x1bull)
			 : "rdx", "memory", "cc");
}

static void call_rewritten(const struct rewriting *r, uint64_t device)
{
	const uint64_t registers[8] = {[6] = USER_WINDOW + device};
	int vector = rt_try(call_shared, device);

	EXPECT(vector == NO_FAULT || vector == UD || vector == GP, "vector %lu of %lu", vector,
	       (uint64_t)(r - rewritings), 0);
	if (!r->user)
		return;
	/* The return goes to where nothing is. */
	vector = rt_try_user((const void *)shared, registers, 0);
	EXPECT(vector == UD || vector == GP || vector == PF, "vector %lu in user mode", vector, 0,
	       0);
}

static void rewritten_instruction(void)
{
	uint64_t cr4 = read_cr4(), rounds = rt_option("rounds", 500);

	for (size_t k = 0; k < ARRAY_SIZE(rewritings); k++) {
		const struct rewriting *r = &rewritings[k];

		memcpy((void *)shared, r->code, r->n);
		shared[r->n] = 0xc3;
		rewriting = r;
		second_count = 0;
		second_job = rewrite;
		for (unsigned int i = 0; i < rounds || (second_count < 10 && i < 1000000); i++)
			call_rewritten(r, HOLE);
		EXPECT(second_count >= 10, "it wrote %lu times", second_count, 0, 0);
		EXPECT(restart_second(), "it does not start again", 0, 0, 0);
	}
	EXPECT(read_cr4() == cr4, "CR4 %lx, was %lx", read_cr4(), cr4, 0);
}

static const struct attack_case second_table_cases[] = {
	{"endless debug exceptions", endless_debug},
	{"endless alignment checks", endless_alignment},
	{"HLT with interrupts off", halt_with_interrupts_off},
	{"PAUSE loops", loops},
	{"NMI flood", nmi_flood},
	{"an IRET that faults", faulting_iret},
	{"INIT and start-up races", start_races},
	{"rewritten instruction", rewritten_instruction},
};
CASES(second_table);
