/*
 * Time by the time-stamp counter. What CPUID 15h and 16h say about frequencies is not trusted
 * (emulators and overclocked machines get it wrong): the counter is measured against a clock whose
 * frequency is fixed by standard.
 */
#ifndef ARCH_X86_TSC_H
#define ARCH_X86_TSC_H

#include <stdbool.h>
#include <stdint.h>

struct pcpu;

/*
 * This core's counter, not read before earlier loads are done. A function so that unit tests can
 * give another.
 */
uint64_t tsc_now(void);

/* In Hz, as tsc_calibrate() measured; 0 before that. */
uint64_t tsc_hz(void);

/*
 * Measures the frequency against the ACPI PM timer at I/O port PM_TIMER (0: none), else against
 * channel 2 of the PIT: the median of three slopes over 60 ms each, 100 ms in all. Interrupts off,
 * once, on the first core. Where neither moves, takes what CPUID says; -EIO: nothing.
 */
int tsc_calibrate(uint32_t pm_timer, bool pm_timer_32bit);

/*
 * TICKS of the counter that LEN nanoseconds last, and the other way round; exact to a tick, no
 * overflow below 100 years.
 */
uint64_t tsc_from_ns(uint64_t ns);
uint64_t tsc_to_ns(uint64_t ticks);

/*
 * Compares the counters of the executing core and CPU, which calls tsc_sync_partner() meanwhile.
 * True where they may be equal, as far as the time of a question and its answer allows to tell (or
 * when CPU does not answer within a second). Else cpu->tsc_offset is the difference, in the middle
 * of what it can be. Called by smp_start(), which warns.
 */
bool tsc_check_sync(struct pcpu *cpu);
void tsc_sync_partner(void);

/* Spins for at least US microseconds. After tsc_calibrate(). */
void udelay(uint64_t us);

#endif
