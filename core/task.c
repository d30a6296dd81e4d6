/* SDM vol. 3A 8.3: the steps of a task switch, and table 8-1: what is checked in which of them. */
#include "core/task.h"

#include "arch/x86/cpu.h"
#include "core/cr.h"
#include "core/mmio.h"
#include "core/vm.h"
#include "lib/err.h"
#include "lib/string.h"

#define DESC_ACCESSED BIT(40)
#define DESC_BUSY     BIT(41)

#define TYPE_CODE	8u
#define TYPE_CONFORMING 4u
#define TYPE_DOWN	4u /* data that expands down */
#define TYPE_WRITABLE	2u /* data; code: readable */
#define TYPE_BUSY	2u /* a TSS */
#define TYPE_32		8u /* a TSS */
#define TYPE_LDT	2u
#define TYPE_TSS	1u

#define TSS_LINK 0u
#define TSS_CR3	 0x1cu
#define TSS_TRAP 0x64u
#define TSS_MAX	 0x68u

#define ATTR_PRESENT_DATA (SEG_ATTR_P | SEG_ATTR_S | TYPE_WRITABLE | 1)
#define ATTR_PRESENT_CODE (ATTR_PRESENT_DATA | TYPE_CODE)
#define ATTR_V86	  (ATTR_PRESENT_DATA | 3u << 5)

#define RFLAGS_DEFINED 0x3f7fd5ull
#define DR7_LOCAL      0x155ull /* L0 to L3, LE */
#define DR6_BT	       BIT(15)

/*
 * The two formats (SDM vol. 3A figures 8-2 and 8-10). From `first` on there are (E)IP, (E)FLAGS and
 * the eight general registers of WIDTH bytes each, then selectors in as many bytes, in the order
 * of the encodings, and the selector of the LDT.
 */
static const struct tss_format {
	uint8_t size, first, width, selectors;
} formats[] = {
	{.size = 0x2c, .first = 0x0e, .width = 2, .selectors = 4},
	{.size = TSS_MAX, .first = 0x20, .width = 4, .selectors = 6},
};

struct tss {
	const struct tss_format *format;
	uint16_t selector;
	struct vcpu_seg seg;
};

struct task {
	struct vcpu *v;
	enum task_cause cause;
	uint32_t ext; /* bit 0 of error codes: the event came from outside the program */
	struct tss old, new;
	uint8_t image[TSS_MAX];
};

/* ---- exceptions and memory ---- */

static int fault(const struct task *t, uint8_t vector, uint16_t selector)
{
	vcpu_exception(t->v, vector, true, (selector & ~3u) | t->ext);
	return -EFAULT;
}

/* All of these accesses are the processor's own, whatever the CPL (SDM vol. 3A 4.6). */
static int read_linear(const struct task *t, uint64_t linear, void *buf, unsigned int size)
{
	return mmio_system_access(t->v, (uint32_t)linear, buf, size, false);
}

static int write_linear(const struct task *t, uint64_t linear, void *buf, unsigned int size)
{
	return mmio_system_access(t->v, (uint32_t)linear, buf, size, true);
}

static int probe_write(const struct task *t, uint64_t linear, unsigned int size)
{
	return mmio_system_probe(t->v, (uint32_t)linear, size);
}

/* ---- descriptors ---- */

static struct vcpu_seg segment_of(uint16_t selector, uint64_t raw)
{
	struct vcpu_seg s = {
		.selector = selector,
		.attr = (uint32_t)(raw >> 40) & 0xf0ff,
		.limit = (uint32_t)(raw & 0xffff) | (uint32_t)(raw >> 32 & 0xf0000),
		.base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000),
	};

	if (s.attr & SEG_ATTR_G)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

/* Where SELECTOR's descriptor is: -ENOENT beyond the table's limit, or without a table. */
static int descriptor_address(const struct task *t, uint16_t selector, uint64_t *linear)
{
	const struct vcpu_state *st = &t->v->st;
	const struct vcpu_seg *ldt = &st->seg[SEG_LDTR];
	uint32_t index = selector & ~7u;

	if (selector & 4) {
		*linear = ldt->base + index;
		return ldt->attr & SEG_ATTR_UNUSABLE || index + 7 > ldt->limit ? -ENOENT : 0;
	}
	*linear = st->gdtr.base + index;
	return index + 7 > st->gdtr.limit ? -ENOENT : 0;
}

