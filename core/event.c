/* Requests to vCPUs, and the events that wait to be delivered into a guest. */
#include "core/lifecycle.h"
#include "core/sched.h"
#include "core/vm.h"

#include "arch/x86/cpu.h"
#include "lib/string.h"

/* What a guest can ask for as often as it likes. */
#define REQ_GUESTS (REQ_IRQ | REQ_NMI | REQ_EVENT | REQ_YIELD)

/*
 * Whoever set the bit first has kicked, and V has not looked since. Another kick would only disturb
 * the neighbour that has V's core: one for each of its turns is all that a guest may cost it.
 */
void vcpu_request(struct vcpu *v, uint32_t req)
{
	/* Ordered before the look at `attentive`, which V's core sets before it looks here. */
	uint32_t before = __atomic_fetch_or(&v->requests, req, __ATOMIC_SEQ_CST);

	if (req & ~before || req & ~(uint32_t)REQ_GUESTS)
		sched_kick(v);
}

uint64_t vcpu_exits(const struct vcpu *v)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < EXIT_COUNT; i++)
		sum += READ_ONCE(v->exits[i]);
	return sum;
}

void vcpu_nmi(struct vcpu *v)
{
	__atomic_fetch_add(&v->nmis, 1, __ATOMIC_SEQ_CST);
	vcpu_request(v, REQ_NMI);
}

void vcpu_ask(struct vcpu *v, uint32_t ask)
{
	__atomic_fetch_or(&v->asked, ask, __ATOMIC_SEQ_CST);
	/* Out of the guest, too, where the request is what is looked at. */
	vcpu_request(v, REQ_YIELD);
	/* One that stands still may have had that for long. */
	sched_kick(v);
}

/* SDM vol. 3A 6.15, table 6-5: which exceptions make a double fault of another. */
enum fault_class { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT, CLASS_DOUBLE_FAULT };

static enum fault_class classify(uint8_t vector)
{
	switch (vector) {
	case EXC_DE:
	case EXC_TS:
	case EXC_NP:
	case EXC_SS:
	case EXC_GP:
	case EXC_CP:
		return CLASS_CONTRIBUTORY;
	case EXC_PF:
		return CLASS_PAGE_FAULT;
	case EXC_DF:
		return CLASS_DOUBLE_FAULT;
	default:
		return CLASS_BENIGN;
	}
}

static bool makes_double_fault(enum fault_class first, enum fault_class second)
{
	if (first == CLASS_CONTRIBUTORY)
		return second == CLASS_CONTRIBUTORY;
	return first == CLASS_PAGE_FAULT &&
	       (second == CLASS_CONTRIBUTORY || second == CLASS_PAGE_FAULT);
}

void vcpu_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	struct hv_event *p = &v->pending;

	if (p->valid && p->type == EVENT_EXCEPTION) {
		enum fault_class first = classify(p->vector), second = classify(vector);

		if (first == CLASS_DOUBLE_FAULT && second != CLASS_BENIGN) {
			vcpu_crash(v, "triple fault");
			return;
		}
		if (makes_double_fault(first, second)) {
			vector = EXC_DF;
			has_error = true;
			error = 0;
		}
	}
	/* Real mode pushes no error codes (SDM vol. 3A 6.13). */
	hv->get_state(v, ST_CRS);
	*p = (struct hv_event){
		.valid = true,
		.vector = vector,
		.type = EVENT_EXCEPTION,
		.has_error = has_error && (v->st.cr0 & CR0_PE),
		.error = error,
	};
	__atomic_fetch_or(&v->requests, REQ_EVENT, __ATOMIC_RELAXED);
}

void vcpu_page_fault(struct vcpu *v, uint64_t address, uint32_t error)
{
	hv->get_state(v, ST_CRS);
	v->st.cr2 = address;
	hv->set_state(v, ST_CRS);
	vcpu_exception(v, EXC_PF, true, error);
}

void vm_set_irq(struct vm *vm, unsigned int gsi, bool level)
{
	for (unsigned int i = 0; i < vm->sink_count; i++)
		vm->sink[i].set_line(vm->sink[i].dev, gsi, level);
}
