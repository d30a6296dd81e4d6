/*
 * See core/run.h. The order of what enters a guest is that of SDM vol. 3A 6.9: an event whose
 * delivery was cut short or an exception, then NMI, then external interrupts.
 */
#include "core/run.h"

#include "arch/x86/cpu.h"
#include "arch/x86/tsc.h"
#include "core/cr.h"
#include "core/devtimer.h"
#include "core/exit.h"
#include "core/lapic.h"
#include "core/lifecycle.h"
#include "core/sched.h"
#include "core/vcpu.h"
#include "core/vm.h"

static void take_init(struct vcpu *v)
{
	if (v->id == 0) {
		/* The boot processor would start its firmware again. */
		vm_end(v->vm, VM_END_REBOOT, "INIT of the boot processor");
		return;
	}
	/*
	 * Sent while V was just switching its APIC off, which INIT leaves as it is: it has come too
	 * late, or no other IPI would ever reach V again (SDM vol. 3A 11.4.7.1).
	 */
	if (v->apic_mode == APIC_OFF)
		return;
	hv->get_state(v, ST_ALL);
	vcpu_state_reset(v, true);
	cr4_changed(v);
	v->nmi_pending = 0;
	hv->vcpu_reset(v);
	sched_trap_pause(v);
	v->st_valid = 0;
	lapic_reset(v, true);
	hv->set_tsc_offset(v, v->tsc_offset);
	v->activity = VCPU_WAIT_SIPI;
}

static void take_sipi(struct vcpu *v)
{
	if (v->activity != VCPU_WAIT_SIPI)
		return;
	/* It may have been off its core since INIT. */
	hv->get_state(v, ST_RIP | ST_SEGS);
	vcpu_state_startup(v, v->sipi_vector);
	hv->set_state(v, ST_RIP | ST_SEGS);
	v->activity = VCPU_ACTIVE;
}

/*
 * While one is being handled one more is kept (SDM vol. 3A 6.7.1). Of two that came since V was in
 * the guest the first would have been in its handler when the second came.
 */
static void take_nmis(struct vcpu *v)
{
	uint64_t count = __atomic_exchange_n(&v->nmis, 0, __ATOMIC_SEQ_CST);

	count += v->nmi_pending;
	if (count > 1)
		count = hv->can_inject(v, EVENT_NMI) ? 2 : 1;
	v->nmi_pending = (uint8_t)count;
}

/* Those that have come, and the earlier ones BEFORE. */
static uint32_t fetch_requests(struct vcpu *v, uint32_t before)
{
	uint32_t req = __atomic_exchange_n(&v->requests, 0, __ATOMIC_SEQ_CST);

	if (req & REQ_INIT)
		before &= ~(uint32_t)REQ_INIT_ENDS;
	return before | req;
}

static void take_requests(struct vcpu *v)
{
	uint32_t req = fetch_requests(v, 0);
	uint64_t timers_at = READ_ONCE(v->vm->timers_at);

	if (v->id == 0 && timers_at && tsc_now() >= timers_at) {
		dev_timers_run(v->vm);
		req = fetch_requests(v, req);
	}
	if (req & REQ_TIMER) {
		lapic_timer_fire(v);
		req = fetch_requests(v, req);
	}
	if (v->timer_deadline && tsc_now() >= v->timer_deadline) {
		lapic_timer_expired(v);
		req = fetch_requests(v, req);
	}
	/* A SIPI that came with its INIT is for the state after it. */
	if (req & REQ_INIT)
		take_init(v);
	if (req & REQ_SIPI)
		take_sipi(v);
	if (req & REQ_NMI)
		take_nmis(v);
	if (req & REQ_IRQ)
		lapic_sync(v);
}

/* The 8259 pair asks for an interrupt, and V's LINT0 lets it through. */
static bool extint_pending(const struct vcpu *v)
{
	return __atomic_load_n(&v->vm->extint.line, __ATOMIC_ACQUIRE) && lapic_accepts_extint(v);
}

/* Its vector comes with an INTA cycle, in which it may turn out spurious. */
static uint8_t acknowledge_extint(struct vcpu *v)
{
	struct vm *vm = v->vm;
	uint8_t vector;

	spin_lock(&vm->dev_lock);
	__atomic_store_n(&v->extint, false, __ATOMIC_RELAXED);
	vector = vm->extint.acknowledge(vm->extint.dev);
	spin_unlock(&vm->dev_lock);
	return vector;
}

/* Does V, halted, wake? SDM vol. 2A HLT: an enabled interrupt, NMI, INIT; an event that is queued
 * comes first. An NMI that is blocked waits for the IRET of the last one's handler (vol. 3A 6.7.1).
 */
