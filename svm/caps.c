/*
 * What a processor's AMD-V can do, and whether that is enough (APM vol. 2 15.4, 15.30.1; vol. 3
 * appendix E).
 */
#include "svm/internal.h"
#include "svm/svm.h"

#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "lib/err.h"
#include "lib/strbuf.h"

/* APM vol. 3 E.4.7 and E.4.9; not in arch/x86/cpuid.h. */
#define CPUID_80000008_EBX_RDPRU   BIT(4)
#define CPUID_80000008_EBX_MCOMMIT BIT(8)
#define CPUID_8000000A_EDX_VNMI	   BIT(25)

#define VM_CR_OFF (VM_CR_SVMDIS | VM_CR_LOCK)

struct svm_features svm_features;

/* Bits of raw[] by the manual's names. What differs between two cores in one of these matters. */
struct cap_bit {
	uint8_t raw; /* enum svm_raw */
	uint32_t mask;
	const char *name;
	const char *missing; /* required: what to do without it. NULL: optional */
};

static const struct cap_bit cap_bits[] = {
	{SVM_RAW_80000001_ECX, CPUID_80000001_ECX_SVM, "SVM (CPUID Fn8000_0001_ECX[2])",
	 "this processor has no AMD-V"},
	{SVM_RAW_8000000A_EDX, CPUID_8000000A_EDX_NP,
	 "NP, nested paging (CPUID Fn8000_000A_EDX[0])",
	 "this processor's AMD-V is too old for Socle"},
	{SVM_RAW_80000001_EDX, CPUID_80000001_EDX_NX,
	 "NX, no-execute page protection (CPUID Fn8000_0001_EDX[20])",
	 "turn on \"NX Mode\" in firmware setup"},
	{SVM_RAW_8000000A_EDX, CPUID_8000000A_EDX_NRIPS, "NRIPS, next-RIP save", NULL},
	{SVM_RAW_8000000A_EDX, CPUID_8000000A_EDX_TSC_RATE_MSR, "TscRateMsr", NULL},
	{SVM_RAW_8000000A_EDX, CPUID_8000000A_EDX_VMCB_CLEAN, "VmcbClean", NULL},
	{SVM_RAW_8000000A_EDX, CPUID_8000000A_EDX_FLUSH_BY_ASID, "FlushByAsid", NULL},
	{SVM_RAW_8000000A_EDX, CPUID_8000000A_EDX_DECODE_ASSISTS, "DecodeAssists", NULL},
	{SVM_RAW_8000000A_EDX, CPUID_8000000A_EDX_PAUSE_FILTER, "PauseFilter", NULL},
	{SVM_RAW_8000000A_EDX, CPUID_8000000A_EDX_PAUSE_FILTER_THRESHOLD, "PauseFilterThreshold",
	 NULL},
	{SVM_RAW_8000000A_EDX, CPUID_8000000A_EDX_VNMI, "VNMI", NULL},
	{SVM_RAW_8000000A_EDX, CPUID_8000000A_EDX_SPEC_CTRL, "SpecCtrl", NULL},
	{SVM_RAW_80000001_EDX, CPUID_80000001_EDX_RDTSCP, "RDTSCP", NULL},
	{SVM_RAW_80000001_EDX, CPUID_80000001_EDX_PAGE1GB, "Page1GB", NULL},
	{SVM_RAW_80000008_EBX, CPUID_80000008_EBX_RDPRU, "RDPRU", NULL},
	{SVM_RAW_80000008_EBX, CPUID_80000008_EBX_MCOMMIT, "MCOMMIT", NULL},
	{SVM_RAW_80000008_EBX, CPUID_80000008_EBX_INVLPGB, "INVLPGB", NULL},
	{SVM_RAW_80000008_EBX,
	 CPUID_80000008_EBX_IBPB | CPUID_80000008_EBX_IBRS | CPUID_80000008_EBX_STIBP |
		 CPUID_80000008_EBX_SSBD,
	 "IBPB, IBRS, STIBP, SSBD", NULL},
	{SVM_RAW_8000000A_EBX, UINT32_MAX, "NASID, the number of ASIDs", NULL},
	{SVM_RAW_VM_CR, VM_CR_OFF, "VM_CR.SVMDIS and LOCK", NULL},
};

static const struct {
	uint32_t feature;
	uint32_t edx;
} optional[] = {
	{HV_F_NEXT_RIP, CPUID_8000000A_EDX_NRIPS},
	{HV_F_PAUSE, CPUID_8000000A_EDX_PAUSE_FILTER},
	{HV_F_SPEC_CTRL, CPUID_8000000A_EDX_SPEC_CTRL},
};

bool svm_present(void)
{
	return cpuid_or_zero(0x80000001, 0).ecx & CPUID_80000001_ECX_SVM;
}

void svm_probe(struct hv_caps *caps)
{
	struct cpuid_regs r = cpuid_or_zero(0x80000001, 0);

	caps->raw[SVM_RAW_80000001_ECX] = r.ecx;
	caps->raw[SVM_RAW_80000001_EDX] = r.edx;
	caps->raw[SVM_RAW_80000008_EBX] = cpuid_or_zero(0x80000008, 0).ebx;
	/* Neither the leaf nor the register exists without SVM. */
	if (!(r.ecx & CPUID_80000001_ECX_SVM))
		return;
	r = cpuid_or_zero(0x8000000a, 0);
	caps->raw[SVM_RAW_8000000A_EAX] = r.eax;
	caps->raw[SVM_RAW_8000000A_EBX] = r.ebx;
	caps->raw[SVM_RAW_8000000A_ECX] = r.ecx;
	caps->raw[SVM_RAW_8000000A_EDX] = r.edx;
	caps->raw[SVM_RAW_VM_CR] = rdmsr(MSR_AMD_VM_CR);
	caps->raw[SVM_RAW_CR4] = read_cr4() & CR4_LA57;
}

