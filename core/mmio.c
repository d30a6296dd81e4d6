/* Between emul/ (which knows instructions) and the VM (which knows memory): translation and
 * routing. */
#include "core/mmio.h"

#include "arch/x86/cpu.h"
#include "arch/x86/fpu.h"
#include "arch/x86/tsc.h"
#include "core/bus.h"
#include "core/cpuid.h"
#include "core/debug.h"
#include "core/gmem.h"
#include "core/gva.h"
#include "core/lapic.h"
#include "core/lifecycle.h"
#include "emul/emul.h"
#include "emul/walk.h"
#include "lib/err.h"
#include "lib/strbuf.h"
#include "lib/string.h"

/*
 * Iterations of a REP instruction before interrupts get their turn, and how long they may take: one
 * may be milliseconds of a device's work.
 */
#define REP_MAX 1024u
#define REP_NS	1000000u

/* An instruction that cannot be executed has so many tries before its VM ends. */
#define REFUSED_MAX 16u

struct access {
	struct vcpu *v;
	struct walk_regs regs;
	/* The entries that the walk has read; more than GVA_LEVELS are counted only. */
	const uint64_t *where[GVA_LEVELS];
	uint64_t entry[GVA_LEVELS];
	unsigned int entries;
	uint64_t dr7;
	uint64_t rep_until; /* host TSC; 0: the first iteration has not begun */
};

static int table_read(void *ctx, uint64_t gpa, unsigned int size, uint64_t *value)
{
	struct access *a = ctx;
	const void *p = gmem_ptr(a->v->vm, gpa, size);

	if (!p)
		return -EIO;
	*value = size == 8 ? READ_ONCE(*(const uint64_t *)p) : READ_ONCE(*(const uint32_t *)p);
	if (a->entries < GVA_LEVELS) {
		a->where[a->entries] = p;
		a->entry[a->entries] = *value;
	}
	a->entries++;
	return 0;
}

