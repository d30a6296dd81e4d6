/* The local APIC's registers and modes. */
#include "core/lapic.h"

#include "core/cpuid.h"
#include "core/lapic_page.h"
#include "lib/err.h"

#define X2APIC_MSR_FIRST 0x800u
#define X2APIC_MSR_ICR	 (X2APIC_MSR_FIRST + (APIC_ICR_LO >> 4))

/* Version 14h (Pentium 4 and later), six entries in the vector table, EOI broadcasts can be off. */
#define VERSION 0x01050014u

#define APIC_BASE_RESERVED 0x2ffu

#define DFR_FIXED 0x0fffffffu

/* How a register may be reached: by MMIO, and as an x2APIC MSR. */
#define XR	 1u
#define XW	 2u
#define MR	 4u
#define MW	 8u
#define ALL_READ (XR | MR)
#define ALL	 (XR | XW | MR | MW)

struct apic_reg {
	uint8_t access;
	uint16_t ignored; /* read-only bits: may be written as 1 without #GP */
	uint32_t writable;
};

/* Index: offset / 16. SDM vol. 3A tables 11-1 and 11-6, and the figures of each register. */
static const struct apic_reg regs[0x40] = {
	[APIC_ID >> 4] = {ALL_READ, 0, 0},
	[APIC_VERSION >> 4] = {ALL_READ, 0, 0},
	[APIC_TPR >> 4] = {ALL, 0, 0xff},
	[APIC_APR >> 4] = {XR, 0, 0},
	[APIC_PPR >> 4] = {ALL_READ, 0, 0},
	[APIC_EOI >> 4] = {XR | XW | MW, 0, 0xffffffff},
	[APIC_RRD >> 4] = {XR, 0, 0},
	[APIC_LDR >> 4] = {ALL_READ | XW, 0, 0xff000000},
	[APIC_DFR >> 4] = {XR | XW, 0, 0xf0000000},
	/* Focus checking (bit 9) does nothing any more, but kernels set it. */
	[APIC_SVR >> 4] = {ALL, 0, 0x13ff},
	[0x10 ... 0x17] = {ALL_READ, 0, 0}, /* ISR */
	[0x18 ... 0x1f] = {ALL_READ, 0, 0}, /* TMR */
	[0x20 ... 0x27] = {ALL_READ, 0, 0}, /* IRR */
	[APIC_ESR >> 4] = {ALL, 0, 0xffffffff},
	[APIC_ICR_LO >> 4] = {ALL, ICR_BUSY, 0x000ccfff},
	[APIC_ICR_HI >> 4] = {XR | XW, 0, 0xff000000},
	/* Bit 12 is the delivery status, bit 14 the remote IRR of the LINT pins: read-only. */
	[APIC_LVT_TIMER >> 4] = {ALL, 0x1000, 0x000700ff},
	[APIC_LVT_THERMAL >> 4] = {ALL, 0x1000, 0x000107ff},
	[APIC_LVT_PMC >> 4] = {ALL, 0x1000, 0x000107ff},
	[APIC_LVT_LINT0 >> 4] = {ALL, 0x5000, 0x0001a7ff},
	[APIC_LVT_LINT1 >> 4] = {ALL, 0x5000, 0x0001a7ff},
	[APIC_LVT_ERROR >> 4] = {ALL, 0x1000, 0x000100ff},
	[APIC_TIMER_ICR >> 4] = {ALL, 0, 0xffffffff},
	[APIC_TIMER_CCR >> 4] = {ALL_READ, 0, 0},
	[APIC_TIMER_DCR >> 4] = {ALL, 0, 0xb},
	[APIC_SELF_IPI >> 4] = {MW, 0, 0xff},
};

static const uint16_t lvts[] = {APIC_LVT_TIMER, APIC_LVT_THERMAL, APIC_LVT_PMC,
				APIC_LVT_LINT0, APIC_LVT_LINT1,	  APIC_LVT_ERROR};

