/* The local APIC's timer: SDM vol. 3A 11.5.4. */
#include "arch/x86/desc.h"
#include "arch/x86/tsc.h"
#include "core/clock.h"
#include "core/lapic_page.h"
#include "core/sched.h"

/*
 * A guest with a period of a few nanoseconds would never execute an instruction between two of its
 * own interrupts, each of which costs an exit.
 */
#define MIN_PERIOD_NS 20000

/*
 * The run loop sets its own clock by timer_deadline before an entry. In an exit that leads back
 * into the guest at once it is set here, but only to an earlier time: when the old one comes, the
 * run loop sees the new one.
 */
static void arm(struct vcpu *v, uint64_t host_tsc)
{
	v->timer_deadline = host_tsc;
	if (host_tsc && host_tsc < v->armed)
		sched_rearm(v, host_tsc);
}

static void stop(struct vcpu *v)
{
	lapic_timer_take_back(v);
	v->tsc_deadline = 0;
	arm(v, 0);
}

static uint64_t rate(void)
{
	return MIN((uint64_t)LAPIC_TIMER_HZ, tsc_hz());
}

/* Host TSC ticks that COUNT takes to reach 0. */
static uint64_t duration(const struct vcpu *v, uint32_t count)
{
	return MAX(mul_div((uint64_t)count << v->timer_shift, tsc_hz(), rate()), 1);
}

/* One interrupt interval from the initial count. */
static uint64_t period(const struct vcpu *v)
{
	uint64_t ticks = duration(v, vapic_get(v, APIC_TIMER_ICR));

	return MAX(ticks, mul_div(MIN_PERIOD_NS, tsc_hz(), NS_PER_S));
}

static void start(struct vcpu *v, uint32_t count)
{
	v->timer_start = tsc_now();
	v->timer_period = period(v);
	arm(v, v->timer_start + duration(v, count));
}

/* Divide configuration: bits 3, 1 and 0; 000b is 2, 110b is 128, 111b is 1. */
static uint8_t divider_shift(uint32_t divide)
{
	return (((divide & 3) | ((divide >> 1) & 4)) + 1) & 7;
}

void vapic_timer_reset(struct vcpu *v)
{
	stop(v);
	v->timer_mode = TIMER_ONE_SHOT;
	v->timer_shift = divider_shift(0);
}

void vapic_timer_write_lvt(struct vcpu *v, uint32_t lvt)
{
	uint8_t mode = LVT_TIMER_MODE(lvt);
	uint8_t old = v->timer_mode;

	v->timer_mode = mode;
	/* One-shot and periodic share the count; any other change of mode disarms (11.5.4.1). */
	if (mode != old && (mode >= TIMER_TSC_DEADLINE || old >= TIMER_TSC_DEADLINE)) {
		vapic_put(v, APIC_TIMER_ICR, 0);
		stop(v);
	}
}

void vapic_timer_write_initial(struct vcpu *v, uint32_t count)
{
	/* What was due before the write has come, though nobody has looked yet. */
	lapic_timer_expired(v);
	/* Ignored in TSC-deadline mode, where both count registers read as 0. */
	if (v->timer_mode >= TIMER_TSC_DEADLINE)
		count = 0;
	vapic_put(v, APIC_TIMER_ICR, count);
	if (count)
		start(v, count);
	else if (v->timer_mode < TIMER_TSC_DEADLINE)
		stop(v);
}

/* The count so far stays and goes on at the new rate. */
void vapic_timer_write_divide(struct vcpu *v, uint32_t divide)
{
	uint32_t count = vapic_timer_count(v);

	v->timer_shift = divider_shift(divide);
	if (count)
		start(v, count);
}

/* Host TSC ticks until the count is next 0. */
static uint64_t remaining(const struct vcpu *v, uint64_t now)
{
	if (now < v->timer_deadline)
		return v->timer_deadline - now;
	if (v->timer_mode != TIMER_PERIODIC)
		return 0;
	return v->timer_period - (now - v->timer_deadline) % v->timer_period;
}

uint32_t vapic_timer_count(const struct vcpu *v)
{
	uint64_t ticks, clocks, count;

	if (!v->timer_deadline || v->timer_mode >= TIMER_TSC_DEADLINE)
		return 0;
	ticks = remaining(v, tsc_now());
	if (!ticks)
		return 0;
	clocks = mul_div(ticks, rate(), tsc_hz());
	/* Reads as 0 only when the interrupt is there. */
	count = MAX((clocks + BIT(v->timer_shift) - 1) >> v->timer_shift, 1);
	return (uint32_t)MIN(count, vapic_get(v, APIC_TIMER_ICR));
}

