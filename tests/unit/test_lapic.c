/* links: core/lapic.c core/gmem.c core/lapic_irq.c core/lapic_timer.c tests/unit/support/fake_core.c */
/* The guest's local APIC against SDM vol. 3A chapter 11: registers, modes, interrupts. */
#include "tests/unit/support/fake_core.h"

#include <pthread.h>
#include <string.h>

#include "core/lapic.h"
#include "lib/err.h"

#define ENABLED 0x1ffu

static struct vm *vm;
static struct vcpu *cpu;

static uint8_t ended[8];
static unsigned int end_count;

static void note_eoi(void *dev, uint8_t vector)
{
	(void)dev;
	ended[end_count++] = vector;
}

static void no_line(void *dev, unsigned int gsi, bool level)
{
	(void)dev;
	(void)gsi;
	(void)level;
}

static void start(unsigned int vcpus, bool vid)
{
	vm = fake_vm_new(vcpus);
	fake.offers_vid = vid;
	vm->sink[0] = (struct irq_sink){.set_line = no_line, .eoi = note_eoi};
	vm->sink_count = 1;
	for (unsigned int i = 0; i < vcpus; i++)
		lapic_reset(vm->vcpu[i], false);
	cpu = vm->vcpu[0];
	end_count = 0;
}

static int setup(void **state)
{
	(void)state;
	start(4, false);
	return 0;
}

static int setup_vid(void **state)
{
	(void)state;
	start(4, true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

static uint32_t rd(struct vcpu *v, uint32_t offset)
{
	uint64_t value = ~0ULL;

	lapic_mmio(v, offset, false, 4, &value);
	return (uint32_t)value;
}

static void wr(struct vcpu *v, uint32_t offset, uint32_t value)
{
	uint64_t wide = value;

	lapic_mmio(v, offset, true, 4, &wide);
}

static uint32_t msr_of(uint32_t offset)
{
	return 0x800 + (offset >> 4);
}

static void enable_all(void)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		wr(vm->vcpu[i], APIC_SVR, ENABLED);
}

static void to_x2apic(struct vcpu *v)
{
	assert_int_equal(lapic_set_base(v, v->apic_base | APIC_BASE_EXTD), 0);
	assert_int_equal(lapic_msr_write(v, msr_of(APIC_SVR), ENABLED), 0);
}

/* The vector that V would take now, or -1; as the run loop does. */
static int taken(struct vcpu *v)
{
	int vector;

	lapic_sync(v);
	vector = lapic_next(v);
	if (vector >= 0)
		lapic_accept(v, (uint8_t)vector);
	return vector;
}

/* Bit per vCPU that has VECTOR pending; all pending ones are taken and ended. */
static unsigned int who_got(uint8_t vector)
{
	unsigned int who = 0;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		int got = taken(vm->vcpu[i]);

		if (got < 0)
			continue;
		assert_int_equal(got, vector);
		who |= 1u << i;
		lapic_eoi(vm->vcpu[i]);
	}
	return who;
}

/* ---- state after reset: 11.4.7.1 ---- */

static uint8_t no_vector(void *dev)
{
	(void)dev;
	return 0;
}

/* Behind an 8259 pair the boot processor starts in virtual wire mode, as firmware leaves it. */
static void virtual_wire(void **state)
{
	(void)state;
	vm->extint.acknowledge = no_vector;
	lapic_reset(vm->vcpu[0], false);
	lapic_reset(vm->vcpu[1], false);
	assert_true(lapic_accepts_extint(vm->vcpu[0]));
	assert_int_equal(rd(vm->vcpu[0], 0xf0), 0x1ff);
	assert_int_equal(rd(vm->vcpu[0], 0x350), 0x700);
	assert_int_equal(rd(vm->vcpu[0], 0x360), 0x400);
	assert_false(lapic_accepts_extint(vm->vcpu[1]));
	assert_int_equal(rd(vm->vcpu[1], 0x350), 0x10000);
	/* INIT masks it. */
	lapic_reset(vm->vcpu[0], true);
	assert_false(lapic_accepts_extint(vm->vcpu[0]));
}

