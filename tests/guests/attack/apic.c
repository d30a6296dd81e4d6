/* The local APIC: indices, illegal vectors, IPIs to nobody, timers at their edges, NMIs. */
#include "tests/guests/attack/attack.h"

#define X2APIC 0x800
#define ON     (APIC | BIT(11) | (rt_cpu_id() ? 0 : BIT(8)))

static void x2apic_indices(void)
{
	static const uint8_t readable[] = {0x02, 0x03, 0x08, 0x0a, 0x0d, 0x0f, 0x28, 0x30, 0x32,
					   0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3e};
	uint64_t value;

	for (uint32_t msr = X2APIC; msr < 0xc00; msr++) {
		EXPECT(try_rdmsr(msr, &value) == GP, "RDMSR %lx outside of x2APIC mode", msr, 0, 0);
		EXPECT(try_wrmsr(msr, 0) == GP, "WRMSR %lx outside of x2APIC mode", msr, 0, 0);
	}
	if (try_wrmsr(0x1b, ON | BIT(10)) != NO_FAULT) {
		EXPECT(!(cpuid(1, 0).ecx & BIT(21)), "x2APIC mode refused", 0, 0, 0);
		return;
	}
	for (uint32_t msr = X2APIC; msr < 0xc00; msr++) {
		bool is_readable = msr >= 0x810 && msr <= 0x827; /* no LVT entry of CMCI, 82Fh */

		for (size_t i = 0; i < ARRAY_SIZE(readable); i++)
			is_readable |= msr == (uint32_t)X2APIC + readable[i];
		EXPECT((try_rdmsr(msr, &value) == NO_FAULT) == (is_readable), "RDMSR %lx", msr, 0,
		       0);
		if (!is_readable && msr != 0x80b && msr != 0x83f)
			EXPECT(try_wrmsr(msr, 0) == GP, "WRMSR %lx", msr, 0, 0);
	}
	for (unsigned int bit = 0; bit < 32; bit++) {
		static const uint32_t defined = 0x000ccfff | BIT(12);

		if (!(defined & BIT(bit)))
			EXPECT(try_wrmsr(0x830, BIT(18) | 0x40 | BIT(bit)) == GP,
			       "reserved bit %lu of the ICR", bit, 0, 0);
	}
	EXPECT(try_wrmsr(0x83f, BIT(8)) == GP, "SELF IPI takes bit 8", 0, 0, 0);
	EXPECT(try_wrmsr(0x80b, 1) == GP, "EOI takes 1", 0, 0, 0);
	EXPECT(try_wrmsr(0x808, BIT(8)) == GP, "TPR takes bit 8", 0, 0, 0);
	EXPECT(try_wrmsr(0x1b, ON) == GP, "from x2APIC mode to xAPIC mode", 0, 0, 0);
	EXPECT(try_wrmsr(0x1b, (ON & ~BIT(11)) | BIT(10)) == GP, "x2APIC mode with the APIC off", 0,
	       0, 0);
}

static void apic_base(void)
{
	uint64_t width = cpuid(0x80000008, 0).eax & 0xff;

	for (unsigned int bit = 0; bit < 64; bit++) {
		bool reserved = bit < 8 || bit == 9 || bit >= width;

		if (reserved)
			EXPECT(try_wrmsr(0x1b, ON | BIT(bit)) == GP, "bit %lu of APIC_BASE", bit, 0,
			       0);
	}
	/* Moved away and back, it still answers. */
	EXPECT(try_wrmsr(0x1b, (ON & 0xfff) | 0xfed00000) == NO_FAULT, "the APIC cannot be moved",
	       0, 0, 0);
	wrmsr(0x1b, ON);
	rt_reset_apic();
	EXPECT((mmio_read(APIC + 0x30) & 0xff) >= 0x10, "version %lx", mmio_read(APIC + 0x30), 0,
	       0);
}

static void clear_errors(void)
{
	mmio_write(APIC + 0x280, 0);
	mmio_write(APIC + 0x280, 0);
}

static uint32_t errors(void)
{
	mmio_write(APIC + 0x280, 0);
	return mmio_read(APIC + 0x280);
}

static void take_interrupts(void)
{
	__asm__ volatile("sti; nop; nop; nop; cli");
}

