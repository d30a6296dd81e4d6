#include "arch/x86/apic.h"

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/desc.h"
#include "arch/x86/msr.h"
#include "arch/x86/tsc.h"
#include "lib/err.h"

#define VERSION_MAX_LVT(v) ((v) >> 16 & 0xff)
#define TIMER_DIVIDE_BY_1  0xbu
#define LVT_DELIVERY	   (7u << 8)
#define LVT_SMI		   (2u << 8)
#define LVT_NMI		   (4u << 8)
#define LVT_ACTIVE_LOW	   (1u << 13)
#define LVT_STATUS	   (1u << 12)
#define DFR_FLAT	   0xffffffffu
#define VECTORS_PER_ISR	   32
#define ICR_SPINS	   1000000
#define CALIBRATION_US	   10000

/* Set on the first core, read by all. */
static struct {
	uint64_t base;
	bool x2apic, tsc_deadline;
	uint64_t hz;	  /* of the timer's counter, where it does not count by the TSC */
	uint64_t per_tsc; /* its ticks in one of the TSC, 32.32 fixed point */
} apic;

static uint32_t apic_read(unsigned int reg)
{
	if (apic.x2apic)
		return (uint32_t)rdmsr(MSR_IA32_X2APIC(reg));
	return mmio_read32(apic.base + reg);
}

static void apic_write(unsigned int reg, uint32_t value)
{
	if (apic.x2apic)
		wrmsr(MSR_IA32_X2APIC(reg), value);
	else
		mmio_write32(apic.base + reg, value);
}

int apic_init(bool need_x2apic)
{
	struct cpuid_regs one = cpuid(1, 0);
	uint64_t msr;

	if (!(one.edx & CPUID_1_EDX_APIC))
		return -ENODEV;
	msr = rdmsr(MSR_IA32_APIC_BASE);
	apic.base = msr & APIC_BASE_ADDR_MASK;
	apic.x2apic = (msr & APIC_BASE_EXTD) || need_x2apic;
	apic.tsc_deadline = one.ecx & CPUID_1_ECX_TSC_DEADLINE;
	if (apic.x2apic && !(one.ecx & CPUID_1_ECX_X2APIC))
		return -ENODEV;
	return 0;
}

uint64_t apic_base(void)
{
	return apic.base;
}

bool apic_is_x2apic(void)
{
	return apic.x2apic;
}

/*
 * From any mode to that of the first core. x2APIC can only be left through "off": SDM vol. 3A
 * 11.12.5.
 */
static void set_mode(void)
{
	uint64_t msr = rdmsr(MSR_IA32_APIC_BASE);
	uint64_t off = msr & ~(APIC_BASE_EN | APIC_BASE_EXTD);

	if (!apic.x2apic && (msr & APIC_BASE_EXTD)) {
		wrmsr(MSR_IA32_APIC_BASE, off);
		msr = off;
	}
	wrmsr(MSR_IA32_APIC_BASE, msr | APIC_BASE_EN);
	if (apic.x2apic)
		wrmsr(MSR_IA32_APIC_BASE, msr | APIC_BASE_EN | APIC_BASE_EXTD);
}

/*
 * Firmware that handles heat by itself has the sensor raise SMIs: that must go on, and on each
 * core, though INIT has masked it there.
 */
static uint32_t thermal_entry(void)
{
	static uint32_t firmware_entry;

	if (rdmsr(MSR_IA32_APIC_BASE) & APIC_BASE_BSP)
		firmware_entry = apic_read(APIC_LVT_THERMAL) & ~LVT_STATUS;
	return (firmware_entry & LVT_DELIVERY) == LVT_SMI ? firmware_entry
							  : APIC_LVT_MASKED | VEC_SPURIOUS;
}

/*
 * Which local vector tables there are depends on "max LVT entry" of the version register: SDM vol.
 * 3A 11.4.8, 11.5.1.
 */
static void mask_lvts(void)
{
	static const struct {
		uint16_t reg;
		uint8_t min_max_lvt;
	} lvts[] = {
		{APIC_LVT_TIMER, 0}, {APIC_LVT_LINT0, 1}, {APIC_LVT_LINT1, 2},
		{APIC_LVT_ERROR, 3}, {APIC_LVT_PERF, 4},  {APIC_LVT_THERMAL, 5},
		{APIC_LVT_CMCI, 6},
	};
	unsigned int max_lvt = VERSION_MAX_LVT(apic_read(APIC_VERSION));

	/* A vector below 16 would be an "illegal vector" error, masked or not. */
	for (unsigned int i = 0; i < ARRAY_SIZE(lvts); i++)
		if (lvts[i].min_max_lvt <= max_lvt)
			apic_write(lvts[i].reg, lvts[i].reg == APIC_LVT_THERMAL
							? thermal_entry()
							: APIC_LVT_MASKED | VEC_SPURIOUS);
}

/* Each EOI ends the highest in service; what firmware had not ended would block all below it. */
static void end_all_in_service(void)
{
	for (unsigned int i = 0; i < 256 / VECTORS_PER_ISR; i++)
		for (uint32_t isr = apic_read(APIC_ISR + i * 0x10); isr; isr &= isr - 1)
			apic_eoi();
}

