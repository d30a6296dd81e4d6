#include "devices/i8259.h"

#include "core/bus.h"
#include "core/devtimer.h"
#include "core/lapic.h"
#include "core/vm.h"
#include "devices/acpi_pm.h"
#include "lib/err.h"
#include "lib/util.h"

#define FIRST_PORT  0x20
#define SECOND_PORT 0xa0
#define ELCR_PORT   0x4d0

#define CASCADE	    2 /* input of the first that the second is behind */
#define CASCADE_BIT 0x04u
#define SPURIOUS    7 /* what an INTA without a request gets */
#define TIMER_GSI   2 /* of input 0 */
#define ISA_IRQS    16

/* Inputs that are edge-triggered on every PC: timer, keyboard, cascade; clock, coprocessor. */
static const uint8_t elcr_writable[] = {0xf8, 0xde};

/* Initialization command word 1, at the even port. */
#define ICW1	    0x10u
#define ICW1_IC4    0x01u
#define ICW1_SINGLE 0x02u
#define ICW4_AEOI   0x02u
#define ICW4_SFNM   0x10u

/* Operation command word 2: bits 7:5 are R, SL and EOI. */
#define OCW2_EOI	  0x20u
#define OCW2_SPECIFIC	  0x40u
#define OCW2_ROTATE	  0x80u
#define OCW2_LEVEL(ocw)	  ((ocw)&7u)
#define OCW2_COMMAND(ocw) ((ocw)&0xe0u)

#define OCW3	  0x08u
#define OCW3_RIS  0x01u
#define OCW3_RR	  0x02u
#define OCW3_POLL 0x04u
#define OCW3_SMM  0x20u
#define OCW3_ESMM 0x40u

#define POLL_REQUEST 0x80u

/* ---- one chip ---- */

static uint8_t requests(const struct i8259_chip *c)
{
	return (uint8_t)(c->latched | (c->lines & c->elcr));
}

static bool is_initialized(const struct i8259_chip *c)
{
	return c->next_icw == 0;
}

/* The input of the highest priority among BITS, or -1. */
static int first_of(const struct i8259_chip *c, uint8_t bits)
{
	for (unsigned int i = 1; i <= 8; i++) {
		unsigned int input = (c->lowest + i) & 7;

		if (bits & 1u << input)
			return (int)input;
	}
	return -1;
}

/* Is A of a higher priority than B? */
static bool precedes(const struct i8259_chip *c, int a, int b)
{
	return ((unsigned int)(a - c->lowest - 1) & 7) < ((unsigned int)(b - c->lowest - 1) & 7);
}

/* What is in service, and holds back requests of the same and of lower priority. */
static uint8_t blocking(const struct i8259_chip *c, bool cascaded)
{
	uint8_t isr = c->isr;

	/* In special mask mode an input that is masked holds nothing back. */
	if (c->mask_special)
		isr &= (uint8_t)~c->imr;
	/* In special fully nested mode more of the second chip's may follow. */
	if (c->nested_special && cascaded)
		isr &= (uint8_t)~CASCADE_BIT;
	return isr;
}

/* The input whose request drives INT, or -1. */
static int pending(const struct i8259_chip *c, bool cascaded)
{
	int request = first_of(c, requests(c) & (uint8_t)~c->imr);
	int service = first_of(c, blocking(c, cascaded));

	if (!is_initialized(c) || request < 0)
		return -1;
	/* Special mask mode enables every input that is not masked, and not in service. */
	if (c->mask_special)
		return first_of(c, requests(c) & (uint8_t) ~(c->imr | blocking(c, cascaded)));
	return service < 0 || precedes(c, request, service) ? request : -1;
}

static void set_input(struct i8259_chip *c, unsigned int input, bool level)
{
	uint8_t bit = (uint8_t)(1u << input);

	if (level && !(c->lines & bit) && !(c->elcr & bit))
		c->latched |= bit;
	/* A request that is gone before its INTA is none any more. */
	if (!level)
		c->latched &= (uint8_t)~bit;
	c->lines = level ? c->lines | bit : c->lines & (uint8_t)~bit;
}

/* The input's request is taken: by an INTA cycle, or by reading a poll word. */
static void take(struct i8259_chip *c, int input)
{
	uint8_t bit = (uint8_t)(1u << input);

	c->latched &= (uint8_t)~bit;
	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_auto)
		c->lowest = (uint8_t)input;
}

