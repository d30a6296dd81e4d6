#include "devices/hpet.h"

#include "core/bus.h"
#include "core/clock.h"
#include "core/vm.h"
#include "lib/util.h"

#define HPET_SIZE 0x400

/* Registers of 64 bits (2.3.2). */
enum {
	CAPABILITIES = 0x000,
	CONFIG = 0x010,
	STATUS = 0x020,
	COUNTER = 0x0f0,
	TIMERS = 0x100, /* 32 bytes for each */
};
enum { TIMER_CONFIG = 0, TIMER_COMPARATOR = 8 };

#define ENABLE		BIT(0)
#define LEGACY		BIT(1)
#define CONFIG_WRITABLE (ENABLE | LEGACY)

/* A timer's configuration (2.3.8); there is no FSB delivery. */
#define T_LEVEL	    BIT(1)
#define T_INTERRUPT BIT(2)
#define T_PERIODIC  BIT(3)
#define T_CAN	    (BIT(4) | BIT(5)) /* be periodic; count 64 bits */
#define T_VAL_SET   BIT(6)
#define T_32	    BIT(8)
#define T_ROUTE(c)  (((c) >> 9) & 31)
#define T_ROUTES    0x00f00000u /* inputs 20 to 23 */
#define T_WRITABLE  (T_LEVEL | T_INTERRUPT | T_PERIODIC | T_VAL_SET | T_32 | 0x3e00u)

#define FS_PER_S 1000000000000000u

static uint64_t counter(const struct hpet *h)
{
	return h->counter + (h->config & ENABLE ? clock_ticks(h->vm, HPET_HZ) : 0);
}

static unsigned int index_of(const struct hpet_timer *t)
{
	return (unsigned int)(t - t->hpet->timer);
}

/* ---- interrupts ---- */

/* The input of the I/O APIC that T has; 0: none. Input 2 is IRQ 0, as the MADT says. */
static unsigned int gsi_of(const struct hpet_timer *t)
{
	static const uint8_t legacy[] = {2, 8};
	unsigned int route = T_ROUTE(t->config);

	if (t->hpet->config & LEGACY && index_of(t) < ARRAY_SIZE(legacy))
		return legacy[index_of(t)];
	return T_ROUTES & BIT(route) ? route : 0;
}

/* Lines that several timers have are high while any of them asserts its. */
static void update_gsi(struct hpet *h, unsigned int gsi)
{
	bool level = false;

	if (!gsi)
		return;
	for (unsigned int i = 0; i < HPET_TIMERS; i++)
		level |= h->timer[i].line && gsi_of(&h->timer[i]) == gsi;
	vm_set_irq(h->vm, gsi, level);
}

static void set_line(struct hpet_timer *t, bool level)
{
	t->line = level;
	update_gsi(t->hpet, gsi_of(t));
}

static bool may_interrupt(const struct hpet_timer *t)
{
	return t->hpet->config & ENABLE && t->config & T_INTERRUPT;
}

/* A level-triggered line follows the status; an edge is made by fire(). */
static void update_level(struct hpet_timer *t)
{
	bool status = t->hpet->status & BIT(index_of(t));

	set_line(t, t->config & T_LEVEL && status && may_interrupt(t));
}

/*
 * An edge-triggered line falls just before it rises again: on a PC, too, it is high when its
 * interrupt is taken.
 */
static void fire(struct hpet_timer *t)
{
	if (t->config & T_LEVEL) {
		t->hpet->status |= BIT(index_of(t));
		update_level(t);
	} else if (may_interrupt(t)) {
		set_line(t, false);
		set_line(t, true);
	}
}

/* ---- comparators ---- */

static uint64_t width_mask(const struct hpet_timer *t)
{
	return t->config & T_32 ? 0xffffffff : ~0ULL;
}

/* Waits for the next tick, FROM on, in which the counter equals the comparator. */
static void arm_from(struct hpet_timer *t, uint64_t from)
{
	uint64_t ahead = (t->comparator - from) & width_mask(t);
	uint64_t at = from + ahead - t->hpet->counter; /* in ticks of the clock */
	uint64_t tsc;

	if (!(t->hpet->config & ENABLE) || at < ahead) {
		dev_timer_set(t->hpet->vm, &t->expiry, 0);
		return;
	}
	tsc = clock_tsc_of(t->hpet->vm, at, HPET_HZ);
	if (t->config & T_PERIODIC)
		tsc = MAX(tsc, clock_tsc_after(1000ull * HPET_MIN_TICK / (HPET_HZ / 1000000)));
	dev_timer_set(t->hpet->vm, &t->expiry, tsc);
}

static void arm(struct hpet_timer *t)
{
	arm_from(t, counter(t->hpet));
}

/* Periods that went by unseen are one interrupt. */
static void advance(struct hpet_timer *t, uint64_t now)
{
	uint64_t mask = width_mask(t);
	uint64_t late = (now - t->comparator) & mask;

	if (t->config & T_PERIODIC && t->period & mask)
		t->comparator += (late / (t->period & mask) + 1) * (t->period & mask);
	t->comparator &= mask;
}

static void expired(void *dev)
{
	struct hpet_timer *t = dev;
	uint64_t now = counter(t->hpet);

	fire(t);
	advance(t, now);
	arm_from(t, now + 1);
}

/* ---- registers ---- */

/* The bits MASK of a register become those of VALUE. */
static uint64_t merge(uint64_t old, uint64_t value, uint64_t mask)
{
	return (old & ~mask) | (value & mask);
}

