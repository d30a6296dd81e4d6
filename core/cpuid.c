/* See core/cpuid.h. Masks name bits as SDM vol. 2A CPUID and APM vol. 3 appendix E do. */
#include "core/cpuid.h"

#include "arch/x86/cpu.h"
#include "arch/x86/msr.h"
#include "arch/x86/pages.h"
#include "core/exits.h"
#include "core/lapic.h"
#include "core/vm.h"
#include "lib/err.h"
#include "lib/string.h"

enum { EAX, EBX, ECX, EDX };

#define EXT_MAX	   0x8u
#define KVM_BASE   0x40000000u
#define EXT_BASE   0x80000000u
#define SUB4_MAX   8u
#define XSTATE_MAX 20u

/* Basic leaves that depend on the vCPU, its state or a subleaf. */
#define BASIC_MADE (BIT(1) | BIT(4) | BIT(5) | BIT(7) | BIT(0xb) | BIT(0xd) | BIT(0x1f))
/* Leaves above this one are empty, but for 1Fh where the processor has it. */
#define BASIC_OLD_MAX 0x16u

struct cpuid_table {
	struct cpuid_plain plain;
	uint32_t ext[EXT_MAX + 1][4];
	uint32_t kvm[2][4];
	uint32_t cache[SUB4_MAX][4];	/* leaf 4 */
	uint32_t xstate[XSTATE_MAX][4]; /* leaf 0Dh */
	uint32_t basic_max, ext_max;
	uint32_t core_shift; /* APIC ID bits of a core in its package */
	uint64_t xcr0_mask, cr4_mask, efer_mask;
	bool monitor; /* the processor has MONITOR and MWAIT */
};

static struct cpuid_table *table_of(const struct vm *vm)
{
	return container_of(vm->cpuid, struct cpuid_table, plain);
}

/* Leaf 1 ECX: SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AESNI XSAVE AVX F16C
 * RDRAND. */
#define L1_ECX_PASS                                                                             \
	(BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) | \
	 BIT(23) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define L1_ECX_MONITOR	    BIT(3)
#define L1_ECX_X2APIC	    BIT(21)
#define L1_ECX_TSC_DEADLINE BIT(24)
#define L1_ECX_XSAVE	    BIT(26)
#define L1_ECX_OSXSAVE	    BIT(27)
#define L1_ECX_HYPERVISOR   BIT(31)
/* Leaf 1 EDX: all but PSN, DS, ACPI, TM, IA64, PBE and reserved bits; HTT is set by hand. */
#define L1_EDX_PASS 0x078bfbffu
#define L1_EDX_HTT  BIT(28)
/* In AMD's copy, too. */
#define EDX_APIC BIT(9)
/* What leaf 0 tells of where IA32_MISC_ENABLE limits it (SDM vol. 4 table 2-2). */
#define LIMITED_MAX 2u

/* Leaf 7: FSGSBASE TSC_ADJUST BMI1 AVX2 FDP_EXCPTN SMEP BMI2 ERMS INVPCID ZERO_FCS_FDS AVX512F DQ
   RDSEED ADX SMAP IFMA CLFLUSHOPT CLWB PF ER CD SHA BW VL. */
#define L7_EBX_PASS                                                                                \
	(BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(10) |         \
	 BIT(13) | BIT(16) | BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) | \
	 BIT(26) | BIT(27) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
#define L7_EBX_INVPCID BIT(10)
/* VBMI UMIP PKU VBMI2 GFNI VAES VPCLMULQDQ VNNI BITALG VPOPCNTDQ LA57 RDPID CLDEMOTE. Not MOVDIRI
 * and MOVDIR64B, which are for device memory, where emul/ does not know them. */
#define L7_ECX_PASS                                                                          \
	(BIT(1) | BIT(2) | BIT(3) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | \
	 BIT(14) | BIT(16) | BIT(22) | BIT(25))
#define L7_ECX_PKU   BIT(3)
#define L7_ECX_OSPKE BIT(4)
#define L7_ECX_RDPID BIT(22)
/* AVX512_4VNNIW 4FMAPS FSRM VP2INTERSECT MD_CLEAR SERIALIZE. */
#define L7_EDX_PASS (BIT(2) | BIT(3) | BIT(4) | BIT(8) | BIT(10) | BIT(14))

