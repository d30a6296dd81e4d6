/* A handler for every reason; each returns what becomes of the instruction. */
#include "core/exit.h"

#include "arch/x86/cpu.h"
#include "core/cpuid.h"
#include "core/cr.h"
#include "core/debug.h"
#include "core/exits.h"
#include "core/gmem.h"
#include "core/lapic.h"
#include "core/lifecycle.h"
#include "core/mmio.h"
#include "core/sched.h"
#include "core/task.h"
#include "core/vm.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/strbuf.h"

typedef enum act exit_handler(struct vcpu *v, struct hv_exit *x);

static enum act gp(struct vcpu *v)
{
	vcpu_gp(v);
	return ACT_STAY;
}

static enum act on_nothing(struct vcpu *v, struct hv_exit *x)
{
	(void)v;
	(void)x;
	return ACT_STAY;
}

/*
 * Also where the time is up: an interrupt that is pending ends the guest's turn whatever its IF
 * (SDM vol. 3C 26.2), but not on every emulator.
 */
static enum act on_host_irq(struct vcpu *v, struct hv_exit *x)
{
	(void)v;
	(void)x;
	sched_let_in();
	return ACT_STAY;
}

static enum act on_exception(struct vcpu *v, struct hv_exit *x)
{
	/* Intercepted to bound its delivery (#AC, #DB) or to look at it; the guest gets what it
	 * caused. */
	if (x->event.vector == EXC_MC)
		return ACT_STAY;
	/* INT1 is a trap: the back end delivers it with RIP behind it. */
	if (x->event.type == EVENT_PRIV_SOFT_EXC)
		v->pending = x->event;
	else
		vcpu_exception(v, x->event.vector, x->event.has_error, x->event.error);
	return ACT_STAY;
}

static enum act on_triple(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	vcpu_crash(v, "triple fault");
	return ACT_STAY;
}

static enum act on_init(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	log_warn("cpu took an INIT that nobody sent, while in vm %s; ignored", v->vm->name);
	return ACT_STAY;
}

static enum act on_cpuid(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	exit_cpuid(v);
	return ACT_NEXT;
}

/* A debug exception resumes execution (SDM vol. 2A HLT): with TF set one is due behind HLT. */
static enum act on_hlt(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	hv->get_state(v, ST_RIP);
	if (!(v->st.rflags & RFLAGS_TF))
		v->activity = VCPU_HALTED;
	return ACT_NEXT;
}

static enum act on_pause(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	v->slice_end = 0;
	return ACT_NEXT;
}

static enum act on_ud(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	vcpu_ud(v);
	return ACT_STAY;
}

/*
 * #UD is what CPUID promises while the guest has not switched them on (SDM vol. 2B MWAIT). MWAIT
 * may end for any reason, and does so at once: somebody else may want the core. Neither has
 * extensions.
 */
static enum act on_monitor(struct vcpu *v, struct hv_exit *x)
{
	uint8_t buf[INSN_MAX];
	struct insn insn;

	if (!cpuid_has_monitor(v))
		return on_ud(v, x);
	if ((uint32_t)v->gpr[RCX])
		return gp(v);
	if (x->reason == EXIT_MWAIT)
		return on_pause(v, x);
	if (!exit_decode(v, buf, &insn))
		return ACT_STAY;
	/* It reads a byte at DS:rAX, as far as faults go. */
	insn.base = RAX;
	return exit_readable(v, &insn) ? ACT_NEXT : ACT_STAY;
}

static enum act on_hypercall(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	exit_hypercall(v, hv->cpl(v));
	return ACT_NEXT;
}

static enum act on_pio(struct vcpu *v, struct hv_exit *x)
{
	unsigned int len = 0;
	enum act act;

	if (!x->pio.string) {
		debug_accessed(v, hv->dr7(v), x->pio.port, x->pio.size, DEBUG_PORT);
		exit_pio(v, x->pio.port, x->pio.in, x->pio.size);
		return ACT_NEXT;
	}
	act = mmio_emulate(v, &len);
	x->insn_len = (uint8_t)len;
	return act;
}

