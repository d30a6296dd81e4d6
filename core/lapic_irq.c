/* The local APIC's interrupts: pending, in service, priorities, messages and errors. */
#include "core/gmem.h"
#include "core/lapic_page.h"
#include "lib/err.h"

#define WORDS 8 /* of 32 vectors in each of IRR, ISR, TMR; 16 bytes apart */

static uint32_t word_of(uint32_t reg, uint8_t vector)
{
	return reg + ((vector >> 5) << 4);
}

static uint32_t bit_of(uint8_t vector)
{
	return 1u << (vector & 31);
}

static bool test_vector(const struct vcpu *v, uint32_t reg, uint8_t vector)
{
	return vapic_get(v, word_of(reg, vector)) & bit_of(vector);
}

static void set_vector(struct vcpu *v, uint32_t reg, uint8_t vector)
{
	uint32_t offset = word_of(reg, vector);

	vapic_put(v, offset, vapic_get(v, offset) | bit_of(vector));
}

static void clear_vector(struct vcpu *v, uint32_t reg, uint8_t vector)
{
	uint32_t offset = word_of(reg, vector);

	vapic_put(v, offset, vapic_get(v, offset) & ~bit_of(vector));
}

/* Highest vector set in REG, or -1. */
static int highest(const struct vcpu *v, uint32_t reg)
{
	const uint8_t *page = v->apic_page + reg;

/* The run loop asks several times for each interrupt: three instructions a word. */
#pragma GCC unroll 8
	for (int i = WORDS - 1; i >= 0; i--) {
		uint32_t word = READ_ONCE(*(const uint32_t *)(const void *)(page + 16 * i));

		if (word)
			return i * 32 + 31 - __builtin_clz(word);
	}
	return -1;
}

/* ---- the end of an interrupt without an exit ---- */

/*
 * While exactly one edge-triggered interrupt is in service and nothing else is pending, its end
 * changes nothing that the hypervisor must do: the guest may then end it by clearing bit 0 of its
 * word, and ISR follows when somebody asks for it.
 */
#define PV_EOI_ENABLED	BIT(0)
#define PV_EOI_RESERVED BIT(1)

bool lapic_offers_pv_eoi(void)
{
	return !(hv_caps.features & HV_F_VID);
}

static uint32_t *pv_eoi_word(struct vcpu *v)
{
	return gmem_ptr(v->vm, v->pv_eoi & ~PV_EOI_ENABLED, sizeof(uint32_t));
}

static void offer_eoi(struct vcpu *v)
{
	uint32_t *word = pv_eoi_word(v);

	WRITE_ONCE(*word, READ_ONCE(*word) | 1);
	v->eoi_offered = true;
}

static noinline void settle_offer(struct vcpu *v)
{
	uint32_t *word = pv_eoi_word(v), value = READ_ONCE(*word);

	v->eoi_offered = false;
	if (value & 1)
		WRITE_ONCE(*word, value & ~1u);
	else
		clear_vector(v, APIC_ISR, (uint8_t)highest(v, APIC_ISR));
}

/* Before ISR is looked at: it is brought up to date, and the next EOI comes here. */
static void settle_eoi(struct vcpu *v)
{
	if (unlikely(v->eoi_offered))
		settle_offer(v);
}

int lapic_set_pv_eoi(struct vcpu *v, uint64_t value)
{
	uint64_t gpa = value & ~PV_EOI_ENABLED;

	if (!lapic_offers_pv_eoi())
		return -EPERM;
	if (value & PV_EOI_ENABLED &&
	    (value & PV_EOI_RESERVED || !gmem_ptr(v->vm, gpa, sizeof(uint32_t))))
		return -EPERM;
	settle_eoi(v);
	v->pv_eoi = value;
	return 0;
}

/* ---- priorities: SDM vol. 3A 11.8.3 ---- */

static uint8_t processor_priority(const struct vcpu *v)
{
	uint8_t tpr = (uint8_t)vapic_get(v, APIC_TPR);
	int in_service = highest(v, APIC_ISR);
	uint8_t isr_class = in_service < 0 ? 0 : in_service & 0xf0;

	return (tpr & 0xf0) >= isr_class ? tpr : isr_class;
}

uint8_t vapic_update_ppr(struct vcpu *v)
{
	uint8_t ppr;

	settle_eoi(v);
	ppr = processor_priority(v);

	/* With v->vid the processor keeps PPR. */
	if (!v->vid)
		vapic_put(v, APIC_PPR, ppr);
	return ppr;
}

int lapic_next(struct vcpu *v)
{
	int vector;

	if (v->apic_mode == APIC_OFF)
		return -1;
	vector = highest(v, APIC_IRR);
	if (vector < 0)
		return -1;
	return (vector & 0xf0) > (vapic_update_ppr(v) & 0xf0) ? vector : -1;
}

