#include "tests/unit/support/fake_machine.h"

#include <string.h>

#include "arch/x86/apic.h"
#include "arch/x86/desc.h"
#include "arch/x86/fpu.h"
#include "arch/x86/mitigations.h"
#include "core/lifecycle.h"
#include "core/sched.h"
#include "lib/log.h"
#include "tests/unit/support/fake_core.h"

struct fake_machine machine;
struct pcpu *pcpus[CPU_MAX];
unsigned int cpu_count;

static jmp_buf out;

static void note_line(void *ctx, const char *line, size_t len)
{
	size_t at = strlen(machine.log);

	(void)ctx;
	assert_true(at + len + 2 <= sizeof(machine.log));
	memcpy(machine.log + at, line, len);
	machine.log[at + len] = '\n';
}

void fake_machine_reset(unsigned int cores)
{
	memset(&machine, 0, sizeof(machine));
	cpu_count = cores;
	for (unsigned int i = 0; i < cores; i++) {
		struct pcpu *p = &machine.cpu[i].pcpu;

		p->self = p;
		p->id = i;
		p->apic_id = 0x10 * (i + 1);
		p->state = CPU_ONLINE;
		pcpus[i] = p;
		machine.on[i] = true;
	}
	machine.until = ~0ull;
	log_set_sink(note_line, NULL);
	log_set_level(LOG_DEBUG);
}

struct fake_cpu *fake_here(void)
{
	return &machine.cpu[machine.here];
}

struct pcpu *this_cpu(void)
{
	return &fake_here()->pcpu;
}

/* ---- waiting ---- */

void fake_machine_run(unsigned int core, uint64_t until)
{
	machine.here = core;
	machine.until = until;
	if (setjmp(out) == 0)
		sched_loop(this_cpu());
}

_Noreturn void fake_machine_stop(void)
{
	longjmp(out, 1);
}

/* Tests that link core/sched.c have the real one. */
__attribute__((weak)) void sched_deadline_came(void)
{
}

/* The vector is the one that the timer had when its time came. */
static void tick(struct fake_cpu *c)
{
	if (c->stale || !c->timer || c->timer > fake.tsc)
		return;
	c->stale = machine.keeps_deadline;
	if (!c->stale)
		c->timer = 0;
	if (c->vector == VEC_DEADLINE)
		c->deadline_came = true;
	else
		c->came = true;
}

bool fake_pending(struct fake_cpu *c)
{
	tick(c);
	return c->came || c->deadline_came || c->kicked;
}

void fake_irq_window(void)
{
	struct fake_cpu *c = fake_here();

	machine.windows++;
	tick(c);
	c->came = c->kicked = false;
	if (c->deadline_came) {
		c->deadline_came = false;
		sched_deadline_came();
	}
	if (fake.tsc >= machine.until)
		fake_machine_stop();
}

/* Sleeps until the timer, or a kick, which may be pending: nothing else happens unless ASLEEP makes
 * it. */
void fake_idle(void)
{
	struct fake_cpu *c = fake_here();

	machine.sleeps++;
	if (machine.asleep)
		machine.asleep();
	if (fake_pending(c)) {
		fake_irq_window();
		return;
	}
	if (!c->timer || c->stale || c->timer > machine.until)
		fake_machine_stop();
	fake.tsc = MAX(fake.tsc, c->timer);
	fake_irq_window();
}

void fake_hlt(void)
{
	fake_machine_stop();
}

_Noreturn void machine_off(void)
{
	machine.off = true;
	fake_machine_stop();
}

/* ---- APIC ---- */

void apic_send_ipi(uint32_t apic_id, uint8_t vector)
{
	struct fake_cpu *c = &machine.cpu[apic_id / 0x10 - 1];

	assert_int_equal(vector, VEC_KICK);
	assert_int_equal(c->pcpu.apic_id, apic_id);
	c->kicks++;
	c->kicked = true;
}