static void write_config(struct hpet *h, uint64_t value)
{
	uint64_t old = h->config;
	uint64_t now = counter(h);

	for (unsigned int i = 0; i < HPET_TIMERS; i++)
		set_line(&h->timer[i], false); /* where it was */
	h->config = value & CONFIG_WRITABLE;
	if ((old ^ h->config) & ENABLE)
		h->counter = h->config & ENABLE ? now - clock_ticks(h->vm, HPET_HZ) : now;
	if ((old ^ h->config) & LEGACY)
		h->replace(h->ctx, h->config & LEGACY);
	for (unsigned int i = 0; i < HPET_TIMERS; i++) {
		update_level(&h->timer[i]);
		arm(&h->timer[i]);
	}
}

static void write_counter(struct hpet *h, uint64_t value, uint64_t mask)
{
	h->counter += merge(counter(h), value, mask) - counter(h);
	for (unsigned int i = 0; i < HPET_TIMERS; i++)
		arm(&h->timer[i]);
}

/* An input that it cannot have leaves the route as it was: software looks (2.3.8). */
static void write_timer_config(struct hpet_timer *t, uint64_t value)
{
	set_line(t, false); /* where it was */
	if (!(T_ROUTES & BIT(T_ROUTE(value))))
		value = merge(value, t->config, 0x3e00);
	t->config = value & T_WRITABLE;
	if (t->config & T_32) {
		t->comparator &= 0xffffffff;
		t->period &= 0xffffffff;
	}
	update_level(t);
	arm(t);
}

/*
 * In periodic mode what is written is the period, and with VAL_SET before it also the next match
 * (2.3.9.2.2).
 */
static void write_comparator(struct hpet_timer *t, uint64_t value, uint64_t mask)
{
	bool periodic = t->config & T_PERIODIC;

	mask &= width_mask(t);
	if (!periodic || t->config & T_VAL_SET)
		t->comparator = merge(t->comparator, value, mask);
	if (periodic)
		t->period = merge(t->period, value, mask);
	t->config &= ~T_VAL_SET;
	arm(t);
}

static uint64_t timer_config(const struct hpet_timer *t)
{
	return (uint64_t)T_ROUTES << 32 | T_CAN | t->config;
}

static uint64_t read_timer(const struct hpet_timer *t, uint64_t reg)
{
	switch (reg) {
	case TIMER_CONFIG:
		return timer_config(t);
	case TIMER_COMPARATOR:
		return t->comparator;
	default:
		return 0;
	}
}

static uint64_t read_reg(const struct hpet *h, uint64_t reg)
{
	if (reg >= TIMERS && (reg - TIMERS) / 32 < HPET_TIMERS)
		return read_timer(&h->timer[(reg - TIMERS) / 32], reg & 31);
	switch (reg) {
	case CAPABILITIES:
		return (uint64_t)(FS_PER_S / HPET_HZ) << 32 | HPET_ID;
	case CONFIG:
		return h->config;
	case STATUS:
		return h->status;
	case COUNTER:
		return counter(h);
	default:
		return 0;
	}
}

static void write_status(struct hpet *h, uint64_t value)
{
	h->status &= ~value;
	for (unsigned int i = 0; i < HPET_TIMERS; i++)
		if (value & BIT(i) && h->timer[i].config & T_LEVEL)
			update_level(&h->timer[i]);
}

/* VALUE is in place; MASK says which of the register's bits were written. */
static void write_reg(struct hpet *h, uint64_t reg, uint64_t value, uint64_t mask)
{
	struct hpet_timer *t = &h->timer[MIN((reg - TIMERS) / 32, HPET_TIMERS - 1)];

	switch (reg) {
	case CONFIG:
		write_config(h, merge(h->config, value, mask));
		return;
	case STATUS:
		write_status(h, value & mask);
		return;
	case COUNTER:
		write_counter(h, value, mask);
		return;
	default:
		break;
	}
	if (reg < TIMERS || (reg - TIMERS) / 32 >= HPET_TIMERS)
		return;
	if ((reg & 31) == TIMER_CONFIG)
		write_timer_config(t, merge(t->config, value, mask));
	else if ((reg & 31) == TIMER_COMPARATOR)
		write_comparator(t, value, mask);
}

/* Accesses have 4 or 8 bytes, aligned (2.3.2); others read 0 and write nothing. */
static void mmio(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		 uint64_t *value)
{
	unsigned int shift = offset & 4 ? 32 : 0;
	uint64_t mask = size == 8 ? ~0ULL : 0xffffffffULL << shift;

	(void)v;
	if (size < 4 || offset & (size - 1u)) {
		if (!write)
			*value = 0;
	} else if (write) {
		write_reg(dev, offset & ~7ULL, *value << shift, mask);
	} else {
		*value = read_reg(dev, offset & ~7ULL) >> shift;
	}
}

int hpet_init(struct hpet *h, struct vm *vm, void (*replace)(void *ctx, bool on), void *ctx)
{
	*h = (struct hpet){.vm = vm, .replace = replace, .ctx = ctx};
	for (unsigned int i = 0; i < HPET_TIMERS; i++) {
		struct hpet_timer *t = &h->timer[i];

		t->hpet = h;
		t->expiry = (struct dev_timer){.expired = expired, .dev = t};
		dev_timer_add(vm, &t->expiry);
	}
	return bus_add_mmio(vm, HPET_GPA, HPET_SIZE, mmio, h);
}

void hpet_reset(struct hpet *h)
{
	write_config(h, 0);
	h->status = 0;
	h->counter = 0;
	for (unsigned int i = 0; i < HPET_TIMERS; i++) {
		struct hpet_timer *t = &h->timer[i];

		t->config = 0;
		t->comparator = ~0ULL;
		t->period = 0;
	}
}
