/* See core/sched.h. */
#include "core/sched.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "arch/x86/fpu.h"
#include "arch/x86/mitigations.h"
#include "arch/x86/pages.h"
#include "arch/x86/percpu.h"
#include "arch/x86/tsc.h"
#include "core/cpuid.h"
#include "core/lapic.h"
#include "core/lifecycle.h"
#include "core/run.h"
#include "core/share.h"
#include "core/vm.h"
#include "lib/assert.h"
#include "lib/err.h"

/*
 * One core's share of the scheduler. Its own core alone writes it, but for the question; others
 * read what sched_ask(), sched_answered(), sched_inside() and sched_kick() look at.
 */
struct sched {
	struct vcpu *queue;   /* a ring by next_on_cpu; where to begin among equals */
	struct vcpu *current; /* whose state is in the registers */
	struct vm *map;	      /* whose page tables are in CR3 */
	struct vm *ran;	      /* whose vCPU this core had last */
	uint64_t armed;	      /* host TSC the physical timer is set to; 0: stopped */
	uint64_t vclock;      /* the core's virtual time, from which a vCPU that wakes goes on */
	unsigned int count;
	uint64_t (*housekeeping)(void); /* by the clock: next at housekeeping_at */
	uint64_t housekeeping_at;
	uint32_t question, answer; /* sched_ask(): any core; this one */
	/* Who has been on its way into the guest since the last answer, and its exits then. */
	const struct vcpu *inside;
	uint64_t inside_exits;
	uint32_t attentive; /* in a guest, about to enter one, or idle: a kick is wanted */
};

/* Each core calls it when it is asked. */
static void (*on_question)(void);

static uint64_t slice_us = SCHED_SLICE_US;

/* What a vCPU that wakes may still owe from before it slept, in slices of a vCPU of weight 100. */
#define DEBT_SLICES 10

void sched_set_slice(uint32_t us)
{
	slice_us = us;
}

static uint64_t slice(void)
{
	return tsc_from_ns(slice_us * 1000);
}

void sched_set_on_question(void (*fn)(void))
{
	on_question = fn;
}

static struct sched *sched_of(const struct pcpu *cpu)
{
	return cpu->core_private;
}

void sched_set_housekeeping(struct pcpu *cpu, uint64_t (*fn)(void))
{
	sched_of(cpu)->housekeeping = fn;
}

void sched_keep_house_now(void)
{
	sched_of(this_cpu())->housekeeping_at = 0;
}