/* The GPR operand of MOV CR or MOV DR: ModRM.rm; the register is ModRM.reg (SDM vol. 2B MOV). */
static bool decode_cr(struct vcpu *v, struct hv_exit *x, const struct insn *insn)
{
	x->insn_len = insn->length;
	x->cr.gpr = insn->rm;
	x->cr.decode = false;
	if (insn->opcode == 0x06) {
		x->cr.clts = true;
		x->cr.write = true;
		x->cr.reg = 0;
		return true;
	}
	if (insn->opcode != 0x01)
		return true;
	/* LMSW: a register here, since a memory operand would need an access of its own. */
	x->cr.lmsw = true;
	x->cr.write = true;
	x->cr.reg = 0;
	if (insn->mem)
		return exit_operand(v, insn, &x->cr.source, false);
	x->cr.source = (uint16_t)v->gpr[insn->rm];
	return true;
}

static bool is_smsw(const struct insn *insn)
{
	return insn->opcode == 0x01 && (insn->modrm >> 3 & 7) == 4;
}

/* SMSW: 16 bits to memory or to a 16-bit register, else all of CR0 (SDM vol. 2B SMSW). */
static enum act smsw(struct vcpu *v, struct hv_exit *x, const struct insn *insn)
{
	uint64_t *reg = &v->gpr[insn->rm];
	uint16_t low;

	hv->get_state(v, ST_RIP | ST_CRS);
	low = (uint16_t)v->st.cr0;
	x->insn_len = insn->length;
	if (insn->mem)
		return exit_operand(v, insn, &low, true) ? ACT_NEXT : ACT_STAY;
	*reg = insn->op_size == 2 ? (*reg & ~0xffffull) | low : v->st.cr0;
	hv->set_state(v, ST_RIP);
	return ACT_NEXT;
}

/* LMSW writes PE, MP, EM and TS, and cannot clear PE (SDM vol. 2A LMSW). */
static uint64_t lmsw_value(uint64_t cr0, uint16_t source)
{
	return (cr0 & ~0xeull) | (source & 0xf);
}

/* The operand of MOV to CR or DR has 32 bits outside 64-bit mode, whatever is above them. */
static uint64_t cr_operand(struct vcpu *v, uint8_t gpr)
{
	hv->get_state(v, ST_RIP | ST_CRS | ST_SEGS);
	if (v->st.efer & EFER_LMA && v->st.seg[SEG_CS].attr & SEG_ATTR_L)
		return v->gpr[gpr];
	return (uint32_t)v->gpr[gpr];
}

static int cr_write(struct vcpu *v, const struct hv_exit *x)
{
	uint64_t value = cr_operand(v, x->cr.gpr);

	switch (x->cr.reg) {
	case 0:
		hv->get_state(v, ST_CRS);
		if (x->cr.clts)
			value = v->st.cr0 & ~CR0_TS;
		if (x->cr.lmsw)
			value = lmsw_value(v->st.cr0, x->cr.source);
		return cr0_write(v, value);
	case 3:
		return cr3_write(v, value);
	case 4:
		return cr4_write(v, value);
	case 8:
		if (value & ~0xfull)
			return -1;
		lapic_set_tpr(v, (uint8_t)(value << 4));
		return 0;
	default:
		return -1;
	}
}

static uint64_t cr_read(struct vcpu *v, uint8_t reg)
{
	hv->get_state(v, ST_CRS);
	switch (reg) {
	case 0:
		return v->st.cr0;
	case 3:
		return v->st.cr3;
	case 4:
		return v->st.cr4;
	default:
		return lapic_tpr(v) >> 4;
	}
}

static enum act on_cr(struct vcpu *v, struct hv_exit *x)
{
	if (x->cr.decode) {
		uint8_t buf[INSN_MAX];
		struct insn insn;

		if (!exit_decode(v, buf, &insn))
			return ACT_STAY;
		if (is_smsw(&insn))
			return smsw(v, x, &insn);
		if (!decode_cr(v, x, &insn))
			return ACT_STAY;
	}
	hv->get_state(v, ST_RIP); /* RSP may be the operand */
	if (!x->cr.write) {
		v->gpr[x->cr.gpr] = cr_read(v, x->cr.reg);
		if (x->cr.gpr == RSP)
			hv->set_state(v, ST_RIP);
		return ACT_NEXT;
	}
	return cr_write(v, x) ? gp(v) : ACT_NEXT;
}