uint8_t lapic_blocked_class(struct vcpu *v)
{
	int vector = highest(v, APIC_IRR);
	uint8_t tpr_class = (vapic_get(v, APIC_TPR) >> 4) & 15;

	if (v->apic_mode == APIC_OFF || vector < 0)
		return 0;
	/*
	 * What a vector in service holds back, lowering TPR does not free: its EOI comes here
	 * anyway.
	 */
	return vector >> 4 <= tpr_class ? (uint8_t)(vector >> 4) : 0;
}

bool lapic_has_deliverable(struct vcpu *v)
{
	return lapic_next(v) >= 0;
}

void vapic_priority_changed(struct vcpu *v)
{
	int vector = highest(v, APIC_IRR);

	vapic_update_ppr(v);
	/*
	 * Also where a vector in service holds it back still: the back end's threshold is its
	 * class, and an entry with that above TPR fails (SDM vol. 3C 27.2.1.1).
	 */
	if (v->vid)
		hv->irq_sync(v);
	else if (vector >= 0 && vector >> 4 > (int)(vapic_get(v, APIC_TPR) >> 4))
		vapic_attention(v);
}

/* ---- from posted to in service to done ---- */

/* The vectors whose EOI must come here: those that TMR says are level-triggered. */
static void tell_eoi_exits(struct vcpu *v)
{
	uint64_t vectors[4];

	for (uint32_t i = 0; i < 4; i++)
		vectors[i] = vapic_get(v, APIC_TMR + 0x20 * i) |
			     (uint64_t)vapic_get(v, APIC_TMR + 0x20 * i + 0x10) << 32;
	hv->eoi_exits(v, vectors);
}

void vapic_irq_reload(struct vcpu *v)
{
	vapic_update_ppr(v);
	if (!v->vid)
		return;
	tell_eoi_exits(v);
	hv->irq_sync(v);
}

void vapic_irq_reset(struct vcpu *v)
{
	for (unsigned int i = 0; i < 4; i++)
		__atomic_store_n(&v->posted[i], 0, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < WORDS; i++) {
		vapic_put(v, APIC_ISR + (i << 4), 0);
		vapic_put(v, APIC_TMR + (i << 4), 0);
		vapic_put(v, APIC_IRR + (i << 4), 0);
	}
	v->pv_eoi = 0;
	v->eoi_offered = false;
	__atomic_store_n(&v->apic_errors, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&v->extint, false, __ATOMIC_RELAXED);
}

void lapic_post(struct vcpu *v, uint8_t vector, bool level)
{
	uint64_t bit = BIT(vector & 63);

	/* Before the vector itself: whoever sees that one must find the trigger mode with it. */
	if (level)
		__atomic_fetch_or(&v->posted_level[vector >> 6], bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&v->posted_level[vector >> 6], ~bit, __ATOMIC_RELAXED);
	__atomic_fetch_or(&v->posted[vector >> 6], bit, __ATOMIC_RELEASE);
	vcpu_request(v, REQ_IRQ);
}

/*
 * Accepts the vectors BITS of word I, LEVEL of them level-triggered. Returns whether TMR changed.
 */
static bool accept_word(struct vcpu *v, uint32_t i, uint32_t bits, uint32_t level)
{
	uint32_t irr = APIC_IRR + (i << 4), tmr = APIC_TMR + (i << 4);
	uint32_t old = vapic_get(v, tmr);
	uint32_t new = (old & ~bits) | (level & bits);

	vapic_put(v, irr, vapic_get(v, irr) | bits);
	vapic_put(v, tmr, new);
	return new != old;
}

void lapic_sync(struct vcpu *v)
{
	bool any = false, retriggered = false;

	for (uint32_t i = 0; i < 4; i++) {
		uint64_t bits, level;

		if (!__atomic_load_n(&v->posted[i], __ATOMIC_RELAXED))
			continue;
		bits = __atomic_exchange_n(&v->posted[i], 0, __ATOMIC_ACQUIRE);
		if (v->apic_mode == APIC_OFF)
			continue;
		level = __atomic_load_n(&v->posted_level[i], __ATOMIC_RELAXED);
		retriggered |= accept_word(v, 2 * i, (uint32_t)bits, (uint32_t)level);
		retriggered |=
			accept_word(v, 2 * i + 1, (uint32_t)(bits >> 32), (uint32_t)(level >> 32));
		any = true;
	}
	if (!v->vid)
		return;
	if (retriggered)
		tell_eoi_exits(v);
	if (any)
		hv->irq_sync(v);
}

