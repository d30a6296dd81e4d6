#include "tests/unit/support/fake_hv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/desc.h"
#include "arch/x86/pages.h"
#include "core/cpuid.h"
#include "core/exits.h"
#include "core/lapic_page.h"
#include "core/lifecycle.h"
#include "core/run.h"
#include "core/sched.h"
#include "core/vcpu.h"
#include "emul/walk.h"
#include "lib/err.h"
#include "lib/strbuf.h"

struct fake_hv fake_hv;

static struct vm *vms[4];
/* Of each, kept for the next one in its place: so much memory is slow to get and to give back. */
static uint8_t *rams[4];
static unsigned int vm_count;
static unsigned int nested_generation;

/* Two breaches that are one test's subject must be seen without failing it. */
#define REQUIRE(cond, what)                         \
	do {                                        \
		if (!(cond))                        \
			break_rule(what, __LINE__); \
	} while (0)

static void break_rule(const char *what, int line)
{
	if (!fake_hv.broken)
		fail_msg("fake_hv.c:%d: %s; so far: %s", line, what, fake_hv.trace);
	else if (!*fake_hv.broken)
		*fake_hv.broken = what;
}

void fake_note(const char *format, ...)
{
	size_t at = strlen(fake_hv.trace);
	va_list args;

	va_start(args, format);
	at += (size_t)vsnprintf(fake_hv.trace + at, sizeof(fake_hv.trace) - at, format, args);
	va_end(args);
	assert_true(at + 2 < sizeof(fake_hv.trace));
	fake_hv.trace[at] = ' ';
	fake_hv.trace[at + 1] = '\0';
}

const char *fake_trace(void)
{
	static char last[FAKE_TRACE];

	memcpy(last, fake_hv.trace, sizeof(last));
	fake_hv.trace[0] = '\0';
	return last;
}

struct fake_vcpu *fake_of(const struct vcpu *v)
{
	return v->hv;
}

struct vcpu_state *fake_guest(struct vcpu *v)
{
	return &fake_of(v)->hw;
}

static struct fake_vcpu *loaded(const struct vcpu *v, const char *what)
{
	struct fake_vcpu *h = fake_of(v);

	REQUIRE(h->on == fake_here() && fake_here()->current == v, what);
	return h;
}

/* ---- state ---- */

#define CR0_TAGGED (CR0_PG | CR0_WP)
#define CR4_TAGGED (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_LA57)

