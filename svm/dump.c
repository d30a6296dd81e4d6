/*
 * The whole VMCB for people: every field by its name in APM vol. 2 appendix B, and what its bits
 * say.
 */
#include "svm/internal.h"

#include "arch/x86/cpu.h"
#include "lib/strbuf.h"

struct field {
	const char *name;
	uint16_t offset;
	uint8_t size;
};

#define FIELD(label, member)                                                             \
	{                                                                                \
		label, offsetof(struct vmcb, member), sizeof(((struct vmcb *)0)->member) \
	}

static const struct field control_fields[] = {
	FIELD("EXITCODE", exitcode),
	FIELD("EXITINFO1", exitinfo1),
	FIELD("EXITINFO2", exitinfo2),
	FIELD("EXITINTINFO", exitintinfo),
	FIELD("EVENTINJ", eventinj),
	FIELD("nRIP", nrip),
	FIELD("interrupt control", int_ctl),
	FIELD("interrupt state", int_state),
	FIELD("guest ASID", asid),
	FIELD("TLB_CONTROL", tlb_control),
	FIELD("NP_ENABLE", np_enable),
	FIELD("N_CR3", n_cr3),
	FIELD("IOPM_BASE_PA", iopm_base_pa),
	FIELD("MSRPM_BASE_PA", msrpm_base_pa),
	FIELD("TSC_OFFSET", tsc_offset),
	FIELD("PAUSE filter count", pause_filter_count),
	FIELD("PAUSE filter threshold", pause_filter_threshold),
	FIELD("VMCB clean bits", clean),
	FIELD("LBR virtualization", lbr_virt),
	FIELD("AVIC APIC_BAR", avic_apic_bar),
	FIELD("AVIC backing page", avic_backing_page),
	FIELD("AVIC logical table", avic_logical_table),
	FIELD("AVIC physical table", avic_physical_table),
	FIELD("GHCB", ghcb),
};

static const struct field save_fields[] = {
	FIELD("RIP", rip),
	FIELD("RFLAGS", rflags),
	FIELD("CR0", cr0),
	FIELD("CR2", cr2),
	FIELD("CR3", cr3),
	FIELD("CR4", cr4),
	FIELD("EFER", efer),
	FIELD("DR6", dr6),
	FIELD("DR7", dr7),
	FIELD("CPL", cpl),
	FIELD("G_PAT", g_pat),
	FIELD("STAR", star),
	FIELD("LSTAR", lstar),
	FIELD("CSTAR", cstar),
	FIELD("SFMASK", sfmask),
	FIELD("KernelGsBase", kernel_gs_base),
	FIELD("SYSENTER_CS", sysenter_cs),
	FIELD("SYSENTER_ESP", sysenter_esp),
	FIELD("SYSENTER_EIP", sysenter_eip),
	FIELD("S_CET", s_cet),
	FIELD("SSP", ssp),
	FIELD("ISST_ADDR", isst_addr),
	FIELD("DBGCTL", dbgctl),
	FIELD("BR_FROM", br_from),
	FIELD("BR_TO", br_to),
	FIELD("LASTEXCPFROM", lastexcpfrom),
	FIELD("LASTEXCPTO", lastexcpto),
};

static const struct {
	const char *name;
	uint16_t offset;
} seg_fields[] = {
	{"ES", offsetof(struct vmcb, es)},     {"CS", offsetof(struct vmcb, cs)},
	{"SS", offsetof(struct vmcb, ss)},     {"DS", offsetof(struct vmcb, ds)},
	{"FS", offsetof(struct vmcb, fs)},     {"GS", offsetof(struct vmcb, gs)},
	{"LDTR", offsetof(struct vmcb, ldtr)}, {"TR", offsetof(struct vmcb, tr)},
	{"GDTR", offsetof(struct vmcb, gdtr)}, {"IDTR", offsetof(struct vmcb, idtr)},
};

static const char *const gpr_names[GPR_COUNT] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP",
						 "RSI", "RDI", "R8",  "R9",  "R10", "R11",
						 "R12", "R13", "R14", "R15"};

struct bit_name {
	uint64_t bit;
	const char *name;
};

static const struct bit_name cr0_bits[] = {
	{CR0_PE, "PE"}, {CR0_MP, "MP"}, {CR0_EM, "EM"}, {CR0_TS, "TS"},
	{CR0_ET, "ET"}, {CR0_NE, "NE"}, {CR0_WP, "WP"}, {CR0_AM, "AM"},
	{CR0_NW, "NW"}, {CR0_CD, "CD"}, {CR0_PG, "PG"},
};

