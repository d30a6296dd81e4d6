#include "arch/x86/tsc.h"

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/percpu.h"
#include "lib/err.h"

#define NS_PER_S 1000000000ULL
#define US_PER_S 1000000ULL

/* A clock that counts up, at a frequency that a standard fixes. */
struct ref_clock {
	uint32_t (*read)(const struct ref_clock *clock);
	uint32_t port, mask, hz;
};

#define POINTS	     6
#define SPAN	     3
#define POINTS_PER_S 50
#define READ_TRIES   5
/* A clock that has not moved on by either does not: the ticks are 16 times a point's at 6 GHz. */
#define READS_MAX 4000000
#define TICKS_MAX BIT(31)

#define PM_TIMER_HZ 3579545 /* ACPI 6.4 4.8.3.3 */
#define PIT_HZ	    1193182
#define PIT_CH2	    0x42
#define PIT_COMMAND 0x43
#define PIT_SPEAKER 0x61

static uint64_t hz;

uint64_t tsc_now(void)
{
	cpu_lfence();
	return rdtsc();
}

uint64_t tsc_hz(void)
{
	return hz;
}

uint64_t tsc_from_ns(uint64_t ns)
{
	return ns / NS_PER_S * hz + ns % NS_PER_S * hz / NS_PER_S;
}

uint64_t tsc_to_ns(uint64_t ticks)
{
	return ticks / hz * NS_PER_S + ticks % hz * NS_PER_S / hz;
}

void udelay(uint64_t us)
{
	uint64_t start = tsc_now();
	uint64_t ticks = us * hz / US_PER_S + 1;

	while (tsc_now() - start < ticks)
		cpu_pause();
}

static uint32_t read_pm_timer(const struct ref_clock *clock)
{
	return inl((uint16_t)clock->port);
}

/*
 * Latches the counter and reads it: Intel 8254 data sheet, "counter latch command". It counts down.
 */
static uint32_t read_pit(const struct ref_clock *clock)
{
	uint32_t low;

	outb(PIT_COMMAND, 0x80);
	low = inb((uint16_t)clock->port);
	return ~(low | (uint32_t)inb((uint16_t)clock->port) << 8);
}

/* Channel 2, gate on, speaker off, mode 0 from FFFFh: it wraps after 55 ms and goes on. */
static void start_pit(void)
{
	outb(PIT_SPEAKER, (uint8_t)((inb(PIT_SPEAKER) & ~0x02) | 0x01));
	outb(PIT_COMMAND, 0xb0);
	outb(PIT_CH2, 0xff);
	outb(PIT_CH2, 0xff);
}

/* Both clocks at one moment. */
struct point {
	uint64_t tsc;
	uint32_t clock;
	uint64_t ticks; /* of the clock since the first point */
};

/*
 * Reading the clock takes a microsecond or more, and an SMI may fall into it: of some tries the
 * shortest is taken, at its middle.
 */
static void read_both(const struct ref_clock *clock, struct point *p)
{
	uint64_t shortest = UINT64_MAX;

	for (unsigned int i = 0; i < READ_TRIES; i++) {
		uint64_t before = tsc_now();
		uint32_t value = clock->read(clock);
		uint64_t took = tsc_now() - before;

		if (took >= shortest)
			continue;
		shortest = took;
		p->tsc = before + took / 2;
		p->clock = value;
	}
}

/* Takes the next point, a fiftieth of a second after PREV. False: the clock stands still. */
static bool next_point(const struct ref_clock *clock, const struct point *prev, struct point *p)
{
	for (unsigned int i = 0; i < READS_MAX && tsc_now() - prev->tsc < TICKS_MAX; i++) {
		uint32_t gone = (clock->read(clock) - prev->clock) & clock->mask;

		if (gone < clock->hz / POINTS_PER_S)
			continue;
		read_both(clock, p);
		p->ticks = prev->ticks + ((p->clock - prev->clock) & clock->mask);
		return true;
	}
	return false;
}