/* Word 4 and 5 intercepts of what this processor knows: a reserved bit stays clear. */
static void negotiate_intercepts(uint64_t fn8_ebx)
{
	svm_features.word4 = fn8_ebx & CPUID_80000008_EBX_RDPRU ? INTERCEPT_RDPRU : 0;
	svm_features.word5 = fn8_ebx & CPUID_80000008_EBX_MCOMMIT ? INTERCEPT_MCOMMIT : 0;
	if (fn8_ebx & CPUID_80000008_EBX_INVLPGB)
		svm_features.word5 |=
			INTERCEPT_INVLPGB | INTERCEPT_INVLPGB_ILLEGAL | INTERCEPT_TLBSYNC;
}

static void negotiate(struct hv_caps *caps)
{
	uint64_t edx = caps->raw[SVM_RAW_8000000A_EDX];

	caps->features = 0;
	for (size_t i = 0; i < ARRAY_SIZE(optional); i++)
		caps->features |= edx & optional[i].edx ? optional[i].feature : 0;
	if (caps->raw[SVM_RAW_80000001_EDX] & CPUID_80000001_EDX_PAGE1GB)
		caps->features |= HV_F_NPT_1G;
	caps->asid_count = (uint32_t)caps->raw[SVM_RAW_8000000A_EBX];
	caps->npt = &npt_format;
	svm_features = (struct svm_features){
		.next_rip = edx & CPUID_8000000A_EDX_NRIPS,
		.decode_assists = edx & CPUID_8000000A_EDX_DECODE_ASSISTS,
		.flush_by_asid = edx & CPUID_8000000A_EDX_FLUSH_BY_ASID,
		.tsc_ratio = edx & CPUID_8000000A_EDX_TSC_RATE_MSR,
		.virtual_nmi = edx & CPUID_8000000A_EDX_VNMI,
		.tsc_aux = caps->raw[SVM_RAW_80000001_EDX] & CPUID_80000001_EDX_RDTSCP,
		.la57 = caps->raw[SVM_RAW_CR4] & CR4_LA57,
		.asid_count = caps->asid_count,
	};
	negotiate_intercepts(caps->raw[SVM_RAW_80000008_EBX]);
}

/* 15.30.1: SVMDIS cannot be cleared while LOCK is set; unlocked, svm_cpu_on() clears it. */
static bool is_disabled(const struct hv_caps *caps)
{
	return (caps->raw[SVM_RAW_VM_CR] & VM_CR_OFF) == VM_CR_OFF;
}

int svm_check(struct hv_caps *caps, struct strbuf *missing)
{
	bool complete = true;

	for (size_t i = 0; i < ARRAY_SIZE(cap_bits); i++) {
		const struct cap_bit *c = &cap_bits[i];

		if (!c->missing || (caps->raw[c->raw] & c->mask))
			continue;
		sb_printf(missing, "%s: %s\n", c->name, c->missing);
		complete = false;
		/* The other leaves mean nothing then. */
		if (c->mask == CPUID_80000001_ECX_SVM && c->raw == SVM_RAW_80000001_ECX)
			return -ENODEV;
	}
	if (is_disabled(caps)) {
		sb_puts(missing,
			"VM_CR.SVMDIS is set and locked: the firmware has switched AMD-V off; "
			"turn on \"SVM Mode\" (also called AMD-V, or Secure Virtual Machine) "
			"in firmware setup\n");
		complete = false;
	}
	if (caps->raw[SVM_RAW_8000000A_EBX] < 2) {
		sb_puts(missing, "NASID (CPUID Fn8000_000A_EBX): no address space identifier for "
				 "guests\n");
		complete = false;
	}
	if (!complete)
		return -ENODEV;
	negotiate(caps);
	return 0;
}

void svm_describe(const struct hv_caps *caps, struct strbuf *out)
{
	sb_puts(out, "AMD-V with");
	for (size_t i = 1; i < ARRAY_SIZE(cap_bits); i++) {
		const struct cap_bit *c = &cap_bits[i];

		if (c->raw == SVM_RAW_8000000A_EDX && caps->raw[c->raw] & c->mask)
			sb_printf(out, "%s %s", i > 1 ? ";" : "", c->name);
	}
	sb_printf(out, "\nVM_CR is %llx: %s\n", (unsigned long long)caps->raw[SVM_RAW_VM_CR],
		  caps->raw[SVM_RAW_VM_CR] & VM_CR_SVMDIS ? "SVMDIS is not locked, will be cleared"
							  : "SVM is not disabled");
}

int svm_compare(const struct hv_caps *first, const struct hv_caps *mine, struct strbuf *diff)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cap_bits); i++) {
		const struct cap_bit *c = &cap_bits[i];
		uint64_t a = first->raw[c->raw] & c->mask, b = mine->raw[c->raw] & c->mask;

		if (a == b)
			continue;
		sb_printf(diff, "%s: %#llx here, %#llx on the first core\n", c->name,
			  (unsigned long long)b, (unsigned long long)a);
		err = -EINVAL;
	}
	return err;
}
