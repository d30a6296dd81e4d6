/* See core/sched.h. */
#include "core/sched.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "arch/x86/fpu.h"
#include "arch/x86/pages.h"
#include "arch/x86/percpu.h"
#include "arch/x86/tsc.h"
#include "core/cpuid.h"
#include "core/lifecycle.h"
#include "core/run.h"
#include "core/vm.h"
#include "lib/assert.h"
#include "lib/err.h"

/* One core's share of the scheduler. Its own core alone writes it; others read `attentive`. */
struct sched {
	struct vcpu *queue;   /* a ring by next_on_cpu; the vCPU to try next */
	struct vcpu *current; /* whose state is in the registers */
	struct vm *map;	      /* whose page tables are in CR3 */
	uint64_t armed;	      /* host TSC the physical timer is set to; 0: stopped */
	unsigned int count;
	uint32_t attentive; /* in a guest, about to enter one, or idle: a kick is wanted */
};

/* The boot core's, by the clock. */
static uint64_t (*housekeeping)(void);
static uint64_t housekeeping_at;

void sched_set_housekeeping(uint64_t (*fn)(void))
{
	housekeeping = fn;
}

static struct sched *sched_of(const struct pcpu *cpu)
{
	return cpu->core_private;
}

int sched_init_cpu(struct pcpu *cpu)
{
	cpu->core_private = pages_alloc(1);
	return cpu->core_private ? 0 : -ENOMEM;
}

void sched_place(struct vcpu *v, struct pcpu *cpu)
{
	struct sched *s = sched_of(cpu);

	v->cpu = cpu;
	if (s->queue) {
		v->next_on_cpu = s->queue->next_on_cpu;
		s->queue->next_on_cpu = v;
	} else {
		v->next_on_cpu = v;
		s->queue = v;
	}
	s->count++;
}

unsigned int sched_load_of(const struct pcpu *cpu)
{
	return sched_of(cpu)->count;
}

bool sched_alone(const struct vcpu *v)
{
	return sched_of(v->cpu)->count == 1;
}

static void kick_cpu(struct pcpu *cpu)
{
	if (cpu != this_cpu() && __atomic_load_n(&sched_of(cpu)->attentive, __ATOMIC_SEQ_CST))
		apic_send_ipi(cpu->apic_id, VEC_KICK);
}

void sched_kick(struct vcpu *v)
{
	kick_cpu(v->cpu);
}

void sched_wake_all(void)
{
	for (unsigned int i = 0; i < cpu_count; i++)
		if (pcpus[i]->core_private)
			kick_cpu(pcpus[i]);
}

void sched_attentive(bool on)
{
	__atomic_store_n(&sched_of(this_cpu())->attentive, on, __ATOMIC_SEQ_CST);
}

/* Everything the guest may have: XCR0 must allow a component for XSAVE and XRSTOR to touch it. */
static uint64_t fpu_mask(const struct vcpu *v)
{
	uint64_t mask = cpuid_xcr0_mask(v->vm);

	fpu_set_xcr0(mask ? mask : XCR0_X87 | XCR0_SSE);
	return mask;
}

void sched_unload(struct vcpu *v)
{
	struct sched *s = sched_of(this_cpu());

	if (s->current != v)
		return;
	fpu_save(v->fpu, fpu_mask(v));
	hv->put(v);
	s->current = NULL;
}

void sched_map(struct vm *vm)
{
	struct sched *s = sched_of(this_cpu());

	if (s->map == vm)
		return;
	if (s->current)
		sched_unload(s->current);
	write_cr3(vm->host.root);
	s->map = vm;
}

void sched_load(struct vcpu *v)
{
	struct sched *s = sched_of(this_cpu());

	assert(v->cpu == this_cpu());
	if (s->current == v)
		return;
	if (s->current)
		sched_unload(s->current);
	sched_map(v->vm);
	fpu_restore(v->fpu, fpu_mask(v));
	fpu_set_xcr0(v->xcr0);
	fpu_set_xss(v->xss);
	hv->load(v);
	s->current = v;
}

/* Has V something to do now? */
static bool wants_core(const struct vcpu *v)
{
	uint32_t requests = __atomic_load_n(&v->requests, __ATOMIC_SEQ_CST);

	switch (v->activity) {
	case VCPU_PARKED:
		return requests & REQ_START && (v->id || tsc_now() >= v->vm->start_at);
	case VCPU_WAIT_SIPI:
		return requests & (REQ_INIT | REQ_SIPI | REQ_STOP);
	case VCPU_HALTED:
		return requests || (v->timer_deadline && tsc_now() >= v->timer_deadline);
	default:
		return true;
	}
}

