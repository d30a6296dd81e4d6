#include "devices/i8254.h"

#include "core/bus.h"
#include "core/clock.h"
#include "core/vm.h"
#include "lib/util.h"

#define PIT_PORT    0x40
#define CONTROL	    3 /* offset of the control word register */
#define PORT_B_PORT 0x61

/* Control word: counter in bits 7:6, access in 5:4, mode in 3:1, BCD in 0. */
#define READ_BACK	    3
#define READ_BACK_NO_COUNT  0x20u
#define READ_BACK_NO_STATUS 0x10u

/* Status byte. */
#define STATUS_OUT  0x80u
#define STATUS_NULL 0x40u

/* 61h. */
#define PORT_B_GATE2	0x01u
#define PORT_B_WRITABLE 0x0fu /* bits 3:2 enable NMIs, of which this board makes none */
#define PORT_B_REFRESH	0x10u
#define PORT_B_OUT2	0x20u

#define NEVER (~0ULL)

/*
 * A guest with a period of a few microseconds would never execute an instruction between two
 * interrupts, each of which costs an exit.
 */
#define MIN_PERIOD_NS 20000

static uint64_t now(const struct i8254 *pit)
{
	return clock_ticks(pit->vm, I8254_HZ);
}

/* ---- one counter ---- */

static bool is_periodic(const struct i8254_counter *c)
{
	return c->mode == 2 || c->mode == 3;
}

static bool waits_for_trigger(const struct i8254_counter *c)
{
	return c->mode == 1 || c->mode == 5;
}

/* Does the count go down? */
static bool counts(const struct i8254_counter *c)
{
	if (!c->loaded || c->low_written)
		return false;
	return waits_for_trigger(c) ? c->triggered : c->gate;
}

/* Ticks since the count in force was loaded; 0 in the tick in which it is. */
static uint64_t passed(const struct i8254_counter *c, uint64_t t)
{
	if (!counts(c))
		return c->held;
	return t > c->start ? t - c->start : 0;
}

/* Mode 3: ticks of a period of COUNT in which the output is high. */
static uint32_t high_ticks(uint32_t count)
{
	return (count + 1) / 2;
}

/*
 * A count that was written in mode 2 comes into force when the period ends, in mode 3 already with
 * its first half. In the others it waits for a trigger.
 */
static void catch_up(struct i8254_counter *c, uint64_t t)
{
	if (!c->next || !is_periodic(c) || !counts(c) || t < c->load_at)
		return;
	c->start = c->load_at - (c->load_low ? high_ticks(c->next) : 0);
	c->count = c->next;
	c->next = 0;
}

static bool output(const struct i8254_counter *c, uint64_t t)
{
	uint64_t d = passed(c, t);

	if (!c->loaded || c->low_written)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
		return d >= c->count;
	case 1:
		return !c->triggered || d >= c->count;
	case 2:
		return !c->gate || d % c->count != c->count - 1;
	case 3:
		return !c->gate || d % c->count < high_ticks(c->count);
	default:
		return !counts(c) || d != c->count;
	}
}

/* Mode 3 counts by two, twice a period, from an even number. */
static uint32_t square_count(const struct i8254_counter *c, uint64_t d)
{
	uint32_t in = (uint32_t)(d % c->count), high = high_ticks(c->count);
	uint32_t even = c->count & ~1u;

	if (in >= high)
		in -= high;
	return 2 * in < even ? even - 2 * in : 0;
}