static int table_replace(void *ctx, uint64_t gpa, unsigned int size, uint64_t old, uint64_t wanted)
{
	struct vcpu *v = ((struct access *)ctx)->v;
	void *p = gmem_ptr(v->vm, gpa, size);
	uint32_t old32 = (uint32_t)old;
	bool done;

	if (!p)
		return -EIO;
	if (size == 8)
		done = __atomic_compare_exchange_n((uint64_t *)p, &old, wanted, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	else
		done = __atomic_compare_exchange_n((uint32_t *)p, &old32, (uint32_t)wanted, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return done ? 0 : -EAGAIN;
}

static const struct walk_ops tables = {.read = table_read, .replace = table_replace};

static void access_init(struct access *a, struct vcpu *v)
{
	hv->get_state(v, ST_RIP | ST_CRS | ST_SEGS);
	*a = (struct access){
		.v = v,
		.dr7 = hv->dr7(v),
		.regs =
			{
				.cr0 = v->st.cr0,
				.cr3 = v->st.cr3,
				.cr4 = v->st.cr4,
				.efer = v->st.efer,
				.rflags = v->st.rflags,
				/* The guest's own: nothing in the hypervisor changes it. */
				.pkru = v->st.cr4 & CR4_PKE ? rdpkru() : 0,
				.cpl = SEG_ATTR_DPL(v->st.seg[SEG_SS].attr),
				.gib_pages = cpuid_gib_pages(v->vm),
				.phys_width = cpuid_phys_width(v->vm),
			},
	};
}

uint32_t mmio_table_error(struct vcpu *v, bool write, bool fetch, bool user)
{
	hv->get_state(v, ST_CRS);
	fetch = fetch && (v->st.cr4 & CR4_SMEP || (v->st.cr4 & CR4_PAE && v->st.efer & EFER_NXE));
	return PF_PRESENT | PF_RESERVED | (write ? PF_WRITE : 0) | (user ? PF_USER : 0) |
	       (fetch ? PF_FETCH : 0);
}

static struct gva_key key_of(const struct walk_regs *r, enum walk_access kind, bool implicit)
{
	bool ac = kind != WALK_FETCH && r->rflags & RFLAGS_AC;
	uint64_t pkru = kind != WALK_FETCH ? r->pkru : 0;

	return (struct gva_key){
		.cr0 = r->cr0,
		.cr3 = r->cr3,
		/* Bits 63:32 are reserved in the register. */
		.cr4 = r->cr4 | pkru << 32,
		.efer = r->efer,
		.access = GVA_ACCESS(r->cpl, ac, implicit),
	};
}

/* Keeps what the walk has found, where its tables are of the common size: entries of 8 bytes, four
 * levels. */
static void keep(const struct access *a, const struct gva_key *key, uint64_t linear,
		 enum walk_access kind, uint64_t gpa)
{
	static const uint64_t none;
	struct gva_slot *s = &a->v->gva[kind];

	if (!(key->efer & EFER_LMA) || !a->entries || a->entries > GVA_LEVELS)
		return;
	s->page = linear >> 12;
	s->key = *key;
	for (unsigned int i = 0; i < GVA_LEVELS; i++) {
		s->where[i] = i < a->entries ? a->where[i] : &none;
		s->entry[i] = i < a->entries ? a->entry[i] : 0;
	}
	s->gpa = ALIGN_DOWN(gpa, PAGE_SIZE);
	s->host = gmem_ptr(a->v->vm, s->gpa, PAGE_SIZE);
}

/* Queues the guest's page fault where the walk fails. A table outside RAM reads as all ones:
 * reserved bits. */
static int translate(struct access *a, uint64_t linear, enum walk_access kind, bool implicit,
		     uint64_t *gpa)
{
	struct gva_key key = key_of(&a->regs, kind, implicit);
	const struct gva_slot *s = gva_find(a->v, kind, linear, &key);
	struct walk_result r = {0};
	struct walk_regs regs = a->regs;
	int err;

	if (s) {
		*gpa = s->gpa | (linear & (PAGE_SIZE - 1));
		return 0;
	}
	regs.implicit = implicit;
	a->entries = 0;
	err = walk_translate(&regs, &tables, a, linear, kind, &r);
	if (err == -EIO)
		r.error = mmio_table_error(a->v, kind == WALK_WRITE, kind == WALK_FETCH,
					   a->regs.cpl == 3 && !implicit);
	if (err == -EIO || err == -EFAULT) {
		vcpu_page_fault(a->v, linear, r.error);
		return -EFAULT;
	}
	*gpa = r.gpa;
	if (!err)
		keep(a, &key, linear, kind, r.gpa);
	return err;
}

/* One access that crosses no page. */
static void access_gpa(struct vcpu *v, uint64_t gpa, void *buf, unsigned int size, bool write)
{
	void *ram = gmem_ptr(v->vm, gpa, size);

	if (ram) {
		memcpy(write ? ram : buf, write ? buf : ram, size);
		return;
	}
	for (unsigned int done = 0; done < size;) {
		unsigned int n = MIN(size - done, 8u);
		uint64_t value = 0;

		/* Pieces of 1, 2, 4, 8: what a page boundary has cut goes out in the largest that
		 * fit. */
		while (n & (n - 1))
			n &= n - 1;
		if (write)
			memcpy(&value, (uint8_t *)buf + done, n);
		if (lapic_covers(v, gpa + done))
			lapic_mmio(v, (gpa + done) & (PAGE_SIZE - 1), write, (uint8_t)n, &value);
		else
			bus_mmio(v, gpa + done, write, (uint8_t)n, &value);
		if (!write)
			memcpy((uint8_t *)buf + done, &value, n);
		done += n;
	}
}

static int access_linear(struct access *a, uint64_t linear, void *buf, unsigned int size,
			 enum walk_access kind, bool write, bool implicit)
{
	unsigned int first = MIN(size, PAGE_SIZE - (unsigned int)(linear & (PAGE_SIZE - 1)));
	uint64_t gpa[2];

	/* Both pages before the first byte moves. */
	if (translate(a, linear, kind, implicit, &gpa[0]) ||
	    (first < size && translate(a, linear + first, kind, implicit, &gpa[1])))
		return -EFAULT;
	access_gpa(a->v, gpa[0], buf, first, write);
	if (first < size)
		access_gpa(a->v, gpa[1], (uint8_t *)buf + first, size - first, write);
	if (!implicit)
		debug_accessed(a->v, a->dr7, linear, size, write ? DEBUG_WRITE : DEBUG_READ);
	return 0;
}

static int op_fetch(void *ctx, uint64_t linear, void *buf, unsigned int size)
{
	struct access *a = ctx;
	uint64_t gpa;

	if (translate(a, linear, WALK_FETCH, false, &gpa))
		return -EFAULT;
	if (gmem_read(a->v->vm, gpa, buf, size))
		memset(buf, 0xff, size);
	return 0;
}

static int op_read(void *ctx, uint64_t linear, void *buf, unsigned int size, enum emul_access kind)
{
	return access_linear(ctx, linear, buf, size,
			     kind == EMUL_READ_MODIFY ? WALK_WRITE : WALK_READ, false,
			     kind == EMUL_READ_SYSTEM);
}

static int op_write(void *ctx, uint64_t linear, const void *buf, unsigned int size)
{
	return access_linear(ctx, linear, (void *)buf, size, WALK_WRITE, true, false);
}

static int probe_write(struct access *a, uint64_t linear, unsigned int size, bool implicit)
{
	uint64_t gpa, last = linear + size - 1;

	if (translate(a, linear, WALK_WRITE, implicit, &gpa))
		return -EFAULT;
	if ((linear ^ last) & ~(uint64_t)(PAGE_SIZE - 1))
		return translate(a, last & ~(uint64_t)(PAGE_SIZE - 1), WALK_WRITE, implicit, &gpa);
	return 0;
}

static int op_probe_write(void *ctx, uint64_t linear, unsigned int size)
{
	return probe_write(ctx, linear, size, false);
}

int mmio_access(struct vcpu *v, uint64_t linear, void *buf, unsigned int size, bool write)
{
	struct access a;

	access_init(&a, v);
	return access_linear(&a, linear, buf, size, write ? WALK_WRITE : WALK_READ, write, false);
}

int mmio_system_access(struct vcpu *v, uint64_t linear, void *buf, unsigned int size, bool write)
{
	struct access a;

	access_init(&a, v);
	return access_linear(&a, linear, buf, size, write ? WALK_WRITE : WALK_READ, write, true);
}

int mmio_system_probe(struct vcpu *v, uint64_t linear, unsigned int size)
{
	struct access a;

	access_init(&a, v);
	return probe_write(&a, linear, size, true);
}

static int op_pio_in(void *ctx, uint16_t port, uint32_t *value, unsigned int size)
{
	struct access *a = ctx;
	uint64_t data = 0;

	bus_pio(a->v, port, false, (uint8_t)size, &data);
	debug_accessed(a->v, a->dr7, port, size, DEBUG_PORT);
	*value = (uint32_t)data;
	return 0;
}

static int op_pio_out(void *ctx, uint16_t port, uint32_t value, unsigned int size)
{
	struct access *a = ctx;
	uint64_t data = value;

	bus_pio(a->v, port, true, (uint8_t)size, &data);
	debug_accessed(a->v, a->dr7, port, size, DEBUG_PORT);
	return 0;
}

static bool op_enough(void *ctx)
{
	struct access *a = ctx;

	if (a->rep_until)
		return tsc_now() >= a->rep_until;
	a->rep_until = tsc_now() + tsc_from_ns(REP_NS);
	return false;
}

/* The guest's vector registers are the core's while its vCPU is on it. */
static uint8_t op_vector(void *ctx, enum insn_vector kind, unsigned int number, uint8_t buf[32],
			 bool write)
{
	(void)ctx;
	if (kind == INSN_MMX)
		return fpu_mmx(number, buf, write) ? 0 : EXC_MF;
	if (kind == INSN_VEX)
		return fpu_ymm(number, buf, write) ? 0 : EXC_UD;
	fpu_xmm(number, buf, write);
	return 0;
}

static const struct emul_ops ops = {
	.vector = op_vector,
	.fetch = op_fetch,
	.read = op_read,
	.write = op_write,
	.probe_write = op_probe_write,
	.pio_in = op_pio_in,
	.pio_out = op_pio_out,
	.enough = op_enough,
};

static enum emul_mode code_mode(const struct vcpu *v)
{
	const struct vcpu_state *st = &v->st;

	if (!(st->cr0 & CR0_PE) || st->rflags & RFLAGS_VM)
		return EMUL_MODE_16;
	if (st->efer & EFER_LMA && st->seg[SEG_CS].attr & SEG_ATTR_L)
		return EMUL_MODE_64;
	return st->seg[SEG_CS].attr & SEG_ATTR_DB ? EMUL_MODE_32 : EMUL_MODE_16;
}

static struct emul_seg emul_seg(const struct vcpu_seg *s)
{
	return (struct emul_seg){s->base, s->limit, s->attr, s->selector};
}

static void cpu_from_vcpu(struct emul_cpu *cpu, const struct vcpu *v)
{
	memset(cpu, 0, sizeof(*cpu));
	memcpy(cpu->gpr, v->gpr, sizeof(cpu->gpr));
	cpu->rip = v->st.rip;
	cpu->rflags = v->st.rflags;
	cpu->cr0 = v->st.cr0;
	cpu->cr4 = v->st.cr4;
	for (int i = 0; i < EMUL_SEG_COUNT; i++)
		cpu->seg[i] = emul_seg(&v->st.seg[i]);
	cpu->tr = emul_seg(&v->st.seg[SEG_TR]);
	cpu->mode = code_mode(v);
	cpu->cpl = (uint8_t)SEG_ATTR_DPL(v->st.seg[SEG_SS].attr);
	cpu->rep_max = REP_MAX;
}

/* RIP stays: it advances in the back end's one place. */
static void cpu_to_vcpu(const struct emul_cpu *cpu, struct vcpu *v)
{
	memcpy(v->gpr, cpu->gpr, sizeof(v->gpr));
	v->st.rflags = cpu->rflags;
	hv->set_state(v, ST_RIP);
}

/* A program that has been given device memory must not end the VM of its kernel: it gets #UD. */
static void refuse_unsupported(struct vcpu *v)
{
	uint8_t bytes[INSN_MAX];
	unsigned int n = exit_fetch(v, bytes);
	char text[128];
	struct strbuf sb;

	/* It cannot be fetched any more, and a fault is queued. */
	if (!n)
		return;
	if (SEG_ATTR_DPL(v->st.seg[SEG_SS].attr) == 3) {
		vcpu_ud(v);
		return;
	}
	/*
	 * Another vCPU may have rewritten it since it exited: what is there now runs by itself, and
	 * exits again if it has to.
	 */
	if (v->refused_rip != v->st.rip)
		v->refused = 0;
	v->refused_rip = v->st.rip;
	if (++v->refused < REFUSED_MAX)
		return;
	sb_init(&sb, text, sizeof(text));
	sb_puts(&sb, "an instruction on device memory that Socle cannot execute:");
	for (unsigned int i = 0; i < n; i++)
		sb_printf(&sb, " %02x", bytes[i]);
	vcpu_crash(v, text);
}

enum act mmio_emulate(struct vcpu *v, unsigned int *len)
{
	struct access a;
	struct emul_cpu cpu;
	uint8_t bytes[INSN_MAX];
	size_t n;

	access_init(&a, v);
	cpu_from_vcpu(&cpu, v);
	/* A breakpoint's trap comes behind the iteration that has met it. */
	if (a.dr7 & DR7_ENABLED)
		cpu.rep_max = 1;
	n = hv->insn_bytes(v, bytes);
	switch (emul_exec(&cpu, &ops, &a, bytes, n)) {
	case EMUL_DONE:
		cpu_to_vcpu(&cpu, v);
		*len = cpu.length;
		v->refused = 0;
		return ACT_NEXT;
	case EMUL_REP:
		cpu_to_vcpu(&cpu, v);
		if (cpu.rflags & RFLAGS_TF)
			v->debug_met |= DR6_BS;
		return ACT_STAY;
	case EMUL_EXCEPTION:
		cpu_to_vcpu(&cpu, v);
		vcpu_exception(v, cpu.exc.vector, cpu.exc.has_error, cpu.exc.error);
		return ACT_STAY;
	case EMUL_FAULT:
		/* The callback has queued the page fault; finished iterations of a REP count. */
		cpu_to_vcpu(&cpu, v);
		return ACT_STAY;
	default:
		refuse_unsupported(v);
		return ACT_STAY;
	}
}

/* Reads up to the end of RIP's page, and on into the next one only where the instruction needs it.
 */
static unsigned int fetch(struct vcpu *v, uint8_t buf[INSN_MAX], struct insn *insn)
{
	struct access a;
	uint64_t linear;
	unsigned int have = 0;
	enum emul_mode mode;

	access_init(&a, v);
	mode = code_mode(v);
	linear = v->st.rip + (mode == EMUL_MODE_64 ? 0 : v->st.seg[SEG_CS].base);
	if (mode != EMUL_MODE_64)
		linear = (uint32_t)linear;
	while (have < INSN_MAX) {
		uint64_t at = linear + have;
		unsigned int n =
			MIN(INSN_MAX - have, PAGE_SIZE - (unsigned int)(at & (PAGE_SIZE - 1)));

		if (op_fetch(&a, at, buf + have, n))
			return 0;
		have += n;
		if (insn_decode(insn, buf, have, mode) != -EAGAIN)
			break;
	}
	return have;
}

bool exit_operand(struct vcpu *v, const struct insn *insn, uint16_t *value, bool write)
{
	struct access a;
	struct emul_cpu cpu;
	uint64_t linear;

	access_init(&a, v);
	cpu_from_vcpu(&cpu, v);
	if (emul_operand_address(&cpu, insn, sizeof(*value), &linear) != EMUL_DONE) {
		vcpu_exception(v, cpu.exc.vector, cpu.exc.has_error, cpu.exc.error);
		return false;
	}
	return access_linear(&a, linear, value, sizeof(*value), write ? WALK_WRITE : WALK_READ,
			     write, false) == 0;
}

bool exit_readable(struct vcpu *v, const struct insn *insn)
{
	struct access a;
	struct emul_cpu cpu;
	uint64_t linear, gpa;

	access_init(&a, v);
	cpu_from_vcpu(&cpu, v);
	if (emul_operand_address(&cpu, insn, 1, &linear) != EMUL_DONE) {
		vcpu_exception(v, cpu.exc.vector, cpu.exc.has_error, cpu.exc.error);
		return false;
	}
	return translate(&a, linear, WALK_READ, false, &gpa) == 0;
}

unsigned int exit_fetch(struct vcpu *v, uint8_t buf[15])
{
	struct insn insn;

	return fetch(v, buf, &insn);
}

unsigned int exit_insn_len(struct vcpu *v)
{
	uint8_t buf[INSN_MAX];
	struct insn insn;

	if (!exit_decode(v, buf, &insn))
		return 0;
	return insn.length;
}

bool exit_decode(struct vcpu *v, uint8_t buf[INSN_MAX], struct insn *insn)
{
	size_t n = hv->insn_bytes(v, buf);

	hv->get_state(v, ST_RIP | ST_CRS | ST_SEGS);
	if (n && insn_decode(insn, buf, n, code_mode(v)) == 0)
		return true;
	n = fetch(v, buf, insn);
	if (!n)
		return false;
	if (insn_decode(insn, buf, n, code_mode(v)) == 0)
		return true;
	/* Another vCPU has rewritten the instruction since it exited: let it run again as it is
	 * now. */
	vcpu_ud(v);
	return false;
}
