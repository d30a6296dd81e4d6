#include "arch/x86/tsc.h"

#include "arch/x86/cpu.h"
#include "arch/x86/percpu.h"
#include "lib/err.h"

#define NS_PER_S 1000000000ULL
#define US_PER_S 1000000ULL

/* A clock that counts up, at a frequency that a standard fixes. */
struct ref_clock {
	uint32_t (*read)(const struct ref_clock *clock);
	uint32_t port, mask, hz;
};

#define ROUNDS	     5
#define ROUNDS_PER_S 50	     /* each lasts a fiftieth of a second */
#define READS_MAX    4000000 /* a clock that has not moved on by then does not */

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

/*
 * Waits until TICKS have gone by on CLOCK since START. Returns how many had when it was read last,
 * 0 if it stands still.
 */
static uint32_t wait_ticks(const struct ref_clock *clock, uint32_t start, uint32_t ticks)
{
	for (unsigned int i = 0; i < READS_MAX; i++) {
		uint32_t gone = (clock->read(clock) - start) & clock->mask;

		if (gone >= ticks)
			return gone;
	}
	return 0;
}

/* One round; starts at an edge of the clock. 0: it does not move. */
static uint64_t measure(const struct ref_clock *clock)
{
	uint32_t start = clock->read(clock), ticks;
	uint64_t tsc;

	ticks = wait_ticks(clock, start, 1);
	if (!ticks)
		return 0;
	tsc = tsc_now();
	start += ticks;
	ticks = wait_ticks(clock, start, clock->hz / ROUNDS_PER_S);
	if (!ticks)
		return 0;
	return (tsc_now() - tsc) * clock->hz / ticks;
}

static void insert_sorted(uint64_t *values, unsigned int count, uint64_t value)
{
	while (count && values[count - 1] > value) {
		values[count] = values[count - 1];
		count--;
	}
	values[count] = value;
}

static uint64_t median_of_rounds(const struct ref_clock *clock)
{
	uint64_t values[ROUNDS];

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t value = measure(clock);

		if (!value)
			return 0;
		insert_sorted(values, i, value);
	}
	return values[ROUNDS / 2];
}

int tsc_calibrate(uint32_t pm_timer, bool pm_timer_32bit)
{
	struct ref_clock pm = {read_pm_timer, pm_timer, pm_timer_32bit ? UINT32_MAX : 0xffffff,
			       PM_TIMER_HZ};
	struct ref_clock pit = {read_pit, PIT_CH2, 0xffff, PIT_HZ};

	hz = pm_timer ? median_of_rounds(&pm) : 0;
	if (hz)
		return 0;
	start_pit();
	hz = median_of_rounds(&pit);
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
	cpu->tsc_offset = low == INT64_MIN ? 0 : low + (high - low) / 2;
	return low <= 0 && high >= 0;
}
