/*
 * What the parts of the local APIC share (core/lapic.c registers and modes, core/lapic_irq.c
 * interrupts, core/lapic_timer.c the timer); for nobody else.
 */
#ifndef CORE_LAPIC_PAGE_H
#define CORE_LAPIC_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lapic.h"
#include "core/vm.h"

#define SVR_ENABLE	     0x100u
#define SVR_NO_EOI_BROADCAST 0x1000u

#define LVT_MASKED		0x10000u
#define LVT_DELIVERY(lvt)	(((lvt) >> 8) & 7)
#define LVT_DELIVERY_MODE(mode) ((uint32_t)(mode) << 8)
#define LVT_TIMER_MODE(lvt)	(((lvt) >> 17) & 3)
enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };

#define ICR_LOGICAL	   0x800u
#define ICR_BUSY	   0x1000u
#define ICR_ASSERT	   0x4000u
#define ICR_LEVEL	   0x8000u
#define ICR_SHORTHAND(icr) (((icr) >> 18) & 3)
/*
 * With APIC-register virtualization, RDMSR of the x2APIC ICR reads 8 bytes here (SDM vol. 3C
 * 30.5).
 */
#define APIC_X2_ICR_DEST (APIC_ICR_LO + 4)

/* SDM vol. 3A 11.5.3. */
#define ESR_SEND_ILLEGAL_VECTOR	   0x20u
#define ESR_RECEIVE_ILLEGAL_VECTOR 0x40u
#define ESR_ILLEGAL_REGISTER	   0x80u

/* Vectors 0 to 15 are the processor's exceptions: no APIC sends or takes them. */
#define FIRST_VECTOR 16

static inline uint32_t vapic_get(const struct vcpu *v, uint32_t offset)
{
	return READ_ONCE(*(const uint32_t *)(const void *)(v->apic_page + offset));
}

static inline void vapic_put(struct vcpu *v, uint32_t offset, uint32_t value)
{
	WRITE_ONCE(*(uint32_t *)(void *)(v->apic_page + offset), value);
}

/* Sets REQ_EVENT on the own core: the run loop has a look before the next entry. */
static inline void vapic_attention(struct vcpu *v)
{
	__atomic_fetch_or(&v->requests, REQ_EVENT, __ATOMIC_RELAXED);
}

/* ---- core/lapic_irq.c ---- */

/* Nothing pending or in service any more. */
void vapic_irq_reset(struct vcpu *v);
/* Writes PPR by TPR and ISR, and returns it. */
uint8_t vapic_update_ppr(struct vcpu *v);
/* TPR was written, or a vector left ISR: tells who must know that more may be delivered now. */
void vapic_priority_changed(struct vcpu *v);
/* A local source fires through its entry of the local vector table. From any core. */
void vapic_lvt_fire(struct vcpu *v, uint32_t lvt_offset);
/*
 * Logs an error for ESR; the first one since ESR was written raises the error interrupt. From any
 * core.
 */
void vapic_error(struct vcpu *v, uint32_t esr_bit);
/* An IPI from V, which runs on this core, to itself. */
void vapic_self_ipi(struct vcpu *v, uint8_t vector);
/* A write of the ICR: sends what LOW says to DEST. */
void vapic_send_ipi(struct vcpu *v, uint32_t low, uint32_t dest);
/* With v->vid: all of the page is new to the back end. */
void vapic_irq_reload(struct vcpu *v);

/* ---- core/lapic_timer.c ---- */

void vapic_timer_reset(struct vcpu *v);
void vapic_timer_write_lvt(struct vcpu *v, uint32_t lvt);
void vapic_timer_write_initial(struct vcpu *v, uint32_t count);
void vapic_timer_write_divide(struct vcpu *v, uint32_t divide);
uint32_t vapic_timer_count(const struct vcpu *v);

#endif