/* IBRS_IBPB STIBP SSBD, where the back end switches IA32_SPEC_CTRL. */
#define L7_EDX_IBRS	 BIT(26)
#define L7_EDX_SSBD	 BIT(31)
#define L7_EDX_SPEC_CTRL (L7_EDX_IBRS | BIT(27) | L7_EDX_SSBD)

#define L6_EAX_ARAT BIT(2)

/* x87 SSE AVX AVX-512 PKRU. MPX is gone from processors; AMX would need XFD and 8 KiB more a vCPU.
 */
#define XCR0_PASS (BIT(0) | BIT(1) | BIT(2) | BIT(5) | BIT(6) | BIT(7) | BIT(9))
/* XSAVEOPT XSAVEC XGETBV(1) XSAVES. */
#define LD1_EAX_PASS   0xfu
#define LD1_EAX_XSAVES BIT(3)

/* 80000001h ECX: LAHF CmpLegacy AltMovCr8 ABM SSE4A MisAlignSse 3DNowPrefetch XOP FMA4 TBM. */
#define E1_ECX_PASS \
	(BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(16) | BIT(21))
/* 80000001h EDX: AMD's copy of leaf 1, SYSCALL NX MmxExt FFXSR Page1GB RDTSCP LM 3DNow. */
#define E1_EDX_PASS	     0xefd3fbffu
#define E1_EDX_SYSCALL	     BIT(11)
#define E1_EDX_NX	     BIT(20)
#define E1_EDX_RDTSCP	     BIT(27)
#define E1_EDX_GIB	     BIT(26)
#define E7_EDX_INVARIANT_TSC BIT(8)
/* 80000008h EBX: CLZERO XSAVEERPTR WBNOINVD. */
#define E8_EBX_PASS (BIT(0) | BIT(2) | BIT(9))
/* AMD's IBPB, IBRS, STIBP, SSBD. */
#define E8_EBX_IBPB	 BIT(12)
#define E8_EBX_IBRS	 BIT(14)
#define E8_EBX_STIBP	 BIT(15)
#define E8_EBX_SSBD	 BIT(24)
#define E8_EBX_SPEC_CTRL (E8_EBX_IBPB | E8_EBX_IBRS | E8_EBX_STIBP | E8_EBX_SSBD)

/* KVM_FEATURE_NOP_IO_DELAY, CLOCKSOURCE2, CLOCKSOURCE_STABLE: Linux
 * Documentation/virt/kvm/x86/cpuid.rst. */
#define KVM_FEATURES (BIT(1) | BIT(3) | BIT(24))
#define KVM_PV_EOI   BIT(6)

static void host(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	struct cpuid_regs c = cpuid(leaf, sub);

	memcpy(r, &c, sizeof(c));
}

/* EBX of leaf 0Dh: bytes of the standard format for XCR0 (SDM vol. 1 13.4). */
static uint32_t standard_size(const struct cpuid_table *t, uint64_t xcr0)
{
	uint32_t size = 576;

	for (uint32_t i = 2; i < XSTATE_MAX; i++)
		if (xcr0 & BIT(i))
			size = MAX(size, t->xstate[i][EAX] + t->xstate[i][EBX]);
	return size;
}

/* Bytes of the compacted format for XCR0 | XSS (SDM vol. 1 13.4.3). */
static uint32_t compacted_size(const struct cpuid_table *t, uint64_t mask)
{
	uint32_t size = 576;

	for (uint32_t i = 2; i < XSTATE_MAX; i++) {
		if (!(mask & BIT(i)))
			continue;
		if (t->xstate[i][ECX] & 2)
			size = ALIGN_UP(size, 64u);
		size += t->xstate[i][EAX];
	}
	return size;
}