/* The counting element, which wraps where the mode does not load it again. */
static uint16_t value(const struct i8254_counter *c, uint64_t t)
{
	uint32_t modulus = c->bcd ? 10000 : 65536, v;
	uint64_t d = passed(c, t);

	if (c->mode == 3)
		v = square_count(c, d);
	else if (c->mode == 2)
		v = c->count - (uint32_t)(d % c->count);
	else
		v = (uint32_t)(c->count + modulus - d % modulus);
	v %= modulus;
	if (!c->bcd)
		return (uint16_t)v;
	return (uint16_t)(v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

static uint32_t decode(const struct i8254_counter *c, uint16_t count)
{
	uint32_t n = count;

	if (c->bcd)
		n = (count >> 12) * 1000u + (count >> 8 & 15) * 100u + (count >> 4 & 15) * 10u +
		    (count & 15);
	if (n)
		return n;
	return c->bcd ? 10000 : 65536;
}

/* The control word is followed by nothing but the output's first level, until a count comes. */
static void write_control(struct i8254_counter *c, uint8_t control)
{
	uint8_t mode = (control >> 1) & 7;

	*c = (struct i8254_counter){
		.mode = mode > 5 ? mode & 3 : mode,
		.access = (control >> 4) & 3,
		.bcd = control & 1,
		.gate = c->gate,
		.count = c->count,
		.held = 0,
	};
}

/* COUNT follows the period, or the half of one, that is under way. */
static void load_later(struct i8254_counter *c, uint32_t count, uint64_t t)
{
	if (t > c->start) /* to the beginning of the period that is to be the last */
		c->start += (t - c->start) / c->count * c->count;
	c->next = count;
	c->load_low = c->mode == 3 && t < c->start + high_ticks(c->count);
	c->load_at = c->start + (c->load_low ? high_ticks(c->count) : c->count);
}

static void load(struct i8254_counter *c, uint16_t written, uint64_t t)
{
	uint32_t count = decode(c, written);

	/* The element is loaded with the next tick. */
	if (c->loaded && is_periodic(c) && counts(c)) {
		load_later(c, count, t);
		return;
	}
	if (c->loaded && waits_for_trigger(c) && c->triggered) {
		c->next = count; /* for the next trigger */
		return;
	}
	c->count = count;
	c->next = 0;
	c->start = t + 1;
	c->held = 0;
	c->loaded = true;
}

static void write_count(struct i8254_counter *c, uint8_t byte, uint64_t t)
{
	catch_up(c, t);
	switch (c->access) {
	case 1:
		load(c, byte, t);
		break;
	case 2:
		load(c, (uint16_t)(byte << 8), t);
		break;
	default:
		if (!c->high_next_w) {
			c->low = byte;
			/* In mode 0 the first byte stops the count (mode 0, 1). */
			c->held = passed(c, t);
			c->low_written = c->mode == 0;
		} else {
			c->low_written = false;
			load(c, (uint16_t)(byte << 8 | c->low), t);
		}
		c->high_next_w = !c->high_next_w;
	}
}

static void latch_count(struct i8254_counter *c, uint64_t t)
{
	if (c->count_latched)
		return;
	catch_up(c, t);
	c->latch = value(c, t);
	c->count_latched = true;
}

static void latch_status(struct i8254_counter *c, uint64_t t)
{
	bool null;

	if (c->status_latched)
		return;
	catch_up(c, t);
	null = !c->loaded || c->next || (counts(c) && t < c->start);
	c->status = (uint8_t)((output(c, t) ? STATUS_OUT : 0) | (null ? STATUS_NULL : 0) |
			      c->access << 4 | c->mode << 1 | c->bcd);
	c->status_latched = true;
}

static uint8_t read_count(struct i8254_counter *c, uint64_t t)
{
	uint16_t v;
	bool high = c->access == 2;

	catch_up(c, t);
	v = c->count_latched ? c->latch : value(c, t);
	if (c->access == 3) {
		high = c->high_next_r;
		c->high_next_r = !high;
	}
	if (c->access != 3 || high)
		c->count_latched = false;
	return (uint8_t)(high ? v >> 8 : v);
}

static uint8_t read_counter(struct i8254_counter *c, uint64_t t)
{
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	return read_count(c, t);
}

static void set_gate(struct i8254_counter *c, bool gate, uint64_t t)
{
	bool rises = gate && !c->gate;

	if (gate == c->gate)
		return;
	catch_up(c, t);
	if (!gate && !waits_for_trigger(c))
		c->held = passed(c, t);
	c->gate = gate;
	if (!rises || !c->loaded)
		return;
	if (c->next && (is_periodic(c) || waits_for_trigger(c))) {
		c->count = c->next;
		c->next = 0;
	}
	/* Modes 0 and 4 go on, the others begin anew. */
	c->triggered = waits_for_trigger(c);
	c->start = t + 1 - (c->mode == 0 || c->mode == 4 ? MIN(c->held + 1, t) : 0);
	c->held = 0;
}

/* When C's output rises next after T: what an interrupt controller waits for. */
static uint64_t next_rise(struct i8254_counter *c, uint64_t t)
{
	uint64_t first, end;

	catch_up(c, t);
	if (!counts(c))
		return NEVER;
	end = c->start + c->count;
	if (c->next && c->load_low)
		end = c->load_at + c->next / 2;
	switch (c->mode) {
	case 2:
	case 3:
		first = t < c->start ? 0 : (t - c->start) / c->count;
		return end + first * c->count;
	case 4:
	case 5:
		return t <= end ? end + 1 : NEVER;
	default:
		return t < end ? end : NEVER;
	}
}

/* ---- counter 0's interrupt ---- */

static void set_line(struct i8254 *pit, bool level)
{
	if (level == pit->line)
		return;
	pit->line = level;
	if (!pit->replaced)
		vm_set_irq(pit->vm, I8254_GSI, level);
}

static void arm(struct i8254 *pit, uint64_t t)
{
	uint64_t rise = next_rise(&pit->counter[0], t);
	uint64_t at = rise == NEVER ? 0 : clock_tsc_of(pit->vm, rise, I8254_HZ);

	if (at && is_periodic(&pit->counter[0]))
		at = MAX(at, clock_tsc_after(MIN_PERIOD_NS));
	dev_timer_set(pit->vm, &pit->timer, at);
}

static void heard(void *dev)
{
	arm(dev, now(dev));
}

/*
 * The output's low phases are not followed: the line falls just before it rises again, so that an
 * interrupt that is taken late is not lost, as on a PC that takes it in time. So one pulse is like
 * the other, and those that no interrupt controller would notice are left out: a guest that has
 * masked them, as they are from power-on, is not disturbed.
 */
static void expired(void *dev)
{
	struct i8254 *pit = dev;
	struct i8254_counter *c = &pit->counter[0];
	const struct irq_waiter waiter = {.gsi = I8254_GSI, .heard = heard, .dev = pit};
	uint64_t t = now(pit);

	if (c->mode != 0)
		set_line(pit, false);
	set_line(pit, true);
	/* Where it had waited already, the line's fall has ended that, and set the timer. */
	if (vm_irq_wait(pit->vm, &waiter))
		dev_timer_set(pit->vm, &pit->timer, 0);
	else
		arm(pit, t);
}

/* Counter 0 was written to. */
static void counter0_changed(struct i8254 *pit, uint64_t t)
{
	const struct i8254_counter *c = &pit->counter[0];

	if (c->mode == 0 || !c->loaded)
		set_line(pit, output(c, t));
	arm(pit, t);
}

/* ---- ports ---- */

static void read_back(struct i8254 *pit, uint8_t control, uint64_t t)
{
	for (unsigned int i = 0; i < 3; i++) {
		if (!(control & 2u << i))
			continue;
		if (!(control & READ_BACK_NO_COUNT))
			latch_count(&pit->counter[i], t);
		if (!(control & READ_BACK_NO_STATUS))
			latch_status(&pit->counter[i], t);
	}
}

static void write_control_port(struct i8254 *pit, uint8_t control, uint64_t t)
{
	unsigned int which = control >> 6;

	if (which == READ_BACK) {
		read_back(pit, control, t);
	} else if (!(control & 0x30)) {
		latch_count(&pit->counter[which], t);
	} else {
		write_control(&pit->counter[which], control);
		if (which == 0)
			counter0_changed(pit, t);
	}
}

static void pit_byte(void *dev, uint64_t offset, bool write, uint8_t *byte)
{
	struct i8254 *pit = dev;
	uint64_t t = now(pit);

	if (offset == CONTROL) {
		if (write)
			write_control_port(pit, *byte, t);
		else
			*byte = 0xff; /* the data bus stays as it is: 8254 data sheet, table 3 */
	} else if (!write) {
		*byte = read_counter(&pit->counter[offset], t);
	} else {
		write_count(&pit->counter[offset], *byte, t);
		if (offset == 0)
			counter0_changed(pit, t);
	}
}

static void pit_ports(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		      uint64_t *value_)
{
	(void)v;
	bus_by_bytes(pit_byte, dev, offset, write, size, value_);
}

static void port_b(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		   uint64_t *byte)
{
	struct i8254 *pit = dev;
	uint64_t t = now(pit);

	(void)v;
	(void)offset;
	(void)size;
	if (write) {
		pit->port_b = (pit->port_b & PORT_B_REFRESH) | (*byte & PORT_B_WRITABLE);
		set_gate(&pit->counter[2], *byte & PORT_B_GATE2, t);
		return;
	}
	catch_up(&pit->counter[2], t);
	pit->port_b ^= PORT_B_REFRESH;
	*byte = pit->port_b | (output(&pit->counter[2], t) ? PORT_B_OUT2 : 0);
}

int i8254_init(struct i8254 *pit, struct vm *vm)
{
	int err;

	*pit = (struct i8254){.vm = vm, .timer = {.expired = expired, .dev = pit}};
	dev_timer_add(vm, &pit->timer);
	err = bus_add_pio(vm, PIT_PORT, 4, pit_ports, pit);
	return err ? err : bus_add_pio(vm, PORT_B_PORT, 1, port_b, pit);
}

void i8254_reset(struct i8254 *pit)
{
	uint64_t t = now(pit);

	pit->port_b = 0;
	pit->line = false;
	pit->replaced = false;
	for (unsigned int i = 0; i < 3; i++) {
		pit->counter[i] = (struct i8254_counter){.gate = i != 2, .count = 65536};
		write_control(&pit->counter[i], 0x36);
	}
	write_count(&pit->counter[0], 0, t);
	write_count(&pit->counter[0], 0, t);
	write_count(&pit->counter[1], 18, t);
	write_count(&pit->counter[1], 0, t);
	counter0_changed(pit, t);
}

void i8254_replace(struct i8254 *pit, bool on)
{
	pit->replaced = on;
	vm_set_irq(pit->vm, I8254_GSI, pit->line && !on);
}