/* ---- writes, the same for every way in ---- */

static void mask_lvts(struct vcpu *v)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(lvts); i++)
		vapic_put(v, lvts[i], vapic_get(v, lvts[i]) | LVT_MASKED);
}

static void write_svr(struct vcpu *v, uint32_t value)
{
	vapic_put(v, APIC_SVR, value);
	if (!(value & SVR_ENABLE))
		mask_lvts(v);
}

static void write_lvt(struct vcpu *v, uint32_t offset, uint32_t value)
{
	if (offset == APIC_LVT_TIMER)
		lapic_timer_settle(v);
	/* While software has the APIC disabled the masks cannot be cleared (11.4.7.2). */
	if (!(vapic_get(v, APIC_SVR) & SVR_ENABLE))
		value |= LVT_MASKED;
	vapic_put(v, offset, value);
	if (offset == APIC_LVT_TIMER)
		vapic_timer_write_lvt(v, value);
}

/* A write moves the errors since the last write into the register that is read (11.5.3). */
static void write_esr(struct vcpu *v)
{
	vapic_put(v, APIC_ESR, __atomic_exchange_n(&v->apic_errors, 0, __ATOMIC_RELAXED));
}

static void write_icr(struct vcpu *v, uint32_t value)
{
	uint32_t dest = v->apic_mode == APIC_X2APIC ? vapic_get(v, APIC_X2_ICR_DEST)
						    : vapic_get(v, APIC_ICR_HI) >> 24;

	vapic_put(v, APIC_ICR_LO, value);
	vapic_send_ipi(v, value, dest);
}

/* VALUE has only bits that the register's row calls writable. */
static void write_reg(struct vcpu *v, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case APIC_TPR:
		vapic_put(v, APIC_TPR, value);
		vapic_priority_changed(v);
		break;
	case APIC_EOI:
		lapic_eoi(v);
		break;
	case APIC_DFR:
		vapic_put(v, APIC_DFR, value | DFR_FIXED);
		break;
	case APIC_SVR:
		write_svr(v, value);
		break;
	case APIC_ESR:
		write_esr(v);
		break;
	case APIC_ICR_LO:
		write_icr(v, value);
		break;
	case APIC_LVT_TIMER:
	case APIC_LVT_THERMAL:
	case APIC_LVT_PMC:
	case APIC_LVT_LINT0:
	case APIC_LVT_LINT1:
	case APIC_LVT_ERROR:
		write_lvt(v, offset, value);
		break;
	case APIC_TIMER_ICR:
		vapic_timer_write_initial(v, value);
		break;
	case APIC_TIMER_DCR:
		vapic_put(v, APIC_TIMER_DCR, value);
		vapic_timer_write_divide(v, value);
		break;
	case APIC_SELF_IPI:
		vapic_self_ipi(v, (uint8_t)value);
		break;
	default:
		vapic_put(v, offset, value);
		break;
	}
}

/* ---- xAPIC: MMIO ---- */

static const struct apic_reg *reg_at(uint32_t offset)
{
	static const struct apic_reg none;

	return offset >> 4 < ARRAY_SIZE(regs) ? &regs[offset >> 4] : &none;
}

static uint32_t read_reg(struct vcpu *v, uint32_t offset)
{
	if (offset == APIC_TIMER_CCR)
		return vapic_timer_count(v);
	if (offset == APIC_PPR)
		return vapic_update_ppr(v);
	if (offset >= APIC_ISR && offset < APIC_TMR)
		vapic_update_ppr(v); /* the guest may have ended one by itself */
	return vapic_get(v, offset);
}

static uint64_t mmio_read(struct vcpu *v, uint32_t offset, uint8_t size)
{
	uint64_t value;

	if (!(reg_at(offset)->access & XR)) {
		vapic_error(v, ESR_ILLEGAL_REGISTER);
		return 0;
	}
	/* Only the first 4 of a register's 16 bytes mean anything (11.4.1). */
	if ((offset & 15) > 3)
		return 0;
	value = (uint64_t)read_reg(v, offset & ~15u) >> 8 * (offset & 3);
	return size < 8 ? value & (BIT(8 * size) - 1) : value;
}