void lapic_accept(struct vcpu *v, uint8_t vector)
{
	bool alone;

	settle_eoi(v);
	alone = v->pv_eoi & PV_EOI_ENABLED && highest(v, APIC_ISR) < 0;
	clear_vector(v, APIC_IRR, vector);
	set_vector(v, APIC_ISR, vector);
	vapic_update_ppr(v);
	if (alone && highest(v, APIC_IRR) < 0 && !test_vector(v, APIC_TMR, vector))
		offer_eoi(v);
}

/* Level-triggered vectors end at the I/O APICs too, unless software does that itself (11.8.5). */
static void broadcast_eoi(struct vcpu *v, uint8_t vector)
{
	struct vm *vm = v->vm;

	if (!test_vector(v, APIC_TMR, vector) || vapic_get(v, APIC_SVR) & SVR_NO_EOI_BROADCAST)
		return;
	spin_lock(&vm->dev_lock);
	for (unsigned int i = 0; i < vm->sink_count; i++)
		if (vm->sink[i].eoi)
			vm->sink[i].eoi(vm->sink[i].dev, vector);
	spin_unlock(&vm->dev_lock);
}

void lapic_eoi(struct vcpu *v)
{
	int vector;

	settle_eoi(v);
	vector = highest(v, APIC_ISR);
	if (vector < 0)
		return;
	clear_vector(v, APIC_ISR, (uint8_t)vector);
	broadcast_eoi(v, (uint8_t)vector);
	vapic_priority_changed(v);
}

void lapic_eoi_exit(struct vcpu *v, uint8_t vector)
{
	broadcast_eoi(v, vector);
}

/* ---- local sources and errors ---- */

void vapic_error(struct vcpu *v, uint32_t esr_bit)
{
	/* Writing ESR arms the error interrupt again (11.5.3). */
	if (!__atomic_fetch_or(&v->apic_errors, esr_bit, __ATOMIC_RELAXED))
		vapic_lvt_fire(v, APIC_LVT_ERROR);
}

static void deliver_fixed(struct vcpu *v, uint8_t vector, bool level)
{
	if (vector < FIRST_VECTOR)
		vapic_error(v, ESR_RECEIVE_ILLEGAL_VECTOR);
	else
		lapic_post(v, vector, level);
}

/*
 * A start-up IPI that came before the INIT is not for the state after it: that one waits for the
 * next (SDM vol. 3A 9.4.3). Nor is an NMI: it would come while there are no handlers yet.
 */
static void request_init(struct vcpu *v)
{
	__atomic_store_n(&v->nmis, 0, __ATOMIC_SEQ_CST);
	__atomic_fetch_and(&v->requests, ~(uint32_t)REQ_INIT_ENDS, __ATOMIC_SEQ_CST);
	vcpu_request(v, REQ_INIT);
}

void vapic_lvt_fire(struct vcpu *v, uint32_t lvt_offset)
{
	uint32_t lvt = vapic_get(v, lvt_offset);

	if (v->apic_mode == APIC_OFF || lvt & LVT_MASKED)
		return;
	switch (LVT_DELIVERY(lvt)) {
	case APIC_FIXED:
		deliver_fixed(v, (uint8_t)lvt, false);
		break;
	case APIC_NMI:
		vcpu_nmi(v);
		break;
	case APIC_INIT:
		request_init(v);
		break;
	default:
		/*
		 * There is no SMM, and ExtINT's vector comes from the 8259:
		 * lapic_accepts_extint().
		 */
		break;
	}
}

void lapic_lint(struct vcpu *v, unsigned int pin)
{
	vapic_lvt_fire(v, pin ? APIC_LVT_LINT1 : APIC_LVT_LINT0);
}

bool lapic_accepts_extint(const struct vcpu *v)
{
	uint32_t lvt = vapic_get(v, APIC_LVT_LINT0);

	/* Without its APIC a processor has INTR in place of LINT0 (11.4.3). */
	if (v->apic_mode == APIC_OFF || __atomic_load_n(&v->extint, __ATOMIC_ACQUIRE))
		return true;
	return !(lvt & LVT_MASKED) && LVT_DELIVERY(lvt) == APIC_EXTINT;
}

/* ---- messages: SDM vol. 3A 11.6.2 ---- */

static bool matches_logical_xapic(const struct vcpu *v, uint32_t dest)
{
	uint32_t ldr = vapic_get(v, APIC_LDR) >> 24;

	if (dest > 0xff)
		return false;
	if (vapic_get(v, APIC_DFR) >> 28 == 0xf)
		return dest & ldr;
	return dest >> 4 == ldr >> 4 && (dest & ldr & 15);
}

static bool matches_logical_x2apic(const struct vcpu *v, uint32_t dest)
{
	uint32_t ldr = vapic_get(v, APIC_LDR);

	return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
}

