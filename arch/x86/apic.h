/*
 * The physical local APIC, as xAPIC or x2APIC, whichever the firmware left on (SDM vol. 3A chapter
 * 11, APM vol. 2 chapter 16). All functions act on the executing core's APIC and are called with
 * interrupts off.
 */
#ifndef ARCH_X86_APIC_H
#define ARCH_X86_APIC_H

#include <stdbool.h>
#include <stdint.h>

/* Register offsets in the xAPIC's page; x2APIC has them at MSR 800h + offset / 16. */
#define APIC_ID		   0x20
#define APIC_VERSION	   0x30
#define APIC_TPR	   0x80
#define APIC_APR	   0x90
#define APIC_PPR	   0xa0
#define APIC_EOI	   0xb0
#define APIC_RRD	   0xc0
#define APIC_LDR	   0xd0
#define APIC_DFR	   0xe0
#define APIC_SVR	   0xf0
#define APIC_ISR	   0x100
#define APIC_TMR	   0x180
#define APIC_IRR	   0x200
#define APIC_ESR	   0x280
#define APIC_LVT_CMCI	   0x2f0
#define APIC_ICR	   0x300
#define APIC_ICR_HIGH	   0x310 /* xAPIC alone */
#define APIC_LVT_TIMER	   0x320
#define APIC_LVT_THERMAL   0x330
#define APIC_LVT_PERF	   0x340
#define APIC_LVT_LINT0	   0x350
#define APIC_LVT_LINT1	   0x360
#define APIC_LVT_ERROR	   0x370
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE  0x3e0
#define APIC_SELF_IPI	   0x3f0 /* x2APIC alone */

#define APIC_DEFAULT_BASE 0xfee00000u

#define APIC_SVR_ENABLE		    (1u << 8)
#define APIC_LVT_MASKED		    (1u << 16)
#define APIC_LVT_TIMER_PERIODIC	    (1u << 17)
#define APIC_LVT_TIMER_TSC_DEADLINE (2u << 17)

#define APIC_ICR_FIXED	 (0u << 8)
#define APIC_ICR_NMI	 (4u << 8)
#define APIC_ICR_INIT	 (5u << 8)
#define APIC_ICR_STARTUP (6u << 8)
#define APIC_ICR_PENDING (1u << 12) /* xAPIC alone */
#define APIC_ICR_ASSERT	 (1u << 14)
#define APIC_ICR_LEVEL	 (1u << 15)

/*
 * Decides on the mode for all cores. Once, on the first core, before host_map_init() has been
 * loaded or after the page at apic_base() has been mapped uncached. NEED_X2APIC: some APIC ID is
 * above 254. -ENODEV: no local APIC, or x2APIC is needed and there is none.
 */
int apic_init(bool need_x2apic);

/*
 * Physical address of the xAPIC's page, from IA32_APIC_BASE; to be mapped PT_R | PT_W, MT_UC in
 * either mode.
 */
uint64_t apic_base(void);

/*
 * Brings this core's APIC into the mode chosen, enabled: every LVT masked, spurious vector 0xff,
 * TPR 0, timer stopped, and whatever firmware left in service ended.
 */
void apic_init_cpu(void);

bool apic_is_x2apic(void);

/* This core's. In x2APIC mode all 32 bits. */
uint32_t apic_id(void);

/* Lets an NMI of the platform's come in on pin LINT 0 or 1 of this core. */
void apic_enable_nmi(unsigned int lint, bool active_low);

void apic_eoi(void);

/* A fixed, edge-triggered interrupt; NMI; INIT; SIPI, which starts the core at PAGE << 12. */
void apic_send_ipi(uint32_t apic_id, uint8_t vector);
void apic_send_nmi(uint32_t apic_id);
void apic_send_init(uint32_t apic_id);
void apic_send_startup(uint32_t apic_id, uint8_t page);

/*
 * The timer, one-shot: VEC_TIMER on this core when the TSC reaches HOST_TSC, at once where that has
 * passed. Where the processor has no TSC-deadline mode it may come early when the deadline is
 * further away than the counter reaches: the handler must look at the clock. Arming again moves it.
 * apic_timer_calibrate() comes first: once, on the first core, after tsc_calibrate() and
 * apic_init_cpu(); the other cores take its result.
 */
void apic_timer_calibrate(void);
void apic_timer_arm(uint64_t host_tsc);
void apic_timer_stop(void);

/*
 * IA32_TSC_DEADLINE of this core, where there is that mode: 0 when the timer is stopped or its
 * interrupt has come (SDM vol. 3A 11.5.4.1; Bochs 2.7 leaves the deadline there then).
 */
bool apic_timer_has_deadline(void);
uint64_t apic_timer_deadline(void);
/* What this core's timer interrupts with from now on: VEC_TIMER until then. It runs on. */
void apic_timer_vector(uint8_t vector);
/* Has VECTOR come to this core, and not been handled? Interrupts off. */
bool apic_is_pending(uint8_t vector);

#endif
