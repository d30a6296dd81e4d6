/*
 * The whole VMCB for people: every field by its name in APM vol. 2 appendix B, and what its bits
 * say.
 */
#include "svm/internal.h"

#include "arch/x86/cpu.h"
#include "lib/strbuf.h"

struct field {
	uint16_t offset;
	uint8_t size;
};

#define CONTROL_FIELDS(F)                                   \
	F("EXITCODE", exitcode)                             \
	F("EXITINFO1", exitinfo1)                           \
	F("EXITINFO2", exitinfo2)                           \
	F("EXITINTINFO", exitintinfo)                       \
	F("EVENTINJ", eventinj)                             \
	F("nRIP", nrip)                                     \
	F("interrupt control", int_ctl)                     \
	F("interrupt state", int_state)                     \
	F("guest ASID", asid)                               \
	F("TLB_CONTROL", tlb_control)                       \
	F("NP_ENABLE", np_enable)                           \
	F("N_CR3", n_cr3)                                   \
	F("IOPM_BASE_PA", iopm_base_pa)                     \
	F("MSRPM_BASE_PA", msrpm_base_pa)                   \
	F("TSC_OFFSET", tsc_offset)                         \
	F("PAUSE filter count", pause_filter_count)         \
	F("PAUSE filter threshold", pause_filter_threshold) \
	F("VMCB clean bits", clean)                         \
	F("LBR virtualization", lbr_virt)                   \
	F("AVIC APIC_BAR", avic_apic_bar)                   \
	F("AVIC backing page", avic_backing_page)           \
	F("AVIC logical table", avic_logical_table)         \
	F("AVIC physical table", avic_physical_table)       \
	F("GHCB", ghcb)

#define SAVE_FIELDS(F)                    \
	F("RIP", rip)                     \
	F("RFLAGS", rflags)               \
	F("CR0", cr0)                     \
	F("CR2", cr2)                     \
	F("CR3", cr3)                     \
	F("CR4", cr4)                     \
	F("EFER", efer)                   \
	F("DR6", dr6)                     \
	F("DR7", dr7)                     \
	F("CPL", cpl)                     \
	F("G_PAT", g_pat)                 \
	F("STAR", star)                   \
	F("LSTAR", lstar)                 \
	F("CSTAR", cstar)                 \
	F("SFMASK", sfmask)               \
	F("KernelGsBase", kernel_gs_base) \
	F("SYSENTER_CS", sysenter_cs)     \
	F("SYSENTER_ESP", sysenter_esp)   \
	F("SYSENTER_EIP", sysenter_eip)   \
	F("S_CET", s_cet)                 \
	F("SSP", ssp)                     \
	F("ISST_ADDR", isst_addr)         \
	F("DBGCTL", dbgctl)               \
	F("BR_FROM", br_from)             \
	F("BR_TO", br_to)                 \
	F("LASTEXCPFROM", lastexcpfrom)   \
	F("LASTEXCPTO", lastexcpto)

#define NAME(name, member)  name "\0"
#define FIELD(name, member) {offsetof(struct vmcb, member), sizeof(((struct vmcb *)0)->member)},

static const struct field control_fields[] = {CONTROL_FIELDS(FIELD)};
static const struct field save_fields[] = {SAVE_FIELDS(FIELD)};

static const struct {
	char name[6];
	uint16_t offset;
} seg_fields[] = {
	{"ES", offsetof(struct vmcb, es)},     {"CS", offsetof(struct vmcb, cs)},
	{"SS", offsetof(struct vmcb, ss)},     {"DS", offsetof(struct vmcb, ds)},
	{"FS", offsetof(struct vmcb, fs)},     {"GS", offsetof(struct vmcb, gs)},
	{"LDTR", offsetof(struct vmcb, ldtr)}, {"TR", offsetof(struct vmcb, tr)},
	{"GDTR", offsetof(struct vmcb, gdtr)}, {"IDTR", offsetof(struct vmcb, idtr)},
};

static const char gpr_names[GPR_COUNT][4] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP",
					     "RSI", "RDI", "R8",  "R9",	 "R10", "R11",
					     "R12", "R13", "R14", "R15"};

