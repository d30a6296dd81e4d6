/* What the files of svm/ share. */
#ifndef SVM_INTERNAL_H
#define SVM_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu.h"
#include "core/hv_ops.h"
#include "core/vm.h"
#include "lib/util.h"
#include "svm/vmcb.h"

#define MSRPM_SIZE 8192u
#define IOPM_SIZE  12288u

/* What check() has negotiated; compare() makes sure that it is so on every core. */
struct svm_features {
	bool next_rip, decode_assists, flush_by_asid, tsc_ratio, virtual_nmi, tsc_aux, la57;
	uint32_t asid_count;
	uint32_t word4, word5; /* intercepts of instructions that not every processor has */
};

extern struct svm_features svm_features;

static inline void svm_vmsave(uint64_t pa)
{
	__asm__ volatile("vmsave" ::"a"(pa) : "memory");
}

/*
 * pcpu->hv_private. VMSAVE and VMLOAD leave the control area alone (15.5.2): what else there is of
 * a core stands there.
 */
struct svm_cpu {
	uint8_t host_save[PAGE_SIZE]; /* VM_HSAVE_PA: the processor's own */
	union {
		struct vmcb host; /* VMSAVE's part of the host's state */
		struct {
			uint64_t asid_generation; /* an ASID of an older one may have been given
						     away */
			uint32_t asid_next;
		};
	};
};

_Static_assert(sizeof(struct svm_cpu) == HV_CPU_PAGES * PAGE_SIZE, "page-aligned structures");

/* vm->hv */
struct svm_vm {
	uint8_t iopm[IOPM_SIZE];
	uint64_t top[PAGE_SIZE / 8]; /* above vm->npt's root, where the host has five levels */
	uint32_t npt_generation;     /* any core, atomic */
};

/* vcpu->hv. The whole is one run of pages. */
struct svm_vcpu {
	struct vmcb vmcb;
	uint8_t msrpm[MSRPM_SIZE];
	uint8_t apic_page[PAGE_SIZE];

	struct svm_cpu *cpu; /* the core that ran it last, and with which ASID and nested tables */
	uint64_t asid_generation;
	uint32_t npt_generation;
	bool loaded;
	bool flush; /* the guest's paging mode was changed from outside */

	/*
	 * Two bits differ in the hardware from what the guest has. CD and NW stay clear, or the
	 * guest would slow down its neighbours; MCE stays set, or a machine check would be a
	 * shutdown.
	 */
	uint64_t cr0_cache; /* the guest's CD and NW */
	uint64_t cr4;	    /* the guest's */
	uint64_t dr[4];	    /* while not loaded; no VMRUN switches them */
	uint64_t tsc_aux;

	bool window_nmi;
	uint8_t soft_len; /* how far RIP was advanced for the software interrupt injected */

	/* NMI window without virtual NMI: see event.c. */
	bool nmi_blocked, stepping;
	uint64_t step_rip, step_rflags, step_dr6; /* from before the step */
};

_Static_assert(offsetof(struct svm_vm, top) % PAGE_SIZE == 0, "N_CR3");
_Static_assert(offsetof(struct svm_vcpu, msrpm) % PAGE_SIZE == 0, "MSRPM_BASE_PA");
_Static_assert(offsetof(struct svm_vcpu, apic_page) % PAGE_SIZE == 0, "one page");

static inline struct svm_vcpu *svm_of(const struct vcpu *v)
{
	return v->hv;
}