static void reset_state(void **state)
{
	static const uint32_t lvts[] = {APIC_LVT_TIMER, APIC_LVT_THERMAL, APIC_LVT_PMC,
					APIC_LVT_LINT0, APIC_LVT_LINT1,	  APIC_LVT_ERROR};
	struct vcpu *v = vm->vcpu[2];

	(void)state;
	assert_int_equal(cpu->apic_base, 0xfee00900);
	assert_int_equal(v->apic_base, 0xfee00800);
	assert_int_equal(rd(v, APIC_ID), 2u << 24);
	assert_int_equal(rd(v, APIC_VERSION) & 0xff, 0x14);
	assert_int_equal(rd(v, APIC_VERSION) >> 16 & 0xff, ARRAY_SIZE(lvts) - 1);
	assert_true(rd(v, APIC_VERSION) & 1u << 24);
	assert_int_equal(rd(v, APIC_SVR), 0xff);
	assert_int_equal(rd(v, APIC_DFR), 0xffffffff);
	assert_int_equal(rd(v, APIC_LDR), 0);
	assert_int_equal(rd(v, APIC_TPR), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(lvts); i++)
		assert_int_equal(rd(v, lvts[i]), 0x10000);
	for (uint32_t i = 0; i < 0x80; i += 0x10)
		assert_int_equal(rd(v, APIC_ISR + i) | rd(v, APIC_TMR + i) | rd(v, APIC_IRR + i),
				 0);
	assert_int_equal(fake.apic_mode_calls, 4);
}

static void init_keeps_base_and_id(void **state)
{
	struct vcpu *v = vm->vcpu[3];
	uint64_t value;

	(void)state;
	to_x2apic(v);
	lapic_post(v, 0x50, false);
	lapic_reset(v, true);
	assert_int_equal(v->apic_mode, APIC_X2APIC);
	assert_int_equal(v->apic_base, 0xfee00c00);
	assert_int_equal(lapic_msr_read(v, msr_of(APIC_ID), &value), 0);
	assert_int_equal(value, 3);
	assert_int_equal(lapic_msr_read(v, msr_of(APIC_LDR), &value), 0);
	assert_int_equal(value, 8);
	assert_int_equal(lapic_msr_read(v, msr_of(APIC_SVR), &value), 0);
	assert_int_equal(value, 0xff);
	assert_int_equal(taken(v), -1);
}

/* ---- priorities: 11.8.3, 11.8.4 ---- */

static void highest_vector_first_and_nested(void **state)
{
	(void)state;
	enable_all();
	lapic_post(cpu, 0x31, false);
	lapic_post(cpu, 0x38, false);
	assert_int_equal(fake_requests(cpu) & REQ_IRQ, REQ_IRQ);
	assert_int_equal(taken(cpu), 0x38);
	assert_int_equal(rd(cpu, APIC_ISR + 0x10), 1u << 24);
	assert_int_equal(rd(cpu, APIC_PPR), 0x30);
	/* Same class: waits. Higher class: interrupts the handler. */
	assert_int_equal(taken(cpu), -1);
	lapic_post(cpu, 0x41, false);
	assert_int_equal(taken(cpu), 0x41);
	wr(cpu, APIC_EOI, 0);
	assert_int_equal(rd(cpu, APIC_PPR), 0x30);
	assert_int_equal(taken(cpu), -1);
	fake_requests(cpu);
	wr(cpu, APIC_EOI, 0);
	assert_int_equal(fake_requests(cpu), REQ_EVENT);
	assert_int_equal(taken(cpu), 0x31);
	wr(cpu, APIC_EOI, 0);
	assert_int_equal(rd(cpu, APIC_PPR), 0);
	wr(cpu, APIC_EOI, 0);
}

static void tpr_holds_back(void **state)
{
	(void)state;
	enable_all();
	wr(cpu, APIC_TPR, 0x5a);
	assert_int_equal(rd(cpu, APIC_PPR), 0x5a);
	lapic_post(cpu, 0x5f, false);
	assert_int_equal(taken(cpu), -1);
	assert_false(lapic_has_deliverable(cpu));
	assert_int_equal(lapic_blocked_class(cpu), 5);
	fake_requests(cpu);
	wr(cpu, APIC_TPR, 0x50);
	assert_int_equal(fake_requests(cpu), 0);
	wr(cpu, APIC_TPR, 0x4f);
	assert_int_equal(fake_requests(cpu), REQ_EVENT);
	assert_true(lapic_has_deliverable(cpu));
	assert_int_equal(lapic_blocked_class(cpu), 0);
	assert_int_equal(taken(cpu), 0x5f);
	/* What is held back by a vector in service, no TPR frees. */
	lapic_post(cpu, 0x51, false);
	assert_int_equal(taken(cpu), -1);
	assert_int_equal(lapic_blocked_class(cpu), 0);
	assert_int_equal(rd(cpu, APIC_PPR), 0x50);
}

static void tpr_takes_eight_bits(void **state)
{
	(void)state;
	wr(cpu, APIC_TPR, 0xffffff20);
	assert_int_equal(rd(cpu, APIC_TPR), 0x20);
}

/* ---- level-triggered vectors: 11.8.5 ---- */

