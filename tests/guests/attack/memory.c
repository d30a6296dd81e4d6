/* Memory-mapped registers at their edges, string instructions, page tables in odd places. */
#include "tests/guests/attack/attack.h"

#define RAM_END 0x1000000ull

static uint64_t read64(uint64_t at)
{
	return *(volatile uint64_t *)(uintptr_t)at;
}

static void edges(void)
{
	uint32_t version = mmio_read(APIC + 0x30);

	*(volatile uint32_t *)(uintptr_t)(RAM_END - 4) = 0x12345678;
	EXPECT(read64(RAM_END - 4) == 0xffffffff12345678, "%lx over the end of RAM",
	       read64(RAM_END - 4), 0, 0);
	*(volatile uint64_t *)(uintptr_t)(RAM_END - 4) = 0xaabbccdd01020304;
	EXPECT(*(volatile uint32_t *)(uintptr_t)(RAM_END - 4) == 0x01020304,
	       "%lx at the end of RAM", *(volatile uint32_t *)(uintptr_t)(RAM_END - 4), 0, 0);
	EXPECT(read64(RAM_END) == ~0ull, "%lx behind RAM", read64(RAM_END), 0, 0);
	/* Over the ends of the I/O APIC, and across a page with no device. */
	EXPECT((uint32_t)read64(IOAPIC - 4) == 0xffffffff, "%lx before the I/O APIC",
	       read64(IOAPIC - 4), 0, 0);
	EXPECT(read64(IOAPIC + 0xffc) >> 32 == 0xffffffff, "%lx behind the I/O APIC",
	       read64(IOAPIC + 0xffc), 0, 0);
	EXPECT(read64(HOLE + 0xffd) == ~0ull, "%lx across pages of nothing", read64(HOLE + 0xffd),
	       0, 0);
	read64(APIC - 4);
	read64(APIC + 0xffc);
	*(volatile uint64_t *)(uintptr_t)(APIC + 0xffc) = ~0ull;
	*(volatile uint64_t *)(uintptr_t)(IOAPIC + 0xffd) = ~0ull;
	for (uint64_t at = APIC; at < APIC + 0x1000; at++)
		*(volatile uint8_t *)(uintptr_t)at;
	EXPECT(mmio_read(APIC + 0x30) == version, "APIC version %lx", mmio_read(APIC + 0x30), 0, 0);
}

static uint64_t rdi, rsi, rcx;
static volatile uintptr_t zero; /* gcc would not go there by a constant */

/* One instruction each, with the registers as they are here. */
#define REP(name, text, port)                                                                    \
	static void rep_##name(uint64_t unused)                                                  \
	{                                                                                        \
		(void)unused;                                                                    \
		__asm__ volatile(text : "+D"(rdi), "+S"(rsi), "+c"(rcx) : "d"(port) : "memory"); \
	}
REP(insb, "rep insb", 0x80)
REP(insb_down, "std; rep insb; cld", 0x80)
REP(insb_addr32, "addr32 rep insb", 0x80)
REP(outsb, "rep outsb", 0x80)
REP(outsb_addr32, "addr32 rep outsb", 0x80)
REP(insl, "rep insl", 0xcf8)
REP(insl_down, "std; rep insl; cld", 0xcf8)
REP(outsl_down, "std; rep outsl; cld", 0x80)
REP(movsl_down, "std; rep movsl; cld", 0)

static void check_string(void (*fn)(uint64_t), int vector, uint64_t count, uint64_t index,
			 uint64_t *reg)
{
	const struct rt_frame *f = &rt_self()->frame;
	int v = rt_try(fn, 0);

	/* An exception leaves the registers in its frame alone. */
	if (v != NO_FAULT) {
		rcx = f->rcx;
		*reg = reg == &rdi ? f->rdi : f->rsi;
	}
	EXPECT(v == vector, "vector %lu, not %lu (%lx left)", v, vector, rcx);
	EXPECT(rcx == count, "RCX %lx, not %lx", rcx, count, 0);
	EXPECT(*reg == index, "index %lx, not %lx", *reg, index, 0);
}

