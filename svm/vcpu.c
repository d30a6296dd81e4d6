/*
 * A vCPU's VMCB: what it starts with, what it traps, and its way between cores (APM vol. 2 15.5,
 * 15.9 to 15.13).
 */
#include "svm/internal.h"

#include "arch/x86/cpu.h"
#include "arch/x86/msr.h"
#include "arch/x86/pages.h"
#include "arch/x86/percpu.h"
#include "lib/assert.h"
#include "lib/err.h"
#include "lib/string.h"

/* Leave after this many PAUSEs that follow each other within so many cycles (15.14.4). */
#define PAUSE_COUNT	3000
#define PAUSE_THRESHOLD 128

#define WORD_3_ALWAYS                                                                        \
	(INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT | INTERCEPT_RDPMC | \
	 INTERCEPT_CPUID | INTERCEPT_RSM | INTERCEPT_INVD | INTERCEPT_INVLPGA |              \
	 INTERCEPT_IOIO_PROT | INTERCEPT_MSR_PROT | INTERCEPT_FERR_FREEZE | INTERCEPT_SHUTDOWN)
#define WORD_4_ALWAYS                                                                              \
	(INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE |               \
	 INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT | INTERCEPT_ICEBP | INTERCEPT_WBINVD | \
	 INTERCEPT_XSETBV)

/* What VMLOAD and VMSAVE switch. */
static const uint32_t own_msrs[] = {
	MSR_IA32_FS_BASE,      MSR_IA32_GS_BASE,      MSR_IA32_KERNEL_GS_BASE, MSR_IA32_STAR,
	MSR_IA32_LSTAR,	       MSR_IA32_CSTAR,	      MSR_IA32_FMASK,	       MSR_IA32_SYSENTER_CS,
	MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/*
 * The MSR permission map covers three ranges of 2000h MSRs, 2 bits each; all others always trap
 * (15.11).
 */
static const uint32_t msrpm_base[] = {0, 0xc0000000, 0xc0010000};

/* The bit of MSR's read intercept; the one above it is the write's. -1: not in the map. */
static int msrpm_bit(uint32_t msr)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(msrpm_base); i++)
		if (msr - msrpm_base[i] < 0x2000)
			return (int)(i * 0x4000 + (msr - msrpm_base[i]) * 2);
	return -1;
}

void svm_msr_trap(struct vcpu *v, uint32_t msr, bool rd, bool wr)
{
	uint8_t *map = svm_of(v)->msrpm;
	int bit = msrpm_bit(msr);

	assert(bit >= 0 || (rd && wr));
	if (bit < 0)
		return;
	map[bit / 8] &= (uint8_t) ~(3u << bit % 8);
	map[bit / 8] |= (uint8_t)((rd | wr << 1) << bit % 8);
}

int svm_vcpu_init(struct vcpu *v)
{
	struct svm_vcpu *s = pages_alloc(ALIGN_UP(sizeof(*s), PAGE_SIZE) / PAGE_SIZE);

	if (!s)
		return -ENOMEM;
	v->hv = s;
	v->apic_page = s->apic_page;
	return 0;
}

static void reset_controls(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	const struct svm_vm *m = v->vm->hv;
	struct vmcb *b = &s->vmcb;

	b->intercept[WORD_CR] = CR_WRITE(4);
	b->intercept[WORD_EXCEPTION] = SVM_EXCEPTIONS;
	b->intercept[WORD_3] = WORD_3_ALWAYS | INTERCEPT_CR0_SEL_WRITE;
	b->intercept[WORD_4] = WORD_4_ALWAYS | svm_features.word4;
	b->intercept[WORD_5] = svm_features.word5;
	b->iopm_base_pa = phys_of(m->iopm);
	b->msrpm_base_pa = phys_of(s->msrpm);
	b->tsc_offset = v->tsc_offset;
	b->int_ctl = INT_CTL_INTR_MASKING;
	if (svm_features.virtual_nmi)
		b->int_ctl |= INT_CTL_NMI_ENABLE;
	b->np_enable = NP_ENABLE;
	b->n_cr3 = svm_nested_root(v->vm);
}