static void eoi_broadcast(void **state)
{
	(void)state;
	enable_all();
	lapic_post(cpu, 0x60, true);
	assert_int_equal(taken(cpu), 0x60);
	assert_int_equal(rd(cpu, APIC_TMR + 0x30), 1);
	wr(cpu, APIC_EOI, 0);
	assert_int_equal(end_count, 1);
	assert_int_equal(ended[0], 0x60);
	/* The same vector as an edge clears its TMR bit, and ends here alone. */
	lapic_post(cpu, 0x60, false);
	assert_int_equal(taken(cpu), 0x60);
	assert_int_equal(rd(cpu, APIC_TMR + 0x30), 0);
	wr(cpu, APIC_EOI, 0);
	assert_int_equal(end_count, 1);
}

static void directed_eoi_suppresses_broadcast(void **state)
{
	(void)state;
	wr(cpu, APIC_SVR, ENABLED | 0x1000);
	assert_int_equal(rd(cpu, APIC_SVR), 0x11ff);
	lapic_post(cpu, 0x60, true);
	assert_int_equal(taken(cpu), 0x60);
	wr(cpu, APIC_EOI, 0);
	assert_int_equal(end_count, 0);
	assert_int_equal(rd(cpu, APIC_ISR + 0x30), 0);
}

static void vid_tells_the_back_end(void **state)
{
	unsigned int calls, syncs;

	(void)state;
	enable_all();
	calls = fake.eoi_exits_calls;
	syncs = fake.irq_syncs;
	lapic_sync(cpu);
	assert_int_equal(fake.irq_syncs, syncs);
	lapic_post(cpu, 0x41, false);
	lapic_sync(cpu);
	assert_int_equal(fake.irq_syncs, syncs + 1);
	assert_int_equal(fake.eoi_exits_calls, calls);
	lapic_post(cpu, 0xc3, true);
	lapic_sync(cpu);
	assert_int_equal(fake.eoi_exits_calls, calls + 1);
	assert_int_equal(fake.eoi_exits[3], 8);
	assert_int_equal(fake.eoi_exits[0] | fake.eoi_exits[1] | fake.eoi_exits[2], 0);
	lapic_eoi_exit(cpu, 0xc3);
	lapic_eoi_exit(cpu, 0x41);
	assert_int_equal(end_count, 1);
	assert_int_equal(ended[0], 0xc3);
	assert_true(lapic_has_deliverable(cpu));
}

/* ---- destinations: 11.6.2 ---- */

static void send_ipi(struct vcpu *v, uint32_t dest, uint32_t low)
{
	wr(v, APIC_ICR_HI, dest << 24);
	wr(v, APIC_ICR_LO, low);
}

static void physical(void **state)
{
	(void)state;
	enable_all();
	send_ipi(cpu, 2, 0x4055);
	assert_int_equal(who_got(0x55), 1u << 2);
	send_ipi(cpu, 0xff, 0x4055);
	assert_int_equal(who_got(0x55), 0xf);
	send_ipi(cpu, 9, 0x4055);
	assert_int_equal(who_got(0x55), 0);
	assert_int_equal(rd(cpu, APIC_ICR_LO), 0x4055);
	assert_int_equal(rd(cpu, APIC_ICR_HI), 9u << 24);
}

static void shorthands(void **state)
{
	(void)state;
	enable_all();
	send_ipi(vm->vcpu[1], 0, 1u << 18 | 0x55);
	assert_int_equal(who_got(0x55), 1u << 1);
	send_ipi(vm->vcpu[1], 0, 2u << 18 | 0x55);
	assert_int_equal(who_got(0x55), 0xf);
	send_ipi(vm->vcpu[1], 0, 3u << 18 | 0x55);
	assert_int_equal(who_got(0x55), 0xd);
}

static void logical_flat(void **state)
{
	(void)state;
	enable_all();
	for (unsigned int i = 0; i < 4; i++)
		wr(vm->vcpu[i], APIC_LDR, 1u << (24 + i) | 0xffff);
	assert_int_equal(rd(vm->vcpu[1], APIC_LDR), 0x02000000);
	send_ipi(cpu, 0x0a, 0x4855);
	assert_int_equal(who_got(0x55), 0xa);
	send_ipi(cpu, 0xf0, 0x4855);
	assert_int_equal(who_got(0x55), 0);
	wr(vm->vcpu[3], APIC_LDR, 0);
	send_ipi(cpu, 0xff, 0x4855);
	assert_int_equal(who_got(0x55), 0xf);
}