/* Reads it, or faults with VECTOR where there is none. */
static int read_descriptor(const struct task *t, uint16_t selector, uint8_t vector, uint64_t *raw)
{
	uint64_t linear;

	if (descriptor_address(t, selector, &linear))
		return fault(t, vector, selector);
	return read_linear(t, linear, raw, sizeof(*raw));
}

static int set_descriptor_bit(const struct task *t, uint16_t selector, uint64_t bit, bool on)
{
	uint64_t linear, raw;

	if (descriptor_address(t, selector, &linear))
		return -ENOENT;
	if (read_linear(t, linear, &raw, sizeof(raw)))
		return -EFAULT;
	if (!(raw & bit) == !on)
		return 0;
	raw ^= bit;
	return write_linear(t, linear, &raw, sizeof(raw));
}

static unsigned int type_of(const struct vcpu_seg *s)
{
	return s->attr & SEG_ATTR_TYPE;
}

static const struct tss_format *format_of(const struct vcpu_seg *tss)
{
	return &formats[type_of(tss) & TYPE_32 ? 1 : 0];
}

/* ---- before the old task is left: table 8-1, 1 to 5 ---- */

static bool is_tss(const struct vcpu_seg *s, bool busy)
{
	unsigned int wanted = TYPE_TSS | (busy ? TYPE_BUSY : 0);

	return !(s->attr & SEG_ATTR_S) && (type_of(s) & ~TYPE_32) == wanted;
}

/* The processor has looked already, but the guest's other vCPUs have run since. */
static int find_new_tss(struct task *t)
{
	uint8_t vector = t->cause == TASK_IRET ? EXC_TS : EXC_GP;
	uint16_t selector = t->new.selector;
	struct vcpu_seg *s = &t->new.seg;
	uint64_t raw;

	if (selector & 4 || !(selector & ~3u))
		return fault(t, vector, selector);
	if (read_descriptor(t, selector, vector, &raw))
		return -EFAULT;
	*s = segment_of(selector, raw);
	if (!is_tss(s, t->cause == TASK_IRET))
		return fault(t, vector, selector);
	if (!(s->attr & SEG_ATTR_P))
		return fault(t, EXC_NP, selector);
	t->new.format = format_of(s);
	return s->limit + 1ull < t->new.format->size ? fault(t, EXC_TS, selector) : 0;
}

/* What is still to be written must not fail half way. */
static int check_memory(struct task *t)
{
	const struct tss_format *old = t->old.format;
	uint64_t linear;

	if (t->old.seg.limit + 1ull < old->size)
		return fault(t, EXC_TS, t->old.selector);
	if (probe_write(t, t->old.seg.base, old->size) ||
	    read_linear(t, t->new.seg.base, t->image, t->new.format->size))
		return -EFAULT;
	if ((t->cause == TASK_CALL || t->cause == TASK_GATE) &&
	    probe_write(t, t->new.seg.base + TSS_LINK, 2))
		return -EFAULT;
	if (t->cause != TASK_IRET && !descriptor_address(t, t->new.selector, &linear) &&
	    probe_write(t, linear, 8))
		return -EFAULT;
	if (t->cause == TASK_CALL || t->cause == TASK_GATE ||
	    descriptor_address(t, t->old.selector, &linear))
		return 0;
	return probe_write(t, linear, 8);
}

/* ---- the old task ---- */

static void put(uint8_t *image, unsigned int at, uint32_t value, unsigned int size)
{
	memcpy(image + at, &value, size);
}

static uint32_t get(const uint8_t *image, unsigned int at, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, image + at, size);
	return value;
}

static unsigned int selectors_at(const struct tss_format *f)
{
	return f->first + 10u * f->width;
}

static unsigned int ldt_at(const struct tss_format *f)
{
	return selectors_at(f) + (unsigned int)f->selectors * f->width;
}

