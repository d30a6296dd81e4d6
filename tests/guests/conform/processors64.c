/* Another processor: what INIT leaves it, and that both have the same time. */
#include "conform64.h"

#define APIC(reg)     (*(volatile uint32_t *)(0xfee00000ul + (reg)))
#define SVR	      0xf0
#define IRR(vector)   (0x200 + (vector) / 32 * 16)
#define ICR_LOW	      0x300
#define ICR_HIGH      0x310
#define LVT_TIMER     0x320
#define DEADLINE_MODE (2u << 17)
#define TIMER_VECTOR  0x60

#define MSR_TSC_ADJUST	 0x3b
#define MSR_TSC_DEADLINE 0x6e0

#define ROUNDS 100

extern const uint8_t ap_start[], ap_end[];

/* What the other processor shall do, and 0 when it is done; 1 is "nothing yet". */
enum { NOTHING = 1, PING, ADJUST, DEADLINE };
static volatile uint32_t order, up;
static volatile uint64_t stamp, answer[4];

static uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("lfence\n rdtsc\n lfence" : "=a"(low), "=d"(high) : : "memory");
	return low | (uint64_t)high << 32;
}

static uint64_t msr(uint32_t index)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
	return low | (uint64_t)high << 32;
}

static void set_msr(uint32_t index, uint64_t value)
{
	asm volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(index));
}

static void pause_until(volatile uint32_t *what, uint32_t value)
{
	while (*what != value)
		asm volatile("pause");
}

/* Arms the timer and waits: bit 0, it came; 1, not before its time; 2, the MSR says that it is
 * over. */
static uint64_t deadline(void)
{
	uint64_t at, came;

	APIC(SVR) = 0x1ff;
	APIC(LVT_TIMER) = DEADLINE_MODE | TIMER_VECTOR;
	asm volatile("mfence" : : : "memory");
	at = rdtsc() + 1000000;
	set_msr(MSR_TSC_DEADLINE, at);
	for (unsigned int i = 0; i < 10000000; i++)
		if (APIC(IRR(TIMER_VECTOR)) >> TIMER_VECTOR % 32 & 1)
			break;
	came = rdtsc();
	APIC(LVT_TIMER) = 1u << 16;
	return (APIC(IRR(TIMER_VECTOR)) >> TIMER_VECTOR % 32 & 1) | (came >= at) << 1 |
	       (uint64_t)!msr(MSR_TSC_DEADLINE) << 2;
}

static void adjust(void)
{
	uint64_t before = rdtsc();

	answer[0] = msr(MSR_TSC_ADJUST);
	set_msr(MSR_TSC_ADJUST, answer[0] + (1ull << 40));
	answer[1] = rdtsc() - before >= 1ull << 40;
	set_msr(MSR_TSC_ADJUST, answer[0]);
	answer[2] = rdtsc() - before < 1ull << 40;
}

/* Of the processor that was started; no exceptions there. */
void ap_main(void);
void ap_main(void)
{
	up = 1;
	for (;;) {
		uint32_t what = order;

		if (what == PING)
			stamp = rdtsc();
		if (what == ADJUST)
			adjust();
		if (what == DEADLINE)
			answer[0] = deadline();
		if (what > NOTHING)
			order = 0;
		asm volatile("pause");
	}
}

static void give(uint32_t what)
{
	order = what;
	pause_until(&order, 0);
}

static bool start_other(void)
{
	uint8_t *to = (uint8_t *)0x8000;

	for (const uint8_t *from = ap_start; from < ap_end;)
		*to++ = *from++;
	order = NOTHING;
	APIC(SVR) = 0x1ff;
	APIC(ICR_HIGH) = 1u << 24;
	APIC(ICR_LOW) = 0x4500;
	for (uint64_t at = rdtsc() + 1000000; rdtsc() < at;)
		;
	APIC(ICR_HIGH) = 1u << 24;
	APIC(ICR_LOW) = 0x4608;
	for (uint64_t at = rdtsc() + 2000000000; rdtsc() < at && !up;)
		;
	return up;
}

static void what_init_leaves(void)
{
	volatile uint32_t *found = (volatile uint32_t *)0x9000;

	say("INIT", "eax %x, edx is the signature %u, cr0 %x cr4 %x, cs %x ds %x, eflags %x",
	    found[0], found[1] == cpuid(1, 0).a, found[2] & ~(3u << 29), found[3],
	    found[4] & 0xffff, found[4] >> 16, found[5]);
}

static void times(void)
{
	unsigned int wrong = 0;
	uint64_t last = rdtsc();

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t now;

		give(PING);
		now = rdtsc();
		wrong += stamp < last || now < stamp;
		last = now;
	}
	say("TSC of two", "backwards %u times", wrong);
	if (cpuid(7, 0).b & 2) {
		uint64_t own;

		last = rdtsc();
		give(ADJUST);
		own = rdtsc() - last;
		say("TSC_ADJUST of two",
		    "was %lx, moves its own %u and back %u, not the other's %u", (word)answer[0],
		    (unsigned int)answer[1], (unsigned int)answer[2], own < 1ull << 39);
	}
	if (cpuid(1, 0).c & 1u << 24) {
		say("TSC deadline", "%x", (unsigned int)deadline());
		give(DEADLINE);
		say("TSC deadline of the other", "%x", (unsigned int)answer[0]);
	}
}

void processor_cases(void)
{
	if (!start_other()) {
		say("another processor", "none");
		return;
	}
	what_init_leaves();
	times();
}