static void logical_cluster(void **state)
{
	static const uint32_t ldr[] = {0x11, 0x12, 0x21, 0x24};

	(void)state;
	enable_all();
	for (unsigned int i = 0; i < 4; i++) {
		wr(vm->vcpu[i], APIC_DFR, 0x0fffffff);
		wr(vm->vcpu[i], APIC_LDR, ldr[i] << 24);
	}
	assert_int_equal(rd(cpu, APIC_DFR), 0x0fffffff);
	send_ipi(cpu, 0x13, 0x4855);
	assert_int_equal(who_got(0x55), 0x3);
	send_ipi(cpu, 0x2c, 0x4855);
	assert_int_equal(who_got(0x55), 0x8);
	send_ipi(cpu, 0xff, 0x4855);
	assert_int_equal(who_got(0x55), 0xf);
}

static void x2apic_destinations(void **state)
{
	uint32_t icr = msr_of(APIC_ICR_LO);

	(void)state;
	fake_vm_free(vm);
	start(20, false);
	for (unsigned int i = 0; i < 20; i++)
		to_x2apic(vm->vcpu[i]);
	assert_int_equal(lapic_msr_write(cpu, icr, 17ULL << 32 | 0x55), 0);
	assert_int_equal(who_got(0x55), 1u << 17);
	assert_int_equal(lapic_msr_write(cpu, icr, 0xffffffffULL << 32 | 0x55), 0);
	assert_int_equal(who_got(0x55), 0xfffff);
	/* Cluster 1, members 0 and 3. */
	assert_int_equal(lapic_msr_write(cpu, icr, 0x00010009ULL << 32 | 0x855), 0);
	assert_int_equal(who_got(0x55), 1u << 16 | 1u << 19);
	/* 0xff is no broadcast in 32 bits. */
	assert_int_equal(lapic_msr_write(cpu, icr, 0xffULL << 32 | 0x55), 0);
	assert_int_equal(who_got(0x55), 0);
	assert_int_equal(lapic_msr_write(cpu, msr_of(APIC_SELF_IPI), 0x77), 0);
	assert_int_equal(who_got(0x77), 1);
}

static void device_messages(void **state)
{
	struct apic_msg msg = {.dest = 0xff, .vector = 0x55};

	(void)state;
	enable_all();
	to_x2apic(vm->vcpu[1]);
	assert_true(lapic_send(vm, NULL, &msg));
	assert_int_equal(who_got(0x55), 0xf);
	msg.dest = 7;
	assert_false(lapic_send(vm, NULL, &msg));
	msg.dest = 2;
	wr(vm->vcpu[2], APIC_SVR, 0xff);
	assert_false(lapic_send(vm, NULL, &msg));
	msg.delivery = APIC_EXTINT;
	assert_false(lapic_send(vm, NULL, &msg));
}

static void lowest_priority(void **state)
{
	(void)state;
	enable_all();
	for (unsigned int i = 0; i < 4; i++)
		wr(vm->vcpu[i], APIC_LDR, 1u << (24 + i));
	wr(vm->vcpu[0], APIC_TPR, 0x40);
	wr(vm->vcpu[1], APIC_TPR, 0x20);
	wr(vm->vcpu[2], APIC_TPR, 0x10);
	wr(vm->vcpu[3], APIC_SVR, 0xff);
	send_ipi(cpu, 0x0f, 0x4955);
	assert_int_equal(who_got(0x55), 1u << 2);
	send_ipi(cpu, 0x03, 0x4955);
	assert_int_equal(who_got(0x55), 1u << 1);
	/* A vector in service counts like TPR. */
	lapic_post(vm->vcpu[2], 0x90, false);
	assert_int_equal(taken(vm->vcpu[2]), 0x90);
	send_ipi(cpu, 0x07, 0x4955);
	assert_int_equal(who_got(0x55), 1u << 1);
}

static void init_sipi_nmi(void **state)
{
	struct vcpu *v = vm->vcpu[1];

	(void)state;
	send_ipi(cpu, 1, 0xc500);
	assert_int_equal(fake_requests(v), REQ_INIT);
	send_ipi(cpu, 1, 0x8500);
	assert_int_equal(fake_requests(v), 0);
	send_ipi(cpu, 1, 0x469a);
	assert_int_equal(fake_requests(v), REQ_SIPI);
	assert_int_equal(v->sipi_vector, 0x9a);
	send_ipi(cpu, 1, 0x4400);
	assert_int_equal(fake_requests(v), REQ_NMI);
	send_ipi(cpu, 0, 3u << 18 | 0xc500);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(fake_requests(vm->vcpu[i]) & REQ_INIT, i ? REQ_INIT : 0);
	send_ipi(cpu, 0, 3u << 18 | 0x4400);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(fake_requests(vm->vcpu[i]), i ? REQ_NMI : 0);
}