static const struct bit_name cr4_bits[] = {
	{CR4_VME, "VME"},
	{CR4_PVI, "PVI"},
	{CR4_TSD, "TSD"},
	{CR4_DE, "DE"},
	{CR4_PSE, "PSE"},
	{CR4_PAE, "PAE"},
	{CR4_MCE, "MCE"},
	{CR4_PGE, "PGE"},
	{CR4_PCE, "PCE"},
	{CR4_OSFXSR, "OSFXSR"},
	{CR4_OSXMMEXCPT, "OSXMMEXCPT"},
	{CR4_UMIP, "UMIP"},
	{CR4_LA57, "LA57"},
	{CR4_FSGSBASE, "FSGSBASE"},
	{CR4_PCIDE, "PCIDE"},
	{CR4_OSXSAVE, "OSXSAVE"},
	{CR4_SMEP, "SMEP"},
	{CR4_SMAP, "SMAP"},
	{CR4_PKE, "PKE"},
	{CR4_CET, "CET"},
};

static const struct bit_name efer_bits[] = {
	{EFER_SCE, "SCE"},     {EFER_LME, "LME"},   {EFER_LMA, "LMA"},
	{EFER_NXE, "NXE"},     {EFER_SVME, "SVME"}, {EFER_LMSLE, "LMSLE"},
	{EFER_FFXSR, "FFXSR"}, {EFER_TCE, "TCE"},   {EFER_AIBRSE, "AIBRSE"},
};

static const struct bit_name rflags_bits[] = {
	{RFLAGS_CF, "CF"}, {RFLAGS_PF, "PF"},	{RFLAGS_AF, "AF"},   {RFLAGS_ZF, "ZF"},
	{RFLAGS_SF, "SF"}, {RFLAGS_TF, "TF"},	{RFLAGS_IF, "IF"},   {RFLAGS_DF, "DF"},
	{RFLAGS_OF, "OF"}, {RFLAGS_NT, "NT"},	{RFLAGS_RF, "RF"},   {RFLAGS_VM, "VM"},
	{RFLAGS_AC, "AC"}, {RFLAGS_VIF, "VIF"}, {RFLAGS_VIP, "VIP"}, {RFLAGS_ID, "ID"},
};

static const struct bit_name int_ctl_bits[] = {
	{INT_CTL_IRQ, "V_IRQ"},
	{INT_CTL_GIF, "VGIF"},
	{INT_CTL_NMI, "V_NMI"},
	{INT_CTL_NMI_MASK, "V_NMI_MASK"},
	{INT_CTL_IGN_TPR, "V_IGN_TPR"},
	{INT_CTL_INTR_MASKING, "V_INTR_MASKING"},
	{INT_CTL_GIF_ENABLE, "VGIF_ENABLE"},
	{INT_CTL_NMI_ENABLE, "V_NMI_ENABLE"},
	{INT_CTL_AVIC_ENABLE, "AVIC_ENABLE"},
};

static const struct bit_name int_state_bits[] = {
	{INT_STATE_SHADOW, "INTERRUPT_SHADOW"},
	{INT_STATE_MASK, "GUEST_INTERRUPT_MASK"},
};

static const struct bit_name event_bits[] = {{EVENTINJ_EV, "EV"}, {EVENTINJ_V, "V"}};

/* Which fields have names for their bits. */
static const struct {
	uint16_t offset;
	uint16_t count;
	const struct bit_name *bits;
} decoded[] = {
	{offsetof(struct vmcb, cr0), ARRAY_SIZE(cr0_bits), cr0_bits},
	{offsetof(struct vmcb, cr4), ARRAY_SIZE(cr4_bits), cr4_bits},
	{offsetof(struct vmcb, efer), ARRAY_SIZE(efer_bits), efer_bits},
	{offsetof(struct vmcb, rflags), ARRAY_SIZE(rflags_bits), rflags_bits},
	{offsetof(struct vmcb, int_ctl), ARRAY_SIZE(int_ctl_bits), int_ctl_bits},
	{offsetof(struct vmcb, int_state), ARRAY_SIZE(int_state_bits), int_state_bits},
	{offsetof(struct vmcb, exitintinfo), ARRAY_SIZE(event_bits), event_bits},
	{offsetof(struct vmcb, eventinj), ARRAY_SIZE(event_bits), event_bits},
};

static void put_bits(struct strbuf *out, uint16_t offset, uint64_t value)
{
	for (size_t i = 0; i < ARRAY_SIZE(decoded); i++)
		for (size_t k = 0; decoded[i].offset == offset && k < decoded[i].count; k++)
			if (value & decoded[i].bits[k].bit)
				sb_printf(out, " %s", decoded[i].bits[k].name);
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
		       size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = read_field(b, &fields[i]);

		sb_printf(out, "  %-22s %0*llx", fields[i].name, 2 * fields[i].size,
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
	put_fields(out, b, control_fields, ARRAY_SIZE(control_fields));
	sb_puts(out, "  bytes fetched         ");
	for (unsigned int i = 0; i < (b->insn_count & 0xfu); i++)
		sb_printf(out, " %02x", b->insn_bytes[i]);
	sb_putc(out, '\n');
	put_intercepts(out, b);
	sb_puts(out, "VMCB, state save area\n");
	put_fields(out, b, save_fields, ARRAY_SIZE(save_fields));
	put_segments(out, b);
	sb_puts(out, "General registers\n");
	put_gprs(out, v);
}
