/* The local APIC, alone and among several (SDM vol. 3A chapter 11). */
#include "tests/guests/devices/guest.h"

#define MSR_APIC_BASE 0x1bu
#define BASE_X2	      0x400u
#define BASE_ON	      0x800u
#define X2(reg)	      (0x800u + (reg) / 16)
#define X2_SELF_IPI   0x83fu
#define TRAMPOLINE    0x8000u
#define V_IPI	      0x70
#define V_LOW	      0x35
#define V_HIGH	      0x95
#define V_TIMER	      0x71
#define V_ERROR	      0x72

static uint32_t page = APIC;

/* Raised by the other processor. */
static volatile uint32_t ap_id = ~0u;
static volatile uint32_t ap_starts;
static volatile bool ap_open;

extern const uint8_t trampoline[], trampoline_end[];
void ap_main(void);

uint32_t apic_get(uint32_t reg)
{
	return mmio_read(page + reg);
}

void apic_set(uint32_t reg, uint32_t value)
{
	mmio_write(page + reg, value);
}

static void send(uint32_t low, uint8_t dest)
{
	apic_set(APIC_ICR_HIGH, (uint32_t)dest << 24);
	apic_set(APIC_ICR_LOW, low);
}

static void use_vectors(void)
{
	static const uint8_t vectors[] = {V_IPI, V_LOW, V_HIGH, V_TIMER, V_ERROR};

	for (unsigned int i = 0; i < ARRAY_SIZE(vectors); i++)
		set_eoi(vectors[i], EOI_APIC);
}

static bool registers(void)
{
	use_vectors();
	return apic_get(APIC_ID) == 0 && (apic_get(APIC_VERSION) & 0xff) >= 0x14 &&
	       apic_get(APIC_DFR) == 0xffffffff && rdmsr(MSR_APIC_BASE) == (APIC | BASE_ON | 0x100);
}

static bool self_ipi(void)
{
	uint32_t from = taken[V_IPI];

	send(0x44000 | V_IPI, 0);
	if (!comes(V_IPI, from, 1))
		return false;
	send(0x4000 | V_IPI, 0);
	return comes(V_IPI, from + 1, 1);
}

/* TPR holds back its class and those below, PPR says so. */
static bool priorities(void)
{
	uint32_t low = taken[V_LOW], high = taken[V_HIGH];

	apic_set(APIC_TPR, 0x50);
	send(0x44000 | V_LOW, 0);
	send(0x44000 | V_HIGH, 0);
	if (apic_get(APIC_PPR) != 0x50 || !comes(V_HIGH, high, 1) || !stays_away(V_LOW))
		return false;
	apic_set(APIC_TPR, 0);
	return comes(V_LOW, low, 1);
}

/* Nothing below 16 is sent; the error has an interrupt. */
static bool errors(void)
{
	uint32_t from = taken[V_ERROR];

	apic_set(APIC_LVT_ERROR, V_ERROR);
	apic_set(APIC_ESR, 0);
	send(0x44000 | 5, 0);
	if (!comes(V_ERROR, from, 1))
		return false;
	apic_set(APIC_ESR, 0);
	if (apic_get(APIC_ESR) != 0x20)
		return false;
	(void)apic_get(0x3f0);
	apic_set(APIC_ESR, 0);
	return apic_get(APIC_ESR) == 0x80 && comes(V_ERROR, from, 2);
}

static bool logical(void)
{
	uint32_t from = taken[V_IPI];

	apic_set(APIC_LDR, 0x04000000);
	send(0x4800 | V_IPI, 0x06);
	if (!comes(V_IPI, from, 1))
		return false;
	send(0x4800 | V_IPI, 0x03);
	if (!stays_away(V_IPI))
		return false;
	/* Cluster 2, member 1. */
	apic_set(APIC_DFR, 0x0fffffff);
	apic_set(APIC_LDR, 0x22000000);
	send(0x4800 | V_IPI, 0x23);
	if (!comes(V_IPI, from + 1, 1))
		return false;
	send(0x4800 | V_IPI, 0x33);
	apic_set(APIC_DFR, 0xffffffff);
	return stays_away(V_IPI);
}

/* Rates of a divider and a count, by the PM timer. */
static bool timer(void)
{
	uint32_t from = taken[V_TIMER], start, us, rate;

	apic_set(APIC_DIVIDE, 0xb); /* 1 */
	apic_set(APIC_LVT_TIMER, 0x10000 | V_TIMER);
	apic_set(APIC_INITIAL, 0xffffffff);
	start = pm_time();
	sleep_us(10000);
	us = us_since(start);
	rate = (0xffffffff - apic_get(APIC_CURRENT)) / us; /* ticks a microsecond, or more */
	apic_set(APIC_DIVIDE, 0x2);			   /* 8 */
	apic_set(APIC_LVT_TIMER, 0x20000 | V_TIMER);	   /* periodic */
	apic_set(APIC_INITIAL, rate * 1000 / 8);
	start = pm_time();
	if (!comes(V_TIMER, from, 20) || us_since(start) < 16000)
		return false;
	apic_set(APIC_INITIAL, 0);
	let_interrupts_in(); /* a last one may have come since */
	apic_set(APIC_LVT_TIMER, V_TIMER); /* one-shot */
	from = taken[V_TIMER];
	apic_set(APIC_INITIAL, rate * 1000 / 8);
	return comes(V_TIMER, from, 1) && stays_away(V_TIMER) && apic_get(APIC_CURRENT) == 0;
}