/* Table 11-3: shorthands that name the sender go with fixed interrupts only. */
static void shorthands_to_self_are_fixed(void **state)
{
	static const uint32_t others[] = {0x4155, 0x4200, 0x4400, 0xc500, 0x469a};

	(void)state;
	enable_all();
	for (unsigned int mode = 0; mode < ARRAY_SIZE(others); mode++) {
		send_ipi(cpu, 0, 1u << 18 | others[mode]);
		send_ipi(cpu, 0, 2u << 18 | others[mode]);
		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(fake_requests(vm->vcpu[i]), 0);
	}
}

/* ---- errors: 11.5.3 ---- */

static void esr_latches_on_write(void **state)
{
	(void)state;
	enable_all();
	wr(cpu, APIC_LVT_ERROR, 0xfe);
	send_ipi(cpu, 1, 0x400f);
	assert_int_equal(rd(cpu, APIC_ESR), 0);
	assert_int_equal(taken(cpu), 0xfe);
	assert_int_equal(taken(vm->vcpu[1]), -1);
	wr(cpu, APIC_EOI, 0);
	/* Armed again only by a write of ESR. */
	rd(cpu, 0x3f0);
	assert_int_equal(taken(cpu), -1);
	wr(cpu, APIC_ESR, 0);
	assert_int_equal(rd(cpu, APIC_ESR), 0xa0);
	assert_int_equal(rd(cpu, APIC_ESR), 0xa0);
	rd(cpu, 0x40);
	assert_int_equal(taken(cpu), 0xfe);
	wr(cpu, APIC_ESR, 0xffffffff);
	assert_int_equal(rd(cpu, APIC_ESR), 0x80);
	wr(cpu, APIC_ESR, 0);
	assert_int_equal(rd(cpu, APIC_ESR), 0);
}

static void illegal_vector_received(void **state)
{
	struct apic_msg msg = {.dest = 1, .vector = 3};

	(void)state;
	enable_all();
	lapic_send(vm, NULL, &msg);
	wr(vm->vcpu[1], APIC_ESR, 0);
	assert_int_equal(rd(vm->vcpu[1], APIC_ESR), 0x40);
	assert_int_equal(taken(vm->vcpu[1]), -1);
	assert_int_equal(rd(vm->vcpu[1], APIC_IRR), 0);
}

/* An error interrupt with an illegal vector is one more error, and not a loop. */
static void error_entry_with_illegal_vector(void **state)
{
	(void)state;
	enable_all();
	wr(cpu, APIC_LVT_ERROR, 5);
	send_ipi(cpu, 1, 0x4001);
	wr(cpu, APIC_ESR, 0);
	assert_int_equal(rd(cpu, APIC_ESR), 0x60);
	assert_int_equal(taken(cpu), -1);
}

/* ---- software disable: 11.4.7.2 ---- */

static void software_disable(void **state)
{
	struct vcpu *v = vm->vcpu[1];

	(void)state;
	enable_all();
	wr(v, APIC_LVT_LINT0, 0x700);
	assert_true(lapic_accepts_extint(v));
	lapic_post(v, 0x55, false);
	lapic_sync(v);
	wr(v, APIC_SVR, 0xff);
	assert_int_equal(rd(v, APIC_LVT_LINT0), 0x10700);
	assert_false(lapic_accepts_extint(v));
	wr(v, APIC_LVT_LINT0, 0x700);
	assert_int_equal(rd(v, APIC_LVT_LINT0), 0x10700);
	/* Pending ones stay, new ones are refused, NMI and INIT come. */
	send_ipi(cpu, 1, 0x4066);
	assert_int_equal(taken(v), 0x55);
	lapic_eoi(v);
	assert_int_equal(taken(v), -1);
	fake_requests(v);
	send_ipi(cpu, 1, 0x4400);
	assert_int_equal(fake_requests(v), REQ_NMI);
	/* It can still send. */
	send_ipi(v, 0, 0x4066);
	assert_int_equal(taken(cpu), 0x66);
}

/* An I/O APIC entry may send the 8259 pair's interrupt to a processor whose LINT0 is masked. */
static void extint_by_message(void **state)
{
	struct apic_msg msg = {.dest = 1, .delivery = APIC_EXTINT};
	struct vcpu *v = vm->vcpu[1];

	(void)state;
	assert_false(lapic_send(vm, NULL, &msg));
	enable_all();
	wr(cpu, APIC_LVT_LINT0, 0x10700);
	fake_requests(v);
	assert_true(lapic_send(vm, NULL, &msg));
	assert_int_equal(fake_requests(v), REQ_EVENT);
	assert_true(lapic_accepts_extint(v));
	assert_false(lapic_accepts_extint(cpu));
	lapic_reset(v, true);
	assert_false(lapic_accepts_extint(v));
	/* It is no delivery mode of IPIs. */
	wr(v, APIC_SVR, 0x1ff);
	send_ipi(cpu, 1, 0x4700);
	assert_false(lapic_accepts_extint(v));
}