/* Debug registers are the guest's own; this exit is only taken where TRAP_DR asks for it. */
static enum act on_dr(struct vcpu *v, struct hv_exit *x)
{
	uint64_t *regs[8], value;

	if (x->dr.decode) {
		uint8_t buf[INSN_MAX];
		struct insn insn;

		if (!exit_decode(v, buf, &insn))
			return ACT_STAY;
		x->insn_len = insn.length;
		x->dr.gpr = insn.rm;
	}
	hv->get_state(v, ST_DRS);
	value = cr_operand(v, x->dr.gpr);
	for (int i = 0; i < 4; i++)
		regs[i] = &v->st.dr[i];
	regs[4] = regs[6] = &v->st.dr6;
	regs[5] = regs[7] = &v->st.dr7;
	if (!x->dr.write) {
		v->gpr[x->dr.gpr] = *regs[x->dr.reg];
		hv->set_state(v, ST_RIP);
		return ACT_NEXT;
	}
	/* The upper halves of DR6 and DR7 must be 0 (SDM vol. 3B 18.2.6). */
	if (x->dr.reg >= 4 && value >> 32)
		return gp(v);
	*regs[x->dr.reg] = value;
	v->st.dr6 = (v->st.dr6 & 0xe00full) | DR6_INIT;
	v->st.dr7 = (v->st.dr7 & ~0xd000ull) | DR7_INIT;
	hv->set_state(v, ST_DRS);
	return ACT_NEXT;
}

static enum act on_msr(struct vcpu *v, struct hv_exit *x)
{
	return x->msr.write ? exit_wrmsr(v) : exit_rdmsr(v);
}

static enum act on_xsetbv(struct vcpu *v, struct hv_exit *x)
{
	uint64_t value = v->gpr[RDX] << 32 | (uint32_t)v->gpr[RAX];

	(void)x;
	if (hv->cpl(v) != 0 || xcr0_write(v, (uint32_t)v->gpr[RCX], value))
		return gp(v);
	return ACT_NEXT;
}

/* INVD would lose what neighbours have written: a guest's becomes WBINVD's effect on its own, which
 * is none. */
static enum act on_cache(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	return hv->cpl(v) ? gp(v) : ACT_NEXT;
}

/* No counters (CPUID 0Ah): every index is invalid. */
static enum act on_rdpmc(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	return gp(v);
}

static enum act emulate(struct vcpu *v, struct hv_exit *x)
{
	unsigned int len = 0;
	enum act act;

	/* All RAM is mapped: what delivered the event uses a stack or table that is no memory. */
	if (x->vectoring.valid) {
		vcpu_crash(v, "an event's delivery touches an address that is no memory");
		return ACT_STAY;
	}
	act = mmio_emulate(v, &len);
	x->insn_len = (uint8_t)len;
	return act;
}

static enum act on_npf(struct vcpu *v, struct hv_exit *x)
{
	if (x->npf.table_walk && x->npf.gla_valid && !gmem_is_ram(v->vm, x->npf.gpa)) {
		vcpu_page_fault(v, x->npf.gla,
				mmio_table_error(v, x->npf.write, x->npf.fetch, hv->cpl(v) == 3));
		return ACT_STAY;
	}
	if (x->npf.fetch) {
		/* Nothing answers with ones, and no instruction is made of them. */
		vcpu_ud(v);
		return ACT_STAY;
	}
	return emulate(v, x);
}

static enum act on_apic(struct vcpu *v, struct hv_exit *x)
{
	if (!x->apic.completed)
		return emulate(v, x);
	lapic_written(v, x->apic.offset);
	return ACT_STAY;
}

static enum act on_eoi(struct vcpu *v, struct hv_exit *x)
{
	lapic_eoi_exit(v, x->eoi.vector);
	return ACT_STAY;
}

/* Whatever it was that would not end, interrupts have had their turn; it may go on. */
static enum act on_notify(struct vcpu *v, struct hv_exit *x)
{
	if (x->notify.invalid)
		vcpu_crash(v, "an event that never ended was stopped, and with it the state lost");
	return ACT_STAY;
}

static enum act on_task_switch(struct vcpu *v, struct hv_exit *x)
{
	task_switch(v, x);
	return ACT_STAY;
}

static enum act on_misconfig(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	vcpu_crash(v, "nested page tables are misconfigured, a defect of Socle's");
	return ACT_STAY;
}

