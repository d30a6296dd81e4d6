/* Events into the guest (SDM vol. 3C 27.6), and the local APIC's registers with the processor's
 * help (chapter 30). */
#include "arch/x86/cpu.h"
#include "arch/x86/msr.h"
#include "core/lapic.h"
#include "vmx/internal.h"

bool vmx_can_inject(struct vcpu *v, uint8_t type)
{
	vmx_get_state(v, ST_RIP | ST_INTR);
	/* The processor may hold an NMI back in an STI shadow as well (table 25-3): it costs
	 * nothing to wait. */
	if (v->st.interruptibility & (INTR_STI | INTR_MOV_SS))
		return false;
	if (type == EVENT_NMI)
		return !(v->st.interruptibility & INTR_NMI_BLOCKED);
	return v->st.rflags & RFLAGS_IF;
}

void vmx_inject(struct vcpu *v, const struct hv_event *ev)
{
	uint64_t info = INTR_INFO_VALID | (uint32_t)ev->type << 8 | ev->vector;

	if (ev->has_error) {
		info |= INTR_INFO_ERROR;
		vmwrite(VMCS_ENTRY_EXCEPTION_ERROR, ev->error);
	}
	if (ev->type == EVENT_SOFT_INTR || ev->type == EVENT_SOFT_EXC ||
	    ev->type == EVENT_PRIV_SOFT_EXC)
		vmwrite(VMCS_ENTRY_INSN_LEN, ev->insn_len);
	/* One that is delivered again has set the blocking already, which the entry would refuse
	 * (27.3.1.5). */
	if (ev->type == EVENT_NMI) {
		vmx_get_state(v, ST_INTR);
		v->st.interruptibility &= ~INTR_NMI_BLOCKED;
		vmx_set_state(v, ST_INTR);
	}
	vmwrite(VMCS_ENTRY_INTR_INFO, info);
}

/*
 * The entry that was to deliver an event does not come yet. Only one fits into the VMCS, and core/
 * may have another by then: it gets this one back.
 */
void vmx_take_back(struct hv_event *ev)
{
	uint64_t info = vmread(VMCS_ENTRY_INTR_INFO);

	if (!(info & INTR_INFO_VALID))
		return;
	*ev = (struct hv_event){
		.valid = true,
		.has_error = info & INTR_INFO_ERROR,
		.vector = (uint8_t)info,
		.type = info >> 8 & 7,
	};
	if (ev->has_error)
		ev->error = (uint32_t)vmread(VMCS_ENTRY_EXCEPTION_ERROR);
	if (ev->type >= EVENT_SOFT_INTR)
		ev->insn_len = (uint8_t)vmread(VMCS_ENTRY_INSN_LEN);
	vmwrite(VMCS_ENTRY_INTR_INFO, 0);
}

/*
 * Not every processor keeps the NMI window shut in an STI shadow (27.7.6), where the NMI must wait:
 * it would exit without having moved. IF is set there, so that the other window opens behind it.
 */
static uint32_t nmi_window(struct vcpu *v)
{
	vmx_get_state(v, ST_INTR);
	return v->st.interruptibility & INTR_STI ? PROC_INTR_WINDOW : PROC_NMI_WINDOW;
}

void vmx_want_window(struct vcpu *v, bool intr, bool nmi)
{
	uint32_t set = (intr ? PROC_INTR_WINDOW : 0) | (nmi ? nmi_window(v) : 0);

	vmx_set_proc(v, set, (PROC_INTR_WINDOW | PROC_NMI_WINDOW) & ~set);
}

/*
 * x2APIC registers that the processor may serve from the page. Not in the list, and so trapped: the
 * current count, which is made when it is read, and the ICR, which is one register here and two in
 * the page (30.5).
 */
static const struct {
	uint16_t first, last;
} x2apic_reads[] = {
	{APIC_ID, APIC_VERSION},
	{APIC_TPR, APIC_TPR},
	{APIC_PPR, APIC_PPR},
	{APIC_LDR, APIC_LDR},
	{APIC_SVR, APIC_IRR + 0x70},
	{APIC_ESR, APIC_ESR},
	{APIC_LVT_TIMER, APIC_LVT_ERROR},
	{APIC_TIMER_INITIAL, APIC_TIMER_INITIAL},
	{APIC_TIMER_DIVIDE, APIC_TIMER_DIVIDE},
};