static void end_of_interrupt(struct i8259_chip *c, uint8_t ocw)
{
	uint8_t isr = c->mask_special ? c->isr & (uint8_t)~c->imr : c->isr;
	int input = ocw & OCW2_SPECIFIC ? (int)OCW2_LEVEL(ocw) : first_of(c, isr);

	if (input < 0)
		return;
	c->isr &= (uint8_t) ~(1u << input);
	if (ocw & OCW2_ROTATE)
		c->lowest = (uint8_t)input;
}

static void write_ocw2(struct i8259_chip *c, uint8_t ocw)
{
	if (ocw & OCW2_EOI)
		end_of_interrupt(c, ocw);
	else if (OCW2_COMMAND(ocw) == (OCW2_ROTATE | OCW2_SPECIFIC))
		c->lowest = OCW2_LEVEL(ocw);
	else if (!(ocw & OCW2_SPECIFIC))
		c->rotate_auto = ocw & OCW2_ROTATE;
}

static void write_ocw3(struct i8259_chip *c, uint8_t ocw)
{
	c->poll = ocw & OCW3_POLL;
	if (ocw & OCW3_RR)
		c->reads_isr = ocw & OCW3_RIS;
	if (ocw & OCW3_ESMM)
		c->mask_special = ocw & OCW3_SMM;
}

/* What ICW1 does by itself; the level bit is the edge/level registers' here. */
static void write_icw1(struct i8259_chip *c, uint8_t icw)
{
	*c = (struct i8259_chip){.lines = c->lines,
				 .elcr = c->elcr,
				 .base = c->base,
				 .lowest = 7,
				 .next_icw = 2,
				 .single = icw & ICW1_SINGLE,
				 .wants_icw4 = icw & ICW1_IC4};
}

static void write_icw(struct i8259_chip *c, uint8_t icw)
{
	switch (c->next_icw) {
	case 2:
		c->base = icw & 0xf8;
		c->next_icw = c->single ? (c->wants_icw4 ? 4 : 0) : 3;
		break;
	case 3: /* who is behind whom: wired as on a PC, whatever it says */
		c->next_icw = c->wants_icw4 ? 4 : 0;
		break;
	default:
		c->auto_eoi = icw & ICW4_AEOI;
		c->nested_special = icw & ICW4_SFNM;
		c->next_icw = 0;
	}
}

static void write_chip(struct i8259_chip *c, bool odd, uint8_t value)
{
	if (odd && !is_initialized(c))
		write_icw(c, value);
	else if (odd)
		c->imr = value;
	else if (value & ICW1)
		write_icw1(c, value);
	else if (value & OCW3)
		write_ocw3(c, value);
	else
		write_ocw2(c, value);
}

static uint8_t read_chip(struct i8259_chip *c, bool odd, bool cascaded)
{
	int input;

	if (c->poll) {
		c->poll = false;
		input = pending(c, cascaded);
		if (input < 0)
			return 0;
		take(c, input);
		return POLL_REQUEST | (uint8_t)input;
	}
	if (odd)
		return c->imr;
	return c->reads_isr ? c->isr : requests(c);
}

/* ---- the pair ---- */

/*
 * INT of the first goes to LINT0 of all processors, and to input 0 of the I/O APIC, whose entry
 * passes it on when it says ExtINT (MultiProcessor Specification 3.6.2.2).
 */
static void raise(struct vm *vm)
{
	vm_set_irq(vm, I8259_GSI, false);
	vm_set_irq(vm, I8259_GSI, true);
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		lapic_lint(vm->vcpu[i], 0);
		if (lapic_accepts_extint(vm->vcpu[i]))
			vcpu_request(vm->vcpu[i], REQ_EVENT);
	}
}

/*
 * INT of the second is the first's cascade input. INT falls with an INTA and rises again for the
 * next request: AGAIN says that there was one.
 */
static void update(struct i8259 *pic, bool again)
{
	struct vm *vm = pic->vm;
	bool second = pending(&pic->chip[1], false) >= 0;
	bool old = vm->extint.line && !again, line;

	/* To the first, the second is level-triggered: what it asks for cannot get lost. */
	pic->chip[0].latched &= (uint8_t)~CASCADE_BIT;
	pic->chip[0].latched |= second ? CASCADE_BIT : 0;
	line = pending(&pic->chip[0], true) >= 0;
	__atomic_store_n(&vm->extint.line, line, __ATOMIC_RELEASE);
	if (!line)
		vm_set_irq(vm, I8259_GSI, false);
	else if (!old)
		raise(vm);
	vm_irq_heard(vm);
}