static void illegal_vectors(void)
{
	struct rt_cpu *cpu = rt_self();
	uint32_t before, e;

	clear_errors();
	for (uint32_t vector = 0; vector < 16; vector++) {
		mmio_write(APIC + 0x300, 0x44000 | vector);
		e = errors();
		EXPECT(e & BIT(5), "ESR %lx after an IPI with vector %lu", e, vector, 0);
	}
	/* A timer with an illegal vector: the error's own interrupt comes, once. */
	before = cpu->ints[V_ERROR];
	mmio_write(APIC + 0x370, V_ERROR);
	mmio_write(APIC + 0x320, 5);
	mmio_write(APIC + 0x380, 10);
	rt_wait_us(200);
	take_interrupts();
	e = errors();
	EXPECT(e & BIT(6), "ESR %lx after the timer's", e, 0, 0);
	EXPECT(cpu->ints[V_ERROR] == before + 1, "%lu error interrupts",
	       cpu->ints[V_ERROR] - before, 0, 0);
	/* An error's interrupt that is an error itself must not go round in circles. */
	mmio_write(APIC + 0x370, 3);
	for (unsigned int i = 0; i < 1000; i++)
		mmio_write(APIC + 0x300, 0x44001);
	mmio_write(APIC + 0x380, 10);
	rt_wait_us(200);
	EXPECT(errors() & (BIT(5) | BIT(6)), "no error", 0, 0, 0);
	mmio_write(APIC + 0x320, 0x10000);
	mmio_write(APIC + 0x370, 0x10000);
}

#define ESR_SEND_ACCEPT BIT(2)

/*
 * It is sent at once, stays as it was written, and is no error: from the Pentium 4 on no processor
 * says that nobody has accepted one (SDM vol. 3A 11.5.3, 11.6.1); one of AMD's may (APM vol. 2
 * 16.4.6).
 */
static void send_to_nobody(uint32_t dest, uint32_t icr)
{
	uint32_t now, high, e;

	mmio_write(APIC + 0x310, dest << 24);
	mmio_write(APIC + 0x300, icr);
	now = mmio_read(APIC + 0x300);
	high = mmio_read(APIC + 0x310);
	e = errors();
	EXPECT(now == icr, "ICR %lx, written as %lx", now, icr, 0);
	EXPECT(high == dest << 24, "upper half of the ICR %lx, destination %lx", high, dest, 0);
	EXPECT(!(e & ~(is_amd ? ESR_SEND_ACCEPT : 0)), "ESR %lx after ICR %lx to %lx", e, icr,
	       dest);
}

static void to_nobody(void)
{
	static const uint32_t destinations[] = {2, 7, 0x10, 0x7f, 0xfe};
	struct rt_cpu *cpu = rt_self();
	uint32_t taken = cpu->ints[V_IPI] + cpu->ints[NMI];

	clear_errors();
	for (size_t i = 0; i < ARRAY_SIZE(destinations); i++) {
		for (uint32_t mode = 0; mode < 8; mode++) {
			send_to_nobody(destinations[i], mode << 8 | 0x4041);
			send_to_nobody(destinations[i], mode << 8 | 0x4841);
			send_to_nobody(destinations[i], mode << 8 | 0xc041);
		}
	}
	take_interrupts();
	EXPECT(cpu->ints[V_IPI] + cpu->ints[NMI] == taken, "%lu of them came here",
	       cpu->ints[V_IPI] + cpu->ints[NMI] - taken, 0, 0);
	/* INIT and start-up by shorthands that mean the sender are not sent. */
	mmio_write(APIC + 0x300, 0x44500);
	mmio_write(APIC + 0x300, 0x44608);
	mmio_write(APIC + 0x300, 0x84500);
	mmio_write(APIC + 0x300, 0x84608);
	/* A start-up IPI to one that runs means nothing. */
	mmio_write(APIC + 0x310, 0);
	mmio_write(APIC + 0x300, 0x4608);
	rt_wait_us(1000);
}

/* ---- TSC-deadline mode ---- */

#define LVT_DEADLINE (MODE_DEADLINE << 17)
#define LVT_MASKED   BIT(16)

static void set_lvt(uint64_t lvt)
{
	mmio_write(APIC + 0x320, (uint32_t)lvt);
}

/*
 * Until the deadline has come: it reads 0 then. RFLAGS.IF changes meanwhile: behind an entry with
 * IF clear Bochs sees no interrupt of the machine before that.
 */
static void await_deadline(void)
{
	for (unsigned int i = 0; i < 100000 && rdmsr(TSC_DEADLINE); i++)
		take_interrupts();
	EXPECT(rdmsr(TSC_DEADLINE) == 0, "deadline %lx at %lx", rdmsr(TSC_DEADLINE), rdtsc(), 0);
	cpuid(0, 0);
}

/* Timer interrupts since there were BEFORE. */
static uint32_t came_since(uint32_t before)
{
	take_interrupts();
	return rt_self()->ints[V_TIMER] - before;
}

/* As many as N deadlines make: QEMU may deliver an interrupt twice (docs/differences.md). */
static bool as_many(uint64_t came, uint64_t n)
{
	return came == n || (is_amd && came > n && came <= 2 * n);
}