static void build_1_to_7(struct cpuid_table *t, const struct vm *vm)
{
	uint32_t *l1 = t->plain.basic[1], *l7 = t->plain.basic[7];

	host(1, 0, l1);
	t->monitor = l1[ECX] & L1_ECX_MONITOR;
	l1[EBX] = (l1[EBX] & 0xff00) | vm->vcpu_count << 16;
	l1[ECX] = (l1[ECX] & L1_ECX_PASS) | L1_ECX_X2APIC | L1_ECX_TSC_DEADLINE | L1_ECX_HYPERVISOR;
	l1[EDX] = (l1[EDX] & L1_EDX_PASS) | (vm->vcpu_count > 1 ? L1_EDX_HTT : 0);
	host(2, 0, t->plain.basic[2]);
	/* The line that MONITOR watches, and no extensions of MWAIT. */
	host(5, 0, t->plain.basic[5]);
	t->plain.basic[5][ECX] = t->plain.basic[5][EDX] = 0;
	/* Thermal and power: the APIC timer runs in every C-state, since there are none. */
	t->plain.basic[6][EAX] = L6_EAX_ARAT;
	host(7, 0, l7);
	l7[EAX] = 0;
	l7[EBX] &= L7_EBX_PASS;
	l7[EBX] |= BIT(1); /* TSC_ADJUST is emulated */
	if (hv_caps.features & HV_F_NO_INVPCID)
		l7[EBX] &= ~(uint32_t)L7_EBX_INVPCID;
	l7[ECX] &= L7_ECX_PASS;
	/* One control enables both (SDM vol. 3C 25.3, RDPID). */
	if (hv_caps.features & HV_F_NO_RDTSCP)
		l7[ECX] &= ~(uint32_t)L7_ECX_RDPID;
	l7[EDX] &= L7_EDX_PASS | (hv_caps.features & HV_F_SPEC_CTRL ? L7_EDX_SPEC_CTRL : 0);
}

/* Leaf 4: every vCPU is a core of one package; levels 1 and 2 are its own, higher ones shared by
 * all. */
static void build_caches(struct cpuid_table *t, const struct vm *vm)
{
	uint32_t ids = 1u << t->core_shift;

	for (uint32_t i = 0; i < SUB4_MAX; i++) {
		uint32_t *r = t->cache[i];
		uint32_t level;

		host(4, i, r);
		if (!(r[EAX] & 0x1f))
			return;
		level = r[EAX] >> 5 & 7;
		r[EAX] &= 0x3fff;
		r[EAX] |= (level > 2 ? ids - 1 : 0) << 14 | (ids - 1) << 26;
	}
	(void)vm;
}

static void build_xstate(struct cpuid_table *t)
{
	uint32_t r[4];

	if (!(t->plain.basic[1][ECX] & L1_ECX_XSAVE))
		return;
	host(0xd, 0, r);
	t->xcr0_mask = (r[EAX] | (uint64_t)r[EDX] << 32) & XCR0_PASS;
	/* The seven AVX-512 components come together or not at all (SDM vol. 1 13.3). */
	if ((t->xcr0_mask & (XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM)) !=
	    (XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM))
		t->xcr0_mask &= ~(uint64_t)(XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM);
	for (uint32_t i = 2; i < XSTATE_MAX; i++)
		if (t->xcr0_mask & BIT(i))
			host(0xd, i, t->xstate[i]);
	t->xstate[0][EAX] = (uint32_t)t->xcr0_mask;
	t->xstate[0][ECX] = standard_size(t, t->xcr0_mask);
	host(0xd, 1, r);
	t->xstate[1][EAX] = r[EAX] & LD1_EAX_PASS;
	if (hv_caps.features & HV_F_NO_XSAVES)
		t->xstate[1][EAX] &= ~(uint32_t)LD1_EAX_XSAVES;
}

static void build_ext(struct cpuid_table *t, const struct vm *vm)
{
	uint32_t r[4];

	host(EXT_BASE, 0, r);
	t->ext_max = MIN(r[EAX] - EXT_BASE, EXT_MAX);
	for (uint32_t i = 0; i <= t->ext_max; i++)
		host(EXT_BASE + i, 0, t->ext[i]);
	t->ext[0][EAX] = EXT_BASE + t->ext_max;
	t->ext[1][ECX] &= E1_ECX_PASS;
	t->ext[1][EDX] &= E1_EDX_PASS;
	if (hv_caps.features & HV_F_NO_RDTSCP)
		t->ext[1][EDX] &= ~(uint32_t)E1_EDX_RDTSCP;
	memset(t->ext[7], 0, sizeof(t->ext[7]));
	host(EXT_BASE + 7, 0, r);
	t->ext[7][EDX] = r[EDX] & E7_EDX_INVARIANT_TSC;
	/* Only the processor's own and linear widths; nested guests have none. */
	t->ext[8][EAX] &= 0xffff;
	t->ext[8][EBX] &= E8_EBX_PASS | (hv_caps.features & HV_F_SPEC_CTRL ? E8_EBX_SPEC_CTRL : 0);
	t->ext[8][ECX] = t->ext[8][ECX] ? (vm->vcpu_count - 1) | t->core_shift << 12 : 0;
	t->ext[8][EDX] = 0;
}