/* A selector's field has its upper half left as it is. */
static int save_old(struct task *t, uint64_t rip, uint64_t flags)
{
	const struct tss_format *f = t->old.format;
	const struct vcpu_state *st = &t->v->st;
	unsigned int size = ldt_at(f) - f->first, w = f->width;
	uint8_t *image = t->image;

	if (read_linear(t, t->old.seg.base + f->first, image + f->first, size))
		return -EFAULT;
	put(image, f->first, (uint32_t)rip, w);
	put(image, f->first + w, (uint32_t)flags, w);
	for (unsigned int i = 0; i < 8; i++)
		put(image, f->first + (2 + i) * w, (uint32_t)t->v->gpr[i], w);
	for (unsigned int i = 0; i < f->selectors; i++)
		put(image, selectors_at(f) + i * w, st->seg[i].selector, 2);
	return write_linear(t, t->old.seg.base + f->first, image + f->first, size);
}

/* Busy is left set by CALL and by an event: the old task is to be returned to. */
static int exchange_busy(struct task *t)
{
	uint16_t link = t->old.selector;

	if ((t->cause == TASK_JMP || t->cause == TASK_IRET) &&
	    set_descriptor_bit(t, t->old.selector, DESC_BUSY, false) == -EFAULT)
		return -EFAULT;
	if (t->cause != TASK_IRET && set_descriptor_bit(t, t->new.selector, DESC_BUSY, true))
		return -EFAULT;
	if (t->cause == TASK_CALL || t->cause == TASK_GATE)
		return write_linear(t, t->new.seg.base + TSS_LINK, &link, sizeof(link));
	return 0;
}

/* ---- the new task: registers ---- */

static void set_segment_registers(struct task *t, bool v86)
{
	const struct tss_format *f = t->new.format;
	struct vcpu_state *st = &t->v->st;
	uint32_t cpl;

	for (unsigned int i = SEG_ES; i <= SEG_GS; i++) {
		struct vcpu_seg *s = &st->seg[i];
		uint16_t selector = 0;

		if (i < f->selectors)
			selector = (uint16_t)get(t->image, selectors_at(f) + i * f->width, 2);
		s->selector = selector;
		if (v86) {
			s->base = (uint64_t)selector << 4;
			s->limit = 0xffff;
			s->attr = ATTR_V86;
		} else if (i != SEG_CS) {
			s->attr = SEG_ATTR_UNUSABLE;
		}
	}
	if (v86)
		return;
	/* The privilege level is the new one from here on, whatever becomes of the segments. */
	cpl = st->seg[SEG_CS].selector & 3u;
	st->seg[SEG_CS].attr =
		ATTR_PRESENT_CODE | cpl << 5 | (st->seg[SEG_CS].attr & (SEG_ATTR_DB | SEG_ATTR_G));
	st->seg[SEG_SS].attr |= cpl << 5;
	st->seg[SEG_LDTR].selector = (uint16_t)get(t->image, ldt_at(f), 2);
}

static void set_registers(struct task *t)
{
	const struct tss_format *f = t->new.format;
	struct vcpu *v = t->v;
	struct vcpu_state *st = &v->st;
	unsigned int w = f->width;
	uint32_t missing = w == 2 ? 0xffff0000 : 0;

	st->rip = get(t->image, f->first, w);
	st->rflags = (get(t->image, f->first + w, w) & RFLAGS_DEFINED) | RFLAGS_FIXED;
	if (t->cause == TASK_CALL || t->cause == TASK_GATE)
		st->rflags |= RFLAGS_NT;
	/* A 16-bit TSS has nothing for the upper halves: they are all ones (SDM vol. 3A 8.6). */
	for (unsigned int i = 0; i < 8; i++)
		v->gpr[i] = get(t->image, f->first + (2 + i) * w, w) | missing;
	st->seg[SEG_LDTR] = (struct vcpu_seg){
		.selector = (uint16_t)get(t->image, ldt_at(f), 2),
		.attr = SEG_ATTR_UNUSABLE,
	};
	st->seg[SEG_TR] = t->new.seg;
	st->seg[SEG_TR].attr |= TYPE_BUSY;
	set_segment_registers(t, st->rflags & RFLAGS_VM);
	st->dr7 &= ~DR7_LOCAL;
	st->interruptibility &= ~(uint32_t)(INTR_STI | INTR_MOV_SS);
	if (t->cause == TASK_GATE && v->pending.valid && v->pending.type == EVENT_NMI)
		st->interruptibility |= INTR_NMI_BLOCKED;
	st->cr0 |= CR0_TS;
	hv->set_state(v, ST_RIP | ST_CRS | ST_SEGS | ST_DRS | ST_INTR);
}