void fake_set_timer(uint64_t host_tsc)
{
	struct fake_cpu *c = fake_here();

	tick(c);
	c->timer = host_tsc;
	c->stale = false;
}

void apic_timer_arm(uint64_t host_tsc)
{
	fake_set_timer(host_tsc);
	fake_here()->arms++;
	if (machine.arming)
		machine.arming();
}

void apic_timer_stop(void)
{
	fake_set_timer(0);
}

bool apic_timer_has_deadline(void)
{
	return machine.has_deadline;
}

uint64_t apic_timer_deadline(void)
{
	struct fake_cpu *c = fake_here();
	uint64_t at;

	tick(c);
	at = c->timer;
	if (machine.read_deadline)
		machine.read_deadline();
	return at;
}

void apic_timer_vector(uint8_t vector)
{
	tick(fake_here());
	fake_here()->vector = vector;
}

bool apic_is_pending(uint8_t vector)
{
	struct fake_cpu *c = fake_here();

	tick(c);
	return vector == VEC_DEADLINE ? c->deadline_came : c->came;
}

/* ---- FPU: SDM vol. 1 13.7 wants every component of the mask enabled in XCR0 ---- */

void fpu_init_area(void *area, uint64_t mask)
{
	const uint64_t clean = FAKE_FPU_CLEAN;

	(void)mask;
	memset(area, 0, FAKE_FPU_AREA);
	memcpy(area, &clean, sizeof(clean));
}

void fpu_save(void *area, uint64_t mask)
{
	assert_int_equal(mask & ~fake_here()->xcr0, 0);
	memcpy(area, &fake_here()->fpu, sizeof(uint64_t));
}

void fpu_restore(const void *area, uint64_t mask)
{
	assert_int_equal(mask & ~fake_here()->xcr0, 0);
	memcpy(&fake_here()->fpu, area, sizeof(uint64_t));
}

/* XSETBV's rule that no component goes without x87. */
uint8_t fake_xmm[16][16], fake_ymm[16][32], fake_mmx[8][8];
bool fake_avx_off, fake_x87_waits;

bool fpu_ymm(unsigned int number, uint8_t buf[32], bool write)
{
	assert_true(number < 16);
	if (!fake_avx_off)
		memcpy(write ? fake_ymm[number] : buf, write ? buf : fake_ymm[number], 32);
	return !fake_avx_off;
}

bool fpu_mmx(unsigned int number, uint8_t buf[8], bool write)
{
	assert_true(number < 8);
	if (!fake_x87_waits)
		memcpy(write ? fake_mmx[number] : buf, write ? buf : fake_mmx[number], 8);
	return !fake_x87_waits;
}

void fpu_xmm(unsigned int number, uint8_t buf[16], bool write)
{
	assert_true(number < 16);
	memcpy(write ? fake_xmm[number] : buf, write ? buf : fake_xmm[number], 16);
}

void fpu_set_xcr0(uint64_t value)
{
	assert_true(value & XCR0_X87);
	fake_here()->xcr0 = value;
}

void fpu_set_xss(uint64_t value)
{
	fake_here()->xss = value;
}

/* ---- registers ---- */

void mitigations_switch(bool other_vm)
{
	fake_here()->switches++;
	fake_here()->vm_switches += other_vm;
}

void fake_write_cr3(uint64_t value)
{
	fake_here()->cr3 = value;
}

void fake_set_msr(uint32_t index, uint64_t value)
{
	for (unsigned int i = 0; i < machine.msrs; i++) {
		if (machine.msr[i].index == index) {
			machine.msr[i].value = value;
			return;
		}
	}
	assert_true(machine.msrs < FAKE_MSRS);
	machine.msr[machine.msrs++] = (struct fake_msr){index, value};
}

uint64_t fake_rdmsr(uint32_t index)
{
	for (unsigned int i = 0; i < machine.msrs; i++)
		if (machine.msr[i].index == index)
			return machine.msr[i].value;
	fail_msg("RDMSR of %x, which is not there", index);
	return 0;
}

