#include "arch/x86/mce.h"

#include <stddef.h>

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "lib/util.h"

#define MCG_CAP_COUNT	0xffu
#define MCG_CAP_CTL_P	BIT(8)
#define MCG_CAP_SER_P	BIT(24)
#define MCG_STATUS_RIPV BIT(0)

/* Of bank N: CTL, STATUS, ADDR, MISC stand side by side. */
#define BANK_CTL(n)    (MSR_IA32_MC0_CTL + 4 * (n))
#define BANK_STATUS(n) (MSR_IA32_MC0_CTL + 4 * (n) + 1)
#define BANK_ADDR(n)   (MSR_IA32_MC0_CTL + 4 * (n) + 2)
#define BANK_MISC(n)   (MSR_IA32_MC0_CTL + 4 * (n) + 3)

/* 0: this processor has no machine-check architecture. */
static uint64_t capabilities(void)
{
	uint32_t edx = cpuid(1, 0).edx;

	return edx & CPUID_1_EDX_MCA && edx & CPUID_1_EDX_MCE ? rdmsr(MSR_IA32_MCG_CAP) : 0;
}

void mce_init_cpu(void)
{
	uint64_t cap = capabilities();

	if (cap & MCG_CAP_CTL_P)
		wrmsr(MSR_IA32_MCG_CTL, ~0ull);
	for (uint32_t i = 0; i < (cap & MCG_CAP_COUNT); i++)
		(void)wrmsr_safe(BANK_CTL(i), ~0ull);
}

bool mce_next(unsigned int *next, bool clear, struct mce_error *e)
{
	unsigned int count = capabilities() & MCG_CAP_COUNT;

	while (*next < count) {
		uint32_t i = (*next)++;

		*e = (struct mce_error){.bank = (uint8_t)i, .status = rdmsr(BANK_STATUS(i))};
		if (!(e->status & MCI_STATUS_VAL))
			continue;
		if (e->status & MCI_STATUS_ADDRV)
			e->addr = rdmsr(BANK_ADDR(i));
		if (e->status & MCI_STATUS_MISCV)
			e->misc = rdmsr(BANK_MISC(i));
		if (clear)
			wrmsr(BANK_STATUS(i), 0);
		return true;
	}
	return false;
}

/* SDM vol. 3B 16.6.3: without PCC, and with AR clear, the interrupted code may go on. */
bool mce_is_fatal(const struct mce_error *e, bool recoverable)
{
	const uint64_t uncorrected = MCI_STATUS_VAL | MCI_STATUS_UC | MCI_STATUS_EN;

	if ((e->status & uncorrected) != uncorrected)
		return false;
	return e->status & MCI_STATUS_PCC || !recoverable ||
	       (e->status & MCI_STATUS_S && e->status & MCI_STATUS_AR);
}

bool mce_cannot_continue(void)
{
	bool recoverable = capabilities() & MCG_CAP_SER_P;
	struct mce_error e;
	unsigned int next = 0;

	while (mce_next(&next, false, &e))
		if (mce_is_fatal(&e, recoverable))
			return true;
	return !(rdmsr(MSR_IA32_MCG_STATUS) & MCG_STATUS_RIPV);
}

void mce_end(void)
{
	wrmsr(MSR_IA32_MCG_STATUS, 0);
}

/* Bits 15:0 without 12, which says that corrections are filtered: SDM vol. 3B 16.9. */
#define CODES(F)                                              \
	F(0xefff, 0x0000, "no error")                         \
	F(0xefff, 0x0001, "unclassified error")               \
	F(0xefff, 0x0002, "microcode ROM parity error")       \
	F(0xefff, 0x0003, "external error")                   \
	F(0xefff, 0x0004, "functional redundancy error")      \
	F(0xefff, 0x0005, "internal parity error")            \
	F(0xefff, 0x0006, "SMM handler's code outside SMRAM") \
	F(0xefff, 0x0400, "internal timer error")             \
	F(0xefff, 0x0e0b, "I/O error")                        \
	F(0xec00, 0x0400, "internal error")                   \
	F(0xeffc, 0x000c, "cache hierarchy error")            \
	F(0xeff0, 0x0010, "TLB error")                        \
	F(0xef80, 0x0080, "memory controller error")          \
	F(0xef00, 0x0100, "cache error")                      \
	F(0xe800, 0x0800, "bus or interconnect error")

#define CODE(mask, code, name) {mask, code},
#define NAME(mask, code, name) name "\0"
static const struct {
	uint16_t mask, code;
} codes[] = {CODES(CODE)};

static const char *name_of(uint64_t status)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if ((status & codes[i].mask) == codes[i].code)
			return nth_name(CODES(NAME), i);
	return "error of the model's own";
}

void mce_describe(const struct mce_error *e, struct strbuf *sb)
{
	sb_printf(sb, "bank %u: %s, %scorrected", e->bank, name_of(e->status),
		  e->status & MCI_STATUS_UC ? "un" : "");
	if (e->status & MCI_STATUS_PCC)
		sb_puts(sb, ", processor context corrupt");
	if (e->status & MCI_STATUS_OVER)
		sb_puts(sb, ", others lost");
	if (e->status & MCI_STATUS_ADDRV)
		sb_printf(sb, ", address %llx", (unsigned long long)e->addr);
	sb_printf(sb, ", status %016llx", (unsigned long long)e->status);
	if (e->status & MCI_STATUS_MISCV)
		sb_printf(sb, ", misc %llx", (unsigned long long)e->misc);
}