static void strings(void)
{
	const uint64_t at = 0x600000;

	outb(0x80, 0x5a);
	rdi = at, rcx = 3;
	check_string(rep_insb, NO_FAULT, 0, at + 3, &rdi);
	EXPECT((*(uint32_t *)at & 0xffffff) == 0x5a5a5a, "%lx read", *(uint32_t *)at, 0, 0);
	rdi = at + 100, rcx = 5;
	check_string(rep_insb_down, NO_FAULT, 0, at + 95, &rdi);
	/* A count of 0 does nothing, wherever the target is. */
	rdi = BIT(63), rcx = 0;
	check_string(rep_insb, NO_FAULT, 0, BIT(63), &rdi);
	/* 32-bit addresses: the halves above do not count, and what is written is cleared. */
	rdi = at | BIT(40), rcx = BIT(32) | 2;
	rt_try(rep_insb_addr32, 0);
	EXPECT((uint32_t)rcx == 0 && (uint32_t)rdi == at + 2,
	       "RCX %lx, RDI %lx with 32-bit addresses", rcx, rdi, 0);
	/* Into the end of what is mapped: all that fits, and a fault there. */
	rdi = BIT(32) - 2, rcx = 10;
	check_string(rep_insb, PF, 8, BIT(32), &rdi);
	rdi = 0x7ffffffffff0, rcx = ~0ull;
	check_string(rep_insb, PF, ~0ull, 0x7ffffffffff0, &rdi);
	rdi = 0x800000000000, rcx = 1;
	check_string(rep_insb, GP, 1, 0x800000000000, &rdi);
	rsi = BIT(32) - 3, rcx = ~0ull;
	check_string(rep_outsb, PF, ~0ull - 3, BIT(32), &rsi);
	/* Device memory as target and as source. */
	rdi = HOLE - 8, rcx = 4;
	check_string(rep_insl, NO_FAULT, 0, HOLE + 8, &rdi);
	rdi = APIC + 0x80, rcx = 1;
	check_string(rep_insl, NO_FAULT, 0, APIC + 0x84, &rdi);
	mmio_write(APIC + 0x80, 0);
	rsi = IOAPIC, rcx = 20;
	check_string(rep_outsb, NO_FAULT, 0, IOAPIC + 20, &rsi);
}

/* Downwards over the edges of devices; and 32-bit indices that go round at 4 GiB. */
static void strings_around(void)
{
	uint32_t *const buffer = (uint32_t *)0x600000;
	volatile uint32_t *const bottom = (volatile uint32_t *)zero;
	const uint32_t low = *bottom;

	rdi = HOLE + 8, rcx = 5;
	check_string(rep_insl_down, NO_FAULT, 0, HOLE - 12, &rdi);
	rsi = IOAPIC + 4, rcx = 3;
	check_string(rep_outsl_down, NO_FAULT, 0, IOAPIC - 8, &rsi);
	/* The end of RAM: the two words in RAM are copied, those behind it read as ones. */
	*(volatile uint64_t *)(uintptr_t)(RAM_END - 8) = 0x1111111122222222;
	rsi = RAM_END + 4, rdi = (uint64_t)(buffer + 3), rcx = 4;
	check_string(rep_movsl_down, NO_FAULT, 0, RAM_END - 12, &rsi);
	EXPECT(buffer[0] == 0x22222222 && buffer[1] == 0x11111111 && buffer[2] == ~0u &&
		       buffer[3] == ~0u,
	       "%lx %lx %lx over the end of RAM", buffer[0], buffer[1], buffer[2]);
	rsi = (uint64_t)(buffer + 3), rdi = RAM_END + 4, rcx = 4;
	buffer[0] = 0x33333333;
	check_string(rep_movsl_down, NO_FAULT, 0, (uint64_t)(buffer - 1), &rsi);
	EXPECT(*(volatile uint32_t *)(uintptr_t)(RAM_END - 8) == 0x33333333, "%lx in RAM",
	       *(volatile uint32_t *)(uintptr_t)(RAM_END - 8), 0, 0);
	rsi = 0xfffffffe, rcx = 5;
	check_string(rep_outsb_addr32, NO_FAULT, 0, 3, &rsi);
	outb(0x80, (uint8_t)low);
	rdi = 0xfffffffe, rcx = 3;
	check_string(rep_insb_addr32, NO_FAULT, 0, 1, &rdi);
	EXPECT(*bottom == low, "%lx at 0, was %lx", *bottom, low, 0);
}

/* A long one lets interrupts through, and goes on where it was. */
static void insb_interruptible(uint64_t unused)
{
	(void)unused;
	__asm__ volatile("sti; rep insb; cli" : "+D"(rdi), "+c"(rcx) : "d"(0x80) : "memory");
}

static void interruptible(void)
{
	struct rt_cpu *cpu = rt_self();
	uint32_t before = cpu->ints[V_TIMER];

	mmio_write(APIC + 0x3e0, 0xb);
	mmio_write(APIC + 0x320, V_TIMER | 0x20000);
	mmio_write(APIC + 0x380, 50000);
	rdi = 0x600000, rcx = 20000;
	check_string(insb_interruptible, NO_FAULT, 0, 0x600000 + 20000, &rdi);
	mmio_write(APIC + 0x320, 0x10000);
	EXPECT(cpu->ints[V_TIMER] > before, "no interrupt in 20000 iterations", 0, 0, 0);
}

