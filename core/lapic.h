/*
 * The local APIC that a guest sees (SDM vol. 3A chapter 11), xAPIC and x2APIC. Its registers live
 * in v->apic_page in the layout that APIC virtualization uses, whether the processor helps or not;
 * this file is the behaviour behind them.
 *
 * It is in core/ and not in devices/, since the run loop, the MSR exits and the back ends work on
 * the same page. Unless said otherwise: own core, interrupts off.
 */
#ifndef CORE_LAPIC_H
#define CORE_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/apic.h"
#include "arch/x86/msr.h"
#include "core/vm.h"

/* Register offsets and IA32_APIC_BASE's bits are those of the physical one. */
enum {
	APIC_ICR_LO = APIC_ICR,
	APIC_ICR_HI = APIC_ICR_HIGH,
	APIC_LVT_PMC = APIC_LVT_PERF,
	APIC_TIMER_ICR = APIC_TIMER_INITIAL,
	APIC_TIMER_CCR = APIC_TIMER_CURRENT,
	APIC_TIMER_DCR = APIC_TIMER_DIVIDE
};

/*
 * The APIC timer counts at this rate before its divider, or at the TSC's where that is less: it is
 * a bus clock (SDM vol. 3A 11.5.4), and software takes it that none is faster than the processor.
 */
#define LAPIC_TIMER_HZ 1000000000u

enum apic_delivery {
	APIC_FIXED,
	APIC_LOWEST,
	APIC_SMI,
	APIC_DM_RESERVED,
	APIC_NMI,
	APIC_INIT,
	APIC_STARTUP,
	APIC_EXTINT
};

/* A message to local APICs: from the ICR, an I/O APIC entry, or an MSI. */
struct apic_msg {
	uint32_t
		dest; /* APIC ID or logical destination; 0xff (xAPIC) or 0xffffffff (x2APIC): all */
	bool logical;
	bool level;	   /* trigger mode */
	bool assert_level; /* INIT level de-assert is ignored */
	uint8_t delivery;  /* enum apic_delivery */
	uint8_t vector;
	uint8_t shorthand; /* 0 none, 1 self, 2 all, 3 all but self: from an ICR only */
	bool x2apic_dest;  /* dest is 32 bits wide (x2APIC ICR) */
};

/* Of V, which has not been on its core yet in this life: from now on it hears INIT and start-up
 * IPIs. */
void lapic_power_on(struct vcpu *v);

/* State after power-up; INIT keeps the APIC ID and IA32_APIC_BASE (SDM vol. 3A 11.4.7). Calls
 * hv->apic_mode(). */
void lapic_reset(struct vcpu *v, bool init);

/* xAPIC registers by MMIO: OFFSET 0 to 0xfff relative to the APIC base, SIZE 1, 2, 4, 8 as
 * accessed. */
void lapic_mmio(struct vcpu *v, uint64_t offset, bool write, uint8_t size, uint64_t *value);
/* The page already holds what the guest wrote at OFFSET (APIC-write VM exit): do what the write
 * means. */
void lapic_written(struct vcpu *v, uint32_t offset);
/* x2APIC registers, MSR 800h to 8ffh. 0, or -EPERM for #GP. */
int lapic_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value);
int lapic_msr_write(struct vcpu *v, uint32_t msr, uint64_t value);
/* WRMSR IA32_APIC_BASE: mode changes by SDM vol. 3A figure 11-27; -EPERM for #GP. */
int lapic_set_base(struct vcpu *v, uint64_t value);
/* Is GPA in the page that this vCPU's xAPIC registers occupy (xAPIC mode only)? */
bool lapic_covers(const struct vcpu *v, uint64_t gpa);

/* IA32_TSC_DEADLINE, in the guest's TSC, which v->tsc_deadline has: 0 but in TSC-deadline mode. V's
 * is not lent. */
void lapic_deadline_write(struct vcpu *v, uint64_t value);
/* V stood still for TICKS of the host's TSC: so much later its timer is due. */
void lapic_timer_delay(struct vcpu *v, uint64_t ticks);
/* The guest moved its TSC by DELTA (v->tsc_offset has it): a deadline in the guest's TSC follows.
 */
void lapic_tsc_moved(struct vcpu *v, uint64_t delta);
/* The host's TSC has reached v->timer_deadline: the interrupt is made, the next period armed. */
void lapic_timer_expired(struct vcpu *v);

/*
 * Before an entry: gives V the core's own IA32_TSC_DEADLINE, where that means the same to both, so
 * that it is read and written without exits. What V had armed goes along. Nothing where V has it.
 */
void lapic_timer_lend(struct vcpu *v);
/*
 * Takes it back, and what is armed there with it: at the latest when V stops running. An interrupt
 * that has come by then is still V's.
 */
void lapic_timer_take_back(struct vcpu *v);
/* VEC_DEADLINE has come, and V is current: REQ_TIMER. Interrupt handler. */
void lapic_timer_came(struct vcpu *v);
/* REQ_TIMER: makes V's interrupt. */
void lapic_timer_fire(struct vcpu *v);
/*
 * Before V's timer changes: what was due by now has come, though nobody has looked yet. Takes the
 * register back, and lets the machine's interrupts in for that.
 */
void lapic_timer_settle(struct vcpu *v);

/* Makes VECTOR pending on V. From any core. */
void lapic_post(struct vcpu *v, uint8_t vector, bool level);
/*
 * Delivers MSG to the vCPUs it names; SRC is the sender for shorthands, NULL for devices. From any
 * core. Returns whether any local APIC took it.
 */
bool lapic_send(struct vm *vm, struct vcpu *src, const struct apic_msg *msg);

/* REQ_IRQ: moves posted[] into IRR and TMR of the page; with v->vid tells the back end. */
void lapic_sync(struct vcpu *v);
/* Without v->vid: the highest vector in IRR whose class is above PPR's, or -1. */
int lapic_next(struct vcpu *v);
/* Without v->vid: priority class of the highest vector in IRR that PPR holds back, 0 if none. */
uint8_t lapic_blocked_class(struct vcpu *v);
/* Without v->vid: VECTOR is being delivered: IRR to ISR. */
void lapic_accept(struct vcpu *v, uint8_t vector);
/* End of interrupt without v->vid, or EXIT_EOI's vector with it (v->vid: ISR is already clear). */
void lapic_eoi(struct vcpu *v);
void lapic_eoi_exit(struct vcpu *v, uint8_t vector);
/* The task priority register, as CR8 has it in bits 7:4. */
static inline uint8_t lapic_tpr(const struct vcpu *v)
{
	return v->apic_page[APIC_TPR];
}

static inline void lapic_set_tpr(struct vcpu *v, uint8_t tpr)
{
	v->apic_page[APIC_TPR] = tpr;
}

/*
 * MSR_KVM_PV_EOI_EN (Linux Documentation/virt/kvm/x86/msr.rst): a word of the guest's where it may
 * say that an interrupt has ended, without an exit. -EPERM where it is not offered (v->vid needs
 * none), or the address is not RAM.
 */
int lapic_set_pv_eoi(struct vcpu *v, uint64_t value);
bool lapic_offers_pv_eoi(void);

/* Would V in HLT wake for an interrupt? Call after lapic_sync(). */
bool lapic_has_deliverable(struct vcpu *v);
/* Does LINT0/SVR let an ExtINT from the 8259 through? */
bool lapic_accepts_extint(const struct vcpu *v);
/* An edge on pin LINT0 or LINT1 (0, 1). From any core. */
void lapic_lint(struct vcpu *v, unsigned int pin);

#endif
