/* What this processor's VT-x can do, against what Socle needs: SDM vol. 3D appendix A. */
#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "lib/err.h"
#include "lib/strbuf.h"
#include "vmx/internal.h"

struct vmx_controls vmx_controls;

#define BASIC_TRUE_CONTROLS BIT(55)
#define BASIC_MEMORY_TYPE   (0xfULL << 50)
#define MISC_TIMER_RATE	    0x1fu

/* What says that IA32_SPEC_CTRL is there, and which of its bits. */
#define SPEC_CTRL_BITS (CPUID_7_EDX_IBRS_IBPB | CPUID_7_EDX_STIBP | CPUID_7_EDX_SSBD)

/* Where the guest's local APIC has the processor's help; derive() decides. */
#define APIC_DELIVERY (PROC2_APIC_REGISTERS | PROC2_VID)
#define APIC_CONTROLS (APIC_DELIVERY | PROC2_APIC_ACCESS | PROC2_X2APIC)

/* What derive() looks for beyond the tables; off until it is wanted. */
#define PROC2_OFF (APIC_CONTROLS | PROC2_PAUSE_LOOP)

bool vmx_present(void)
{
	return cpuid(0, 0).eax >= 1 && cpuid(1, 0).ecx & CPUID_1_ECX_VMX;
}

void vmx_probe(struct hv_caps *caps)
{
	uint64_t *raw = caps->raw;
	bool true_controls;

	raw[RAW_CPUID_1_EAX] = cpuid(1, 0).eax;
	raw[RAW_80000001_EDX] = cpuid_or_zero(0x80000001, 0).edx;
	raw[RAW_CPUID_7_EDX] = cpuid_or_zero(7, 0).edx;
	if (raw[RAW_CPUID_7_EDX] & CPUID_7_EDX_ARCH_CAPABILITIES)
		raw[RAW_ARCH_CAPABILITIES] = rdmsr(MSR_IA32_ARCH_CAPABILITIES);
	raw[RAW_FEATURE_CONTROL] = rdmsr(MSR_IA32_FEATURE_CONTROL);
	raw[RAW_BASIC] = rdmsr(MSR_IA32_VMX_BASIC);
	true_controls = raw[RAW_BASIC] & BASIC_TRUE_CONTROLS;
	raw[RAW_PIN] =
		rdmsr(true_controls ? MSR_IA32_VMX_TRUE_PINBASED_CTLS : MSR_IA32_VMX_PINBASED_CTLS);
	raw[RAW_PROC] = rdmsr(true_controls ? MSR_IA32_VMX_TRUE_PROCBASED_CTLS
					    : MSR_IA32_VMX_PROCBASED_CTLS);
	raw[RAW_EXIT] = rdmsr(true_controls ? MSR_IA32_VMX_TRUE_EXIT_CTLS : MSR_IA32_VMX_EXIT_CTLS);
	raw[RAW_ENTRY] =
		rdmsr(true_controls ? MSR_IA32_VMX_TRUE_ENTRY_CTLS : MSR_IA32_VMX_ENTRY_CTLS);
	raw[RAW_MISC] = rdmsr(MSR_IA32_VMX_MISC);
	raw[RAW_CR0_FIXED0] = rdmsr(MSR_IA32_VMX_CR0_FIXED0);
	raw[RAW_CR0_FIXED1] = rdmsr(MSR_IA32_VMX_CR0_FIXED1);
	raw[RAW_CR4_FIXED0] = rdmsr(MSR_IA32_VMX_CR4_FIXED0);
	raw[RAW_CR4_FIXED1] = rdmsr(MSR_IA32_VMX_CR4_FIXED1);
	/* Each of these exists only where the one before says so (A.3.3, A.10). */
	if (raw[RAW_PROC] >> 32 & PROC_SECONDARY)
		raw[RAW_PROC2] = rdmsr(MSR_IA32_VMX_PROCBASED_CTLS2);
	if (raw[RAW_PROC2] >> 32 & (PROC2_EPT | PROC2_VPID))
		raw[RAW_EPT_VPID] = rdmsr(MSR_IA32_VMX_EPT_VPID_CAP);
}