/* ---- page tables ---- */

static uint64_t tables[3][512] __attribute__((aligned(4096)));
#define ODD (3ull << 39)

static void read_odd(uint64_t at)
{
	*(volatile uint32_t *)(uintptr_t)at;
}

static int walk_with(unsigned int level, uint64_t entry)
{
	int vector;

	tables[2][0] = level == 3 ? entry : 0x600003;
	tables[1][0] = level == 2 ? entry : (uint64_t)tables[2] | 3;
	tables[0][0] = level == 1 ? entry : (uint64_t)tables[1] | 3;
	rt_pml4[3] = level == 0 ? entry : (uint64_t)tables[0] | 3;
	write_cr3(read_cr3());
	vector = rt_try(read_odd, ODD);
	rt_pml4[3] = 0;
	write_cr3(read_cr3());
	return vector;
}

/* What is read there is all ones, or registers: reserved bits, or a mapping to nowhere. */
static void tables_in_devices(void)
{
	static const uint64_t places[] = {APIC,	      IOAPIC,  HOLE,
					  0xa0000000, RAM_END, 0xffffffffff000 & 0x7ffffff000};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		for (unsigned int level = 0; level < 3; level++) {
			int vector = walk_with(level, places[i] | 3);

			EXPECT(vector == PF, "vector %lu: table at %lx, level %lu", vector,
			       places[i], level);
		}
	}
}

static void beyond_the_width(void)
{
	uint64_t width = cpuid(0x80000008, 0).eax & 0xff;

	for (uint64_t bit = width; bit < 52; bit++) {
		for (unsigned int level = 0; level < 4; level++) {
			static const uint64_t *const next[] = {tables[0], tables[1], tables[2],
							       (uint64_t *)0x600000};
			int vector = walk_with(level, (uint64_t)next[level] | 3 | BIT(bit));

			EXPECT(vector == PF && rt_self()->error & 8,
			       "vector %lu at bit %lu, level %lu", vector, bit, level);
		}
	}
	/* Within the width there is nothing: all ones. */
	tables[2][0] = (BIT(width) - 4096) | 3;
	EXPECT(walk_with(3, (BIT(width) - 4096) | 3) == NO_FAULT,
	       "the last page of addresses faults", 0, 0, 0);
}

/* User mode jumps to where only devices are. */
static void code_in_devices(void)
{
	static const uint8_t jump[] = {0xff, 0xe7};
	static const uint64_t places[] = {HOLE, APIC, IOAPIC};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int vector = try_user_code(jump, 2, USER_WINDOW + places[i]);

		EXPECT(vector == UD || vector == GP || vector == PF, "vector %lu: code at %lx",
		       vector, places[i], 0);
	}
}

/* An instruction on device memory that no driver uses, from user mode: its program's fault, not the
 * VM's end. */
static void odd_instructions(void)
{
	static const struct {
		uint8_t n, bytes[8];
	} odd[] = {{4, {0x0f, 0x11, 0x07}},	  /* MOVUPS [RDI], XMM0 */
		   {3, {0x0f, 0xae, 0x07}},	  /* FXSAVE [RDI] */
		   {3, {0x0f, 0x01, 0x07}},	  /* SGDT [RDI] */
		   {2, {0xdd, 0x37}},		  /* FNSAVE [RDI] */
		   {4, {0xf0, 0x0f, 0xc7, 0x0f}}, /* LOCK CMPXCHG8B [RDI] */
		   {2, {0xff, 0x37}},		  /* PUSH [RDI] */
		   {2, {0x8f, 0x07}},		  /* POP [RDI] */
		   {2, {0xff, 0x1f}},		  /* CALL FAR [RDI] */
		   {4, {0x48, 0x0f, 0xc7, 0x0f}}};

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		try_user_code(odd[i].bytes, odd[i].n, USER_WINDOW + HOLE);
		try_user_code(odd[i].bytes, odd[i].n, USER_WINDOW + IOAPIC + 0x10);
	}
}

static const struct attack_case memory_table_cases[] = {
	{"edges of devices and RAM", edges},
	{"string instructions", strings},
	{"string instructions around edges", strings_around},
	{"interruptible REP INS", interruptible},
	{"page tables in devices", tables_in_devices},
	{"addresses past the width", beyond_the_width},
	{"code in devices", code_in_devices},
	{"odd instructions on devices", odd_instructions},
};
CASES(memory_table);