/* When V will want the core by itself; ~0: it waits for somebody's request. */
static uint64_t wakes_at(const struct vcpu *v)
{
	if (v->activity == VCPU_PARKED)
		return v->id == 0 && v->requests & REQ_START ? v->vm->start_at : ~0ull;
	if (v->activity == VCPU_HALTED && v->timer_deadline)
		return v->timer_deadline;
	return ~0ull;
}

static struct vcpu *pick(struct sched *s)
{
	struct vcpu *v = s->queue;

	for (unsigned int i = 0; i < s->count; i++, v = v->next_on_cpu) {
		if (wants_core(v)) {
			s->queue = v->next_on_cpu;
			return v;
		}
	}
	return NULL;
}

/* The physical timer, set only where the time has changed. */
static void arm(struct sched *s, uint64_t at)
{
	if (at == ~0ull && s->armed)
		apic_timer_stop();
	if (at != ~0ull && at != s->armed)
		apic_timer_arm(at);
	s->armed = at == ~0ull ? 0 : at;
}

static bool others_want(struct vcpu *v)
{
	for (struct vcpu *o = v->next_on_cpu; o != v; o = o->next_on_cpu)
		if (wants_core(o))
			return true;
	return false;
}

static void keep_house(void)
{
	if (housekeeping && this_cpu()->id == 0 && tsc_now() >= housekeeping_at)
		housekeeping_at = housekeeping();
}

/* When the core must be outside guests and awake for it; ~0: never. */
static uint64_t housekeeping_deadline(void)
{
	return housekeeping && this_cpu()->id == 0 ? housekeeping_at : ~0ull;
}

bool sched_may_stay(struct vcpu *v)
{
	keep_house();
	return sched_alone(v) || tsc_now() < v->slice_end || !others_want(v);
}

uint64_t sched_deadline(struct vcpu *v)
{
	uint64_t at = MIN(v->timer_deadline ? v->timer_deadline : ~0ull, housekeeping_deadline());

	if (!sched_alone(v)) {
		if (others_want(v))
			at = MIN(at, v->slice_end);
		for (struct vcpu *o = v->next_on_cpu; o != v; o = o->next_on_cpu)
			at = MIN(at, MAX(wakes_at(o), v->slice_end));
	}
	if (!(hv_caps.features & HV_F_DEADLINE))
		arm(sched_of(v->cpu), at);
	return at;
}

static void idle(struct sched *s)
{
	uint64_t at = housekeeping_deadline();
	struct vcpu *v = s->queue;

	for (unsigned int i = 0; i < s->count; i++, v = v->next_on_cpu)
		at = MIN(at, wakes_at(v));
	arm(s, at);
	sched_attentive(true);
	/* A request that came before sched_attentive() is seen here, one after it sends an
	 * interrupt. */
	if (!pick(s) && !lifecycle_all_ended())
		cpu_idle();
	sched_attentive(false);
	s->armed = 0;
}

/* The last guest has ended: this core leaves virtualization and stops; the boot core waits for all
 * and powers off. */
static uint32_t stopped;

static _Noreturn void leave(struct pcpu *cpu)
{
	struct sched *s = sched_of(cpu);

	if (s->current)
		sched_unload(s->current);
	apic_timer_stop();
	hv->cpu_off(cpu);
	__atomic_add_fetch(&stopped, 1, __ATOMIC_ACQ_REL);
	if (cpu->id == 0) {
		unsigned int online = 0;

		for (unsigned int i = 0; i < cpu_count; i++)
			online += pcpus[i]->state == CPU_ONLINE;
		while (__atomic_load_n(&stopped, __ATOMIC_ACQUIRE) < online)
			cpu_pause();
		machine_off();
	}
	for (;;)
		cpu_hlt();
}

/* One turn of V: what was asked of it while it was off, then the guest. */
static void turn(struct vcpu *v)
{
	if (v->activity == VCPU_PARKED) {
		__atomic_fetch_and(&v->requests, ~(uint32_t)REQ_START, __ATOMIC_ACQ_REL);
		lifecycle_start(v);
	}
	if (__atomic_load_n(&v->vm->state, __ATOMIC_ACQUIRE) == VM_RUNNING) {
		sched_load(v);
		v->slice_end = tsc_now() + tsc_from_ns(SCHED_SLICE_US * 1000ull);
		run_vcpu(v);
	}
	if (__atomic_load_n(&v->vm->state, __ATOMIC_ACQUIRE) == VM_ENDING) {
		sched_unload(v);
		v->activity = VCPU_PARKED;
		__atomic_store_n(&v->requests, 0, __ATOMIC_RELEASE);
		lifecycle_parked(v);
	}
}

_Noreturn void sched_loop(struct pcpu *cpu)
{
	struct sched *s = sched_of(cpu);

	for (;;) {
		struct vcpu *v;

		cpu_irq_window();
		if (lifecycle_all_ended())
			leave(cpu);
		keep_house();
		v = pick(s);
		if (v)
			turn(v);
		else
			idle(s);
	}
}