static void mmio_write(struct vcpu *v, uint32_t offset, uint8_t size, uint64_t value)
{
	const struct apic_reg *reg = reg_at(offset);

	if (!(reg->access & (XR | XW)))
		vapic_error(v, ESR_ILLEGAL_REGISTER);
	/* Registers want aligned accesses of 32 bits; what others do is undefined (11.4.1). */
	else if (reg->access & XW && !(offset & 15) && size >= 4)
		write_reg(v, offset, (uint32_t)value & reg->writable);
}

void lapic_mmio(struct vcpu *v, uint64_t offset, bool write, uint8_t size, uint64_t *value)
{
	offset &= 0xfff;
	if (write)
		mmio_write(v, (uint32_t)offset, size, *value);
	else
		*value = mmio_read(v, (uint32_t)offset, size);
}

static void put_id(struct vcpu *v)
{
	vapic_put(v, APIC_ID, v->apic_mode == APIC_X2APIC ? v->id : v->id << 24);
}

void lapic_written(struct vcpu *v, uint32_t offset)
{
	uint32_t way = v->apic_mode == APIC_X2APIC ? MW : XW;
	const struct apic_reg *reg;

	offset &= 0xff0;
	reg = reg_at(offset);
	if (reg->access & way)
		write_reg(v, offset, vapic_get(v, offset) & reg->writable);
	else if (offset == APIC_ID)
		put_id(v);
	else
		vapic_put(v, offset, 0);
}

bool lapic_covers(const struct vcpu *v, uint64_t gpa)
{
	return v->apic_mode == APIC_XAPIC &&
	       ALIGN_DOWN(gpa, PAGE_SIZE) == ALIGN_DOWN(v->apic_base, PAGE_SIZE);
}

/* ---- x2APIC: MSRs ---- */

/* The row of MSR where it may be accessed in this WAY, else NULL. */
static const struct apic_reg *msr_reg(const struct vcpu *v, uint32_t msr, uint8_t way)
{
	uint32_t index = msr - X2APIC_MSR_FIRST;

	if (v->apic_mode != APIC_X2APIC || index >= ARRAY_SIZE(regs))
		return NULL;
	return regs[index].access & way ? &regs[index] : NULL;
}

int lapic_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	if (!msr_reg(v, msr, MR))
		return -EPERM;
	*value = read_reg(v, (msr - X2APIC_MSR_FIRST) << 4);
	if (msr == X2APIC_MSR_ICR)
		*value |= (uint64_t)vapic_get(v, APIC_X2_ICR_DEST) << 32;
	return 0;
}

/* Reserved bits, and anything but 0 for EOI and ESR, are #GP (11.12.1.3, 11.12.1.4). */
static bool is_reserved(uint32_t offset, const struct apic_reg *reg, uint64_t value)
{
	if (offset == APIC_EOI || offset == APIC_ESR)
		return value != 0;
	if (offset == APIC_ICR_LO)
		value &= 0xffffffff;
	return value & ~(uint64_t)(reg->writable | reg->ignored);
}

int lapic_msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	const struct apic_reg *reg = msr_reg(v, msr, MW);
	uint32_t offset = (msr - X2APIC_MSR_FIRST) << 4;

	if (!reg || is_reserved(offset, reg, value))
		return -EPERM;
	if (offset == APIC_ICR_LO)
		vapic_put(v, APIC_X2_ICR_DEST, (uint32_t)(value >> 32));
	write_reg(v, offset, (uint32_t)value & reg->writable);
	return 0;
}

/* ---- reset and modes ---- */