static void lint_pins(void **state)
{
	(void)state;
	lapic_lint(cpu, 1);
	assert_int_equal(fake_requests(cpu), 0);
	enable_all();
	wr(cpu, APIC_LVT_LINT1, 0x400);
	lapic_lint(cpu, 1);
	assert_int_equal(fake_requests(cpu), REQ_NMI);
	wr(cpu, APIC_LVT_LINT0, 0x45);
	lapic_lint(cpu, 0);
	assert_int_equal(taken(cpu), 0x45);
	wr(cpu, APIC_LVT_LINT0, 0xffffffff);
	assert_int_equal(rd(cpu, APIC_LVT_LINT0), 0x1a7ff);
}

/* ---- MMIO: 11.4.1 ---- */

static void mmio_widths(void **state)
{
	uint64_t value = 0x77;

	(void)state;
	lapic_mmio(cpu, APIC_VERSION, false, 1, &value);
	assert_int_equal(value, 0x14);
	lapic_mmio(cpu, APIC_VERSION + 2, false, 2, &value);
	assert_int_equal(value, 0x0105);
	lapic_mmio(cpu, APIC_VERSION, false, 8, &value);
	assert_int_equal(value, 0x01050014);
	lapic_mmio(cpu, APIC_VERSION + 4, false, 4, &value);
	assert_int_equal(value, 0);
	value = 0x77;
	lapic_mmio(cpu, APIC_TPR, true, 1, &value);
	lapic_mmio(cpu, APIC_TPR + 4, true, 4, &value);
	assert_int_equal(rd(cpu, APIC_TPR), 0);
	/* Every offset of the page and beyond its registers. */
	for (uint32_t offset = 0; offset < 0x1000; offset++)
		for (uint8_t size = 1; size <= 8; size *= 2)
			lapic_mmio(cpu, offset, false, size, &value);
}

static void read_only_registers(void **state)
{
	(void)state;
	wr(cpu, APIC_ID, 0x77000000);
	wr(cpu, APIC_VERSION, 0);
	wr(cpu, APIC_ISR, 0xffffffff);
	wr(cpu, APIC_IRR + 0x70, 0xffffffff);
	assert_int_equal(rd(cpu, APIC_ID), 0);
	assert_int_equal(rd(cpu, APIC_VERSION), 0x01050014);
	assert_int_equal(rd(cpu, APIC_ISR), 0);
	assert_int_equal(rd(cpu, APIC_IRR + 0x70), 0);
	wr(cpu, APIC_ESR, 0);
	assert_int_equal(rd(cpu, APIC_ESR), 0);
}

/* With APIC virtualization the page has the raw write before anything is checked. */
static void writes_by_the_processor(void **state)
{
	struct vcpu *v = vm->vcpu[1];

	(void)state;
	enable_all();
	*(uint32_t *)(void *)(v->apic_page + APIC_ID) = 0x33000000;
	lapic_written(v, APIC_ID);
	assert_int_equal(rd(v, APIC_ID), 1u << 24);
	*(uint32_t *)(void *)(v->apic_page + APIC_SVR) = 0xfffff1ff;
	lapic_written(v, APIC_SVR);
	assert_int_equal(rd(v, APIC_SVR), 0x11ff);
	*(uint32_t *)(void *)(v->apic_page + APIC_ICR_HI) = 0xffffffff;
	lapic_written(v, APIC_ICR_HI);
	assert_int_equal(rd(v, APIC_ICR_HI), 0xff000000);
	*(uint32_t *)(void *)(v->apic_page + APIC_ICR_HI) = 0;
	*(uint32_t *)(void *)(v->apic_page + APIC_ICR_LO) = 0x5055;
	lapic_written(v, APIC_ICR_LO);
	assert_int_equal(rd(v, APIC_ICR_LO), 0x4055);
	assert_int_equal(who_got(0x55), 1);
	*(uint32_t *)(void *)(v->apic_page + APIC_LVT_CMCI) = 0x55;
	lapic_written(v, APIC_LVT_CMCI);
	assert_int_equal(*(uint32_t *)(void *)(v->apic_page + APIC_LVT_CMCI), 0);
}