static void past_deadlines(void)
{
	uint32_t before = came_since(0), came;

	set_lvt(LVT_DEADLINE | V_TIMER);
	for (uint64_t at = 1; at <= 200; at++) {
		wrmsr(TSC_DEADLINE, at);
		await_deadline();
		came = came_since(before);
		EXPECT(as_many(came, at), "%lu interrupts of %lu deadlines past", came, at, 0);
	}
	/* Nobody takes them, and IRR has one bit. */
	before = came_since(0);
	write_cr8(15);
	for (uint64_t at = 1; at <= 200; at++)
		wrmsr(TSC_DEADLINE, at);
	await_deadline();
	write_cr8(0);
	came = came_since(before);
	EXPECT(as_many(came, 1), "%lu interrupts of what nobody took", came, 0, 0);
}

static void deadlines_ahead(void)
{
	uint32_t before = came_since(0), came;

	for (uint64_t n = 1; n <= 200; n++) {
		wrmsr(TSC_DEADLINE, rdtsc() + n * 7);
		await_deadline();
		came = came_since(before);
		EXPECT(as_many(came, n), "%lu interrupts of %lu deadlines ahead", came, n, 0);
	}
}

/* Any value is one, whatever would be an address. */
static void far_deadlines(void)
{
	static const uint64_t values[] = {0x800000000000, 0xffff7fffffffffff, 0xffff800000000000,
					  BIT(63), ~0ull};
	uint32_t before = came_since(0), came;

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		EXPECT(try_wrmsr(TSC_DEADLINE, values[i]) == NO_FAULT, "deadline %lx refused",
		       values[i], 0, 0);
		rt_wait_us(50);
		came = came_since(before);
		EXPECT(came == 0, "%lu interrupts of deadline %lx", came, values[i], 0);
		EXPECT(rdmsr(TSC_DEADLINE) == values[i], "deadline %lx, was %lx",
		       rdmsr(TSC_DEADLINE), values[i], 0);
	}
}

/* Nothing of it is left where it comes while the entry is masked; one that is armed stays so. */
static void masked_deadline(void)
{
	uint32_t before = came_since(0), came;

	set_lvt(LVT_MASKED | LVT_DEADLINE | V_TIMER);
	wrmsr(TSC_DEADLINE, rdtsc() + 5000);
	await_deadline();
	set_lvt(LVT_DEADLINE | V_TIMER);
	came = came_since(before);
	EXPECT(came == 0, "%lu interrupts while masked", came, 0, 0);
	wrmsr(TSC_DEADLINE, BIT(62));
	set_lvt(LVT_MASKED | LVT_DEADLINE | V_TIMER);
	EXPECT(rdmsr(TSC_DEADLINE) == BIT(62), "deadline %lx once masked", rdmsr(TSC_DEADLINE), 0,
	       0);
	set_lvt(LVT_DEADLINE | V_TIMER);
}

/* To another mode and back: it is disarmed. */
static void deadline_and_mode(void)
{
	for (uint64_t mode = 0; mode < 2; mode++) {
		uint32_t before = came_since(0), came;

		wrmsr(TSC_DEADLINE, BIT(62));
		set_lvt(mode << 17 | V_TIMER);
		EXPECT(rdmsr(TSC_DEADLINE) == 0, "deadline %lx in mode %lu", rdmsr(TSC_DEADLINE),
		       mode, 0);
		wrmsr(TSC_DEADLINE, 1);
		set_lvt(LVT_DEADLINE | V_TIMER);
		EXPECT(rdmsr(TSC_DEADLINE) == 0, "deadline %lx behind mode %lu",
		       rdmsr(TSC_DEADLINE), mode, 0);
		/* One that is near may come before the mode changes. */
		wrmsr(TSC_DEADLINE, rdtsc() + 20000);
		set_lvt(mode << 17 | V_TIMER);
		rt_wait_us(200);
		came = came_since(before);
		EXPECT(!came || as_many(came, 1), "%lu interrupts in mode %lu", came, mode, 0);
		set_lvt(LVT_DEADLINE | V_TIMER);
	}
}

static void deadline_with_illegal_vector(void)
{
	struct rt_cpu *cpu = rt_self();
	uint32_t before = cpu->ints[V_ERROR], e;

	clear_errors();
	mmio_write(APIC + 0x370, V_ERROR);
	set_lvt(LVT_DEADLINE | 5);
	wrmsr(TSC_DEADLINE, 1);
	await_deadline();
	take_interrupts();
	e = errors();
	EXPECT(e & BIT(6), "ESR %lx after the deadline's", e, 0, 0);
	EXPECT(as_many(cpu->ints[V_ERROR] - before, 1), "%lu error interrupts of a deadline",
	       cpu->ints[V_ERROR] - before, 0, 0);
	mmio_write(APIC + 0x370, 0x10000);
	set_lvt(LVT_DEADLINE | V_TIMER);
}

