/*
 * An innocent neighbour: for each byte that is typed, it says whether its memory and its clocks are
 * what they were.
 */
#include "tests/guests/rt/rt.h"

#define COM1	  0x3f8
#define NAP	  10000000u /* ticks of the APIC timer: 10 milliseconds at 1 GHz */
#define PM_TMR	  0x608
#define PM_TMR_HZ 3579545ull
#define PATTERN	  ((volatile uint64_t *)0x800000)
#define WORDS	  0x80000u /* 4 MiB */

/* The ACPI timer has 24 bits; it is looked at much more often than it goes round. */
static uint64_t timer, timer_then;

static uint64_t pattern(uint64_t i)
{
	return i * 0x9e3779b97f4a7c15 ^ 0x5a5a;
}

static void tick(void)
{
	timer += (inl(PM_TMR) - timer) & 0xffffff;
}

static bool memory_is_good(void)
{
	for (uint64_t i = 0; i < WORDS; i++)
		if (PATTERN[i] != pattern(i))
			return false;
	return true;
}

/*
 * Both clocks at one moment: of 16 looks the quickest, since others may have the core between the
 * two reads.
 */
static uint64_t tsc_at_tick(void)
{
	uint64_t best = ~0ull, tsc = 0, tick_then = 0;

	for (unsigned int i = 0; i < 16; i++) {
		uint64_t before = rdtsc(), took;

		tick();
		took = rdtsc() - before;
		if (took < best) {
			best = took;
			tsc = before + took / 2;
			tick_then = timer;
		}
	}
	timer_then = tick_then;
	return tsc;
}

/* TSC ticks for each of the ACPI timer, times 1000, since the last look. */
static uint64_t rate(uint64_t *tsc, uint64_t *ticks)
{
	uint64_t now = tsc_at_tick(), since_tsc = now - *tsc, since_ticks = timer_then - *ticks;

	*tsc = now;
	*ticks = timer_then;
	return since_ticks ? since_tsc * 1000 / since_ticks : 0;
}

/*
 * Between two looks at the console others have the core. Not once only: QEMU may deliver the
 * interrupt between STI and HLT.
 */
static void start_naps(void)
{
	mmio_write(APIC + 0x3e0, 0xb);
	mmio_write(APIC + 0x320, 0x20000 | V_TIMER);
	mmio_write(APIC + 0x380, NAP);
}

void rt_second(void)
{
}

void rt_guest(void)
{
	uint64_t tsc = 0, ticks = 0, first, now;

	timer = inl(PM_TMR);
	for (uint64_t i = 0; i < WORDS; i++)
		PATTERN[i] = pattern(i);
	rate(&tsc, &ticks);
	rt_wait_us(200000);
	first = rate(&tsc, &ticks);
	start_naps();
	rt_printf("witness: ready.\n");
	for (uint32_t n = 1;; n++) {
		bool good;

		while (!(inb(COM1 + 5) & 1)) {
			tick();
			__asm__ volatile("sti; hlt; cli");
		}
		inb(COM1);
		good = memory_is_good();
		rt_wait_us(20000);
		now = rate(&tsc, &ticks);
		rt_printf("witness: %u: memory %s, clock %s.\n", n, good ? "ok" : "CHANGED",
			  now > first - first / 8 && now < first + first / 8 ? "ok" : "WRONG");
	}
}
