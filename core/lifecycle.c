/* See core/lifecycle.h. */
#include "core/lifecycle.h"

#include "arch/x86/fpu.h"
#include "arch/x86/percpu.h"
#include "arch/x86/tsc.h"
#include "core/clock.h"
#include "core/cr.h"
#include "core/cpuid.h"
#include "core/devtimer.h"
#include "core/exit.h"
#include "core/gmem.h"
#include "core/lapic.h"
#include "core/sched.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "lib/assert.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/strbuf.h"
#include "lib/string.h"

/* A guest that crashes again and again is left alone after so many restarts in a row. */
#define CRASH_LIMIT 5u
/* A run of this length makes the next crash the first one again. */
#define CRASH_FORGET_NS 60000000000ull
/* So much memory is zeroed at a time: others on the core get their turns in between. */
#define CLEAN_PIECE MIB(8)

static uint32_t alive;
static bool held; /* the machine stays on without guests */

void vm_register(struct vm *vm)
{
	if (vm->autostart)
		alive++;
	else
		vm->state = VM_ENDED;
}

void vm_start(struct vm *vm)
{
	vcpu_request(vm->vcpu[0], REQ_START);
}

bool lifecycle_all_ended(void)
{
	return __atomic_load_n(&alive, __ATOMIC_ACQUIRE) == 0 &&
	       !__atomic_load_n(&held, __ATOMIC_ACQUIRE);
}

static void say_all_ended(void)
{
	log_info("all guests ended");
	sched_wake_all();
}

void lifecycle_hold(bool hold)
{
	bool was = __atomic_exchange_n(&held, hold, __ATOMIC_ACQ_REL);

	if (was && !hold && lifecycle_all_ended())
		say_all_ended();
}