/* None of them is an exit where the register is the guest's own. */
#define MANY 10000u

static void many_deadlines(void)
{
	uint32_t before = came_since(0), came;

	for (uint64_t n = 1; n <= MANY; n++)
		wrmsr(TSC_DEADLINE, BIT(62) + n);
	came = came_since(before);
	EXPECT(came == 0, "%lu interrupts", came, 0, 0);
	EXPECT(rdmsr(TSC_DEADLINE) == BIT(62) + MANY, "deadline %lx", rdmsr(TSC_DEADLINE), 0, 0);
	wrmsr(TSC_DEADLINE, 0);
	rt_printf("deadlines written: %u.\n", MANY);
}

static void timers(void)
{
	static const uint32_t counts[] = {1, 2, 3, 0xffff, 0x80000000, 0xffffffff, 0};
	struct rt_cpu *cpu = rt_self();
	uint32_t before;

	mmio_write(APIC + 0x320, V_TIMER);
	for (uint32_t divide = 0; divide < 16; divide++) {
		for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
			for (uint32_t mode = 0; mode < 4; mode++) {
				mmio_write(APIC + 0x3e0, divide);
				mmio_write(APIC + 0x320, V_TIMER | mode << 17);
				mmio_write(APIC + 0x380, counts[i]);
				mmio_read(APIC + 0x390);
				take_interrupts();
			}
		}
	}
	mmio_write(APIC + 0x320, 0x10000);
	mmio_write(APIC + 0x380, 0);
	rt_wait_us(100);
	take_interrupts();
	before = cpu->ints[V_TIMER];
	EXPECT(before, "no interrupt", 0, 0, 0);
	mmio_write(APIC + 0x3e0, 0xb);
	mmio_write(APIC + 0x320, V_TIMER);
	mmio_write(APIC + 0x380, 1);
	rt_wait_us(1000);
	take_interrupts();
	EXPECT(cpu->ints[V_TIMER] == before + 1, "%lu interrupts of one shot",
	       cpu->ints[V_TIMER] - before, 0, 0);
	EXPECT(mmio_read(APIC + 0x390) == 0, "count %lx after it", mmio_read(APIC + 0x390), 0, 0);
	if (!(cpuid(1, 0).ecx & BIT(24)))
		return;
	past_deadlines();
	deadlines_ahead();
	far_deadlines();
	masked_deadline();
	deadline_and_mode();
	deadline_with_illegal_vector();
	many_deadlines();
	mmio_write(APIC + 0x320, 0x10000);
}

static void nmis(void)
{
	struct rt_cpu *cpu = rt_self();
	uint32_t before = cpu->ints[NMI];

	mmio_write(APIC + 0x310, 0);
	for (unsigned int i = 0; i < 1000; i++)
		mmio_write(APIC + 0x300, 0x4400);
	cpuid(0, 0);
	EXPECT(cpu->ints[NMI] == before + 1000, "%lu NMIs of 1000", cpu->ints[NMI] - before, 0, 0);
}

/* An interrupt in service that nobody ends holds back its like, and what is more urgent comes all
 * the same. */
static void no_eoi(void)
{
	struct rt_cpu *cpu = rt_self();
	uint32_t low = cpu->ints[0x51], high = cpu->ints[0x81];

	cpu->no_eoi = true;
	for (unsigned int i = 0; i < 100; i++) {
		mmio_write(APIC + 0x300, 0x44051);
		take_interrupts();
	}
	EXPECT(cpu->ints[0x51] == low + 1, "%lu interrupts without an EOI", cpu->ints[0x51] - low,
	       0, 0);
	mmio_write(APIC + 0x300, 0x44081);
	take_interrupts();
	EXPECT(cpu->ints[0x81] == high + 1, "the more urgent one: %lu", cpu->ints[0x81] - high, 0,
	       0);
	cpu->no_eoi = false;
	for (unsigned int i = 0; i < 300; i++)
		mmio_write(APIC + 0xb0, 0);
}

static const struct attack_case apic_table_cases[] = {
	{"x2APIC indices", x2apic_indices},
	{"APIC_BASE", apic_base},
	{"vectors below 16", illegal_vectors},
	{"IPIs to nobody", to_nobody},
	{"APIC timers", timers},
	{"NMIs to itself", nmis},
	{"interrupts that nobody ends", no_eoi},
};
CASES(apic_table);