/* ---- modes: 11.4.3, 11.4.4, 11.12.5 ---- */

static void base_transitions(void **state)
{
	enum { OFF = 0, INVALID = 0x400, XAPIC = 0x800, X2APIC = 0xc00 };
	static const struct {
		uint16_t from, to;
		int result;
	} t[] = {
		{OFF, OFF, 0},		 {OFF, INVALID, -EPERM},
		{OFF, XAPIC, 0},	 {OFF, X2APIC, -EPERM},
		{XAPIC, OFF, 0},	 {XAPIC, INVALID, -EPERM},
		{XAPIC, XAPIC, 0},	 {XAPIC, X2APIC, 0},
		{X2APIC, OFF, 0},	 {X2APIC, INVALID, -EPERM},
		{X2APIC, XAPIC, -EPERM}, {X2APIC, X2APIC, 0},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
		uint64_t from = 0xfee00000 | t[i].from, to = 0xfee00000 | t[i].to;

		lapic_reset(cpu, false);
		if (t[i].from != OFF)
			assert_int_equal(lapic_set_base(cpu, 0xfee00800), 0);
		assert_int_equal(lapic_set_base(cpu, from), 0);
		assert_int_equal(lapic_set_base(cpu, to), t[i].result);
		assert_int_equal(cpu->apic_base, t[i].result ? from : to);
	}
}

static void base_reserved_bits(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++) {
		bool ok = bit == 8 || bit == 10 || bit == 11 || (bit >= 12 && bit < 39);

		lapic_reset(cpu, false);
		assert_int_equal(lapic_set_base(cpu, 0x800 | BIT(bit)), ok ? 0 : -EPERM);
	}
}

static void base_moves(void **state)
{
	unsigned int calls = fake.apic_mode_calls;

	(void)state;
	assert_true(lapic_covers(cpu, 0xfee00fff));
	assert_int_equal(lapic_set_base(cpu, 0x12345900), 0);
	assert_int_equal(fake.apic_mode_calls, calls + 1);
	assert_false(lapic_covers(cpu, 0xfee00000));
	assert_true(lapic_covers(cpu, 0x12345fff));
	assert_false(lapic_covers(cpu, 0x12346000));
	to_x2apic(cpu);
	assert_false(lapic_covers(cpu, 0x12345000));
}

static void disabled_takes_nothing(void **state)
{
	(void)state;
	enable_all();
	assert_int_equal(lapic_set_base(vm->vcpu[1], 0xfee00000), 0);
	assert_true(lapic_accepts_extint(vm->vcpu[1]));
	send_ipi(cpu, 0xff, 0x4055);
	assert_int_equal(who_got(0x55), 0xd);
	fake_requests(vm->vcpu[1]);
	send_ipi(cpu, 1, 0x4400);
	assert_int_equal(fake_requests(vm->vcpu[1]), 0);
	lapic_post(vm->vcpu[1], 0x55, false);
	assert_int_equal(taken(vm->vcpu[1]), -1);
	/* Enabled again, it is as after power-up. */
	assert_int_equal(lapic_set_base(vm->vcpu[1], 0xfee00800), 0);
	assert_int_equal(rd(vm->vcpu[1], APIC_SVR), 0xff);
	assert_int_equal(taken(vm->vcpu[1]), -1);
}