void apic_init_cpu(void)
{
	set_mode();
	apic_write(APIC_SVR, APIC_SVR_ENABLE | VEC_SPURIOUS);
	mask_lvts();
	if (!apic.x2apic) {
		apic_write(APIC_DFR, DFR_FLAT);
		apic_write(APIC_LDR, 0);
	}
	apic_write(APIC_TPR, 0);
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_ESR, 0);
	end_all_in_service();
	apic_timer_vector(VEC_TIMER);
}

uint32_t apic_id(void)
{
	uint32_t id = apic_read(APIC_ID);

	return apic.x2apic ? id : id >> 24;
}

void apic_enable_nmi(unsigned int lint, bool active_low)
{
	if (lint <= 1)
		apic_write(lint ? APIC_LVT_LINT1 : APIC_LVT_LINT0,
			   LVT_NMI | (active_low ? LVT_ACTIVE_LOW : 0));
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

static void wait_icr_idle(void)
{
	for (unsigned int i = 0; i < ICR_SPINS && (apic_read(APIC_ICR) & APIC_ICR_PENDING); i++)
		cpu_pause();
}

/*
 * The write to an xAPIC's page is ordered like any to uncached memory. WRMSR to an x2APIC is not,
 * and the other core must see what was stored before: SDM vol. 3A 11.12.3.
 */
static void send(uint32_t dest, uint32_t command)
{
	if (apic.x2apic) {
		cpu_mfence();
		cpu_lfence();
		wrmsr(MSR_IA32_X2APIC(APIC_ICR), (uint64_t)dest << 32 | command);
		return;
	}
	wait_icr_idle();
	apic_write(APIC_ICR_HIGH, dest << 24);
	apic_write(APIC_ICR, command);
}

void apic_send_ipi(uint32_t dest, uint8_t vector)
{
	send(dest, APIC_ICR_FIXED | APIC_ICR_ASSERT | vector);
}

void apic_send_nmi(uint32_t dest)
{
	send(dest, APIC_ICR_NMI | APIC_ICR_ASSERT);
}

void apic_send_init(uint32_t dest)
{
	send(dest, APIC_ICR_INIT | APIC_ICR_ASSERT);
}

void apic_send_startup(uint32_t dest, uint8_t page)
{
	send(dest, APIC_ICR_STARTUP | APIC_ICR_ASSERT | page);
}

/* Ticks of the timer per second: one round. */
static uint64_t measure(void)
{
	uint64_t start, ticks, tsc;

	apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
	start = tsc_now();
	udelay(CALIBRATION_US);
	ticks = UINT32_MAX - apic_read(APIC_TIMER_CURRENT);
	tsc = tsc_now() - start;
	return ticks * tsc_hz() / tsc;
}

/*
 * Interruptions (SMM, a host's scheduler) fall between the two clocks' readings at random: the
 * median leaves them out.
 */
void apic_timer_calibrate(void)
{
	uint64_t a, b, c;

	if (apic.tsc_deadline)
		return;
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VEC_TIMER);
	a = measure();
	b = measure();
	c = measure();
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_LVT_TIMER, VEC_TIMER);
	apic.hz = MAX(MIN(a, b), MIN(MAX(a, b), c));
	apic.per_tsc = (apic.hz << 32) / tsc_hz();
}

/* Rounded up: an interrupt before its time would only make the handler arm again. */
static uint32_t ticks_until(uint64_t host_tsc)
{
	uint64_t now = tsc_now();
	unsigned __int128 ticks;

	if (host_tsc <= now)
		return 1;
	ticks = ((unsigned __int128)(host_tsc - now) * apic.per_tsc >> 32) + 1;
	return ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
}

void apic_timer_arm(uint64_t host_tsc)
{
	/* 0 would disarm. A deadline that has passed interrupts at once. */
	if (apic.tsc_deadline)
		wrmsr(MSR_IA32_TSC_DEADLINE, MAX(host_tsc, 1));
	else
		apic_write(APIC_TIMER_INITIAL, ticks_until(host_tsc));
}

void apic_timer_stop(void)
{
	if (apic.tsc_deadline)
		wrmsr(MSR_IA32_TSC_DEADLINE, 0);
	else
		apic_write(APIC_TIMER_INITIAL, 0);
}

bool apic_timer_has_deadline(void)
{
	return apic.tsc_deadline;
}

uint64_t apic_timer_deadline(void)
{
	return rdmsr(MSR_IA32_TSC_DEADLINE);
}

void apic_timer_vector(uint8_t vector)
{
	apic_write(APIC_LVT_TIMER, vector | (apic.tsc_deadline ? APIC_LVT_TIMER_TSC_DEADLINE : 0));
	/*
	 * In xAPIC mode the write to the table must be seen before IA32_TSC_DEADLINE's: SDM vol. 3A
	 * 11.5.4.1.
	 */
	cpu_mfence();
}

bool apic_is_pending(uint8_t vector)
{
	return apic_read(APIC_IRR + vector / VECTORS_PER_ISR * 0x10) >> vector % VECTORS_PER_ISR &
	       1;
}
