/* What the second processor does to itself for ever, and that it can be started anew every time. */
#include "tests/guests/attack/attack.h"

#define WHILE_US 20000
#define SCRATCH	 (USER_MEMORY + 0x4000)

extern const char attack_ac_start[], attack_ac_end[];
#define AC_START 0x9000u

/* A busy host may keep the second processor waiting. */
static bool soon(volatile const uint64_t *value, uint64_t wanted)
{
	for (unsigned int i = 0; i < 10000 && *value != wanted; i++)
		rt_wait_us(1000);
	return *value == wanted;
}

static void must_come_back(void (*job)(void))
{
	EXPECT(restart_second(), "it does not start", 0, 0, 0);
	second_job = job;
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

static void endless_debug(void)
{
	uint64_t gate = rt_idt[2 * DB];

	/* QEMU 7.2 aborts when a watched stack is what it delivers an exception on. */
	if (is_amd)
		return;
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
	for (;;)
		__asm__ volatile("pause");
}

static void spin_for_ever(void)
{
	for (;;)
		;
}

static void loops(void)
{
	must_come_back(pause_for_ever);
	must_come_back(spin_for_ever);
}

static void flood_of_nmis(void)
{
	mmio_write(APIC + 0x310, 0);
	for (;;) {
		mmio_write(APIC + 0x300, 0x4400);
		second_count++;
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
}

/*
 * It writes the instruction that the first processor is about to have decoded. All end at the same
 * byte, so that whatever follows is a return, and from there user mode has none.
 */
#define SHARED (USER_MEMORY + 0x3000)
static volatile uint8_t *const shared = (uint8_t *)(uintptr_t)SHARED;
static const uint8_t forms[][8] __attribute__((aligned(8))) = {
	{0x8b, 0x47, 0x00, 0xc3, 0x90, 0x90, 0x90, 0xc3}, /* MOV EAX, [RDI + 0]; RET */
	{0x89, 0x77, 0x00, 0xc3, 0x90, 0x90, 0x90, 0xc3}, /* MOV [RDI + 0], ESI */
	{0x40, 0x0f, 0xa2, 0xc3, 0x90, 0x90, 0x90, 0xc3}, /* CPUID */
	{0x40, 0x0f, 0x0b, 0xc3, 0x90, 0x90, 0x90, 0xc3}, /* UD2 */
	{0xf3, 0x40, 0xa4, 0xc3, 0x90, 0x90, 0x90, 0xc3}, /* REP MOVSB */
	{0x0f, 0x22, 0xe0, 0xc3, 0x90, 0x90, 0x90, 0xc3}, /* MOV CR4, RAX */
	{0x0f, 0x1f, 0x00, 0xc3, 0x90, 0x90, 0x90, 0xc3}, /* NOP */
};

static void rewrite(void)
{
	for (unsigned int i = 0;; i++) {
		*(volatile uint64_t *)shared = *(const uint64_t *)forms[i % ARRAY_SIZE(forms)];
		second_count++;
	}
}

static void call_shared(uint64_t rdi)
{
	__asm__ volatile("push %%rbx; call *%0; pop %%rbx" ::"r"(shared), "D"(rdi), "S"(SCRATCH),
			 "a"(read_cr4()), "c"(1ull)
			 : "rdx", "memory", "cc");
}

static int call_as_user(void)
{
	/* RAX RCX RDX RBX RBP RSI RDI R8 */
	const uint64_t registers[8] = {[1] = 1,
				       [5] = USER_WINDOW + SCRATCH,
				       [6] = USER_WINDOW + IOAPIC + 0x20};

	return rt_try_user((const void *)shared, registers, 0);
}

/* In kernel mode on memory; on a device in user mode, whose torn instructions may be any. */
static void rewritten_instruction(void)
{
	uint64_t cr4 = read_cr4();

	*(volatile uint64_t *)shared = *(const uint64_t *)forms[0];
	second_job = rewrite;
	for (unsigned int i = 0; i < 3000 || (second_count < 10 && i < 1000000); i++) {
		int vector = rt_try(call_shared, SCRATCH + 64);

		EXPECT(vector == NO_FAULT || vector == UD || vector == GP || vector == PF,
		       "vector %lu", vector, 0, 0);
		vector = call_as_user();
		EXPECT(vector == UD || vector == GP || vector == PF, "vector %lu in user mode",
		       vector, 0, 0);
	}
	EXPECT(second_count > 10, "it wrote %lu times", second_count, 0, 0);
	EXPECT(restart_second(), "it does not start again", 0, 0, 0);
	EXPECT(read_cr4() == cr4, "CR4 %lx, was %lx", read_cr4(), cr4, 0);
}

static const struct attack_case second_table_cases[] = {
	{"endless debug exceptions", endless_debug},
	{"endless alignment checks", endless_alignment},
	{"HLT with interrupts off", halt_with_interrupts_off},
	{"PAUSE loops", loops},
	{"NMI flood", nmi_flood},
	{"INIT and start-up races", start_races},
	{"rewritten instruction", rewritten_instruction},
};
CASES(second_table);