static unsigned int input_of(unsigned int gsi)
{
	return gsi == TIMER_GSI ? 0 : gsi;
}

/* Masked, and has latched an edge already. */
static bool is_deaf(void *dev, unsigned int gsi)
{
	const struct i8259 *pic = dev;
	unsigned int input = input_of(gsi);
	const struct i8259_chip *c = &pic->chip[input / 8];

	return c->imr & c->latched & 1u << input % 8;
}

static void set_line(void *dev, unsigned int gsi, bool level)
{
	struct i8259 *pic = dev;
	unsigned int input = input_of(gsi);

	if (gsi >= ISA_IRQS || gsi == I8259_GSI)
		return;
	set_input(&pic->chip[input / 8], input % 8, level);
	update(pic, false);
}

/* One chip's part of an INTA cycle: the input, spurious if there is no request any more. */
static int answer(struct i8259_chip *c, bool cascaded)
{
	int input = pending(c, cascaded);

	if (input < 0)
		return SPURIOUS;
	take(c, input);
	return input;
}

static uint8_t acknowledge(void *dev)
{
	struct i8259 *pic = dev;
	int input = answer(&pic->chip[0], true);
	struct i8259_chip *c = &pic->chip[0];

	if (input == CASCADE) {
		c = &pic->chip[1];
		input = answer(c, false);
	}
	update(pic, true);
	return (uint8_t)(c->base + input);
}

static void port_byte(struct i8259 *pic, unsigned int which, uint64_t offset, bool write,
		      uint8_t *byte)
{
	struct i8259_chip *c = &pic->chip[which];

	if (write)
		write_chip(c, offset, *byte);
	else
		*byte = read_chip(c, offset, which == 0);
	update(pic, false);
}

static void first_byte(void *dev, uint64_t offset, bool write, uint8_t *byte)
{
	port_byte(dev, 0, offset, write, byte);
}

static void second_byte(void *dev, uint64_t offset, bool write, uint8_t *byte)
{
	port_byte(dev, 1, offset, write, byte);
}

static void elcr_byte(void *dev, uint64_t offset, bool write, uint8_t *byte)
{
	struct i8259 *pic = dev;
	struct i8259_chip *c = &pic->chip[offset];

	if (!write) {
		*byte = c->elcr;
		return;
	}
	c->elcr = *byte & elcr_writable[offset];
	c->latched &= (uint8_t)~c->elcr;
	update(pic, false);
}

static void first(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		  uint64_t *value)
{
	(void)v;
	bus_by_bytes(first_byte, dev, offset, write, size, value);
}

static void second(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		   uint64_t *value)
{
	(void)v;
	bus_by_bytes(second_byte, dev, offset, write, size, value);
}

static void elcr(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		 uint64_t *value)
{
	(void)v;
	bus_by_bytes(elcr_byte, dev, offset, write, size, value);
}

int i8259_init(struct i8259 *pic, struct vm *vm)
{
	int err;

	if (vm->sink_count == ARRAY_SIZE(vm->sink))
		return -ENOSPC;
	*pic = (struct i8259){.vm = vm};
	vm->extint = (struct extint){.acknowledge = acknowledge, .dev = pic};
	i8259_reset(pic);
	vm->sink[vm->sink_count++] =
		(struct irq_sink){.set_line = set_line, .is_deaf = is_deaf, .dev = pic};
	err = bus_add_pio(vm, FIRST_PORT, 2, first, pic);
	if (!err)
		err = bus_add_pio(vm, SECOND_PORT, 2, second, pic);
	return err ? err : bus_add_pio(vm, ELCR_PORT, 2, elcr, pic);
}

void i8259_reset(struct i8259 *pic)
{
	struct i8259_chip chip = {.imr = 0xff, .lowest = 7};

	pic->chip[0] = chip;
	pic->chip[0].base = 0x08;
	pic->chip[1] = chip;
	pic->chip[1].base = 0x70;
	pic->chip[1].elcr = 1u << (ACPI_SCI_GSI - 8);
	pic->vm->extint.line = false;
}