void vm_end(struct vm *vm, enum vm_end end, const char *why)
{
	uint32_t none = VM_END_NONE;
	size_t n = strnlen(why ? why : "", sizeof(vm->end_why) - 1);

	if (!__atomic_compare_exchange_n(&vm->end, &none, end, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return;
	memcpy(vm->end_why, why ? why : "", n);
	vm->end_why[n] = '\0';
	__atomic_store_n(&vm->state, VM_ENDING, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_request(vm->vcpu[i], REQ_STOP);
}

static void log_lines(const char *text)
{
	while (*text) {
		const char *end = strchr(text, '\n');
		size_t n = end ? (size_t)(end - text) : strlen(text);

		log_raw(LOG_ERROR, "%.*s", (int)n, text);
		text += n + (end ? 1 : 0);
	}
}

static void dump(struct vcpu *v, const char *why)
{
	static struct spinlock lock;
	static char text[16384]; /* guarded by lock; a dump is too long for a stack */
	struct strbuf sb;

	spin_lock(&lock);
	sb_init(&sb, text, sizeof(text));
	hv->dump(v, &sb);
	log_raw(LOG_ERROR, "vm %s: vcpu %u: %s", v->vm->name, v->id, why);
	log_lines(text);
	spin_unlock(&lock);
}

void vcpu_crash(struct vcpu *v, const char *why)
{
	if (READ_ONCE(v->vm->end) != VM_END_NONE)
		return;
	dump(v, why);
	vm_end(v->vm, VM_END_CRASH, why);
}

void lifecycle_dump(struct vcpu *v)
{
	static const char *const activities[] = {
		[VCPU_PARKED] = "does not run",
		[VCPU_WAIT_SIPI] = "waits to be started by the guest",
		[VCPU_HALTED] = "is halted",
		[VCPU_ACTIVE] = "runs",
	};

	if (v->vm->lives)
		dump(v, activities[v->activity]);
	else
		log_info("vm %s: vcpu %u: was never started", v->vm->name, v->id);
}

static void reset_vcpu(struct vcpu *v)
{
	/* The VM's time is that of vCPU 0's core: where another core's TSC is off, its guest's is
	 * not. */
	v->stood_still = __atomic_load_n(&v->vm->stood_still, __ATOMIC_ACQUIRE);
	v->tsc_offset =
		(uint64_t)(v->vm->vcpu[0]->cpu->tsc_offset - v->cpu->tsc_offset) - v->stood_still;
	v->exception_intercepts = 0;
	v->timer_deadline = 0;
	v->nmi_pending = 0;
	cr4_changed(v);
	fpu_init_area(v->fpu, cpuid_xcr0_mask(v->vm));
	sched_load(v);
	hv->vcpu_reset(v);
	sched_trap_pause(v);
	v->st_valid = 0;
	lapic_reset(v, false);
	hv->set_tsc_offset(v, v->tsc_offset);
}

static void load_failed(struct vm *vm, const char *why)
{
	log_error("vm %s: cannot be loaded: %s", vm->name, why);
	vm_end(vm, VM_END_CRASH, why);
}

/*
 * Memory is zeroed before each life, and behind the last one: nothing of an earlier life is left.
 * Returns whether it is done.
 */
static bool clean_piece(struct vm *vm)
{
	uint64_t skip = vm->cleaned, room = CLEAN_PIECE;

	for (unsigned int i = 0; i < vm->ram_count; i++) {
		const struct vm_ram *r = &vm->ram[i];
		uint64_t at = MIN(skip, r->size), n = MIN(r->size - at, room);

		memset(r->hva + at, 0, n);
		skip -= at;
		room -= n;
		vm->cleaned += n;
		if (!room)
			return false;
	}
	vm->cleaned = 0;
	return true;
}

static bool load_guest(struct vm *vm)
{
	char why[160];
	struct strbuf sb;

	sb_init(&sb, why, sizeof(why));
	vm->hooks->reset_devices(vm);
	if (vm->hooks->load(vm, &sb)) {
		load_failed(vm, why);
		return false;
	}
	return true;
}

/*
 * A guest that starts and ends without pause has something to say each time: no more than so many
 * lives are said at once, and then so many a second.
 */
#define LIVES_AT_ONCE	 64u
#define LIVES_PER_SECOND 4u

static bool may_say(struct vm *vm)
{
	uint64_t now = tsc_now(), each = tsc_from_ns(NS_PER_S / LIVES_PER_SECOND);
	uint64_t most = LIVES_AT_ONCE * each;

	/* When all that was said would have been said at the rate of so many a second. */
	vm->said_until = MAX(vm->said_until, now);
	if (vm->said_until - now >= most) {
		vm->unsaid++;
		return false;
	}
	vm->said_until += each;
	if (vm->unsaid)
		log_warn("vm %s: ends and starts so often that %u of it were not said", vm->name,
			 vm->unsaid);
	vm->unsaid = 0;
	return true;
}

static void say_started(struct vm *vm)
{
	if (!may_say(vm))
		return;
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		log_info("vm %s: vcpu %u: on cpu %u", vm->name, i, vm->vcpu[i]->cpu->id);
	log_info("vm %s: started", vm->name);
}

static void start_boot_vcpu(struct vcpu *v)
{
	struct vm *vm = v->vm;

	/* All are parked. What one that left the guest late sent to them is not for this life. The
	 * guest may start them before their cores have come to them. */
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		lapic_power_on(vm->vcpu[i]);
		__atomic_store_n(&vm->vcpu[i]->requests, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&vm->vcpu[i]->nmis, 0, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&vm->running_vcpus, vm->vcpu_count, __ATOMIC_RELEASE);
	vm->tsc_base = tsc_now();
	/* Whoever resumes the life before is behind this lock, or will see that it has ended. */
	spin_lock(&vm->dev_lock);
	vm->stood_still = 0;
	spin_unlock(&vm->dev_lock);
	vm->lives++;
	__atomic_store_n(&vm->end, VM_END_NONE, __ATOMIC_RELEASE);
	__atomic_store_n(&vm->state, VM_RUNNING, __ATOMIC_RELEASE);
	vcpu_state_reset(v, false);
	if (load_guest(vm))
		say_started(vm);
	reset_vcpu(v);
	v->activity = VCPU_ACTIVE;
	for (unsigned int i = 1; i < vm->vcpu_count; i++)
		vcpu_request(vm->vcpu[i], REQ_START);
}

/* Whoever takes the request away decides: its core here, or vm_stop(). */
static bool take(struct vcpu *v, uint32_t request)
{
	return __atomic_fetch_and(&v->requests, ~request, __ATOMIC_ACQ_REL) & request;
}

/* It has ended, and nothing of it is left. */
static void gone(void)
{
	if (__atomic_sub_fetch(&alive, 1, __ATOMIC_ACQ_REL) == 0 && lifecycle_all_ended())
		say_all_ended();
}

bool lifecycle_start(struct vcpu *v)
{
	assert(v->activity == VCPU_PARKED);
	if (v->id == 0) {
		/* The guest's memory is in this VM's page tables alone. V itself is not loaded:
		 * nothing may overwrite its state. */
		sched_unload(v);
		sched_map(v->vm);
		if (!clean_piece(v->vm))
			return false;
		if (take(v, REQ_CLEAN))
			gone();
		if (!take(v, REQ_START))
			return false;
		start_boot_vcpu(v);
		return true;
	}
	if (!take(v, REQ_START))
		return false;
	vcpu_state_reset(v, false);
	reset_vcpu(v);
	v->activity = VCPU_WAIT_SIPI;
	return true;
}

/* The request comes first: whoever starts VM again starts it behind that. */
static void ended(struct vm *vm)
{
	vcpu_request(vm->vcpu[0], REQ_CLEAN);
	__atomic_store_n(&vm->state, VM_ENDED, __ATOMIC_RELEASE);
}

static void restart_after_crash(struct vm *vm)
{
	uint64_t ran = tsc_now() - vm->tsc_base - vm->stood_still;

	vm->crashes = tsc_to_ns(ran) > CRASH_FORGET_NS ? 1 : vm->crashes + 1;
	if (vm->crashes > CRASH_LIMIT) {
		log_error("vm %s: crashed %u times in a row: not started again", vm->name,
			  vm->crashes);
		ended(vm);
		return;
	}
	/* 100 ms, doubled each time. */
	vm->start_at = tsc_now() + tsc_from_ns(50000000ull << vm->crashes);
	vm_start(vm);
}

static void log_exits(const struct vm *vm)
{
	for (unsigned int reason = 0; reason < EXIT_COUNT; reason++) {
		unsigned long long count = 0;

		for (unsigned int i = 0; i < vm->vcpu_count; i++)
			count += vm->vcpu[i]->exits[reason];
		if (count)
			log_debug("vm %s: exits: %s: %llu", vm->name, exit_name(reason), count);
	}
}

void lifecycle_parked(struct vcpu *v)
{
	struct vm *vm = v->vm;
	bool told;

	if (__atomic_sub_fetch(&vm->running_vcpus, 1, __ATOMIC_ACQ_REL))
		return;
	__atomic_store_n(&vm->state, VM_OFF, __ATOMIC_RELEASE);
	told = vm->end != VM_END_REBOOT || may_say(vm);
	if (told)
		log_exits(vm);
	switch (vm->end) {
	case VM_END_REBOOT:
		if (told)
			log_info("vm %s: rebooted", vm->name);
		if (vm->on_reboot == VM_POLICY_RESTART)
			vm_start(vm);
		else
			ended(vm);
		break;
	case VM_END_CRASH:
		log_info("vm %s: crashed: %s", vm->name, vm->end_why);
		if (vm->on_crash == VM_POLICY_RESTART)
			restart_after_crash(vm);
		else
			ended(vm);
		break;
	case VM_END_RESET:
		log_info("vm %s: reset", vm->name);
		vm_start(vm);
		break;
	case VM_END_STOP:
		log_info("vm %s: stopped", vm->name);
		ended(vm);
		break;
	case VM_END_EXIT:
		log_info("vm %s: exited %s", vm->name, vm->end_why);
		ended(vm);
		break;
	default:
		log_info("vm %s: shut down", vm->name);
		ended(vm);
	}
}

/* ---- from outside ---- */

static void yield_all(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_ask(vm->vcpu[i], 0);
}

/* False when VM was in no such state. */
static bool change_state(struct vm *vm, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&vm->state, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/* The first core's TSC, from any core. */
static uint64_t common_tsc(void)
{
	return tsc_now() - (uint64_t)this_cpu()->tsc_offset;
}

static void note_paused(struct vm *vm)
{
	uint64_t now = common_tsc(), at = __atomic_load_n(&vm->paused_at, __ATOMIC_ACQUIRE);

	while (at < now && !__atomic_compare_exchange_n(&vm->paused_at, &at, now, false,
							__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
}

int vm_pause(struct vm *vm)
{
	if (!change_state(vm, VM_RUNNING, VM_PAUSED))
		return -EINVAL;
	note_paused(vm);
	yield_all(vm);
	return 0;
}

/*
 * For so long nothing of VM has been executed. One that has seen the pause's beginning only, since
 * it is over before all vCPUs were out, has stood still for no time at all: what a guest has seen
 * of a clock must not come again.
 */
static uint64_t pause_length(struct vm *vm)
{
	uint64_t now = common_tsc(), at;

	if (__atomic_load_n(&vm->inside, __ATOMIC_SEQ_CST))
		return 0;
	at = __atomic_load_n(&vm->paused_at, __ATOMIC_ACQUIRE);
	return now > at ? now - at : 0;
}

int vm_resume(struct vm *vm)
{
	uint64_t ticks;

	spin_lock(&vm->dev_lock);
	if (__atomic_load_n(&vm->state, __ATOMIC_ACQUIRE) == VM_PAUSED) {
		ticks = pause_length(vm);
		__atomic_add_fetch(&vm->stood_still, ticks, __ATOMIC_ACQ_REL);
		dev_timers_delay(vm, ticks);
	}
	spin_unlock(&vm->dev_lock);
	if (!change_state(vm, VM_PAUSED, VM_RUNNING))
		return -EINVAL;
	yield_all(vm);
	return 0;
}

/* The order is entered, then looked; resuming looks who is inside after the state was paused. */
bool lifecycle_enter(struct vcpu *v)
{
	struct vm *vm = v->vm;
	uint64_t ticks;

	__atomic_add_fetch(&vm->inside, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vm->state, __ATOMIC_SEQ_CST) == VM_PAUSED) {
		__atomic_sub_fetch(&vm->inside, 1, __ATOMIC_SEQ_CST);
		return false;
	}
	ticks = __atomic_load_n(&vm->stood_still, __ATOMIC_ACQUIRE) - v->stood_still;
	if (ticks) {
		v->stood_still += ticks;
		v->tsc_offset -= ticks;
		hv->set_tsc_offset(v, v->tsc_offset);
		lapic_timer_delay(v, ticks);
	}
	return true;
}

void lifecycle_leave(struct vcpu *v)
{
	if (__atomic_load_n(&v->vm->state, __ATOMIC_ACQUIRE) == VM_PAUSED)
		note_paused(v->vm);
	__atomic_sub_fetch(&v->vm->inside, 1, __ATOMIC_SEQ_CST);
}

int vm_stop(struct vm *vm)
{
	uint32_t state = __atomic_load_n(&vm->state, __ATOMIC_ACQUIRE);

	if (state == VM_RUNNING || state == VM_PAUSED) {
		vm_end(vm, VM_END_STOP, NULL);
		return 0;
	}
	/* It waits for its next life. */
	if (state != VM_OFF || !take(vm->vcpu[0], REQ_START))
		return -EINVAL;
	log_info("vm %s: stopped", vm->name);
	ended(vm);
	return 0;
}

int vm_reset(struct vm *vm)
{
	uint32_t state = __atomic_load_n(&vm->state, __ATOMIC_ACQUIRE);

	if (state != VM_RUNNING && state != VM_PAUSED)
		return -EINVAL;
	vm_end(vm, VM_END_RESET, NULL);
	return 0;
}

int vm_start_again(struct vm *vm)
{
	if (!change_state(vm, VM_ENDED, VM_OFF))
		return -EINVAL;
	vm->crashes = 0;
	vm->start_at = 0;
	__atomic_add_fetch(&alive, 1, __ATOMIC_ACQ_REL);
	vm_start(vm);
	return 0;
}