/* The x2APIC's logical ID follows from its ID (11.12.10.2). */
static void put_ldr(struct vcpu *v)
{
	vapic_put(v, APIC_LDR,
		  v->apic_mode == APIC_X2APIC ? (v->id >> 4) << 16 | 1u << (v->id & 15) : 0);
}

/* SDM vol. 3A 11.4.7.1. */
static void reset_regs(struct vcpu *v)
{
	for (uint32_t offset = 0; offset < ARRAY_SIZE(regs) << 4; offset += 4)
		vapic_put(v, offset, 0);
	vapic_irq_reset(v);
	vapic_put(v, APIC_VERSION, VERSION);
	vapic_put(v, APIC_DFR, 0xf0000000 | DFR_FIXED);
	vapic_put(v, APIC_SVR, 0xff);
	mask_lvts(v);
	put_id(v);
	put_ldr(v);
	vapic_timer_reset(v);
}

/*
 * As a PC's firmware leaves the boot processor (MultiProcessor Specification 3.6.2.2): the 8259
 * pair reaches it through LINT0, for programs that know no APIC.
 */
static void virtual_wire(struct vcpu *v)
{
	vapic_put(v, APIC_SVR, SVR_ENABLE | 0xff);
	vapic_put(v, APIC_LVT_LINT0, LVT_DELIVERY_MODE(APIC_EXTINT));
	vapic_put(v, APIC_LVT_LINT1, LVT_DELIVERY_MODE(APIC_NMI));
}

/* The mode is new, or the base: the back end sets its intercepts by v->apic_base and the mode. */
static void enter_mode(struct vcpu *v)
{
	hv->apic_mode(v, v->apic_mode);
	vapic_irq_reload(v);
}

void lapic_power_on(struct vcpu *v)
{
	v->apic_base = APIC_DEFAULT_BASE | APIC_BASE_EN | (v->id ? 0 : APIC_BASE_BSP);
	v->apic_mode = APIC_XAPIC;
}

void lapic_reset(struct vcpu *v, bool init)
{
	if (!init)
		lapic_power_on(v);
	reset_regs(v);
	if (!init && v->id == 0 && v->vm->extint.acknowledge)
		virtual_wire(v);
	enter_mode(v);
}

/*
 * Figure 11-27: enabling goes by way of the xAPIC mode, and the x2APIC mode ends only in
 * disabling.
 */
static bool is_valid_transition(enum apic_mode from, enum apic_mode to)
{
	return from == to || to == APIC_OFF || (from == APIC_OFF && to == APIC_XAPIC) ||
	       (from == APIC_XAPIC && to == APIC_X2APIC);
}

static void change_mode(struct vcpu *v, enum apic_mode mode)
{
	enum apic_mode old = v->apic_mode;

	v->apic_mode = mode;
	if (mode == APIC_X2APIC) {
		/* Everything but these stays (11.12.5.1). */
		put_id(v);
		put_ldr(v);
		vapic_put(v, APIC_ICR_HI, 0);
		vapic_put(v, APIC_X2_ICR_DEST, 0);
	} else if (mode != old) {
		reset_regs(v);
	}
}

int lapic_set_base(struct vcpu *v, uint64_t value)
{
	uint64_t reserved = APIC_BASE_RESERVED | ~(BIT(cpuid_phys_width(v->vm)) - 1);
	enum apic_mode mode = APIC_OFF;

	if (value & reserved || (value & APIC_BASE_EXTD && !(value & APIC_BASE_EN)))
		return -EPERM;
	if (value & APIC_BASE_EN)
		mode = value & APIC_BASE_EXTD ? APIC_X2APIC : APIC_XAPIC;
	if (!is_valid_transition(v->apic_mode, mode))
		return -EPERM;
	v->apic_base = value;
	if (mode != v->apic_mode)
		change_mode(v, mode);
	enter_mode(v);
	/* With the registers the threshold for TPR may have gone that the back end was given. */
	vapic_attention(v);
	return 0;
}
