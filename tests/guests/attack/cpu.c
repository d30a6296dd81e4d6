/* Control registers, XCR0, debug exceptions, and where RIP goes. */
#include "tests/guests/attack/attack.h"

#define CR4_NOW read_cr4()

static uint64_t new_value;

static void set_cr0(uint64_t v)
{
	write_cr0(v);
}

static void set_cr3(uint64_t v)
{
	write_cr3(v);
}

static void set_cr4(uint64_t v)
{
	write_cr4(v);
}

static void set_cr8(uint64_t v)
{
	write_cr8(v);
}

/* Each combination of the bits that have rules: NW needs CD, PG needs PE, and 64-bit mode needs PG
 * (SDM vol. 2B, MOV to control registers). */
static void cr0_combinations(uint64_t old)
{
	static const uint8_t bits[] = {0, 16, 18, 29, 30, 31}; /* PE WP AM NW CD PG */

	for (unsigned int set = 0; set < 1u << ARRAY_SIZE(bits); set++) {
		uint64_t value = old;
		bool forbidden;
		int vector;

		for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
			value = (value & ~BIT(bits[i])) | (set >> i & 1 ? BIT(bits[i]) : 0);
		forbidden = !(value & 1) || !(value & BIT(31)) ||
			    ((value & BIT(29)) && !(value & BIT(30)));
		vector = rt_try(set_cr0, value);
		EXPECT(vector == (forbidden ? GP : NO_FAULT), "vector %lu: CR0 = %lx", vector,
		       value, 0);
		write_cr0(old);
	}
}

static void cr0(void)
{
	uint64_t old = read_cr0();
	const uint64_t bad[] = {old & ~BIT(31),
				old & ~1ull,
				(old & ~BIT(30)) | BIT(29),
				old & ~(BIT(31) | 1),
				old | BIT(32),
				old | BIT(63),
				~0ull};

	/* QEMU's TCG (7.2) drops the upper half before anything looks at it. */
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT(rt_try(set_cr0, bad[i]) == GP || (is_amd && bad[i] >> 32),
		       "no #GP: CR0 = %lx", bad[i], 0, 0);
	/* Bits that are reserved below 32 are ignored. */
	EXPECT(rt_try(set_cr0, old | BIT(6) | BIT(28)) == NO_FAULT, "a reserved bit of CR0 faults",
	       0, 0, 0);
	EXPECT(read_cr0() == old, "CR0 %lx, was %lx", read_cr0(), old, 0);
	EXPECT(rt_try(set_cr0, old | BIT(30) | BIT(29)) == NO_FAULT, "CD and NW fault", 0, 0, 0);
	EXPECT((read_cr0() & (BIT(30) | BIT(29))) == (BIT(30) | BIT(29)), "CD and NW read as %lx",
	       read_cr0(), 0, 0);
	write_cr0(old);
	cr0_combinations(old);
}

/* Those that no processor has, those that are hidden, and those that 64-bit mode forbids. */
static void cr4(void)
{
	/* PSE PAE PGE LA57 PCIDE SMEP SMAP PKE: what paging goes by. */
	static const uint8_t paging[] = {4, 5, 7, 12, 17, 20, 21, 22};
	uint64_t old = CR4_NOW, refused = 0;

	for (unsigned int bit = 0; bit < 64; bit++) {
		bool forbidden = bit == 5 || bit == 12 || bit == 13 || bit == 14 || bit == 15 ||
				 bit == 19 || bit > 25;
		int vector = rt_try(set_cr4, old ^ BIT(bit));

		EXPECT(vector == GP || vector == NO_FAULT, "vector %lu at bit %lu of CR4", vector,
		       bit, 0);
		if (forbidden)
			EXPECT(vector == GP, "no #GP: bit %lu of CR4", bit, 0, 0);
		if (vector == GP)
			refused |= BIT(bit);
		write_cr4(old);
	}
	try_pairs(set_cr4, old, refused, "CR4");
	try_combinations(set_cr4, old, refused, paging, ARRAY_SIZE(paging), "CR4");
	if (!(cpuid(1, 0).ecx & BIT(17)))
		return;
	write_cr3(read_cr3() | 0x18);
	EXPECT(rt_try(set_cr4, old | BIT(17)) == GP, "PCIDE goes on with CR3 %lx", read_cr3(), 0,
	       0);
	write_cr3(read_cr3() & ~0xfffull);
	EXPECT(rt_try(set_cr4, old | BIT(17)) == NO_FAULT, "PCIDE does not go on", 0, 0, 0);
	EXPECT(rt_try(set_cr0, read_cr0() & ~BIT(31)) == GP, "paging goes off under PCIDE", 0, 0,
	       0);
	write_cr4(old);
}

static void cr3(void)
{
	uint64_t old = read_cr3(), width = cpuid(0x80000008, 0).eax & 0xff;

	for (uint64_t bit = width; bit < 63; bit++)
		EXPECT(rt_try(set_cr3, old | BIT(bit)) == GP, "no #GP: bit %lu of CR3", bit, 0, 0);
	EXPECT(read_cr3() == old, "CR3 %lx, was %lx", read_cr3(), old, 0);
	/* QEMU's TCG (7.2) takes four bits of whatever it is. */
	EXPECT(rt_try(set_cr8, 16) == GP || is_amd, "CR8 takes 16", 0, 0, 0);
	EXPECT(rt_try(set_cr8, ~0ull) == GP || is_amd, "CR8 takes all bits", 0, 0, 0);
	write_cr8(0);
}

