/*
 * A core's AMD-V: switching it on and off, and its address space identifiers (APM vol. 2 15.4,
 * 15.16).
 */
#include "svm/internal.h"

#include "arch/x86/cpu.h"
#include "arch/x86/msr.h"
#include "arch/x86/pages.h"
#include "arch/x86/percpu.h"
#include "lib/assert.h"
#include "lib/err.h"

/*
 * 8.32 fixed point (15.30.5). All vCPUs of a VM are told one frequency, and all cores must count at
 * that: a ratio that something left behind would make a guest's clock wrong.
 */
#define TSC_RATIO_ONE BIT(32)

static int enable(void)
{
	uint64_t vm_cr = rdmsr(MSR_AMD_VM_CR);

	if (vm_cr & VM_CR_SVMDIS) {
		if (vm_cr & VM_CR_LOCK)
			return -EPERM;
		wrmsr(MSR_AMD_VM_CR, vm_cr & ~VM_CR_SVMDIS);
	}
	wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) | EFER_SVME);
	return 0;
}

int svm_cpu_on(struct pcpu *cpu)
{
	struct svm_cpu *c;
	int err = enable();

	if (err)
		return err;
	c = pages_alloc(ALIGN_UP(sizeof(*c), PAGE_SIZE) / PAGE_SIZE);
	if (!c)
		return -ENOMEM;
	wrmsr(MSR_AMD_VM_HSAVE_PA, phys_of(c->host_save));
	if (svm_features.tsc_ratio)
		wrmsr(MSR_AMD_TSC_RATIO, TSC_RATIO_ONE);
	/*
	 * FS, GS, TR, LDTR and the rest never change in the hypervisor: saved once, loaded after
	 * each exit.
	 */
	svm_vmsave(phys_of(&c->host));
	/* Generation 0 is for vCPUs without an ASID. None is left in 1: the first entry flushes
	 * all. */
	c->asid_generation = 1;
	c->asid_next = svm_features.asid_count;
	cpu->hv_private = c;
	return 0;
}

void svm_cpu_off(struct pcpu *cpu)
{
	struct svm_cpu *c = cpu->hv_private;

	wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) & ~EFER_SVME);
	wrmsr(MSR_AMD_VM_HSAVE_PA, 0);
	cpu->hv_private = NULL;
	pages_free(c, ALIGN_UP(sizeof(*c), PAGE_SIZE) / PAGE_SIZE);
}

/*
 * When none is left, all translations of the core go, and every vCPU needs a new one. ASID 0 is the
 * host.
 */
static uint32_t new_asid(struct svm_cpu *c, struct svm_vcpu *s)
{
	uint32_t tlb = TLB_KEEP;

	if (c->asid_next >= svm_features.asid_count) {
		c->asid_generation++;
		c->asid_next = 1;
		tlb = TLB_FLUSH_ALL;
	}
	vmcb_set_asid(&s->vmcb, c->asid_next++);
	s->asid_generation = c->asid_generation;
	return tlb;
}

void svm_prepare_asid(struct svm_vcpu *s, const struct svm_vm *m)
{
	uint32_t generation = __atomic_load_n(&m->npt_generation, __ATOMIC_ACQUIRE);
	bool flush = s->flush || s->npt_generation != generation;

	s->flush = false;
	s->npt_generation = generation;
	if (s->asid_generation == s->cpu->asid_generation && !flush)
		s->vmcb.tlb_control = TLB_KEEP;
	else if (s->asid_generation == s->cpu->asid_generation && svm_features.flush_by_asid)
		s->vmcb.tlb_control = TLB_FLUSH_ASID;
	else
		s->vmcb.tlb_control = new_asid(s->cpu, s);
}

void svm_invlpga(const struct svm_vcpu *s, uint64_t gva)
{
	__asm__ volatile("invlpga" ::"a"(gva), "c"(s->vmcb.asid) : "memory");
}