static int load_cr3(struct task *t)
{
	if (t->new.format->size != TSS_MAX || !(t->v->st.cr0 & CR0_PG))
		return 0;
	return cr3_write(t->v, get(t->image, TSS_CR3, 4)) ? fault(t, EXC_GP, 0) : 0;
}

/* ---- the new task: segments, table 8-1, 6 to 19 ---- */

static int load_ldt(struct task *t)
{
	struct vcpu_seg *ldt = &t->v->st.seg[SEG_LDTR], s;
	uint16_t selector = ldt->selector;
	uint64_t raw;

	if (!(selector & ~3u))
		return 0;
	if (selector & 4)
		return fault(t, EXC_TS, selector);
	if (read_descriptor(t, selector, EXC_TS, &raw))
		return -EFAULT;
	s = segment_of(selector, raw);
	if (s.attr & SEG_ATTR_S || type_of(&s) != TYPE_LDT || !(s.attr & SEG_ATTR_P))
		return fault(t, EXC_TS, selector);
	*ldt = s;
	return 0;
}

static bool code_allowed(const struct vcpu_seg *s, uint32_t cpl)
{
	uint32_t dpl = SEG_ATTR_DPL(s->attr);

	if (!(s->attr & SEG_ATTR_S) || !(type_of(s) & TYPE_CODE))
		return false;
	return type_of(s) & TYPE_CONFORMING ? dpl <= cpl : dpl == cpl;
}

static bool stack_allowed(const struct vcpu_seg *s, uint32_t cpl)
{
	return s->attr & SEG_ATTR_S &&
	       (type_of(s) & (TYPE_CODE | TYPE_WRITABLE)) == TYPE_WRITABLE &&
	       SEG_ATTR_DPL(s->attr) == cpl && (s->selector & 3u) == cpl;
}

static bool data_allowed(const struct vcpu_seg *s, uint32_t cpl)
{
	unsigned int type = type_of(s);

	if (!(s->attr & SEG_ATTR_S) || (type & (TYPE_CODE | TYPE_WRITABLE)) == TYPE_CODE)
		return false;
	if ((type & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING))
		return true;
	return SEG_ATTR_DPL(s->attr) >= cpl && SEG_ATTR_DPL(s->attr) >= (s->selector & 3u);
}

static int load_segment(struct task *t, unsigned int i,
			bool (*allowed)(const struct vcpu_seg *s, uint32_t cpl), uint8_t absent)
{
	struct vcpu_state *st = &t->v->st;
	uint32_t cpl = st->seg[SEG_CS].selector & 3u;
	uint16_t selector = st->seg[i].selector;
	struct vcpu_seg s;
	uint64_t raw;

	if (!(selector & ~3u))
		return i == SEG_CS || i == SEG_SS ? fault(t, EXC_TS, selector) : 0;
	if (read_descriptor(t, selector, EXC_TS, &raw))
		return -EFAULT;
	s = segment_of(selector, raw);
	if (!allowed(&s, cpl))
		return fault(t, EXC_TS, selector);
	if (!(s.attr & SEG_ATTR_P))
		return fault(t, absent, selector);
	if (set_descriptor_bit(t, selector, DESC_ACCESSED, true))
		return -EFAULT;
	s.attr |= 1;
	st->seg[i] = s;
	return 0;
}

static int load_segments(struct task *t)
{
	static const uint8_t data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	if (load_ldt(t))
		return -EFAULT;
	if (t->v->st.rflags & RFLAGS_VM)
		return 0;
	if (load_segment(t, SEG_CS, code_allowed, EXC_NP) ||
	    load_segment(t, SEG_SS, stack_allowed, EXC_SS))
		return -EFAULT;
	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		if (load_segment(t, data[i], data_allowed, EXC_NP))
			return -EFAULT;
	return 0;
}

/* ---- the new task: before its first instruction ---- */

static bool stack_has_room(const struct vcpu_seg *ss, uint32_t offset, unsigned int size)
{
	uint64_t last = offset + (uint64_t)size - 1;
	uint32_t end = ss->attr & SEG_ATTR_DB ? 0xffffffff : 0xffff;

	if (ss->attr & TYPE_DOWN)
		return offset > ss->limit && last <= end;
	return last <= ss->limit;
}