static void do_xsetbv(uint64_t index)
{
	__asm__ volatile("xsetbv" ::"c"((uint32_t)index), "a"((uint32_t)new_value),
			 "d"((uint32_t)(new_value >> 32)));
}

static int try_xsetbv(uint32_t index, uint64_t value)
{
	new_value = value;
	return rt_try(do_xsetbv, index);
}

static void xsetbv(void)
{
	static const uint8_t user[] = {0x31, 0xc9, 0x31, 0xd2, 0xb8, 3, 0, 0, 0, 0x0f, 0x01, 0xd1};
	uint64_t old = read_cr4(), mask;

	EXPECT(try_xsetbv(0, 1) == UD, "no #UD without CR4.OSXSAVE", 0, 0, 0);
	if (!(cpuid(1, 0).ecx & BIT(26)))
		return;
	write_cr4(old | BIT(18));
	mask = cpuid(0xd, 0).eax | (uint64_t)cpuid(0xd, 0).edx << 32;
	EXPECT(try_xsetbv(0, 0) == GP, "XCR0 takes 0", 0, 0, 0);
	EXPECT(try_xsetbv(0, 2) == GP, "XCR0 takes 2", 0, 0, 0);
	EXPECT(try_xsetbv(0, 5) == GP, "XCR0 takes AVX without SSE", 0, 0, 0);
	EXPECT(try_xsetbv(1, 1) == GP, "XCR1 is there", 0, 0, 0);
	EXPECT(try_xsetbv(0xffffffff, 1) == GP, "XCR -1 is there", 0, 0, 0);
	for (unsigned int bit = 0; bit < 64; bit++)
		if (!(mask >> bit & 1))
			EXPECT(try_xsetbv(0, 3 | BIT(bit)) == GP, "XCR0 takes bit %lu, of %lx", bit,
			       mask, 0);
	EXPECT(try_user_code(user, sizeof(user), 0) == GP, "XSETBV in user mode", 0, 0, 0);
	EXPECT(try_xsetbv(0, 1) == NO_FAULT, "XCR0 refuses 1", 0, 0, 0);
	write_cr4(old);
}

/* A breakpoint on data that MOV SS reads comes behind the instruction after it (CVE-2018-8897). */
static uint32_t watched = KERNEL_DS;

#define BEHIND_MOV_SS(name, text)                                         \
	static void name(uint64_t unused)                                 \
	{                                                                 \
		(void)unused;                                             \
		__asm__ volatile("mov %0, %%ss\n" text ::"m"(watched)     \
				 : "rax", "rbx", "rcx", "rdx", "memory"); \
	}
BEHIND_MOV_SS(mov_ss_nop, "nop")
BEHIND_MOV_SS(mov_ss_cpuid, "xor %%eax, %%eax; cpuid")
BEHIND_MOV_SS(mov_ss_rdmsr, "mov $0x1b, %%ecx; rdmsr")
BEHIND_MOV_SS(mov_ss_in, "mov $0x80, %%edx; in %%dx, %%al")
BEHIND_MOV_SS(mov_ss_vmcall, "xor %%eax, %%eax; vmcall")
BEHIND_MOV_SS(mov_ss_int3, "int3")
BEHIND_MOV_SS(mov_ss_int, "int $0x80")
BEHIND_MOV_SS(mov_ss_ud, "ud2")
BEHIND_MOV_SS(mov_ss_mmio, "mov 0xfee00020, %%eax")
BEHIND_MOV_SS(mov_ss_cr, "mov %%cr0, %%rax; mov %%rax, %%cr0")
BEHIND_MOV_SS(mov_ss_sti, "sti; cli")

static void mov_ss(void)
{
	static const struct {
		void (*fn)(uint64_t);
		int vector;
		bool trap; /* the #DB is delivered behind the instruction, on both vendors and beds
			    */
	} tries[] = {{mov_ss_nop, NO_FAULT, true},    {mov_ss_cpuid, NO_FAULT, true},
		     {mov_ss_rdmsr, NO_FAULT, true},  {mov_ss_in, NO_FAULT, true},
		     {mov_ss_vmcall, NO_FAULT, true}, {mov_ss_mmio, NO_FAULT, true},
		     {mov_ss_cr, NO_FAULT, true},     {mov_ss_sti, NO_FAULT, true},
		     {mov_ss_int3, BP, false},	      {mov_ss_int, NO_FAULT, false},
		     {mov_ss_ud, UD, false}};
	struct rt_cpu *cpu = rt_self();

	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		int vector;

		cpu->debugs = 0;
		cpu->steps = 1; /* #DB is counted, and does not end the call */
		write_dr0((uint64_t)&watched);
		write_dr7(0x000f0402 | 1);
		vector = rt_try(tries[i].fn, 0);
		write_dr7(0x400);
		cpu->steps = 0;
		EXPECT(vector == tries[i].vector, "vector %lu of try %lu, not %lu", vector, i,
		       tries[i].vector);
		if (tries[i].trap)
			EXPECT(cpu->debugs == 1 && (cpu->dr6 & 1), "%lu #DB at try %lu, DR6 %lx",
			       cpu->debugs, i, cpu->dr6);
	}
	__asm__ volatile("mov %0, %%ss" ::"r"(KERNEL_DS));
}