static bool matches(const struct vcpu *v, const struct apic_msg *msg)
{
	if (msg->dest == (msg->x2apic_dest ? 0xffffffff : 0xff))
		return true;
	if (!msg->logical)
		return msg->dest == v->id;
	return v->apic_mode == APIC_X2APIC ? matches_logical_x2apic(v, msg->dest)
					   : matches_logical_xapic(v, msg->dest);
}

static bool is_destination(const struct vcpu *v, const struct vcpu *src, const struct apic_msg *msg)
{
	if (v->apic_mode == APIC_OFF)
		return false;
	switch (msg->shorthand) {
	case 1:
		return v == src;
	case 2:
		return true;
	case 3:
		return v != src;
	default:
		return matches(v, msg);
	}
}

/* Returns whether V takes it. */
static bool deliver(struct vcpu *v, const struct apic_msg *msg)
{
	switch (msg->delivery) {
	case APIC_FIXED:
	case APIC_LOWEST:
		/* Disabled by software it answers INIT, NMI and SIPI only (11.4.7.2). */
		if (!(vapic_get(v, APIC_SVR) & SVR_ENABLE))
			return false;
		deliver_fixed(v, msg->vector, msg->level);
		return true;
	case APIC_NMI:
		vcpu_nmi(v);
		return true;
	case APIC_INIT:
		/* Level de-assert only set the arbitration IDs of old processors. */
		if (!msg->level || msg->assert_level)
			request_init(v);
		return true;
	case APIC_EXTINT:
		if (!(vapic_get(v, APIC_SVR) & SVR_ENABLE))
			return false;
		__atomic_store_n(&v->extint, true, __ATOMIC_RELEASE);
		vcpu_request(v, REQ_EVENT);
		return true;
	case APIC_STARTUP:
		__atomic_store_n(&v->sipi_vector, msg->vector, __ATOMIC_RELEASE);
		vcpu_request(v, REQ_SIPI);
		return true;
	default:
		return false;
	}
}

/* The one of the destinations with the lowest processor priority; of equals the first. */
static bool deliver_lowest(struct vm *vm, struct vcpu *src, const struct apic_msg *msg)
{
	struct vcpu *best = NULL;
	uint8_t best_priority = 0;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *v = vm->vcpu[i];
		uint8_t priority;

		if (!is_destination(v, src, msg) || !(vapic_get(v, APIC_SVR) & SVR_ENABLE))
			continue;
		priority = processor_priority(v);
		if (!best || priority < best_priority) {
			best = v;
			best_priority = priority;
		}
	}
	return best && deliver(best, msg);
}

bool lapic_send(struct vm *vm, struct vcpu *src, const struct apic_msg *msg)
{
	bool taken = false;

	if (msg->delivery == APIC_LOWEST)
		return deliver_lowest(vm, src, msg);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		if (is_destination(vm->vcpu[i], src, msg))
			taken |= deliver(vm->vcpu[i], msg);
	return taken;
}

/*
 * Shorthands that reach the sender go with fixed interrupts only (table 11-3, APM vol. 2 16.5),
 * and ExtINT is not for IPIs (11.6.1).
 */
static bool is_valid_ipi(const struct apic_msg *msg)
{
	bool to_self = msg->shorthand == 1 || msg->shorthand == 2;

	return msg->delivery != APIC_EXTINT && !(to_self && msg->delivery != APIC_FIXED);
}

void vapic_self_ipi(struct vcpu *v, uint8_t vector)
{
	if (unlikely(vector < FIRST_VECTOR)) {
		vapic_error(v, ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	if (!(vapic_get(v, APIC_SVR) & SVR_ENABLE))
		return;
	set_vector(v, APIC_IRR, vector);
	if (unlikely(test_vector(v, APIC_TMR, vector))) {
		clear_vector(v, APIC_TMR, vector);
		if (v->vid)
			tell_eoi_exits(v);
	}
	if (v->vid)
		hv->irq_sync(v);
	else
		vapic_attention(v);
}

void vapic_send_ipi(struct vcpu *v, uint32_t low, uint32_t dest)
{
	struct apic_msg msg = {
		.dest = dest,
		.logical = low & ICR_LOGICAL,
		.assert_level = low & ICR_ASSERT,
		.delivery = (low >> 8) & 7,
		.vector = (uint8_t)low,
		.shorthand = ICR_SHORTHAND(low),
		.x2apic_dest = v->apic_mode == APIC_X2APIC,
	};
	bool has_vector = msg.delivery == APIC_FIXED || msg.delivery == APIC_LOWEST;

	/* An IPI but INIT is always edge-triggered (11.6.1). */
	msg.level = msg.delivery == APIC_INIT && low & ICR_LEVEL;
	if (has_vector && msg.vector < FIRST_VECTOR)
		vapic_error(v, ESR_SEND_ILLEGAL_VECTOR);
	else if (is_valid_ipi(&msg))
		lapic_send(v->vm, v, &msg);
}