static bool wakes(struct vcpu *v)
{
	if (v->pending.valid || (v->nmi_pending && hv->can_inject(v, EVENT_NMI)))
		return true;
	if (!lapic_has_deliverable(v) && !extint_pending(v))
		return false;
	hv->get_state(v, ST_RIP);
	return v->st.rflags & RFLAGS_IF;
}

/*
 * The flags that a fault saves have RF set, so that a breakpoint on the instruction does not stop
 * it twice (SDM vol. 3B 18.3.1.1). For a fault that the processor did not raise itself, that is
 * left to be done here: the entry saves what the register has.
 */
static void mark_fault(struct vcpu *v, const struct hv_event *ev)
{
	const uint32_t no_fault =
		BIT(EXC_DB) | BIT(EXC_BP) | BIT(EXC_OF) | BIT(EXC_DF) | BIT(EXC_MC);

	if (ev->type != EVENT_EXCEPTION || no_fault >> ev->vector & 1)
		return;
	hv->get_state(v, ST_RIP);
	if (v->st.rflags & RFLAGS_RF)
		return;
	v->st.rflags |= RFLAGS_RF;
	hv->set_state(v, ST_RIP);
}

/* The one event that enters the guest now. Returns whether there was one. */
static bool inject_first(struct vcpu *v)
{
	struct hv_event ev = {.valid = true};
	int vector;

	if (v->pending.valid) {
		ev = v->pending;
		v->pending.valid = false;
		mark_fault(v, &ev);
		hv->inject(v, &ev);
		return true;
	}
	if (v->nmi_pending && hv->can_inject(v, EVENT_NMI)) {
		v->nmi_pending--;
		ev.vector = EXC_NMI;
		ev.type = EVENT_NMI;
		hv->inject(v, &ev);
		return true;
	}
	ev.type = EVENT_INTR;
	if (extint_pending(v) && hv->can_inject(v, EVENT_INTR)) {
		ev.vector = acknowledge_extint(v);
		hv->inject(v, &ev);
		return true;
	}
	if (v->vid)
		return false;
	vector = lapic_next(v);
	if (vector < 0 || !hv->can_inject(v, EVENT_INTR))
		return false;
	lapic_accept(v, (uint8_t)vector);
	ev.vector = (uint8_t)vector;
	hv->inject(v, &ev);
	return true;
}

static void prepare_events(struct vcpu *v)
{
	inject_first(v);
	if (v->vid) {
		hv->want_window(v, extint_pending(v), v->nmi_pending);
		return;
	}
	hv->want_window(v, extint_pending(v) || lapic_next(v) >= 0, v->nmi_pending);
	hv->set_tpr_threshold(v, lapic_blocked_class(v));
}

bool run_events(struct vcpu *v)
{
	uint32_t req = READ_ONCE(v->requests);

	if (req & ~(uint32_t)(REQ_EVENT | REQ_IRQ) ||
	    !__atomic_compare_exchange_n(&v->requests, &req, 0, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return false;
	v->st_valid = 0;
	if (req & REQ_IRQ)
		lapic_sync(v);
	prepare_events(v);
	return true;
}

/* All that comes before an entry. False: V leaves the core. */
static bool prepare(struct vcpu *v)
{
	uint64_t deadline;

	take_requests(v);
	if (READ_ONCE(v->vm->state) != VM_RUNNING)
		return false;
	if (v->activity == VCPU_HALTED && wakes(v))
		v->activity = VCPU_ACTIVE;
	if (v->activity != VCPU_ACTIVE || !sched_may_stay(v))
		return false;
	prepare_events(v);
	lapic_timer_lend(v);
	/* From here on a request interrupts this core. One to V that came before is seen by run(),
	 * one to a neighbour by sched_deadline(). */
	sched_attentive(true);
	deadline = sched_deadline(v);
	v->armed = deadline;
	if (hv_caps.features & HV_F_DEADLINE)
		hv->set_deadline(v, deadline);
	return true;
}

void run_vcpu(struct vcpu *v)
{
	struct hv_exit x;

	if (!lifecycle_enter(v))
		return;
	while (prepare(v)) {
		if (hv->run(v, &x))
			x.reason = EXIT_ENTRY_FAILED;
		sched_attentive(false);
		exit_dispatch(v, &x);
	}
	/* The guest is left until the next prepare(): nothing has to be armed for it. */
	v->armed = 0;
	lapic_timer_take_back(v);
	lifecycle_leave(v);
}