static struct fake_leaf *find_leaf(uint32_t leaf, uint32_t subleaf)
{
	for (unsigned int i = 0; i < machine.leaves; i++)
		if (machine.leaf[i].leaf == leaf && machine.leaf[i].subleaf == subleaf)
			return &machine.leaf[i];
	return NULL;
}

void fake_set_leaf(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx,
		   uint32_t edx)
{
	struct fake_leaf *l = find_leaf(leaf, subleaf);

	if (!l)
		l = &machine.leaf[machine.leaves++];
	assert_true(machine.leaves <= FAKE_CPUIDS);
	*l = (struct fake_leaf){leaf, subleaf, eax, ebx, ecx, edx};
}

struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
	const struct fake_leaf *l = find_leaf(leaf, subleaf);

	if (!l)
		return (struct cpuid_regs){0};
	return (struct cpuid_regs){l->eax, l->ebx, l->ecx, l->edx};
}

/* The sizes and offsets of a real processor's components (SDM vol. 1 13.5). */
static void add_xstate(void)
{
	static const uint32_t components[][3] = {
		{2, 256, 576}, {5, 64, 1088}, {6, 512, 1152}, {7, 1024, 1664}, {9, 8, 2688},
	};

	fake_set_leaf(0xd, 0, 0x2e7, 2696, 2696, 0);
	fake_set_leaf(0xd, 1, 0xf, 0, 0x100, 0);
	for (size_t i = 0; i < ARRAY_SIZE(components); i++)
		fake_set_leaf(0xd, components[i][0], components[i][1], components[i][2],
			      components[i][0] == 9 ? 2 : 0, 0);
}

/* All feature bits that there are, so that what a mask takes away is seen to be away. */
static void add_features(void)
{
	fake_set_leaf(1, 0, 0x50654, 0xabcd0800, ~0u, ~0u);
	fake_set_leaf(6, 0, ~0u, ~0u, ~0u, ~0u);
	fake_set_leaf(7, 0, 2, ~0u, ~0u, ~0u);
	fake_set_leaf(7, 1, ~0u, ~0u, ~0u, ~0u);
	fake_set_leaf(0xa, 0, ~0u, ~0u, ~0u, ~0u);
	fake_set_leaf(0x80000001, 0, 0x50654, 0, ~0u, ~0u);
	fake_set_leaf(0x80000007, 0, ~0u, ~0u, ~0u, ~0u);
	fake_set_leaf(0x80000008, 0, 0x3027, ~0u, 0, ~0u);
	add_xstate();
}

void fake_cpuid_intel(void)
{
	machine.leaves = 0;
	fake_set_leaf(0, 0, 0x16, 0x756e6547, 0x6c65746e, 0x49656e69);
	add_features();
	fake_set_leaf(2, 0, 0x76036301, 0xf0b5ff, 0, 0xc30000);
	fake_set_leaf(4, 0, 0x7c004121, 0x01c0003f, 0x3f, 0);
	fake_set_leaf(4, 1, 0x7c004143, 0x03c0003f, 0x3ff, 6);
	fake_set_leaf(4, 2, 0x7c07c163, 0x0280003f, 0x7fff, 4);
	fake_set_leaf(0x15, 0, 2, 168, 25000000, 0);
	fake_set_leaf(0x16, 0, 2100, 3700, 100, 0);
	fake_set_leaf(0x80000000, 0, 0x80000008, 0, 0, 0);
}

void fake_cpuid_amd(void)
{
	machine.leaves = 0;
	fake_set_leaf(0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65);
	add_features();
	fake_set_leaf(0x80000000, 0, 0x80000023, 0x68747541, 0x444d4163, 0x69746e65);
	fake_set_leaf(0x80000008, 0, 0x3030, ~0u, 0x400f, ~0u);
	fake_set_leaf(0x8000000a, 0, 1, 0x8000, 0, ~0u);
	fake_set_leaf(0x8000001e, 0, ~0u, ~0u, ~0u, ~0u);
}