static const struct group {
	enum vmx_raw raw;
	uint32_t required; /* without one of these Socle does not start */
	uint32_t optional; /* on where they are there */
	uint32_t allowed;  /* must be possible, start off */
	const char *name;
	const char *bits; /* all these, as in the manual, the lowest first */
	uint32_t *value;
} groups[] = {
	{RAW_PIN, PIN_EXTERNAL_INTR | PIN_NMI | PIN_VIRTUAL_NMI, PIN_PREEMPTION_TIMER, 0,
	 "pin-based control",
	 "external-interrupt exiting\0NMI exiting\0virtual NMIs\0activate VMX-preemption timer",
	 &vmx_controls.pin},
	{RAW_PROC,
	 PROC_TSC_OFFSET | PROC_HLT | PROC_MWAIT | PROC_RDPMC | PROC_TPR_SHADOW | PROC_IO_BITMAPS |
		 PROC_MSR_BITMAPS | PROC_MONITOR | PROC_SECONDARY,
	 0, PROC_INTR_WINDOW | PROC_NMI_WINDOW | PROC_MOV_DR, "processor-based control",
	 "interrupt-window exiting\0use TSC offsetting\0HLT exiting\0MWAIT exiting\0"
	 "RDPMC exiting\0use TPR shadow\0NMI-window exiting\0MOV-DR exiting\0"
	 "use I/O bitmaps\0use MSR bitmaps\0MONITOR exiting\0activate secondary controls",
	 &vmx_controls.proc},
	{RAW_PROC2, PROC2_EPT | PROC2_VPID | PROC2_UNRESTRICTED,
	 PROC2_RDTSCP | PROC2_WBINVD | PROC2_INVPCID | PROC2_XSAVES | PROC2_NOTIFY, 0,
	 "secondary processor-based control",
	 "enable EPT\0enable RDTSCP\0enable VPID\0WBINVD exiting\0"
	 "unrestricted guest\0enable INVPCID\0enable XSAVES/XRSTORS\0notify VM exiting",
	 &vmx_controls.proc2},
	{RAW_EXIT,
	 EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER |
		 EXIT_LOAD_EFER,
	 EXIT_SAVE_TIMER, 0, "VM-exit control",
	 "save debug controls\0host address-space size\0save IA32_PAT\0load IA32_PAT\0"
	 "save IA32_EFER\0load IA32_EFER\0save VMX-preemption timer value",
	 &vmx_controls.exit},
	{RAW_ENTRY, ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER, 0, ENTRY_IA32E,
	 "VM-entry control",
	 "load debug controls\0IA-32e mode guest\0load IA32_PAT\0load IA32_EFER",
	 &vmx_controls.entry},
};

static uint32_t bits_of(const struct group *g)
{
	return g->required | g->optional | g->allowed;
}

/* Capabilities of EPT and VPID that have no control bit (A.10). */
static const struct {
	uint64_t any; /* one of these bits is enough */
	const char *name;
} ept_needs[] = {
	{EPT_CAP_WALK4, "EPT page-walk length of 4"},
	{EPT_CAP_WB, "EPT write-back memory type"},
	{EPT_CAP_2M, "EPT 2-MByte pages"},
	{EPT_CAP_INVEPT, "INVEPT"},
	{EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL, "INVEPT of one or all contexts"},
	{VPID_CAP_INVVPID, "INVVPID"},
	{VPID_CAP_SINGLE | VPID_CAP_ALL, "INVVPID of one or all contexts"},
};

/* Low half of a capability MSR: bits that must be 1; high half: bits that may be 1 (A.3.1). */
static bool negotiate(const struct group *g, uint64_t cap, struct strbuf *missing)
{
	uint32_t must = (uint32_t)cap, may = (uint32_t)(cap >> 32);
	uint32_t lacking = (g->required | g->allowed) & ~may;
	const char *name = g->bits;

	for (uint32_t bits = bits_of(g); bits; bits &= bits - 1, name = nth_name(name, 1))
		if (lacking & bits & -bits)
			sb_printf(missing, "VT-x without '%s' (%s %d)\n", name, g->name,
				  __builtin_ctz(bits));
	*g->value = must | ((g->required | g->optional) & may);
	return !lacking;
}

static bool check_enabled(uint64_t fc, struct strbuf *missing)
{
	if (!(fc & FEATURE_CONTROL_LOCK) || fc & FEATURE_CONTROL_VMX_OUTSIDE_SMX)
		return true;
	sb_printf(
		missing,
		"VT-x is switched off and locked by the firmware (IA32_FEATURE_CONTROL is %llx)%s: "
		"turn on 'Intel Virtualization Technology' or 'VMX' in firmware setup\n",
		(unsigned long long)fc,
		fc & FEATURE_CONTROL_VMX_IN_SMX ? ", allowed inside SMX alone" : "");
	return false;
}

/* IA32_MISC_ENABLE bit 34 takes it out of CPUID; setting EFER.NXE is #GP then (SDM vol. 4, 1A0h).
 */
static bool check_nx(uint64_t edx, struct strbuf *missing)
{
	if (edx & CPUID_80000001_EDX_NX)
		return true;
	sb_puts(missing,
		"pages cannot be made non-executable (CPUID 80000001h EDX bit 20): turn on "
		"'Execute Disable Bit' (XD, NX) in firmware setup\n");
	return false;
}