static void build_kvm(struct cpuid_table *t)
{
	t->kvm[0][EAX] = KVM_BASE + 1;
	memcpy(&t->kvm[0][EBX], "KVMKVMKVM\0\0\0", 12);
	t->kvm[1][EAX] = KVM_FEATURES;
	if (lapic_offers_pv_eoi())
		t->kvm[1][EAX] |= KVM_PV_EOI;
}

/* CR4 bits by the CPUID bit that brings them (SDM vol. 3A 2.5). */
static uint64_t build_cr4(const struct cpuid_table *t)
{
	static const struct {
		uint8_t leaf, reg, bit;
		uint64_t cr4;
	} by_feature[] = {
		{1, EDX, 1, CR4_VME | CR4_PVI},
		{1, EDX, 4, CR4_TSD},
		{1, EDX, 2, CR4_DE},
		{1, EDX, 3, CR4_PSE},
		{1, EDX, 6, CR4_PAE},
		{1, EDX, 7, CR4_MCE},
		{1, EDX, 13, CR4_PGE},
		{1, EDX, 24, CR4_OSFXSR},
		{1, EDX, 25, CR4_OSXMMEXCPT},
		{7, ECX, 2, CR4_UMIP},
		{7, ECX, 16, CR4_LA57},
		{7, EBX, 0, CR4_FSGSBASE},
		{1, ECX, 17, CR4_PCIDE},
		{1, ECX, 26, CR4_OSXSAVE},
		{7, EBX, 7, CR4_SMEP},
		{7, EBX, 20, CR4_SMAP},
		{7, ECX, 3, CR4_PKE},
	};
	uint64_t mask = CR4_PCE;

	for (size_t i = 0; i < ARRAY_SIZE(by_feature); i++)
		if (t->plain.basic[by_feature[i].leaf][by_feature[i].reg] >> by_feature[i].bit & 1)
			mask |= by_feature[i].cr4;
	return mask;
}

static void build_efer(struct cpuid_table *t)
{
	uint32_t edx = t->ext[1][EDX];

	if (edx & BIT(11))
		t->efer_mask |= EFER_SCE;
	if (edx & BIT(20))
		t->efer_mask |= EFER_NXE;
	if (edx & BIT(25))
		t->efer_mask |= EFER_FFXSR;
	if (edx & BIT(29))
		t->efer_mask |= EFER_LME | EFER_LMA;
}

int cpuid_init(struct vm *vm)
{
	_Static_assert(sizeof(struct cpuid_table) <= PAGE_SIZE, "one page");
	struct cpuid_table *t = pages_alloc(1);
	uint32_t r[4];

	if (!t)
		return -ENOMEM;
	vm->cpuid = &t->plain;
	while ((1u << t->core_shift) < vm->vcpu_count)
		t->core_shift++;
	host(0, 0, t->plain.basic[0]);
	/* Leaf 0Bh comes with x2APIC; newer leaves than the table knows are not offered. */
	t->basic_max = MAX(0xbu, MIN(t->plain.basic[0][EAX], CPUID_BASIC_MAX));
	if (t->basic_max < CPUID_BASIC_MAX)
		t->basic_max = MIN(t->basic_max, BASIC_OLD_MAX);
	build_1_to_7(t, vm);
	if (t->plain.basic[0][EAX] < 7)
		memset(t->plain.basic[7], 0, sizeof(t->plain.basic[7]));
	if (t->plain.basic[0][EAX] >= 4)
		build_caches(t, vm);
	build_xstate(t);
	/* A guest can write PKRU without XCR0, but only XSAVE exchanges it between guests. */
	if (!(t->xcr0_mask & XCR0_PKRU))
		t->plain.basic[7][ECX] &= ~(uint32_t)L7_ECX_PKU;
	t->plain.basic[0][EAX] = t->basic_max;
	t->plain.leaves = (BIT(t->basic_max + 1) - 1) & ~BASIC_MADE;
	host(EXT_BASE, 0, r);
	build_ext(t, vm);
	build_kvm(t);
	t->cr4_mask = build_cr4(t);
	build_efer(t);
	return 0;
}

