/* SDM vol. 3A 2.5 (control registers), 4.1.2 (paging mode changes), 2.6 (XCR0); vol. 2B MOV to
 * control registers. */
#include "core/cr.h"

#include "arch/x86/cpu.h"
#include "arch/x86/fpu.h"
#include "arch/x86/msr.h"
#include "core/cpuid.h"
#include "core/gmem.h"
#include "core/vm.h"
#include "lib/err.h"

#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)

static bool in_64bit_code(struct vcpu *v)
{
	hv->get_state(v, ST_SEGS);
	return v->st.seg[SEG_CS].attr & SEG_ATTR_L;
}

/* Long mode has no 16-bit TSS: the last of its checks at activation (9.8.5). */
static bool has_tss_16(struct vcpu *v)
{
	hv->get_state(v, ST_SEGS);
	return (v->st.seg[SEG_TR].attr & SEG_ATTR_TYPE & ~2u) == 1;
}

/* Turning paging on, or off: may CR0 become VALUE? */
static int check_paging(struct vcpu *v, uint64_t value)
{
	const struct vcpu_state *st = &v->st;

	if (value & CR0_PG && st->efer & EFER_LME)
		return st->cr4 & CR4_PAE && !in_64bit_code(v) && !has_tss_16(v) ? 0 : -EPERM;
	if (!(value & CR0_PG) && st->efer & EFER_LMA && in_64bit_code(v))
		return -EPERM;
	return !(value & CR0_PG) && st->cr4 & CR4_PCIDE ? -EPERM : 0;
}

/*
 * What decides whether, and from where, the PDPTE registers are loaded (4.4.1). The bits of CR4 are
 * those that load them when they change.
 */
#define CR0_PDPTES (CR0_PG | CR0_NW | CR0_CD)
#define CR4_PDPTES (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)

/* With PAE paging by these values, do the entries that CR3 points to have reserved bits clear? */
static bool pdptes_valid(struct vcpu *v, uint64_t cr0, uint64_t cr3, uint64_t cr4)
{
	uint64_t reserved = ~(BIT(cpuid_phys_width(v->vm)) - 1) | 0x1e6;
	uint64_t pdpte[4] = {0};

	if (!(cr0 & CR0_PG) || !(cr4 & CR4_PAE) || v->st.efer & EFER_LME)
		return true;
	/* Where there is no memory they are not present. */
	if (gmem_read(v->vm, cr3 & 0xffffffe0, pdpte, sizeof(pdpte)))
		return true;
	for (unsigned int i = 0; i < ARRAY_SIZE(pdpte); i++)
		if (pdpte[i] & 1 && pdpte[i] & reserved)
			return false;
	return true;
}

int cr0_write(struct vcpu *v, uint64_t value)
{
	uint64_t changed;

	hv->get_state(v, ST_CRS);
	if (value >> 32 || (value & CR0_PG && !(value & CR0_PE)) ||
	    (value & CR0_NW && !(value & CR0_CD)))
		return -EPERM;
	value = (value & CR0_DEFINED) | CR0_ET;
	changed = v->st.cr0 ^ value;
	if (changed & CR0_PDPTES && !pdptes_valid(v, value, v->st.cr3, v->st.cr4))
		return -EPERM;
	if (changed & CR0_PG) {
		if (check_paging(v, value))
			return -EPERM;
		if (v->st.efer & EFER_LME)
			v->st.efer ^= EFER_LMA;
	}
	v->st.cr0 = value;
	hv->set_state(v, ST_CRS);
	return 0;
}

int cr3_write(struct vcpu *v, uint64_t value)
{
	uint8_t width = cpuid_phys_width(v->vm);

	hv->get_state(v, ST_CRS);
	if (v->st.cr4 & CR4_PCIDE)
		value &= ~CR3_NOFLUSH;
	if (v->st.efer & EFER_LMA && value >> width)
		return -EPERM;
	if (!pdptes_valid(v, v->st.cr0, value, v->st.cr4))
		return -EPERM;
	v->st.cr3 = value;
	hv->set_state(v, ST_CRS);
	return 0;
}

int cr4_write(struct vcpu *v, uint64_t value)
{
	uint64_t changed;

	hv->get_state(v, ST_CRS);
	changed = v->st.cr4 ^ value;
	if (value & ~cpuid_cr4_mask(v->vm))
		return -EPERM;
	if (v->st.efer & EFER_LMA && (changed & CR4_LA57 || !(value & CR4_PAE)))
		return -EPERM;
	if (changed & value & CR4_PCIDE && (!(v->st.efer & EFER_LMA) || v->st.cr3 & CR3_PCID_MASK))
		return -EPERM;
	if (changed & CR4_PDPTES && !pdptes_valid(v, v->st.cr0, v->st.cr3, value))
		return -EPERM;
	v->st.cr4 = value;
	cr4_changed(v);
	hv->set_state(v, ST_CRS);
	return 0;
}

void cr4_changed(struct vcpu *v)
{
	v->osxsave = v->st.cr4 & CR4_OSXSAVE;
	v->ospke = v->st.cr4 & CR4_PKE;
}

int efer_write(struct vcpu *v, uint64_t value)
{
	hv->get_state(v, ST_CRS);
	if (value & ~cpuid_efer_mask(v->vm) ||
	    (value & EFER_NXE && v->misc_enable & MISC_ENABLE_XD_DISABLE))
		return -EPERM;
	/* LME cannot change while paging is on; LMA is read-only. */
	if ((value ^ v->st.efer) & EFER_LME && v->st.cr0 & CR0_PG)
		return -EPERM;
	v->st.efer = (value & ~EFER_LMA) | (v->st.efer & EFER_LMA);
	hv->set_state(v, ST_CRS);
	return 0;
}

int xcr0_write(struct vcpu *v, uint32_t index, uint64_t value)
{
	const uint64_t avx512 = XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM;

	if (index != 0 || !(value & XCR0_X87) || value & ~cpuid_xcr0_mask(v->vm))
		return -EPERM;
	if (value & XCR0_AVX && !(value & XCR0_SSE))
		return -EPERM;
	if (value & avx512 && ((value & avx512) != avx512 || !(value & XCR0_AVX)))
		return -EPERM;
	v->xcr0 = value;
	fpu_set_xcr0(value);
	return 0;
}