void sched_init_cpu(struct pcpu *cpu)
{
	_Static_assert(sizeof(struct sched) <= PERCPU_CORE_SIZE, "room in struct pcpu");

	cpu->core_private = cpu->core_area;
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

const struct vcpu *sched_current(const struct pcpu *cpu)
{
	return sched_of(cpu)->current;
}

bool sched_alone(const struct vcpu *v)
{
	return sched_of(v->cpu)->count == 1;
}

void sched_trap_pause(struct vcpu *v)
{
	if (hv_caps.features & HV_F_PAUSE && !sched_alone(v))
		hv->set_traps(v, TRAP_HLT | TRAP_MWAIT | TRAP_PAUSE);
}

static void kick_cpu(struct pcpu *cpu)
{
	if (cpu != this_cpu() && __atomic_load_n(&sched_of(cpu)->attentive, __ATOMIC_SEQ_CST))
		apic_send_ipi(cpu->apic_id, VEC_KICK);
}

void sched_ask(struct pcpu *cpu)
{
	__atomic_add_fetch(&sched_of(cpu)->question, 1, __ATOMIC_SEQ_CST);
	kick_cpu(cpu);
}

bool sched_answered(const struct pcpu *cpu)
{
	const struct sched *s = sched_of(cpu);

	return __atomic_load_n(&s->answer, __ATOMIC_ACQUIRE) == READ_ONCE(s->question);
}

/*
 * Each exit is counted before it is handled: as many as when the core answered, on its way into the
 * guest, mean that the guest has not been left since.
 */
bool sched_inside(const struct pcpu *cpu)
{
	const struct sched *s = sched_of(cpu);
	const struct vcpu *v = __atomic_load_n(&s->inside, __ATOMIC_ACQUIRE);

	return v && READ_ONCE(s->attentive) && vcpu_exits(v) == READ_ONCE(s->inside_exits);
}

/* V enters the guest next, or the core does something else: NULL. */
static void answer_question(struct sched *s, const struct vcpu *v)
{
	uint32_t question = READ_ONCE(s->question);

	if (!v)
		__atomic_store_n(&s->inside, NULL, __ATOMIC_RELEASE);
	if (s->answer == question)
		return;
	if (on_question)
		on_question();
	if (v) {
		WRITE_ONCE(s->inside_exits, vcpu_exits(v));
		__atomic_store_n(&s->inside, v, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&s->answer, question, __ATOMIC_RELEASE);
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

void sched_let_in(void)
{
	cpu_irq_window();
	/* One was the timer's, perhaps, which may come before its time (arch/x86/apic.h) and must
	 * then be set again. */
	sched_of(this_cpu())->armed = 0;
}

void sched_deadline_came(void)
{
	struct vcpu *v = sched_of(this_cpu())->current;

	/* One that was put has ended, and needs no clock. */
	if (v)
		lapic_timer_came(v);
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
	mitigations_switch(s->ran != v->vm);
	hv->load(v);
	s->current = v;
	s->ran = v->vm;
}

/* When a timer of V is due: its local APIC's, or with vCPU 0 one of the devices'. ~0: none. */
static uint64_t timer_at(const struct vcpu *v)
{
	uint64_t at = v->timer_deadline ? v->timer_deadline : ~0ull;
	uint64_t devices = v->id == 0 ? READ_ONCE(v->vm->timers_at) : 0;

	return devices ? MIN(at, devices) : at;
}

/* Has V, whose VM runs, something to do in the guest now? */
static bool has_work(const struct vcpu *v)
{
	uint32_t requests = __atomic_load_n(&v->requests, __ATOMIC_SEQ_CST);

	switch (v->activity) {
	case VCPU_WAIT_SIPI:
		return requests & (REQ_INIT | REQ_SIPI | REQ_STOP);
	case VCPU_HALTED:
		return requests || tsc_now() >= timer_at(v);
	default:
		return true;
	}
}

/* A VM starts on vCPU 0's core, where its memory is zeroed; its other vCPUs follow at once. */
static bool starts(const struct vcpu *v)
{
	uint32_t requests = __atomic_load_n(&v->requests, __ATOMIC_SEQ_CST);

	return requests & REQ_CLEAN ||
	       (requests & REQ_START && (v->id || tsc_now() >= v->vm->start_at));
}

/* Has V something to do now? */
static bool wants_core(const struct vcpu *v)
{
	if (__atomic_load_n(&v->asked, __ATOMIC_SEQ_CST))
		return true;
	if (v->activity == VCPU_PARKED)
		return starts(v);
	switch (__atomic_load_n(&v->vm->state, __ATOMIC_ACQUIRE)) {
	case VM_RUNNING:
		return has_work(v) && share_room(v->vm, tsc_now());
	case VM_PAUSED:
		return false;
	default:
		return true;
	}
}

/* When V will want the core by itself; ~0: it waits for somebody's request. */
static uint64_t wakes_at(const struct vcpu *v)
{
	if (v->activity == VCPU_PARKED)
		return v->id == 0 && v->requests & REQ_START ? v->vm->start_at : ~0ull;
	if (READ_ONCE(v->vm->state) != VM_RUNNING)
		return ~0ull;
	if (!share_room(v->vm, tsc_now()))
		return share_room_at(v->vm);
	return v->activity == VCPU_HALTED ? timer_at(v) : ~0ull;
}

static bool any_wants(const struct sched *s)
{
	const struct vcpu *v = s->queue;

	for (unsigned int i = 0; i < s->count; i++, v = v->next_on_cpu)
		if (wants_core(v))
			return true;
	return false;
}

/*
 * The one with the least virtual time among those that want the core. One that has only now begun
 * to wins against equals: it sleeps as a rule, and the others do not notice its turn.
 */
static struct vcpu *pick(struct sched *s)
{
	struct vcpu *v = s->queue, *best = NULL;
	bool woken = false;

	for (unsigned int i = 0; i < s->count; i++, v = v->next_on_cpu) {
		bool before = v->waiting;

		v->waiting = wants_core(v);
		if (!v->waiting)
			continue;
		if (!before)
			share_wake(v, s->vclock, DEBT_SLICES * slice());
		if (!best || v->vtime < best->vtime ||
		    (v->vtime == best->vtime && !before && !woken)) {
			best = v;
			woken = !before;
		}
	}
	if (!best)
		return NULL;
	s->queue = best->next_on_cpu;
	s->vclock = MAX(s->vclock, best->vtime);
	return best;
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

/*
 * For a guest that is about to be entered. An interrupt that waits is an exit before its first
 * instruction (APM vol. 2 15.21.1): where its timers come faster than they are handled it would
 * never get on, if what is due were not put off a little.
 */
#define LEAST_TURN_NS 5000

static void arm_for_guest(struct sched *s, uint64_t at)
{
	arm(s, MAX(at, tsc_now() + tsc_from_ns(LEAST_TURN_NS)));
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
	struct sched *s = sched_of(this_cpu());

	if (s->housekeeping && tsc_now() >= s->housekeeping_at)
		s->housekeeping_at = s->housekeeping();
}

/* When the core must be outside guests and awake for it; ~0: never. */
static uint64_t housekeeping_deadline(void)
{
	const struct sched *s = sched_of(this_cpu());

	return s->housekeeping ? s->housekeeping_at : ~0ull;
}

/* V has used its core until NOW. */
static void charge(struct vcpu *v, uint64_t now)
{
	uint64_t ticks = now - v->turn_start;

	v->ran += ticks;
	__atomic_store_n(&v->turn_start, now, __ATOMIC_RELEASE);
	if (v->vm->cap || !sched_alone(v))
		share_charge(v, ticks);
}

static bool has_room(struct vcpu *v)
{
	uint64_t now;

	if (!v->vm->cap)
		return true;
	now = tsc_now();
	charge(v, now);
	return share_room(v->vm, now);
}

bool sched_may_stay(struct vcpu *v)
{
	keep_house();
	answer_question(sched_of(v->cpu), v);
	if (__atomic_load_n(&v->asked, __ATOMIC_ACQUIRE) || !has_room(v))
		return false;
	if (READ_ONCE(v->vm->state) != VM_RUNNING)
		return false;
	return sched_alone(v) || tsc_now() < v->slice_end || !others_want(v);
}

/* When VM's vCPUs, did they all run, would have used up what the cap leaves them. */
static uint64_t cap_deadline(struct vm *vm)
{
	uint64_t now, room;

	if (!vm->cap)
		return ~0ull;
	now = tsc_now();
	room = share_room(vm, now);
	return now + room / vm->vcpu_count + 1;
}

uint64_t sched_deadline(struct vcpu *v)
{
	uint64_t at = MIN(timer_at(v), housekeeping_deadline());

	at = MIN(at, cap_deadline(v->vm));
	if (!sched_alone(v)) {
		if (others_want(v))
			at = MIN(at, v->slice_end);
		for (struct vcpu *o = v->next_on_cpu; o != v; o = o->next_on_cpu)
			at = MIN(at, MAX(wakes_at(o), v->slice_end));
	}
	if (!(hv_caps.features & HV_F_DEADLINE))
		arm_for_guest(sched_of(v->cpu), at);
	return at;
}

static void idle(struct sched *s)
{
	uint64_t at = housekeeping_deadline();
	struct vcpu *v = s->queue;

	/* A request that came before this is seen below, be it for now or for later; one after it
	 * sends an interrupt. */
	sched_attentive(true);
	for (unsigned int i = 0; i < s->count; i++, v = v->next_on_cpu)
		at = MIN(at, wakes_at(v));
	arm(s, at);
	if (!any_wants(s) && !lifecycle_all_ended())
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

/* What others want to know of V, whose state is nowhere but on this core. */
static void answer(struct vcpu *v)
{
	if (!(__atomic_exchange_n(&v->asked, 0, __ATOMIC_ACQ_REL) & ASK_DUMP))
		return;
	/* Before its first life there is nothing to be seen. */
	if (v->vm->lives)
		sched_load(v);
	lifecycle_dump(v);
}

static void park(struct vcpu *v)
{
	sched_unload(v);
	v->activity = VCPU_PARKED;
	__atomic_store_n(&v->requests, 0, __ATOMIC_RELEASE);
	lifecycle_parked(v);
}

/* What was asked of V while it was off, or its start, then the guest. */
static void serve(struct vcpu *v)
{
	if (__atomic_load_n(&v->asked, __ATOMIC_ACQUIRE)) {
		answer(v);
		return;
	}
	if (v->activity == VCPU_PARKED && !lifecycle_start(v))
		return;
	if (__atomic_load_n(&v->vm->state, __ATOMIC_ACQUIRE) == VM_RUNNING) {
		sched_load(v);
		run_vcpu(v);
	}
	if (__atomic_load_n(&v->vm->state, __ATOMIC_ACQUIRE) == VM_ENDING)
		park(v);
}

/*
 * While nobody else wants the core a turn has no end, and is no debt to those who wake behind it:
 * the core's virtual time goes along, a slice behind.
 */
static void follow(struct sched *s, const struct vcpu *v)
{
	uint64_t ahead = share_vtime(v, slice());

	for (const struct vcpu *o = v->next_on_cpu; o != v; o = o->next_on_cpu)
		if (o->waiting)
			return;
	if (v->vtime > ahead)
		s->vclock = MAX(s->vclock, v->vtime - ahead);
}

/* One turn of V, for which it pays. */
static void turn(struct vcpu *v)
{
	uint64_t now = tsc_now();

	v->slice_end = now + slice();
	__atomic_store_n(&v->turn_start, now, __ATOMIC_RELEASE);
	serve(v);
	charge(v, tsc_now());
	__atomic_store_n(&v->turn_start, 0, __ATOMIC_RELEASE);
	follow(sched_of(v->cpu), v);
}

_Noreturn void sched_loop(struct pcpu *cpu)
{
	struct sched *s = sched_of(cpu);

	for (;;) {
		struct vcpu *v;

		sched_let_in();
		if (lifecycle_all_ended())
			leave(cpu);
		keep_house();
		answer_question(s, NULL);
		v = pick(s);
		if (v)
			turn(v);
		else
			idle(s);
	}
}

void sched_rearm(struct vcpu *v, uint64_t at)
{
	v->armed = at;
	if (hv_caps.features & HV_F_DEADLINE)
		hv->set_deadline(v, at);
	else
		arm_for_guest(sched_of(v->cpu), at);
}