static void copy_group(struct vcpu_state *to, const struct vcpu_state *from, uint32_t group)
{
	static const struct {
		uint32_t group;
		size_t first, end;
	} ranges[] = {
#define RANGE(group, first, after) {group, offsetof(struct vcpu_state, first), after}
		RANGE(ST_RIP, rip, offsetof(struct vcpu_state, cr0)),
		RANGE(ST_CRS, cr0, offsetof(struct vcpu_state, seg)),
		RANGE(ST_SEGS, seg, offsetof(struct vcpu_state, dr)),
		RANGE(ST_DRS, dr, offsetof(struct vcpu_state, sysenter_cs)),
		RANGE(ST_MSRS, sysenter_cs, offsetof(struct vcpu_state, interruptibility)),
		RANGE(ST_INTR, interruptibility, sizeof(struct vcpu_state)),
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (group & ranges[i].group)
			memcpy((char *)to + ranges[i].first, (const char *)from + ranges[i].first,
			       ranges[i].end - ranges[i].first);
}

static void get_state(struct vcpu *v, uint32_t groups)
{
	struct fake_vcpu *h = loaded(v, "get_state of a vCPU that is not loaded");

	groups &= ~v->st_valid;
	copy_group(&v->st, &h->hw, groups);
	if (groups & ST_RIP)
		v->gpr[RSP] = h->rsp;
	v->st_valid |= groups;
}

static uint8_t cpl(struct vcpu *v)
{
	struct fake_vcpu *h = loaded(v, "cpl of a vCPU that is not loaded");

	return SEG_ATTR_DPL(h->hw.seg[SEG_SS].attr);
}

static void flush_linear(struct fake_vcpu *h)
{
	memset(h->linear, 0, sizeof(h->linear));
}

static void put_groups(struct vcpu *v, uint32_t groups)
{
	struct fake_vcpu *h = fake_of(v);
	const struct vcpu_state *st = &v->st;

	if (groups & ST_CRS &&
	    ((st->cr0 ^ h->hw.cr0) & CR0_TAGGED || (st->cr4 ^ h->hw.cr4) & CR4_TAGGED ||
	     st->cr3 != h->hw.cr3 || (st->efer ^ h->hw.efer) & EFER_NXE))
		flush_linear(h);
	copy_group(&h->hw, st, groups);
	if (groups & ST_RIP)
		h->rsp = v->gpr[RSP];
}

static void set_state(struct vcpu *v, uint32_t groups)
{
	loaded(v, "set_state of a vCPU that is not loaded");
	REQUIRE(!(groups & ~v->st_valid), "set_state of a group that was not fetched");
	put_groups(v, groups);
}

/* What core/ has changed in v->st without handing it over would be lost. */
static void check_written(const struct vcpu *v, const struct fake_vcpu *h)
{
	for (uint32_t group = ST_RIP; group < ST_ALL; group <<= 1) {
		struct vcpu_state merged = h->hw;

		if (!(v->st_valid & group))
			continue;
		copy_group(&merged, &v->st, group);
		REQUIRE(!memcmp(&merged, &h->hw, sizeof(merged)),
			"a changed group was not set before the entry");
	}
}

static void skip_insn(struct vcpu *v, unsigned int len)
{
	struct fake_vcpu *h = loaded(v, "skip_insn of a vCPU that is not loaded");

	REQUIRE(len >= 1 && len <= 15, "skip_insn by no instruction's length");
	h->hw.rip += len;
	h->hw.interruptibility &= ~(INTR_STI | INTR_MOV_SS);
	h->pending_db |= (h->hw.rflags & RFLAGS_TF) != 0;
	v->st_valid &= ~(uint32_t)(ST_RIP | ST_INTR);
	fake_note("+%u", len);
}

static uint64_t dr7(struct vcpu *v)
{
	return loaded(v, "dr7 of a vCPU that is not loaded")->hw.dr7;
}

static void debug_trap(struct vcpu *v, uint64_t dr6)
{
	struct fake_vcpu *h = loaded(v, "debug_trap of a vCPU that is not loaded");

	h->hw.dr6 |= dr6;
	h->pending_db = true;
	v->st_valid &= ~(uint32_t)ST_DRS;
	fake_note("trap%llx", (unsigned long long)dr6);
}

static size_t insn_bytes(const struct vcpu *v, uint8_t buf[15])
{
	(void)v;
	(void)buf;
	return 0;
}

/* ---- load, put, reset ---- */

static int vcpu_init(struct vcpu *v)
{
	v->hv = calloc(1, sizeof(struct fake_vcpu));
	return 0;
}

static int vcpu_reset(struct vcpu *v)
{
	struct fake_vcpu *h = loaded(v, "vcpu_reset of a vCPU that is not loaded");

	put_groups(v, ST_ALL);
	flush_linear(h);
	h->event.valid = h->want_intr = h->want_nmi = h->pending_db = false;
	h->tpr_threshold = 0;
	h->traps = TRAP_HLT | TRAP_MWAIT;
	h->deadline = ~0ull;
	h->has_deadline = false;
	h->tsc_offset = v->tsc_offset;
	fake_note("reset%u", v->id);
	return 0;
}

static void load(struct vcpu *v)
{
	struct fake_vcpu *h = fake_of(v);
	struct fake_cpu *c = fake_here();

	REQUIRE(!h->on, "load of a vCPU that another core has not put");
	REQUIRE(!c->current, "load while another vCPU is current");
	h->on = c;
	h->loads++;
	c->current = v;
	v->st_valid = 0;
}

static void put(struct vcpu *v)
{
	REQUIRE(!loaded(v, "put of a vCPU that is not loaded")->has_deadline,
		"put with the core's timer");
	fake_of(v)->on = NULL;
	fake_here()->current = NULL;
	v->st_valid = 0;
}

/* ---- events ---- */

static bool can_inject(struct vcpu *v, uint8_t type)
{
	const struct vcpu_state *hw = &loaded(v, "can_inject of a vCPU that is not loaded")->hw;

	if (hw->interruptibility & (INTR_STI | INTR_MOV_SS))
		return false;
	if (type == EVENT_NMI)
		return !(hw->interruptibility & INTR_NMI_BLOCKED);
	return hw->rflags & RFLAGS_IF;
}

/* SDM vol. 3C 27.2.1.3. */
static void check_event(struct vcpu *v, const struct hv_event *ev)
{
	bool has_error = EXC_ERROR_CODE_MASK >> (ev->vector & 31) & 1;

	switch (ev->type) {
	case EVENT_INTR:
	case EVENT_NMI:
		REQUIRE(can_inject(v, ev->type), "inject of what is blocked");
		REQUIRE(!ev->has_error, "an interrupt with an error code");
		REQUIRE(ev->type == EVENT_INTR || ev->vector == EXC_NMI, "NMI is vector 2");
		break;
	case EVENT_EXCEPTION:
		REQUIRE(ev->vector < 32 && ev->vector != EXC_NMI, "no exception's vector");
		REQUIRE(ev->has_error == (has_error && fake_of(v)->hw.cr0 & CR0_PE),
			"an error code where there is none, or the other way round");
		break;
	default:
		REQUIRE(ev->insn_len >= 1, "a software event without its instruction's length");
	}
}

static void note_event(const char *before, const struct hv_event *ev)
{
	static const char *const names[] = {"irq", "?", "nmi", "exc", "int", "icebp", "trap"};

	if (ev->type == EVENT_NMI)
		fake_note("%snmi", before);
	else if (ev->has_error)
		fake_note("%s%s%u:%x", before, names[ev->type], ev->vector, ev->error);
	else
		fake_note("%s%s%u", before, names[ev->type], ev->vector);
}

static void inject(struct vcpu *v, const struct hv_event *ev)
{
	struct fake_vcpu *h = loaded(v, "inject into a vCPU that is not loaded");

	REQUIRE(!h->event.valid, "a second event for one entry");
	check_event(v, ev);
	h->event = *ev;
	h->event.valid = true;
}

static void want_window(struct vcpu *v, bool intr, bool nmi)
{
	struct fake_vcpu *h = loaded(v, "want_window of a vCPU that is not loaded");

	h->want_intr = intr;
	h->want_nmi = nmi;
}

static void apic_mode(struct vcpu *v, enum apic_mode mode)
{
	loaded(v, "apic_mode of a vCPU that is not loaded")->apic_mode = mode;
	v->vid = fake_hv.offers_vid && mode != APIC_OFF;
	if (v->vid)
		fake_of(v)->tpr_threshold = 0;
}

static void irq_sync(struct vcpu *v)
{
	loaded(v, "irq_sync of a vCPU that is not loaded");
	REQUIRE(v->vid, "irq_sync without virtual-interrupt delivery");
}

static void eoi_exits(struct vcpu *v, const uint64_t vectors[4])
{
	(void)vectors;
	loaded(v, "eoi_exits of a vCPU that is not loaded");
	REQUIRE(v->vid, "eoi_exits without virtual-interrupt delivery");
}

static void set_tpr_threshold(struct vcpu *v, uint8_t cls)
{
	loaded(v, "set_tpr_threshold of a vCPU that is not loaded")->tpr_threshold = cls;
	REQUIRE(!v->vid, "a TPR threshold with virtual-interrupt delivery");
	/* 27.2.1.1 */
	REQUIRE(cls <= lapic_tpr(v) >> 4, "a TPR threshold above TPR");
}

/* The event that enters now, as the guest's handlers find it: interrupt gates, NMI blocking. */
static void deliver(struct vcpu *v, struct fake_vcpu *h)
{
	if (!h->event.valid)
		return;
	h->event.valid = false;
	check_event(v, &h->event);
	note_event("", &h->event);
	if (h->event.type == EVENT_INTR || h->event.type == EVENT_NMI)
		h->hw.rflags &= ~RFLAGS_IF;
	if (h->event.type == EVENT_NMI)
		h->hw.interruptibility |= INTR_NMI_BLOCKED;
	h->hw.interruptibility &= ~(INTR_STI | INTR_MOV_SS);
}

/* Virtual-interrupt delivery: SDM vol. 3C 30.2.2. */
static void deliver_virtual(struct vcpu *v, struct fake_vcpu *h)
{
	int vector = v->vid && can_inject(v, EVENT_INTR) ? lapic_next(v) : -1;

	if (vector < 0)
		return;
	lapic_accept(v, (uint8_t)vector);
	h->hw.rflags &= ~RFLAGS_IF;
	fake_note("virtual%d", vector);
}

/* ---- translations ---- */

static void npt_flush(struct vm *vm)
{
	(void)vm;
	nested_generation++;
}

static struct fake_translation *slot(struct fake_translation *tlb, uint64_t address)
{
	for (unsigned int i = 0; i < FAKE_TLB; i++)
		if (!tlb[i].valid || tlb[i].address == address)
			return &tlb[i];
	fail_msg("more translations than the test's TLB takes");
	return NULL;
}

/* As if the entry in the TLB were always hit: it must say what the tables say now. */
static void use(struct fake_translation *tlb, uint64_t address, uint64_t target, const char *what)
{
	struct fake_translation *t = slot(tlb, address);

	REQUIRE(!t->valid || t->target == target, what);
	*t = (struct fake_translation){true, address, target};
}

void fake_touch_gpa(struct vcpu *v, uint64_t gpa)
{
	struct pt_mapping m;
	uint64_t target = pt_lookup(&v->vm->npt, gpa, &m) ? m.pa : ~0ull;

	use(fake_of(v)->nested, gpa, target, "a stale nested translation is used");
}

static int read_table(void *ctx, uint64_t gpa, unsigned int size, uint64_t *value)
{
	const struct vm *vm = ctx;

	*value = 0;
	if (gpa + size > vm->ram[0].size)
		return -EIO;
	memcpy(value, vm->ram[0].hva + gpa, size);
	return 0;
}

void fake_touch_linear(struct vcpu *v, uint64_t linear)
{
	static const struct walk_ops ops = {.read = read_table};
	const struct vcpu_state *hw = fake_guest(v);
	struct walk_regs regs = {
		.cr0 = hw->cr0, .cr3 = hw->cr3, .cr4 = hw->cr4, .efer = hw->efer, .phys_width = 39};
	struct walk_result r;
	int err = walk_translate(&regs, &ops, v->vm, linear, WALK_READ, &r);

	use(fake_of(v)->linear, linear, err ? ~0ull : r.gpa, "a stale linear translation is used");
}

/* ---- the inner loop ---- */

static const struct fake_step *current_step(struct fake_vcpu *h)
{
	if (h->step == h->step_count && h->repeat)
		h->step = 0;
	return h->step < h->step_count ? &h->steps[h->step] : NULL;
}

static int back_out(struct fake_vcpu *h, struct hv_exit *x)
{
	/* What was to enter goes back, as hv_ops.h says of run(). */
	x->vectoring = h->event;
	h->event.valid = false;
	if (x->vectoring.valid)
		fake_note("back");
	return 0;
}

static void check_entry(const struct vcpu *v, struct fake_vcpu *h)
{
	const struct fake_cpu *c = fake_here();

	check_written(v, h);
	REQUIRE(c->cr3 == v->vm->host.root, "an entry under another VM's page tables");
	REQUIRE(c->fpu == h->fpu, "an entry with another vCPU's FPU registers");
	REQUIRE(c->xcr0 == v->xcr0 && c->xss == v->xss, "an entry with another vCPU's XCR0");
	REQUIRE(h->tsc_offset == v->tsc_offset, "an entry with an old TSC offset");
	/* 25.3: the timer knows nothing of the offset. */
	REQUIRE(!h->has_deadline || !h->tsc_offset, "a deadline passes in another TSC");
	REQUIRE(h->has_deadline == (c->vector == VEC_DEADLINE), "an entry with another's timer");
	/* 27.2.1.1 */
	REQUIRE(v->vid || h->tpr_threshold <= lapic_tpr(v) >> 4,
		"an entry with the TPR threshold above TPR");
}

static void enter(struct vcpu *v, struct fake_vcpu *h)
{
	check_entry(v, h);
	if (h->generation != nested_generation)
		memset(h->nested, 0, sizeof(h->nested));
	h->generation = nested_generation;
	h->entries++;
	deliver(v, h);
	deliver_virtual(v, h);
}

/* Leaves the guest's values in the registers, and rubbish where core/ must not look. */
static void leave_guest(struct vcpu *v)
{
	v->st_valid = 0;
	memset(&v->st, 0xc7, sizeof(v->st));
	v->gpr[RSP] = 0xc7c7c7c7c7c7c7c7;
}

/* An exit that comes before the guest's next instruction. */
static enum hv_reason at_once(struct vcpu *v, const struct fake_vcpu *h)
{
	if (fake_pending(fake_here()))
		return EXIT_HOST_IRQ;
	if (hv_caps.features & HV_F_DEADLINE && h->deadline <= fake.tsc)
		return EXIT_DEADLINE;
	if (h->want_nmi && can_inject(v, EVENT_NMI))
		return EXIT_NMI_WINDOW;
	if (h->want_intr && can_inject(v, EVENT_INTR))
		return EXIT_INTR_WINDOW;
	if (!v->vid && lapic_tpr(v) >> 4 < h->tpr_threshold)
		return EXIT_TPR;
	return EXIT_NONE;
}

/* Spends the step's time; false when something ends it before. */
static bool spend(struct fake_vcpu *h)
{
	uint64_t end = fake.tsc + h->left, stop = machine.until;

	if (hv_caps.features & HV_F_DEADLINE)
		stop = MIN(stop, h->deadline);
	if (fake_here()->timer && !fake_here()->stale)
		stop = MIN(stop, fake_here()->timer);
	stop = MIN(stop, end);
	if (stop < fake.tsc)
		stop = fake.tsc;
	h->left = end - stop;
	h->guest_ticks += stop - fake.tsc;
	fake.tsc = stop;
	return !h->left;
}

static bool handle_inside(struct vcpu *v, const struct hv_exit *x)
{
	enum act act = ACT_NEXT;

	v->exits[x->reason]++;
	if (x->reason == EXIT_CPUID)
		exit_cpuid(v);
	else if (x->reason == EXIT_MSR)
		act = x->msr.write ? exit_wrmsr(v) : exit_rdmsr(v);
	else if (x->reason == EXIT_HYPERCALL)
		exit_hypercall(v, 0);
	else
		fail_msg("no exit of the inner loop");
	if (act != ACT_STAY)
		skip_insn(v, x->insn_len);
	return !v->requests || run_events(v);
}

static void begin_step(struct vcpu *v, struct fake_vcpu *h, const struct fake_step *step)
{
	h->left = step->ticks;
	h->begun = true;
	if (step->guest)
		step->guest(v);
}

/* The guest runs. True: X is an exit for core/. */
static bool execute(struct vcpu *v, struct fake_vcpu *h, struct hv_exit *x)
{
	const struct fake_step *step = current_step(h);

	x->reason = at_once(v, h);
	if (x->reason != EXIT_NONE)
		return true;
	if (!h->begun)
		begin_step(v, h, step);
	if (!spend(h)) {
		x->reason = at_once(v, h);
		if (x->reason == EXIT_NONE)
			x->reason = EXIT_HOST_IRQ; /* the test's time is over */
		return true;
	}
	/* What the guest did may have opened a window before the instruction that exits. */
	x->reason = at_once(v, h);
	if (x->reason != EXIT_NONE)
		return true;
	h->begun = h->late_done = false;
	h->step++;
	if (step->exit.reason == EXIT_NONE)
		return false;
	REQUIRE(step->exit.reason != EXIT_PAUSE || h->traps & TRAP_PAUSE,
		"PAUSE exits, which was not asked for");
	*x = step->exit;
	return true;
}

/* A script that has ended is a guest that has: it asks for power-off. */
static int script_ends(struct vcpu *v)
{
	fake_note("end%u", v->id);
	vm_end(v->vm, VM_END_SHUTDOWN, "the script ends");
	return 0;
}

static int run(struct vcpu *v, struct hv_exit *x)
{
	struct fake_vcpu *h = loaded(v, "run of a vCPU that is not loaded");

	memset(x, 0xc7, sizeof(*x));
	x->vectoring.valid = false;
	x->insn_len = 0;
	for (;;) {
		const struct fake_step *step = current_step(h);
		bool inner;

		x->reason = EXIT_NONE;
		if (step && step->late && !h->late_done)
			step->late(v);
		h->late_done = true;
		if (READ_ONCE(v->requests))
			return back_out(h, x);
		enter(v, h);
		if (!step)
			return script_ends(v);
		if (!execute(v, h, x)) {
			leave_guest(v);
			continue;
		}
		leave_guest(v);
		inner = h->step && !h->begun && h->steps[h->step - 1].inner &&
			x->reason == h->steps[h->step - 1].exit.reason;
		if (!inner || x->vectoring.valid)
			return x->reason == EXIT_ENTRY_FAILED ? -EIO : 0;
		if (!handle_inside(v, x)) {
			x->reason = EXIT_NONE;
			return 0;
		}
	}
}

/* ---- the rest of the operations ---- */

static int vm_init(struct vm *vm)
{
	(void)vm;
	return 0;
}

static void pio_trap(struct vm *vm, uint16_t port, uint32_t count, bool on)
{
	(void)vm;
	(void)port;
	(void)count;
	(void)on;
}

static void msr_trap(struct vcpu *v, uint32_t msr, bool rd, bool wr)
{
	struct fake_vcpu *h = loaded(v, "msr_trap of a vCPU that is not loaded");

	if (msr == MSR_IA32_TSC_DEADLINE)
		h->has_deadline = !rd && !wr;
}

static void set_traps(struct vcpu *v, uint32_t mask)
{
	loaded(v, "set_traps of a vCPU that is not loaded")->traps = mask;
}

static void pass_spec_ctrl(struct vcpu *v, uint64_t value)
{
	loaded(v, "pass_spec_ctrl of a vCPU that is not loaded");
	fake_note("spec_ctrl%llx", (unsigned long long)value);
}

static void set_tsc_offset(struct vcpu *v, uint64_t offset)
{
	loaded(v, "set_tsc_offset of a vCPU that is not loaded")->tsc_offset = offset;
}

static void set_deadline(struct vcpu *v, uint64_t host_tsc)
{
	loaded(v, "set_deadline of a vCPU that is not loaded")->deadline = host_tsc;
	if (machine.arming)
		machine.arming();
}

static void dump(struct vcpu *v, struct strbuf *out)
{
	loaded(v, "dump of a vCPU that is not loaded");
	fake_hv.dumps++;
	sb_puts(out, "the fake's dump\n");
}

static void cpu_off(struct pcpu *cpu)
{
	REQUIRE(!machine.cpu[cpu->id].current, "VMXOFF with a vCPU loaded");
	machine.on[cpu->id] = false;
}

const struct hv_ops fake_hv_ops = {
	.name = "fake",
	.cpu_off = cpu_off,
	.vm_init = vm_init,
	.pio_trap = pio_trap,
	.npt_flush = npt_flush,
	.vcpu_init = vcpu_init,
	.vcpu_reset = vcpu_reset,
	.load = load,
	.put = put,
	.run = run,
	.get_state = get_state,
	.set_state = set_state,
	.cpl = cpl,
	.dr7 = dr7,
	.debug_trap = debug_trap,
	.skip_insn = skip_insn,
	.insn_bytes = insn_bytes,
	.msr_trap = msr_trap,
	.set_traps = set_traps,
	.pass_spec_ctrl = pass_spec_ctrl,
	.set_tsc_offset = set_tsc_offset,
	.set_deadline = set_deadline,
	.can_inject = can_inject,
	.inject = inject,
	.want_window = want_window,
	.apic_mode = apic_mode,
	.irq_sync = irq_sync,
	.eoi_exits = eoi_exits,
	.set_tpr_threshold = set_tpr_threshold,
	.dump = dump,
	.hypercall_insn = {0x0f, 0x01, 0xc1},
};

/* ---- a VM ---- */

/* Flat 64-bit mode, paging on with no tables: tests that translate make their own. */
static int load_guest(struct vm *vm, struct strbuf *why)
{
	struct vcpu_state *st = &vm->vcpu[0]->st;

	fake_hv.loads++;
	REQUIRE(fake_here()->cr3 == vm->host.root, "a guest is loaded under other page tables");
	sb_puts(why, "the file is gone");
	st->rip = 0x1000;
	st->rflags = RFLAGS_FIXED | RFLAGS_IF;
	st->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
	st->cr4 = CR4_PAE;
	st->efer = EFER_LME | EFER_LMA;
	st->seg[SEG_CS].attr = 0xa09b;
	st->seg[SEG_SS].attr = 0xc093;
	return fake_hv.load_error;
}

static void reset_devices(struct vm *vm)
{
	(void)vm;
	fake_hv.resets++;
}

static const struct vm_hooks hooks = {.load = load_guest, .reset_devices = reset_devices};

static void make_machine(unsigned int cores)
{
	fake_machine_reset(cores);
	fake_sched_forget();
	fake_lifecycle_forget();
	memset(&fake_hv, 0, sizeof(fake_hv));
	hv = &fake_hv_ops;
	memset(&hv_caps, 0, sizeof(hv_caps));
	hv_caps.features = HV_F_DEADLINE;
	for (unsigned int i = 0; i < cores; i++) {
		machine.cpu[i].xcr0 = XCR0_X87;
		sched_init_cpu(pcpus[i]);
	}
	fake_cpuid_intel();
}

static void make_vcpu(struct vcpu *v, unsigned int cores)
{
	assert_int_equal(hv->vcpu_init(v), 0);
	v->fpu = calloc(1, FAKE_FPU_AREA);
	fake_of(v)->fpu = FAKE_FPU_CLEAN;
	fake_of(v)->deadline = ~0ull;
	sched_place(v, pcpus[v->id % cores]);
	v->xcr0 = XCR0_X87;
}

struct vm *fake_hv_vm(unsigned int cores, unsigned int vcpus)
{
	struct vm *vm;

	if (!vm_count)
		make_machine(cores);
	vm = fake_vm_new(vcpus);
	if (!rams[vm_count])
		rams[vm_count] = aligned_alloc(PAGE_SIZE, FAKE_RAM);
	vm->ram[0] = (struct vm_ram){0, FAKE_RAM, rams[vm_count]};
	vms[vm_count] = vm;
	vm->index = vm_count++;
	snprintf(vm->name, sizeof(vm->name), "vm%u", vm->index);
	memset(vm->ram[0].hva, 0, FAKE_RAM);
	vm->ram_count = 1;
	vm->memory = FAKE_RAM;
	vm->host.root = 0x1000 * vm_count;
	vm->hooks = &hooks;
	vm->autostart = true;
	vm->on_crash = vm->on_reboot = VM_POLICY_STOP;
	assert_int_equal(cpuid_init(vm), 0);
	for (unsigned int i = 0; i < vcpus; i++)
		make_vcpu(vm->vcpu[i], cores);
	vm_register(vm);
	return vm;
}

void fake_hv_end(void)
{
	for (unsigned int i = 0; i < vm_count; i++) {
		struct vm *vm = vms[i];

		for (unsigned int j = 0; j < vm->vcpu_count; j++) {
			free(vm->vcpu[j]->hv);
			free(vm->vcpu[j]->fpu);
		}
		cpuid_fini(vm);
		fake_vm_free(vm);
	}
	vm_count = 0;
}

void fake_hv_start(struct vm *vm)
{
	vm_start(vm);
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *v = vm->vcpu[i];

		machine.here = v->cpu->id;
		while (v->activity == VCPU_PARKED)
			lifecycle_start(v);
	}
	for (unsigned int i = vm->vcpu_count; i-- > 0;) {
		machine.here = vm->vcpu[i]->cpu->id;
		sched_unload(vm->vcpu[i]);
	}
	sched_load(vm->vcpu[0]);
	fake_trace();
}

void fake_script(struct vcpu *v, const struct fake_step *steps, unsigned int count)
{
	struct fake_vcpu *h = fake_of(v);

	h->steps = steps;
	h->step_count = count;
	h->step = 0;
	h->begun = h->late_done = false;
}

void fake_run(struct vcpu *v, const struct fake_step *steps, unsigned int count)
{
	machine.here = v->cpu->id;
	fake_script(v, steps, count);
	v->slice_end = ~0ull;
	sched_load(v);
	run_vcpu(v);
}

void fake_enable_timer(struct vcpu *v)
{
	vapic_put(v, APIC_SVR, 0x1ff);
	vapic_put(v, APIC_LVT_TIMER, FAKE_TIMER_VECTOR | TIMER_TSC_DEADLINE << 17);
	v->timer_mode = TIMER_TSC_DEADLINE;
}