/* Which fields have names for their bits, and these, the lowest bit first. */
#define EVENT_BITS EVENTINJ_EV | EVENTINJ_V, "EV\0V"
static const struct {
	uint16_t offset;
	uint64_t named;
	const char *names;
} decoded[] = {
	{offsetof(struct vmcb, cr0),
	 CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |
		 CR0_PG,
	 "PE\0MP\0EM\0TS\0ET\0NE\0WP\0AM\0NW\0CD\0PG"},
	{offsetof(struct vmcb, cr4),
	 CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |
		 CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_LA57 | CR4_FSGSBASE | CR4_PCIDE |
		 CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_CET,
	 "VME\0PVI\0TSD\0DE\0PSE\0PAE\0MCE\0PGE\0PCE\0OSFXSR\0OSXMMEXCPT\0UMIP\0LA57\0"
	 "FSGSBASE\0PCIDE\0OSXSAVE\0SMEP\0SMAP\0PKE\0CET"},
	{offsetof(struct vmcb, efer),
	 EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | EFER_LMSLE | EFER_FFXSR |
		 EFER_TCE | EFER_AIBRSE,
	 "SCE\0LME\0LMA\0NXE\0SVME\0LMSLE\0FFXSR\0TCE\0AIBRSE"},
	{offsetof(struct vmcb, rflags),
	 RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_TF | RFLAGS_IF |
		 RFLAGS_DF | RFLAGS_OF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM | RFLAGS_AC |
		 RFLAGS_VIF | RFLAGS_VIP | RFLAGS_ID,
	 "CF\0PF\0AF\0ZF\0SF\0TF\0IF\0DF\0OF\0NT\0RF\0VM\0AC\0VIF\0VIP\0ID"},
	{offsetof(struct vmcb, int_ctl),
	 INT_CTL_IRQ | INT_CTL_GIF | INT_CTL_NMI | INT_CTL_NMI_MASK | INT_CTL_IGN_TPR |
		 INT_CTL_INTR_MASKING | INT_CTL_GIF_ENABLE | INT_CTL_NMI_ENABLE |
		 INT_CTL_AVIC_ENABLE,
	 "V_IRQ\0VGIF\0V_NMI\0V_NMI_MASK\0V_IGN_TPR\0V_INTR_MASKING\0VGIF_ENABLE\0"
	 "V_NMI_ENABLE\0AVIC_ENABLE"},
	{offsetof(struct vmcb, int_state), INT_STATE_SHADOW | INT_STATE_MASK,
	 "INTERRUPT_SHADOW\0GUEST_INTERRUPT_MASK"},
	{offsetof(struct vmcb, exitintinfo), EVENT_BITS},
	{offsetof(struct vmcb, eventinj), EVENT_BITS},
};

static void put_bits(struct strbuf *out, uint16_t offset, uint64_t value)
{
	for (size_t i = 0; i < ARRAY_SIZE(decoded); i++)
		if (decoded[i].offset == offset)
			sb_bits(out, value, decoded[i].named, decoded[i].names);
	if (offset == offsetof(struct vmcb, exitcode)) {
		const char *name = svm_exit_name(value);

		sb_printf(out, " VMEXIT_%s", name ? name : "?");
	}
}

static uint64_t read_field(const struct vmcb *b, const struct field *f)
{
	const uint8_t *p = (const uint8_t *)b + f->offset;
	uint64_t value = 0;

	for (unsigned int i = 0; i < f->size; i++)
		value |= (uint64_t)p[i] << 8 * i;
	return value;
}

static void put_fields(struct strbuf *out, const struct vmcb *b, const struct field *fields,
		       size_t count, const char *names)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = read_field(b, &fields[i]);

		sb_printf(out, "  %-22s %0*llx", nth_name(names, i), 2 * fields[i].size,
			  (unsigned long long)value);
		put_bits(out, fields[i].offset, value);
		sb_putc(out, '\n');
	}
}

static void put_intercepts(struct strbuf *out, const struct vmcb *b)
{
	for (unsigned int word = 0; word < WORD_COUNT; word++) {
		sb_printf(out, "  intercepts, %03xh        %08x", 4 * word, b->intercept[word]);
		for (unsigned int bit = 0; bit < 32; bit++) {
			const char *name = svm_intercept_name(word, bit);

			if (name && b->intercept[word] >> bit & 1)
				sb_printf(out, " %s", name);
		}
		sb_putc(out, '\n');
	}
}

static void put_segments(struct strbuf *out, const struct vmcb *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(seg_fields); i++) {
		const struct vmcb_seg *s =
			(const struct vmcb_seg *)((const uint8_t *)b + seg_fields[i].offset);

		sb_printf(out, "  %-5s selector %04x attrib %03x limit %08x base %016llx\n",
			  seg_fields[i].name, s->selector, s->attrib, s->limit,
			  (unsigned long long)s->base);
	}
}

static void put_gprs(struct strbuf *out, struct vcpu *v)
{
	svm_get_state(v, ST_RIP);
	for (unsigned int i = 0; i < GPR_COUNT; i++)
		sb_printf(out, "%s%-3s %016llx%s", i % 4 ? " " : "  ", gpr_names[i],
			  (unsigned long long)v->gpr[i], i % 4 == 3 ? "\n" : "");
}

void svm_dump(struct vcpu *v, struct strbuf *out)
{
	const struct vmcb *b = &svm_of(v)->vmcb;

	sb_puts(out, "VMCB, control area\n");
	put_fields(out, b, control_fields, ARRAY_SIZE(control_fields), CONTROL_FIELDS(NAME));
	sb_puts(out, "  bytes fetched         ");
	for (unsigned int i = 0; i < (b->insn_count & 0xfu); i++)
		sb_printf(out, " %02x", b->insn_bytes[i]);
	sb_putc(out, '\n');
	put_intercepts(out, b);
	sb_puts(out, "VMCB, state save area\n");
	put_fields(out, b, save_fields, ARRAY_SIZE(save_fields), SAVE_FIELDS(NAME));
	put_segments(out, b);
	sb_puts(out, "General registers\n");
	put_gprs(out, v);
}