/* Memory is identity-mapped. */
static inline uint64_t phys_of(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* caps.c */
bool svm_present(void);
void svm_probe(struct hv_caps *caps);
int svm_check(struct hv_caps *caps, struct strbuf *missing);
void svm_describe(const struct hv_caps *caps, struct strbuf *out);
int svm_compare(const struct hv_caps *first, const struct hv_caps *mine, struct strbuf *diff);

/* cpu.c */
int svm_cpu_on(struct pcpu *cpu);
void svm_cpu_off(struct pcpu *cpu);
/*
 * Before an entry on the core that S is loaded on: an ASID of its own, without stale translations.
 */
void svm_prepare_asid(struct svm_vcpu *s, const struct svm_vm *m);
/* The same for a further entry, with no other vCPU in between: mostly nothing. */
static inline void svm_check_asid(struct svm_vcpu *s, const struct svm_vm *m)
{
	if (unlikely(s->flush || s->vmcb.tlb_control ||
		     s->npt_generation != __atomic_load_n(&m->npt_generation, __ATOMIC_ACQUIRE)))
		svm_prepare_asid(s, m);
}
/* Drops one translation of the guest's (INVLPGA). Loaded. */
void svm_invlpga(const struct svm_vcpu *s, uint64_t gva);

/* vm.c */
int svm_vm_init(struct vm *vm);
void svm_pio_trap(struct vm *vm, uint16_t port, uint32_t count, bool on);
void svm_npt_flush(struct vm *vm);
/* N_CR3 for VM. */
uint64_t svm_nested_root(const struct vm *vm);

/* vcpu.c */
/*
 * Exceptions that always exit. Endless delivery of #DB and #AC must give the host its turn, a
 * machine check is the host's, the other vendor's hypercall raises #UD, and the processor answers a
 * program that tries an instruction of the extension with #GP.
 */
#define SVM_EXCEPTIONS (BIT(EXC_DB) | BIT(EXC_UD) | BIT(EXC_GP) | BIT(EXC_AC) | BIT(EXC_MC))

int svm_vcpu_init(struct vcpu *v);
int svm_vcpu_reset(struct vcpu *v);
void svm_load(struct vcpu *v);
void svm_put(struct vcpu *v);
void svm_msr_trap(struct vcpu *v, uint32_t msr, bool rd, bool wr);
void svm_set_traps(struct vcpu *v, uint32_t mask);
void svm_pass_spec_ctrl(struct vcpu *v, uint64_t value);
void svm_set_tsc_offset(struct vcpu *v, uint64_t offset);
void svm_apic_mode(struct vcpu *v, enum apic_mode mode);
void svm_set_tpr_threshold(struct vcpu *v, uint8_t cls);
/* Writes DR0 to DR3. Loaded, or about to be. */
void svm_load_debug_registers(const struct svm_vcpu *s);

/* state.c */
void svm_get_state(struct vcpu *v, uint32_t groups);
void svm_set_state(struct vcpu *v, uint32_t groups);
uint8_t svm_cpl(struct vcpu *v);
uint64_t svm_dr7(struct vcpu *v);
void svm_debug_trap(struct vcpu *v, uint64_t dr6);
void svm_skip_insn(struct vcpu *v, unsigned int len);
static inline bool svm_in_64bit_code(const struct vmcb *b)
{
	return b->efer & EFER_LMA && b->cs.attrib & SEG_ATTR_L >> 4;
}

/* SIZE bytes of code at RIP where they have been fetched lately, or NULL (core/gva.h). */
const uint8_t *svm_code(const struct vcpu *v, unsigned int size);

/* event.c */
bool svm_can_inject(struct vcpu *v, uint8_t type);
void svm_inject(struct vcpu *v, const struct hv_event *ev);
void svm_want_window(struct vcpu *v, bool intr, bool nmi);
/*
 * INFO is EXITINTINFO, or EVENTINJ where no entry took place: fills in *EV where core/ is to
 * deliver the event again.
 */
void svm_read_vectoring(struct svm_vcpu *s, uint64_t info, struct hv_event *ev);
/*
 * At the next entry runs one instruction and exits. VMEXIT_IRET: over the IRET that ends NMI
 * blocking.
 */
void svm_step(struct svm_vcpu *s);
/*
 * An intercepted exception while S is stepping: ends the step. True when the guest is not to see
 * the exception, since it was the step's own.
 */
bool svm_step_done(struct svm_vcpu *s, uint8_t vector);
void svm_cancel_step(struct svm_vcpu *s);
bool svm_nmi_blocked(const struct svm_vcpu *s);
void svm_set_nmi_blocked(struct svm_vcpu *s, bool blocked);

/* exit.c: what an exit is. */
enum exit_next {
	RESUME,	     /* handled: enter again */
	LEAVE,	     /* *x says why */
	LEAVE_FAILED /* there was no entry */
};
enum exit_next svm_handle_exit(struct vcpu *v, struct hv_exit *x);

/* run.c */
/* V_TPR from the page. For a further entry as well, where a handler may have changed TPR. */
void svm_sync_tpr(struct vcpu *v);
int svm_run(struct vcpu *v, struct hv_exit *x);
/* Lets v->xcr0 be what the guest has in the register. */
void svm_read_xcr0(struct vcpu *v);

/* entry.asm: one entry and exit, all three with GIF = 0. Interrupts off. HOST is svm_cpu.host. */
void svm_enter(struct vcpu *v, uint64_t vmcb_pa, uint64_t host_pa);

/*
 * Entry.asm: overwrites what the guest left in the return stack. After the last exit before a
 * return out of svm_run(): svm_enter() covers its own return only.
 */
void svm_fill_return_stack(void);

/* dump.c */
void svm_dump(struct vcpu *v, struct strbuf *out);

/* names.c: "VMEXIT_CPUID", or NULL; "CPUID" for a bit of an intercept word, or NULL. */
const char *svm_exit_name(uint64_t exitcode);
const char *svm_intercept_name(enum vmcb_word word, unsigned int bit);

#endif