static bool check_ept(uint64_t cap, struct strbuf *missing)
{
	bool ok = true;

	for (size_t i = 0; i < ARRAY_SIZE(ept_needs); i++) {
		if (cap & ept_needs[i].any)
			continue;
		sb_printf(missing, "VT-x without %s\n", ept_needs[i].name);
		ok = false;
	}
	return ok;
}

/* Family 6 models that never had it: the Atoms (INTEL-SA-00210). Newer processors say so
 * themselves. */
static const uint8_t no_multihit_models[] = {
	0x1c, 0x26, 0x27, 0x35, 0x36,		  /* Bonnell, Saltwell */
	0x37, 0x4a, 0x4c, 0x4d, 0x5a, 0x5d, 0x75, /* Silvermont, Airmont */
	0x5c, 0x5f, 0x7a,			  /* Goldmont */
	0x86, 0x96, 0x9c,			  /* Tremont */
};

/*
 * Has the processor the flaw that a guest can stop the machine with, by changing the size of a page
 * it executes from? Then executable EPT mappings are 4 KiB, so that there is no other size to
 * change to.
 */
static bool has_itlb_multihit(const uint64_t *raw)
{
	uint32_t signature = (uint32_t)raw[RAW_CPUID_1_EAX];
	uint32_t model = (signature >> 4 & 0xf) | (signature >> 12 & 0xf0);

	if (raw[RAW_ARCH_CAPABILITIES] & ARCH_CAP_IF_PSCHANGE_MC_NO)
		return false;
	if ((signature >> 8 & 0xf) != 6)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(no_multihit_models); i++)
		if (no_multihit_models[i] == model)
			return false;
	return true;
}

/*
 * The timer counts at another rate than it says: errata BA86 (Xeon 7500), AAX65, AAT59 and AAU65
 * (Westmere), and Ivy Bridge of the first stepping. By CPUID 1 EAX.
 */
static bool has_false_timer(uint32_t signature)
{
	static const uint32_t signatures[] = {0x206e6, 0x20652, 0x20655, 0x306a8};

	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++)
		if (signatures[i] == signature)
			return true;
	return false;
}

static void derive(struct hv_caps *caps)
{
	struct vmx_controls *c = &vmx_controls;
	uint32_t proc2_may = (uint32_t)(caps->raw[RAW_PROC2] >> 32);
	uint64_t ept = caps->raw[RAW_EPT_VPID];

	c->revision = (uint32_t)caps->raw[RAW_BASIC] & 0x7fffffff;
	c->timer_shift = caps->raw[RAW_MISC] & MISC_TIMER_RATE;
	c->cr0_fixed0 = caps->raw[RAW_CR0_FIXED0];
	c->cr0_fixed1 = caps->raw[RAW_CR0_FIXED1];
	c->cr4_fixed0 = caps->raw[RAW_CR4_FIXED0];
	c->cr4_fixed1 = caps->raw[RAW_CR4_FIXED1];
	c->invept_type = ept & EPT_CAP_INVEPT_SINGLE ? 1 : 2;
	c->invvpid_type = ept & VPID_CAP_SINGLE ? 1 : 2;
	c->apicv = (proc2_may & APIC_DELIVERY) == APIC_DELIVERY && proc2_may & PROC2_APIC_ACCESS;
	c->apicv_x2 = (proc2_may & APIC_DELIVERY) == APIC_DELIVERY && proc2_may & PROC2_X2APIC;
	c->pause_loop = proc2_may & PROC2_PAUSE_LOOP;
	/* The timer is only of use when an exit does not set it back. */
	if (!(c->exit & EXIT_SAVE_TIMER) || has_false_timer((uint32_t)caps->raw[RAW_CPUID_1_EAX]))
		c->pin &= ~(uint32_t)PIN_PREEMPTION_TIMER;
	if (!(c->pin & PIN_PREEMPTION_TIMER))
		c->exit &= ~(uint32_t)EXIT_SAVE_TIMER;

	caps->npt = &ept_format;
	caps->asid_count = 0xffff;
	caps->features = (c->pin & PIN_PREEMPTION_TIMER ? HV_F_DEADLINE : 0) |
			 (ept & EPT_CAP_1G ? HV_F_NPT_1G : 0) | HV_F_NEXT_RIP |
			 (c->apicv ? HV_F_APIC_REGISTERS | HV_F_VID : 0) |
			 (c->apicv_x2 ? HV_F_X2APIC : 0) | (c->pause_loop ? HV_F_PAUSE : 0) |
			 (has_itlb_multihit(caps->raw) ? HV_F_EXEC_4K : 0) |
			 (caps->raw[RAW_CPUID_7_EDX] & SPEC_CTRL_BITS ? HV_F_SPEC_CTRL : 0) |
			 (c->proc2 & PROC2_RDTSCP ? 0 : HV_F_NO_RDTSCP) |
			 (c->proc2 & PROC2_INVPCID ? 0 : HV_F_NO_INVPCID) |
			 (c->proc2 & PROC2_XSAVES ? 0 : HV_F_NO_XSAVES);
}