void lapic_deadline_write(struct vcpu *v, uint64_t value)
{
	uint64_t now = tsc_now();
	uint64_t ahead = value - (now + v->tsc_offset);

	if (v->timer_mode != TIMER_TSC_DEADLINE)
		return;
	/* What was due before the write has come, though nobody has looked yet. */
	if (v->timer_deadline && now >= v->timer_deadline)
		lapic_timer_expired(v);
	if (!value) {
		stop(v);
		return;
	}
	v->tsc_deadline = value;
	if (value <= now + v->tsc_offset)
		arm(v, now);
	else
		arm(v, ahead > ~0ULL - now ? ~0ULL : now + ahead);
}

void lapic_tsc_moved(struct vcpu *v, uint64_t delta)
{
	if (delta && v->tsc_deadline)
		lapic_deadline_write(v, v->tsc_deadline);
}

void lapic_timer_delay(struct vcpu *v, uint64_t ticks)
{
	if (!v->timer_deadline)
		return;
	v->timer_start += ticks;
	v->timer_deadline = v->timer_deadline > ~0ULL - ticks ? ~0ULL : v->timer_deadline + ticks;
}

void lapic_timer_expired(struct vcpu *v)
{
	uint64_t now = tsc_now();

	if (!v->timer_deadline || now < v->timer_deadline)
		return;
	v->tsc_deadline = 0;
	if (v->timer_mode == TIMER_PERIODIC) {
		/* Periods that passed unseen are one interrupt, as IRR has one bit. */
		v->timer_start = now - (now - v->timer_deadline) % v->timer_period;
		arm(v, v->timer_start + v->timer_period);
	} else {
		arm(v, 0);
	}
	vapic_lvt_fire(v, APIC_LVT_TIMER);
}

/*
 * ---- the core's own register ----
 *
 * The timer compares with the machine's TSC (SDM vol. 3C 25.3): a deadline means the same to both
 * where the guest's has no offset. The register is the guest's from an entry until its turn ends;
 * what Socle waits for meanwhile comes by the preemption timer. An interrupt that came of the
 * guest's deadline is told from one of Socle's by its vector, however late it is.
 */

static bool may_lend(const struct vcpu *v)
{
	return v->timer_mode == TIMER_TSC_DEADLINE && !v->tsc_offset && sched_alone(v) &&
	       hv_caps.features & HV_F_DEADLINE && apic_timer_has_deadline();
}

void lapic_timer_lend(struct vcpu *v)
{
	uint64_t at = v->tsc_deadline;

	if (v->timer_lent || !may_lend(v))
		return;
	stop(v);
	v->timer_lent = true;
	hv->msr_trap(v, MSR_IA32_TSC_DEADLINE, false, false);
	apic_timer_stop();
	apic_timer_vector(VEC_DEADLINE);
	if (at)
		apic_timer_arm(at);
}

void lapic_timer_take_back(struct vcpu *v)
{
	uint64_t at;

	if (!v->timer_lent)
		return;
	v->timer_lent = false;
	hv->msr_trap(v, MSR_IA32_TSC_DEADLINE, true, true);
	at = apic_timer_deadline();
	apic_timer_stop();
	apic_timer_vector(VEC_TIMER);
	/* It may have come since it was read: then the interrupt is on its way. */
	if (at > tsc_now() || !apic_is_pending(VEC_DEADLINE))
		lapic_deadline_write(v, at);
}

void lapic_timer_came(struct vcpu *v)
{
	/* A later one may be there already. */
	if (v->timer_lent && apic_timer_deadline() <= tsc_now())
		apic_timer_stop();
	vcpu_request(v, REQ_TIMER);
}

void lapic_timer_fire(struct vcpu *v)
{
	if (v->timer_mode == TIMER_TSC_DEADLINE)
		vapic_lvt_fire(v, APIC_LVT_TIMER);
}

void lapic_timer_settle(struct vcpu *v)
{
	if (v->timer_lent) {
		lapic_timer_take_back(v);
		sched_let_in();
		if (__atomic_fetch_and(&v->requests, ~(uint32_t)REQ_TIMER, __ATOMIC_SEQ_CST) &
		    REQ_TIMER)
			lapic_timer_fire(v);
	}
	lapic_timer_expired(v);
}