extern char syscall_target[];
static void stepped_syscall(uint64_t unused)
{
	(void)unused;
	__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq\n"
			 "syscall\n"
			 ".globl syscall_target\n"
			 "syscall_target: nop; nop\n"
			 "pushfq; andl $0xfffffeff, (%%rsp); popfq" ::
				 : "rcx", "r11", "memory", "cc");
}

static void single_step(void)
{
	struct rt_cpu *cpu = rt_self();

	wrmsr(0xc0000081, (uint64_t)KERNEL_CS << 32);
	wrmsr(0xc0000082, (uint64_t)syscall_target);
	wrmsr(0xc0000084, 0);
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
	cpu->steps = 100;
	cpu->stepped = 0;
	EXPECT(rt_try(stepped_syscall, 0) == NO_FAULT, "an exception", 0, 0, 0);
	/* SYSCALL, NOP, NOP, PUSHFQ, AND, POPFQ. */
	EXPECT(cpu->stepped == 6 || cpu->stepped == 5, "%lu single steps", cpu->stepped, 0, 0);
	/* With TF in the mask none comes behind SYSCALL. */
	wrmsr(0xc0000084, 0x100);
	cpu->steps = 100;
	cpu->stepped = 0;
	EXPECT(rt_try(stepped_syscall, 0) == NO_FAULT, "an exception with TF masked", 0, 0, 0);
	EXPECT(cpu->stepped <= 1, "%lu single steps with TF masked", cpu->stepped, 0, 0);
	cpu->steps = 0;
	wrmsr(0xc0000080, rdmsr(0xc0000080) & ~1ull);
}

/* ---- the end of the canonical half ---- */

static uint64_t top_tables[3][512] __attribute__((aligned(4096)));
#define TOP_PAGE 0x7ffffffff000ull

static int run_at_the_end(const uint8_t *bytes, size_t n, uint64_t *rip)
{
	uint8_t *page = (uint8_t *)(uintptr_t)0x700000;
	int vector;

	memset(page, 0x90, 4096);
	memcpy(page + 4096 - n, bytes, n);
	top_tables[2][511] = 0x700003;
	top_tables[1][511] = (uint64_t)top_tables[2] | 3;
	top_tables[0][511] = (uint64_t)top_tables[1] | 3;
	rt_pml4[255] = (uint64_t)top_tables[0] | 3;
	vector = rt_try((void (*)(uint64_t))(TOP_PAGE + 4096 - n), 0x1b);
	*rip = rt_self()->rip;
	rt_pml4[255] = 0;
	write_cr3(read_cr3());
	return vector;
}

/* Each exits, and the instruction after it would be where no address is. */
static void non_canonical_rip(void)
{
	static const struct {
		uint8_t n, bytes[10];
	} last[] = {{2, {0x0f, 0xa2}},				  /* CPUID */
		    {2, {0xe5, 0x80}},				  /* IN EAX, 80h */
		    {3, {0x0f, 0x01, 0xc1}},			  /* VMCALL */
		    {3, {0x0f, 0x01, 0xd9}},			  /* VMMCALL */
		    {4, {0x89, 0xf9, 0x0f, 0x32}},		  /* MOV ECX, EDI; RDMSR */
		    {3, {0x0f, 0x20, 0xc0}},			  /* MOV RAX, CR0 */
		    {6, {0x0f, 0x20, 0xe0, 0x0f, 0x22, 0xe0}},	  /* MOV to CR4 */
		    {2, {0x0f, 0x09}},				  /* WBINVD */
		    {9, {0xa1, 0x30, 0, 0xe0, 0xfe, 0, 0, 0, 0}}, /* MOV EAX, [APIC version] */
		    {2, {0xf3, 0x90}},				  /* PAUSE */
		    {1, {0x90}}};				  /* NOP, for comparison */

	for (size_t i = 0; i < ARRAY_SIZE(last); i++) {
		uint64_t rip;
		int vector = run_at_the_end(last[i].bytes, last[i].n, &rip);

		EXPECT(vector == GP || (is_amd && vector == PF), "vector %lu behind %lu", vector, i,
		       0);
		EXPECT(rip == 0x800000000000, "RIP %lx behind %lu", rip, i, 0);
	}
}

static const struct attack_case cpu_table_cases[] = {
	{"CR0", cr0},
	{"CR4", cr4},
	{"CR3 and CR8", cr3},
	{"XSETBV", xsetbv},
	{"MOV SS with a pending debug exception", mov_ss},
	{"single-stepped SYSCALL", single_step},
	{"non-canonical RIP behind an exit", non_canonical_rip},
};
CASES(cpu_table);