int vmx_check(struct hv_caps *caps, struct strbuf *missing)
{
	bool ok = check_enabled(caps->raw[RAW_FEATURE_CONTROL], missing);
	bool nx = check_nx(caps->raw[RAW_80000001_EDX], missing);
	bool have_proc2 = caps->raw[RAW_PROC] >> 32 & PROC_SECONDARY;

	if ((caps->raw[RAW_BASIC] >> 50 & 0xf) != MT_WB) {
		sb_puts(missing, "VT-x whose VMCS must not be in write-back memory\n");
		ok = false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		ok &= negotiate(&groups[i], caps->raw[groups[i].raw], missing);
	if (have_proc2 && caps->raw[RAW_PROC2] >> 32 & (PROC2_EPT | PROC2_VPID))
		ok &= check_ept(caps->raw[RAW_EPT_VPID], missing);
	if (!ok || !nx)
		return -ENODEV;
	derive(caps);
	return 0;
}

static const struct {
	uint32_t feature;
	const char *name;
} feature_names[] = {
	{HV_F_DEADLINE, "VMX-preemption timer"},
	{HV_F_VID, "APIC-register virtualization, virtual-interrupt delivery"},
	{HV_F_X2APIC, "the same in x2APIC mode"},
	{HV_F_NPT_1G, "1-GByte EPT pages"},
};

void vmx_describe(const struct hv_caps *caps, struct strbuf *out)
{
	uint64_t fc = caps->raw[RAW_FEATURE_CONTROL];

	sb_puts(out, "VT-x with EPT, VPID, unrestricted guest");
	for (size_t i = 0; i < ARRAY_SIZE(feature_names); i++)
		if (caps->features & feature_names[i].feature)
			sb_printf(out, ", %s", feature_names[i].name);
	sb_printf(out, "\nIA32_FEATURE_CONTROL is %llx: %s\n", (unsigned long long)fc,
		  fc & FEATURE_CONTROL_LOCK ? "locked, VMX outside SMX is on"
					    : "unlocked, will be set to VMX on and locked");
}

/* In the order of enum vmx_raw; empty: not compared. */
static const char raw_names[] = "\0" /* RAW_FEATURE_CONTROL */
				"IA32_VMX_BASIC\0"
				"IA32_VMX_PINBASED_CTLS\0"
				"IA32_VMX_PROCBASED_CTLS\0"
				"IA32_VMX_PROCBASED_CTLS2\0"
				"IA32_VMX_EXIT_CTLS\0"
				"IA32_VMX_ENTRY_CTLS\0"
				"IA32_VMX_MISC\0"
				"IA32_VMX_EPT_VPID_CAP\0"
				"IA32_VMX_CR0_FIXED0\0"
				"IA32_VMX_CR0_FIXED1\0"
				"IA32_VMX_CR4_FIXED0\0"
				"IA32_VMX_CR4_FIXED1\0"
				"\0" /* RAW_CPUID_1_EAX */
				"\0" /* RAW_ARCH_CAPABILITIES */
				"\0" /* RAW_80000001_EDX */
				"CPUID 7 EDX\0";

/*
 * Bits of raw[I] that Socle's use of VT-x depends on. The cores of a hybrid processor may differ in
 * the others: controls that stay off on all of them.
 */
static uint64_t bits_in_use(unsigned int i)
{
	uint64_t bits = i == RAW_PROC2 ? PROC2_OFF : 0;

	for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
		if (groups[g].raw != i)
			continue;
		bits |= bits_of(&groups[g]);
		return bits << 32 | UINT32_MAX;
	}
	switch (i) {
	case RAW_BASIC:
		return 0x7fffffff | BASIC_MEMORY_TYPE;
	case RAW_MISC:
		return MISC_TIMER_RATE;
	case RAW_CPUID_7_EDX:
		return SPEC_CTRL_BITS;
	case RAW_EPT_VPID:
		bits = EPT_CAP_1G;
		for (size_t n = 0; n < ARRAY_SIZE(ept_needs); n++)
			bits |= ept_needs[n].any;
		return bits;
	default:
		return UINT64_MAX;
	}
}

int vmx_compare(const struct hv_caps *first, const struct hv_caps *mine, struct strbuf *diff)
{
	bool same = true;

	for (unsigned int i = 0; i < RAW_COUNT; i++) {
		const char *name = nth_name(raw_names, i);

		if (!*name || !((first->raw[i] ^ mine->raw[i]) & bits_in_use(i)))
			continue;
		sb_printf(diff, "%s is %llx, and %llx on the first processor\n", name,
			  (unsigned long long)mine->raw[i], (unsigned long long)first->raw[i]);
		same = false;
	}
	return same ? 0 : -EINVAL;
}