void cpuid_fini(struct vm *vm)
{
	pages_free(table_of(vm), 1);
	vm->cpuid = NULL;
}

uint32_t cpuid_signature(const struct vm *vm)
{
	return vm->cpuid->basic[1][EAX];
}

bool cpuid_is_amd(const struct vm *vm)
{
	const uint32_t *l0 = vm->cpuid->basic[0];

	return l0[EBX] == 0x68747541 || l0[EBX] == 0x6f677948; /* "Auth", "Hygo" */
}

/* STIBP may be set wherever IBRS may, and means nothing without its own bit. */
uint64_t cpuid_spec_ctrl_mask(const struct vm *vm)
{
	const struct cpuid_table *t = table_of(vm);
	uint32_t edx = t->plain.basic[7][EDX], ebx = t->ext[8][EBX];
	uint64_t mask = 0;

	if (edx & L7_EDX_IBRS || ebx & (E8_EBX_IBRS | E8_EBX_STIBP))
		mask |= SPEC_CTRL_IBRS | SPEC_CTRL_STIBP;
	if (edx & L7_EDX_SSBD || ebx & E8_EBX_SSBD)
		mask |= SPEC_CTRL_SSBD;
	return mask;
}

bool cpuid_has_ibpb(const struct vm *vm)
{
	const struct cpuid_table *t = table_of(vm);

	return t->plain.basic[7][EDX] & L7_EDX_IBRS || t->ext[8][EBX] & E8_EBX_IBPB;
}

uint64_t cpuid_xcr0_mask(const struct vm *vm)
{
	return table_of(vm)->xcr0_mask;
}

uint64_t cpuid_xss_mask(const struct vm *vm)
{
	(void)vm;
	return 0; /* no supervisor state component is offered */
}

uint64_t cpuid_cr4_mask(const struct vm *vm)
{
	return table_of(vm)->cr4_mask;
}

uint64_t cpuid_efer_mask(const struct vm *vm)
{
	return table_of(vm)->efer_mask;
}

uint8_t cpuid_phys_width(const struct vm *vm)
{
	return table_of(vm)->ext_max >= 8 ? (uint8_t)table_of(vm)->ext[8][EAX] : 36;
}

bool cpuid_gib_pages(const struct vm *vm)
{
	return table_of(vm)->ext[1][EDX] & E1_EDX_GIB;
}

bool cpuid_has_xsaves(const struct vm *vm)
{
	return table_of(vm)->xstate[1][EAX] & LD1_EAX_XSAVES;
}

bool cpuid_may_have_monitor(const struct vm *vm)
{
	return table_of(vm)->monitor;
}

bool cpuid_has_monitor(const struct vcpu *v)
{
	return v->misc_enable & MISC_ENABLE_MWAIT;
}

void cpuid_may_be_limited(struct vm *vm)
{
	__atomic_fetch_and(&vm->cpuid->leaves, ~1ull, __ATOMIC_RELAXED);
}

/* Leaf 0Bh: no threads, one core a vCPU (SDM vol. 2A). */
static void read_topology(const struct vcpu *v, uint32_t sub, uint32_t r[4])
{
	const struct cpuid_table *t = table_of(v->vm);

	r[EAX] = sub == 1 ? t->core_shift : 0;
	r[EBX] = sub == 0 ? 1 : sub == 1 ? v->vm->vcpu_count : 0;
	r[ECX] = (sub & 0xff) | (sub < 2 ? (sub + 1) << 8 : 0);
	r[EDX] = v->id;
}