/* Elsewhere, and back. */
static bool moved(void)
{
	uint32_t from = taken[V_IPI];
	bool good;

	wrmsr(MSR_APIC_BASE, 0xfe000000u | BASE_ON | 0x100);
	page = 0xfe000000;
	send(0x44000 | V_IPI, 0);
	good = comes(V_IPI, from, 1) && mmio_read(APIC + APIC_VERSION) == 0xffffffff;
	wrmsr(MSR_APIC_BASE, APIC | BASE_ON | 0x100);
	page = APIC;
	return good && apic_get(APIC_SVR) == 0x1ff;
}

/* Off by its MSR, the 8259 pair has the processor; on again it is as after a reset. */
static bool switched_off(void)
{
	wrmsr(MSR_APIC_BASE, APIC | 0x100);
	if (mmio_read(APIC + APIC_VERSION) != 0xffffffff)
		return false;
	wrmsr(MSR_APIC_BASE, APIC | BASE_ON | 0x100);
	if (apic_get(APIC_SVR) != 0xff || apic_get(APIC_LINT0) != 0x10000)
		return false;
	apic_set(APIC_SVR, 0x1ff);
	return true;
}

static bool x2apic(void)
{
	uint32_t regs[4], from = taken[V_IPI];
	bool good;

	cpuid(1, regs);
	if (!(regs[2] & 1u << 21))
		return false;
	wrmsr(MSR_APIC_BASE, APIC | BASE_ON | BASE_X2 | 0x100);
	set_eoi(V_IPI, EOI_NONE); /* ends by MSR: below */
	good = rdmsr(X2(APIC_ID)) == 0 && rdmsr(X2(APIC_LDR)) == 1 && rdmsr(X2(APIC_SVR)) == 0x1ff;
	wrmsr(X2_SELF_IPI, V_IPI);
	good = good && comes(V_IPI, from, 1);
	wrmsr(X2(APIC_EOI), 0);
	wrmsr(X2(APIC_ICR_LOW), 0x4000 | V_IPI);
	good = good && comes(V_IPI, from + 1, 1);
	wrmsr(X2(APIC_EOI), 0);
	/* Back only by way of off. */
	wrmsr(MSR_APIC_BASE, APIC | 0x100);
	wrmsr(MSR_APIC_BASE, APIC | BASE_ON | 0x100);
	apic_set(APIC_SVR, 0x1ff);
	set_eoi(V_IPI, EOI_APIC);
	return good;
}

/* ---- another processor ---- */

void ap_main(void)
{
	load_idt();
	apic_set(APIC_SVR, 0x1ff);
	ap_id = apic_get(APIC_ID) >> 24;
	ap_starts++;
	for (;;) {
		if (ap_open)
			__asm__ volatile("sti; hlt; cli");
		else
			__asm__ volatile("pause");
	}
}

static bool wait_for(const volatile uint32_t *count)
{
	uint32_t start = pm_time();

	while (!*count)
		if (us_since(start) > 1000000)
			return false;
	return true;
}

static bool init_and_startup(void)
{
	for (const uint8_t *p = trampoline; p < trampoline_end; p++)
		*(volatile uint8_t *)(TRAMPOLINE + (uintptr_t)(p - trampoline)) = *p;
	if (boot.cpus < 2)
		return true;
	send(0xc4500, 0); /* INIT to all but itself */
	sleep_us(2000);
	if (ap_starts)
		return false;
	send(0xc4608, 0);
	if (!wait_for(&ap_starts) || ap_id != 1)
		return false;
	/* A processor that runs takes no notice of another one. */
	send(0x4608, 1);
	sleep_us(2000);
	return ap_starts == 1;
}

/* What came to the other processor, which is in HLT, after it was sent. */
static bool comes_there(uint8_t vector, uint32_t low, uint8_t dest)
{
	uint32_t from = taken[vector], start = pm_time();

	send(low | vector, dest);
	while (taken[vector] == from)
		if (us_since(start) > 1000000)
			return false;
	return true;
}

static bool ipi(void)
{
	if (boot.cpus < 2)
		return true;
	ap_open = true;
	/* By its ID, and to all but itself. */
	return comes_there(V_IPI, 0x4000, 1) && comes_there(V_IPI, 0xc4000, 0);
}

static bool nmi(void)
{
	uint32_t from = taken[2], start = pm_time();

	if (boot.cpus < 2)
		return true;
	send(0x4400, 1);
	while (taken[2] == from)
		if (us_since(start) > 1000000)
			return false;
	return true;
}

/* The one whose priority is lower takes it: here the TPR is above. */
static bool lowest_priority(void)
{
	bool good;

	if (boot.cpus < 2)
		return true;
	apic_set(APIC_TPR, 0x60);
	good = comes_there(V_IPI, 0x4100, 0xff) && comes_there(V_IPI, 0x4100, 0xff);
	apic_set(APIC_TPR, 0);
	return good && stays_away(V_IPI);
}

const struct piece apic_pieces[] = {
	{"local APIC registers", registers},
	{"IPI to itself", self_ipi},
	{"TPR and PPR", priorities},
	{"ESR", errors},
	{"logical destinations", logical},
	{"APIC timer", timer},
	{"APIC base moved", moved},
	{"APIC switched off", switched_off},
	{"x2APIC and back", x2apic},
	{"INIT and start-up IPI", init_and_startup},
	{"IPI to another", ipi},
	{"NMI to another", nmi},
	{"lowest priority", lowest_priority},
	{0},
};
