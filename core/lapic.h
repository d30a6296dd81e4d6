/*
 * The local APIC that a guest sees (SDM vol. 3A chapter 11), xAPIC and x2APIC. Its registers live in v->apic_page in the
 * layout that APIC virtualization uses, whether the processor helps or not; this file is the behaviour behind them.
 *
 * It is in core/ and not in devices/, since the run loop, the MSR exits and the back ends work on the same page.
 * Unless said otherwise: own core, interrupts off.
 */
#ifndef CORE_LAPIC_H
#define CORE_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

struct vm;
struct vcpu;

#define APIC_BASE_DEFAULT 0xfee00000u
#define APIC_BASE_BSP 0x100u
#define APIC_BASE_EXTD 0x400u
#define APIC_BASE_EN 0x800u

/* Offsets in the page; x2APIC MSR 800h + (offset >> 4). */
enum {
	APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_APR = 0x90, APIC_PPR = 0xa0, APIC_EOI = 0xb0,
	APIC_RRD = 0xc0, APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180,
	APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_LVT_CMCI = 0x2f0, APIC_ICR_LO = 0x300, APIC_ICR_HI = 0x310,
	APIC_LVT_TIMER = 0x320, APIC_LVT_THERMAL = 0x330, APIC_LVT_PMC = 0x340, APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360, APIC_LVT_ERROR = 0x370, APIC_TIMER_ICR = 0x380, APIC_TIMER_CCR = 0x390,
	APIC_TIMER_DCR = 0x3e0, APIC_SELF_IPI = 0x3f0
};

enum apic_delivery { APIC_FIXED, APIC_LOWEST, APIC_SMI, APIC_DM_RESERVED, APIC_NMI, APIC_INIT, APIC_STARTUP, APIC_EXTINT };

/* A message to local APICs: from the ICR, an I/O APIC entry, or an MSI. */
struct apic_msg {
	uint32_t dest;      /* APIC ID or logical destination; 0xff (xAPIC) or 0xffffffff (x2APIC): all */
	bool logical;
	bool level;         /* trigger mode */
	bool assert_level;  /* INIT level de-assert is ignored */
	uint8_t delivery;   /* enum apic_delivery */
	uint8_t vector;
	uint8_t shorthand;  /* 0 none, 1 self, 2 all, 3 all but self: from an ICR only */
	bool x2apic_dest;   /* dest is 32 bits wide (x2APIC ICR) */
};

/* State after power-up; INIT keeps the APIC ID and IA32_APIC_BASE (SDM vol. 3A 11.4.7). Calls hv->apic_mode(). */
void lapic_reset(struct vcpu *v, bool init);

/* xAPIC registers by MMIO: OFFSET 0 to 0xfff relative to the APIC base, SIZE 1, 2, 4, 8 as accessed. */
void lapic_mmio(struct vcpu *v, uint64_t offset, bool write, uint8_t size, uint64_t *value);
/* The page already holds what the guest wrote at OFFSET (APIC-write VM exit): do what the write means. */
void lapic_written(struct vcpu *v, uint32_t offset);
/* x2APIC registers, MSR 800h to 8ffh. 0, or -EPERM for #GP. */
int lapic_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value);
int lapic_msr_write(struct vcpu *v, uint32_t msr, uint64_t value);
/* WRMSR IA32_APIC_BASE: mode changes by SDM vol. 3A figure 11-27; -EPERM for #GP. */
int lapic_set_base(struct vcpu *v, uint64_t value);
/* Is GPA in the page that this vCPU's xAPIC registers occupy (xAPIC mode only)? */
bool lapic_covers(const struct vcpu *v, uint64_t gpa);

/* IA32_TSC_DEADLINE, in the guest's TSC. Reads 0 when not in TSC-deadline mode. */
uint64_t lapic_deadline_read(const struct vcpu *v);
void lapic_deadline_write(struct vcpu *v, uint64_t value);
/* The host's TSC has reached v->timer_deadline: the interrupt is made, the next period armed. */
void lapic_timer_expired(struct vcpu *v);

/* Makes VECTOR pending on V. From any core. */
void lapic_post(struct vcpu *v, uint8_t vector, bool level);
/* Delivers MSG to the vCPUs it names; SRC is the sender for shorthands, NULL for devices. From any core. */
void lapic_send(struct vm *vm, struct vcpu *src, const struct apic_msg *msg);

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
/* Would V in HLT wake for an interrupt? Call after lapic_sync(). */
bool lapic_has_deliverable(struct vcpu *v);
/* Does LINT0/SVR let an ExtINT from the 8259 through? */
bool lapic_accepts_extint(const struct vcpu *v);

#endif