static void insert_sorted(uint64_t *values, unsigned int count, uint64_t value)
{
	while (count && values[count - 1] > value) {
		values[count] = values[count - 1];
		count--;
	}
	values[count] = value;
}

/* The median of the slopes over each SPAN points, 0 if the clock stands still. */
static uint64_t measure(const struct ref_clock *clock)
{
	struct point points[POINTS] = {0};
	uint64_t values[POINTS - SPAN];

	read_both(clock, &points[0]);
	for (unsigned int i = 1; i < POINTS; i++)
		if (!next_point(clock, &points[i - 1], &points[i]))
			return 0;
	for (unsigned int i = 0; i < POINTS - SPAN; i++)
		insert_sorted(values, i,
			      (points[i + SPAN].tsc - points[i].tsc) * clock->hz /
				      (points[i + SPAN].ticks - points[i].ticks));
	return values[(POINTS - SPAN) / 2];
}

/*
 * What the processor says of itself: SDM vol. 2A CPUID, leaf 15h (the TSC's ratio to a crystal),
 * and 16h (the base frequency in MHz, at which the TSC runs) where the crystal is not told. The
 * last resort: emulators pass on what does not hold for them.
 */
static uint64_t told_hz(void)
{
	struct cpuid_regs ratio = cpuid_or_zero(0x15, 0);

	if (ratio.eax && ratio.ebx && ratio.ecx)
		return (uint64_t)ratio.ecx * ratio.ebx / ratio.eax;
	return (uint64_t)(cpuid_or_zero(0x16, 0).eax & 0xffff) * 1000000;
}

int tsc_calibrate(uint32_t pm_timer, bool pm_timer_32bit)
{
	struct ref_clock pm = {read_pm_timer, pm_timer, pm_timer_32bit ? UINT32_MAX : 0xffffff,
			       PM_TIMER_HZ};
	struct ref_clock pit = {read_pit, PIT_CH2, 0xffff, PIT_HZ};

	hz = pm_timer ? measure(&pm) : 0;
	if (hz)
		return 0;
	start_pit();
	hz = measure(&pit);
	if (!hz)
		hz = told_hz();
	return hz ? 0 : -EIO;
}

/*
 * One core asks, the other answers with its counter: the answer was read after the question was put
 * and before the answer was seen, which bounds the offset between the two from both sides.
 */
#define SYNC_ROUNDS 32

static struct {
	uint32_t asked, answered; /* rounds */
	uint64_t answer;
} sync;

void tsc_sync_partner(void)
{
	for (uint32_t round = 1; round <= SYNC_ROUNDS; round++) {
		while (__atomic_load_n(&sync.asked, __ATOMIC_ACQUIRE) != round)
			cpu_pause();
		sync.answer = tsc_now();
		__atomic_store_n(&sync.answered, round, __ATOMIC_RELEASE);
	}
}

static void sync_reset(void)
{
	__atomic_store_n(&sync.asked, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&sync.answered, 0, __ATOMIC_RELEASE);
}

/* False when no answer comes: the other core has died. */
static bool wait_answer(uint32_t round, uint64_t since)
{
	while (__atomic_load_n(&sync.answered, __ATOMIC_ACQUIRE) != round) {
		if (tsc_now() - since > hz)
			return false;
		cpu_pause();
	}
	return true;
}

bool tsc_check_sync(struct pcpu *cpu)
{
	int64_t low = INT64_MIN, high = INT64_MAX;

	for (uint32_t round = 1; round <= SYNC_ROUNDS; round++) {
		uint64_t before = tsc_now(), after;

		__atomic_store_n(&sync.asked, round, __ATOMIC_RELEASE);
		if (!wait_answer(round, before))
			break;
		after = tsc_now();
		low = MAX(low, (int64_t)(sync.answer - after));
		high = MIN(high, (int64_t)(sync.answer - before));
	}
	sync_reset();
	if (low <= 0 && high >= 0)
		return true;
	cpu->tsc_offset = low + (high - low) / 2;
	return false;
}