static void read_xstate(const struct vcpu *v, uint32_t sub, uint32_t r[4])
{
	const struct cpuid_table *t = table_of(v->vm);

	memset(r, 0, 4 * sizeof(r[0]));
	if (sub >= XSTATE_MAX)
		return;
	memcpy(r, t->xstate[sub], 4 * sizeof(r[0]));
	if (sub == 0)
		r[EBX] = t->xcr0_mask ? standard_size(t, v->xcr0) : 0;
	if (sub == 1 && r[EAX] & (BIT(1) | BIT(3)))
		r[EBX] = compacted_size(t, v->xcr0 | v->xss);
}

static void read_basic(const struct vcpu *v, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	const struct cpuid_table *t = table_of(v->vm);

	memcpy(r, t->plain.basic[leaf], 4 * sizeof(r[0]));
	switch (leaf) {
	case 0:
		if (v->misc_enable & MISC_ENABLE_LIMIT_CPUID)
			r[EAX] = MIN(r[EAX], LIMITED_MAX);
		break;
	case 1:
		r[EBX] |= v->id << 24;
		r[ECX] |= cpuid_has_monitor(v) ? L1_ECX_MONITOR : 0;
		/* SDM vol. 3A 11.4.3. */
		if (v->apic_mode == APIC_OFF)
			r[EDX] &= ~(uint32_t)EDX_APIC;
		r[ECX] |= v->osxsave ? L1_ECX_OSXSAVE : 0;
		break;
	case 4:
		memset(r, 0, 4 * sizeof(r[0]));
		if (sub < SUB4_MAX)
			memcpy(r, t->cache[sub], 4 * sizeof(r[0]));
		break;
	case 5:
		if (!cpuid_has_monitor(v))
			memset(r, 0, 4 * sizeof(r[0]));
		break;
	case 7:
		if (sub)
			memset(r, 0, 4 * sizeof(r[0]));
		else
			r[ECX] |= v->ospke ? L7_ECX_OSPKE : 0;
		break;
	case 0xb:
	case 0x1f: /* as there are neither modules nor dies, the same */
		read_topology(v, sub, r);
		break;
	case 0xd:
		read_xstate(v, sub, r);
		break;
	}
}

/* SYSCALL is Intel's in 64-bit mode alone, and told of nowhere else (SDM vol. 2A, CPUID). */
static bool has_syscall(struct vcpu *v)
{
	if (cpuid_is_amd(v->vm))
		return true;
	hv->get_state(v, ST_CRS | ST_SEGS);
	return v->st.efer & EFER_LMA && v->st.seg[SEG_CS].attr & SEG_ATTR_L;
}

static void read_ext(struct vcpu *v, uint32_t n, uint32_t r[4])
{
	memcpy(r, table_of(v->vm)->ext[n], 4 * sizeof(r[0]));
	if (n != 1)
		return;
	if (v->apic_mode == APIC_OFF)
		r[EDX] &= ~(uint32_t)EDX_APIC;
	if (v->misc_enable & MISC_ENABLE_XD_DISABLE)
		r[EDX] &= ~(uint32_t)E1_EDX_NX;
	if (!has_syscall(v))
		r[EDX] &= ~(uint32_t)E1_EDX_SYSCALL;
}

void cpuid_read(struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	const struct cpuid_table *t = table_of(v->vm);

	if (leaf <= t->basic_max)
		read_basic(v, leaf, subleaf, r);
	else if (leaf - KVM_BASE < ARRAY_SIZE(t->kvm))
		memcpy(r, t->kvm[leaf - KVM_BASE], 4 * sizeof(r[0]));
	else if (leaf - EXT_BASE <= t->ext_max)
		read_ext(v, leaf - EXT_BASE, r);
	else if (cpuid_is_amd(v->vm))
		memset(r, 0, 4 * sizeof(r[0])); /* AMD: zeroes beyond the last leaf */
	else
		read_basic(v, t->basic_max, subleaf, r); /* Intel: the last basic leaf */
}

void exit_cpuid(struct vcpu *v)
{
	uint32_t r[4];

	if (cpuid_answer_plain(v))
		return;
	cpuid_read(v, (uint32_t)v->gpr[RAX], (uint32_t)v->gpr[RCX], r);
	v->gpr[RAX] = r[EAX];
	v->gpr[RBX] = r[EBX];
	v->gpr[RCX] = r[ECX];
	v->gpr[RDX] = r[EDX];
}