int svm_vcpu_reset(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);

	memset(&s->vmcb, 0, sizeof(s->vmcb));
	memset(s->msrpm, 0xff, sizeof(s->msrpm));
	for (size_t i = 0; i < ARRAY_SIZE(own_msrs); i++)
		svm_msr_trap(v, own_msrs[i], false, false);
	/* Written once: core/ refuses what is not canonical, which QEMU's TCG (7.2) stores. */
	svm_msr_trap(v, MSR_IA32_LSTAR, false, true);
	svm_msr_trap(v, MSR_IA32_CSTAR, false, true);
	reset_controls(v);
	s->window_nmi = false;
	s->nmi_blocked = s->stepping = false;
	s->soft_len = 0;
	s->asid_generation = 0;
	svm_set_traps(v, TRAP_HLT | TRAP_MWAIT);
	svm_set_state(v, ST_ALL);
	return 0;
}

void svm_load_debug_registers(const struct svm_vcpu *s)
{
	write_dr0(s->dr[0]);
	write_dr1(s->dr[1]);
	write_dr2(s->dr[2]);
	write_dr3(s->dr[3]);
}

void svm_load(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);
	struct svm_cpu *cpu = this_cpu()->hv_private;

	if (s->cpu != cpu) {
		s->cpu = cpu;
		s->asid_generation = 0;
	}
	/* The processor may still hold what this VMCB was when it ran here last: 15.15. */
	s->vmcb.clean = 0;
	svm_load_debug_registers(s);
	if (svm_features.tsc_aux)
		wrmsr(MSR_IA32_TSC_AUX, s->tsc_aux);
	s->loaded = true;
}

void svm_put(struct vcpu *v)
{
	struct svm_vcpu *s = svm_of(v);

	s->dr[0] = read_dr0();
	s->dr[1] = read_dr1();
	s->dr[2] = read_dr2();
	s->dr[3] = read_dr3();
	s->loaded = false;
}

void svm_set_traps(struct vcpu *v, uint32_t mask)
{
	struct vmcb *b = &svm_of(v)->vmcb;

	vmcb_set_intercepts(b, WORD_DR, UINT32_MAX, mask & TRAP_DR ? UINT32_MAX : 0);
	vmcb_set_intercepts(b, WORD_3, INTERCEPT_HLT | INTERCEPT_PAUSE | INTERCEPT_RDTSC,
			    (mask & TRAP_HLT ? INTERCEPT_HLT : 0) |
				    (mask & TRAP_PAUSE ? INTERCEPT_PAUSE : 0) |
				    (mask & TRAP_RDTSC ? INTERCEPT_RDTSC : 0));
	vmcb_set_intercepts(b, WORD_4, INTERCEPT_MONITOR | INTERCEPT_MWAIT | INTERCEPT_RDTSCP,
			    (mask & TRAP_MWAIT ? INTERCEPT_MONITOR | INTERCEPT_MWAIT : 0) |
				    (mask & TRAP_RDTSC ? INTERCEPT_RDTSCP : 0));
	vmcb_set_pause_filter_count(b, mask & TRAP_PAUSE ? PAUSE_COUNT : 0);
	vmcb_set_pause_filter_threshold(b, mask & TRAP_PAUSE ? PAUSE_THRESHOLD : 0);
}

/* VMRUN loads it, and the processor keeps Socle's own aside until the exit. */
void svm_pass_spec_ctrl(struct vcpu *v, uint64_t value)
{
	svm_of(v)->vmcb.spec_ctrl = value;
	svm_msr_trap(v, MSR_IA32_SPEC_CTRL, false, false);
}

void svm_set_tsc_offset(struct vcpu *v, uint64_t offset)
{
	vmcb_set_tsc_offset(&svm_of(v)->vmcb, offset);
}

/*
 * Without AVIC, the MSRs of x2APIC trap (they are not in the permission map's pass list) and the
 * page has no mapping.
 */
void svm_apic_mode(struct vcpu *v, enum apic_mode mode)
{
	(void)mode;
	v->vid = false;
}

/*
 * CR8 is V_TPR (15.21.2): only while something waits for it to fall does a write of it exit. And
 * while V_IRQ opens a window: QEMU's TCG (7.2) aborts when the guest then writes CR8 by itself.
 */
void svm_set_tpr_threshold(struct vcpu *v, uint8_t cls)
{
	struct vmcb *b = &svm_of(v)->vmcb;
	bool trap = cls || b->int_ctl & INT_CTL_IRQ;

	vmcb_set_intercepts(b, WORD_CR, CR_WRITE(8), trap ? CR_WRITE(8) : 0);
}