/* The error code of the event that a task gate took goes onto the new task's stack. */
static int push_error(struct task *t, uint32_t error)
{
	struct vcpu *v = t->v;
	const struct vcpu_seg *ss = &v->st.seg[SEG_SS];
	unsigned int size = t->new.format->width;
	uint32_t mask = ss->attr & SEG_ATTR_DB ? 0xffffffff : 0xffff;
	uint32_t top = ((uint32_t)v->gpr[RSP] - size) & mask;

	if (!stack_has_room(ss, top, size))
		return fault(t, EXC_SS, 0);
	if (mmio_access(v, (uint32_t)(ss->base + top), &error, size, true))
		return -EFAULT;
	v->gpr[RSP] = ((uint32_t)v->gpr[RSP] & ~mask) | top;
	hv->set_state(v, ST_RIP);
	return 0;
}

/* The T bit of the TSS (SDM vol. 3B 18.3.1.5). A single step of the old task's ends with it. */
static void debug_trap(struct task *t)
{
	struct vcpu *v = t->v;

	if (t->new.format->size != TSS_MAX || !(get(t->image, TSS_TRAP, 2) & 1))
		return;
	v->st.dr6 |= DR6_BT;
	hv->set_state(v, ST_DRS);
	vcpu_exception(v, EXC_DB, false, 0);
}

/* ---- all of it ---- */

/* The instruction after the one that switches, or the one that an event interrupted. */
static uint64_t old_rip(const struct task *t, const struct hv_exit *x)
{
	uint64_t rip = t->v->st.rip;

	if (t->cause != TASK_GATE || x->vectoring.type >= EVENT_SOFT_INTR)
		rip += x->insn_len;
	return t->v->st.seg[SEG_CS].attr & SEG_ATTR_DB ? (uint32_t)rip : (uint16_t)rip;
}

/* RF as in an image that a fault pushes (SDM vol. 3B 18.3.1.1); not every processor has set it. */
static uint64_t old_flags(const struct task *t, const struct hv_event *event)
{
	const uint32_t no_fault = BIT(EXC_DB) | BIT(EXC_DF) | BIT(EXC_MC);
	uint64_t flags = t->v->st.rflags;

	if (t->cause == TASK_IRET)
		flags &= ~RFLAGS_NT;
	if (event->valid && event->type == EVENT_EXCEPTION && !(no_fault >> event->vector & 1))
		flags |= RFLAGS_RF;
	return flags;
}

static int leave_old(struct task *t, const struct hv_exit *x)
{
	if (find_new_tss(t) || check_memory(t) ||
	    save_old(t, old_rip(t, x), old_flags(t, &x->vectoring)) || exchange_busy(t))
		return -EFAULT;
	/* Read again: the old task's may be the same. */
	return read_linear(t, t->new.seg.base, t->image, t->new.format->size);
}

static int enter_new(struct task *t, const struct hv_event *event)
{
	struct vcpu_state *st = &t->v->st;
	int err;

	set_registers(t);
	if (load_cr3(t))
		return -EFAULT;
	err = load_segments(t);
	hv->set_state(t->v, ST_SEGS);
	if (err)
		return err;
	if (event->valid && event->has_error && push_error(t, event->error))
		return -EFAULT;
	return st->rip > st->seg[SEG_CS].limit ? fault(t, EXC_GP, 0) : 0;
}

/* Whatever becomes of the IRET: SDM vol. 3A 6.7.1. */
static void end_nmi_blocking(struct vcpu *v)
{
	v->st.interruptibility &= ~INTR_NMI_BLOCKED;
	hv->set_state(v, ST_INTR);
}

void task_switch(struct vcpu *v, const struct hv_exit *x)
{
	struct task t = {.v = v, .cause = (enum task_cause)x->task.cause};

	hv->get_state(v, ST_RIP | ST_CRS | ST_SEGS | ST_DRS | ST_INTR);
	if (t.cause == TASK_IRET)
		end_nmi_blocking(v);
	t.ext = x->vectoring.valid && x->vectoring.type < EVENT_SOFT_INTR;
	t.new.selector = x->task.selector;
	t.old.seg = v->st.seg[SEG_TR];
	t.old.selector = t.old.seg.selector;
	t.old.format = format_of(&t.old.seg);
	if (leave_old(&t, x) || enter_new(&t, &x->vectoring))
		return;
	/* The event has been delivered. */
	v->pending.valid = false;
	debug_trap(&t);
}