static void x2apic_keeps_state(void **state)
{
	struct vcpu *v = vm->vcpu[2];
	uint64_t value;

	(void)state;
	wr(v, APIC_SVR, ENABLED);
	wr(v, APIC_TPR, 0x20);
	wr(v, APIC_ICR_HI, 0x11000000);
	lapic_post(v, 0x55, false);
	lapic_sync(v);
	to_x2apic(v);
	assert_int_equal(lapic_msr_read(v, msr_of(APIC_TPR), &value), 0);
	assert_int_equal(value, 0x20);
	assert_int_equal(lapic_msr_read(v, msr_of(APIC_ID), &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(lapic_msr_read(v, msr_of(APIC_LDR), &value), 0);
	assert_int_equal(value, 4);
	assert_int_equal(lapic_msr_read(v, msr_of(APIC_ICR_LO), &value), 0);
	assert_int_equal(value >> 32, 0);
	assert_int_equal(taken(v), 0x55);
}

/* Table 11-6: which MSRs there are, and #GP for all others and for every reserved bit. */
static void x2apic_registers(void **state)
{
	static const uint64_t reserved[0x100] = {
		[0x08] = ~0xffULL,    [0x0b] = ~0ULL,	    [0x0f] = ~0x13ffULL,
		[0x28] = ~0ULL,	      [0x30] = 0xfff32000,  [0x32] = ~0x710ffULL,
		[0x33] = ~0x117ffULL, [0x34] = ~0x117ffULL, [0x35] = ~0x1f7ffULL,
		[0x36] = ~0x1f7ffULL, [0x37] = ~0x110ffULL, [0x38] = ~0xffffffffULL,
		[0x3e] = ~0xbULL,     [0x3f] = ~0xffULL,
	};
	static const char readable[] = "\x02\x03\x08\x0a\x0d\x0f\x10\x11\x12\x13\x14\x15\x16\x17"
				       "\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x20\x21\x22\x23\x24\x25"
				       "\x26\x27\x28\x30\x32\x33\x34\x35\x36\x37\x38\x39\x3e";
	uint64_t value;

	(void)state;
	assert_int_equal(lapic_msr_read(cpu, 0x802, &value), -EPERM);
	assert_int_equal(lapic_msr_write(cpu, 0x808, 0), -EPERM);
	to_x2apic(cpu);
	for (uint32_t i = 0; i < 0x100; i++) {
		bool rd_ok = memchr(readable, (int)i, sizeof(readable) - 1);

		assert_int_equal(lapic_msr_read(cpu, 0x800 + i, &value), rd_ok ? 0 : -EPERM);
		/* 0x4000..: an IPI with vector 0 only sets ESR. */
		assert_int_equal(lapic_msr_write(cpu, 0x800 + i, 0), reserved[i] ? 0 : -EPERM);
		for (unsigned int bit = 0; reserved[i] && bit < 64; bit++)
			assert_int_equal(lapic_msr_write(cpu, 0x800 + i, BIT(bit)),
					 reserved[i] & BIT(bit) ? -EPERM : 0);
	}
}

static void x2apic_icr_is_one_register(void **state)
{
	uint64_t value;

	(void)state;
	enable_all();
	to_x2apic(cpu);
	assert_int_equal(lapic_msr_write(cpu, 0x830, 0x3000040f1), 0);
	assert_int_equal(lapic_msr_read(cpu, 0x830, &value), 0);
	assert_int_equal(value, 0x3000040f1);
	assert_int_equal(who_got(0xf1), 1u << 3);
	/* As the processor reads it with APIC-register virtualization. */
	assert_memory_equal(cpu->apic_page + 0x300, &value, 8);
}

/* ---- posting from other cores ---- */

#define ROUNDS 20000

static bool all_posted;

static void *poster(void *arg)
{
	struct vcpu *v = arg;

	for (unsigned int i = 0; i < ROUNDS; i++)
		lapic_post(v, (uint8_t)(0x40 + i % 64), i & 64);
	__atomic_store_n(&all_posted, true, __ATOMIC_RELEASE);
	return NULL;
}

static void posting_loses_nothing(void **state)
{
	pthread_t thread;
	unsigned int seen = 0;
	uint64_t last = 0;

	(void)state;
	enable_all();
	assert_int_equal(pthread_create(&thread, NULL, poster, cpu), 0);
	for (bool done = false; !done;) {
		int vector;

		done = __atomic_load_n(&all_posted, __ATOMIC_ACQUIRE);
		while ((vector = taken(cpu)) >= 0) {
			last |= BIT(vector - 0x40);
			lapic_eoi(cpu);
			end_count = 0;
			seen++;
		}
	}
	pthread_join(thread, NULL);
	assert_int_equal(last, ~0ULL);
	assert_true(seen >= 64 && seen <= ROUNDS);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(cpu->posted[i], 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reset_state),
		T(virtual_wire),
		T(init_keeps_base_and_id),
		T(highest_vector_first_and_nested),
		T(tpr_holds_back),
		T(tpr_takes_eight_bits),
		T(eoi_broadcast),
		T(directed_eoi_suppresses_broadcast),
		cmocka_unit_test_setup_teardown(vid_tells_the_back_end, setup_vid, teardown),
		T(physical),
		T(shorthands),
		T(logical_flat),
		T(logical_cluster),
		T(x2apic_destinations),
		T(device_messages),
		T(lowest_priority),
		T(init_sipi_nmi),
		T(shorthands_to_self_are_fixed),
		T(esr_latches_on_write),
		T(illegal_vector_received),
		T(error_entry_with_illegal_vector),
		T(software_disable),
		T(lint_pins),
		T(extint_by_message),
		T(mmio_widths),
		T(read_only_registers),
		T(writes_by_the_processor),
		T(base_transitions),
		T(base_reserved_bits),
		T(base_moves),
		T(disabled_takes_nothing),
		T(x2apic_keeps_state),
		T(x2apic_registers),
		T(x2apic_icr_is_one_register),
		T(posting_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