static enum act on_entry_failed(struct vcpu *v, struct hv_exit *x)
{
	(void)x;
	vcpu_crash(v, "VM entry failed");
	return ACT_STAY;
}

static enum act on_unknown(struct vcpu *v, struct hv_exit *x)
{
	char text[64];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	sb_printf(&sb, "an exit that Socle does not know (reason %d)", x->reason);
	vcpu_crash(v, text);
	return ACT_STAY;
}

static exit_handler *const handlers[EXIT_COUNT] = {
	[EXIT_NONE] = on_nothing,
	[EXIT_HOST_IRQ] = on_host_irq,
	[EXIT_NMI] = on_nothing,
	[EXIT_EXCEPTION] = on_exception,
	[EXIT_MACHINE_CHECK] = on_nothing,
	[EXIT_TRIPLE] = on_triple,
	[EXIT_INIT] = on_init,
	[EXIT_SIPI] = on_nothing,
	[EXIT_INTR_WINDOW] = on_nothing,
	[EXIT_NMI_WINDOW] = on_nothing,
	[EXIT_DEADLINE] = on_host_irq,
	[EXIT_CPUID] = on_cpuid,
	[EXIT_HLT] = on_hlt,
	[EXIT_PAUSE] = on_pause,
	[EXIT_MONITOR] = on_monitor,
	[EXIT_MWAIT] = on_monitor,
	[EXIT_HYPERCALL] = on_hypercall,
	[EXIT_PIO] = on_pio,
	[EXIT_CR] = on_cr,
	[EXIT_DR] = on_dr,
	[EXIT_MSR] = on_msr,
	[EXIT_XSETBV] = on_xsetbv,
	[EXIT_INVD] = on_cache,
	[EXIT_WBINVD] = on_cache,
	[EXIT_RDPMC] = on_rdpmc,
	[EXIT_INVLPG] = on_unknown,
	[EXIT_TASK_SWITCH] = on_task_switch,
	[EXIT_NPF] = on_npf,
	[EXIT_NPT_MISCONFIG] = on_misconfig,
	[EXIT_APIC] = on_apic,
	[EXIT_EOI] = on_eoi,
	[EXIT_TPR] = on_nothing,
	[EXIT_NOTIFY] = on_notify,
	[EXIT_UD] = on_ud,
	[EXIT_ENTRY_FAILED] = on_entry_failed,
	[EXIT_UNKNOWN] = on_unknown,
};

static void handle(struct vcpu *v, struct hv_exit *x)
{
	unsigned int len;

	/* What the exit cut short comes again; a fault met on the way joins it (SDM vol. 3A table
	 * 6-5). */
	if (x->vectoring.valid)
		v->pending = x->vectoring;
	if (handlers[x->reason](v, x) != ACT_STAY) {
		len = x->insn_len ? x->insn_len : exit_insn_len(v);
		if (len)
			hv->skip_insn(v, len);
	} else if (v->pending.valid) {
		/* It faulted, will be made again, and meets its breakpoints then. */
		v->debug_met = 0;
	}
	if (unlikely(v->debug_met))
		debug_retire(v);
}

void exit_dispatch(struct vcpu *v, struct hv_exit *x)
{
	uint64_t began = exit_began(v);

	assert(x->reason < EXIT_COUNT);
	v->exits[x->reason]++;
	handle(v, x);
	exit_took(v, x->reason, began);
}

/* In the order of enum hv_reason. */
static const char reasons[] =
	"request\0interrupt of the machine\0NMI\0exception\0machine check\0triple fault\0"
	"INIT\0SIPI\0interrupt window\0NMI window\0preemption timer\0CPUID\0HLT\0PAUSE\0"
	"MONITOR\0MWAIT\0hypercall\0port I/O\0control register\0debug register\0"
	"RDMSR, WRMSR\0XSETBV\0INVD\0WBINVD\0RDPMC\0INVLPG\0task switch\0"
	"nested page fault\0nested tables\0local APIC\0EOI\0TPR threshold\0notify\0"
	"undefined instruction\0failed entry\0unknown\0";

const char *exit_name(enum hv_reason reason)
{
	assert(reason < EXIT_COUNT);
	return nth_name(reasons, reason);
}