/* Served without an exit with virtual-interrupt delivery (30.5). */
static const uint16_t x2apic_writes[] = {APIC_TPR, APIC_EOI, APIC_SELF_IPI};

static void trap_x2apic_msrs(struct vcpu *v, bool all)
{
	for (uint32_t msr = MSR_IA32_X2APIC_FIRST; msr <= MSR_IA32_X2APIC_LAST; msr++)
		vmx_msr_trap(v, msr, true, true);
	if (all)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(x2apic_reads); i++)
		for (uint32_t reg = x2apic_reads[i].first; reg <= x2apic_reads[i].last; reg += 0x10)
			vmx_msr_trap(v, MSR_IA32_X2APIC(reg), false, true);
	for (size_t i = 0; i < ARRAY_SIZE(x2apic_writes); i++)
		vmx_msr_trap(v, MSR_IA32_X2APIC(x2apic_writes[i]), x2apic_writes[i] != APIC_TPR,
			     false);
}

void vmx_apic_mode(struct vcpu *v, enum apic_mode mode)
{
	const struct vmx_controls *c = &vmx_controls;
	/* The APIC-access page is mapped in one place; registers that were moved are emulated. */
	bool home = ALIGN_DOWN(v->apic_base, PAGE_SIZE) == APIC_DEFAULT_BASE;
	bool x = mode == APIC_XAPIC && c->apicv && home, x2 = mode == APIC_X2APIC && c->apicv_x2;
	uint32_t on = (x || x2 ? PROC2_APIC_REGISTERS | PROC2_VID : 0) |
		      (x ? PROC2_APIC_ACCESS : 0) | (x2 ? PROC2_X2APIC : 0);
	const uint32_t all = PROC2_APIC_REGISTERS | PROC2_VID | PROC2_APIC_ACCESS | PROC2_X2APIC;

	/*
	 * Translations of the APIC's page from before would not be seen as APIC accesses (29.4.3).
	 */
	if (on & ~vmx_of(v)->proc2 & PROC2_APIC_ACCESS)
		vmx_flush_nested(v);
	v->vid = x || x2;
	trap_x2apic_msrs(v, !x2);
	vmx_set_proc2(v, on, all & ~on);
	if (!v->vid)
		return;
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	vmx_irq_sync(v);
}

/* Index of the highest bit set in eight registers of 32 vectors, 16 bytes apart; 0: none (vectors
 * below 16 are not). */
static uint32_t highest(const uint8_t *regs)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t bits = READ_ONCE(*(const uint32_t *)(regs + i * 16));

		if (bits)
			return (uint32_t)i * 32 + 31 - (uint32_t)__builtin_clz(bits);
	}
	return 0;
}

void vmx_irq_sync(struct vcpu *v)
{
	uint32_t rvi = highest(v->apic_page + APIC_IRR), svi = highest(v->apic_page + APIC_ISR);

	vmwrite(VMCS_GUEST_INTR_STATUS, rvi | svi << 8);
}

void vmx_eoi_exits(struct vcpu *v, const uint64_t vectors[4])
{
	(void)v;
	vmwrite(VMCS_EOI_EXIT_BITMAP0, vectors[0]);
	vmwrite(VMCS_EOI_EXIT_BITMAP1, vectors[1]);
	vmwrite(VMCS_EOI_EXIT_BITMAP2, vectors[2]);
	vmwrite(VMCS_EOI_EXIT_BITMAP3, vectors[3]);
}

/* The field must not be above TPR's class where interrupts are not delivered virtually (27.2.1.1).
 */
void vmx_set_tpr_threshold(struct vcpu *v, uint8_t cls)
{
	vmwrite(VMCS_TPR_THRESHOLD, MIN(cls, (uint8_t)(lapic_tpr(v) >> 4)));
}
