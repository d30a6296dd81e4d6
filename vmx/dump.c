/* A VMCS for people: every field by name, the controls' bits, and what the exit was. */
#include "core/vm.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/strbuf.h"
#include "vmx/internal.h"

struct field {
	enum vmcs_field encoding;
	const char *name;
};

#define FIELD_NAME(name, encoding) {VMCS_##name, #name},

static const struct field control_fields[] = {VMCS_CONTROL_FIELDS(FIELD_NAME)};
static const struct field exit_fields[] = {VMCS_EXIT_FIELDS(FIELD_NAME)};
static const struct field guest_fields[] = {VMCS_GUEST_FIELDS(FIELD_NAME)};
static const struct field host_fields[] = {VMCS_HOST_FIELDS(FIELD_NAME)};

static const char *field_name(enum vmcs_field encoding)
{
	static const struct {
		const struct field *fields;
		size_t count;
	} lists[] = {
		{control_fields, ARRAY_SIZE(control_fields)},
		{exit_fields, ARRAY_SIZE(exit_fields)},
		{guest_fields, ARRAY_SIZE(guest_fields)},
		{host_fields, ARRAY_SIZE(host_fields)},
	};

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		for (size_t i = 0; i < lists[l].count; i++)
			if (lists[l].fields[i].encoding == encoding)
				return lists[l].fields[i].name;
	return "a field without a name";
}

/* SDM vol. 3C table 31-1. */
static const char *const error_names[] = {
	[1] = "VMCALL executed in VMX root operation",
	[2] = "VMCLEAR with invalid physical address",
	[3] = "VMCLEAR with VMXON pointer",
	[4] = "VMLAUNCH with non-clear VMCS",
	[5] = "VMRESUME with non-launched VMCS",
	[6] = "VMRESUME after VMXOFF",
	[7] = "VM entry with invalid control fields",
	[8] = "VM entry with invalid host-state fields",
	[9] = "VMPTRLD with invalid physical address",
	[10] = "VMPTRLD with VMXON pointer",
	[11] = "VMPTRLD with incorrect VMCS revision identifier",
	[12] = "VMREAD or VMWRITE from or to an unsupported VMCS component",
	[13] = "VMWRITE to a read-only VMCS component",
	[15] = "VMXON executed in VMX root operation",
	[16] = "VM entry with invalid executive-VMCS pointer",
	[17] = "VM entry with non-launched executive VMCS",
	[18] = "VM entry with executive-VMCS pointer that is not the VMXON pointer",
	[19] = "VMCALL with non-clear VMCS",
	[20] = "VMCALL with invalid VM-exit control fields",
	[22] = "VMCALL with incorrect MSEG revision identifier",
	[23] = "VMXOFF under dual-monitor treatment of SMIs and SMM",
	[24] = "VMCALL with invalid SMM-monitor features",
	[25] = "VM entry with invalid VM-execution control fields in executive VMCS",
	[26] = "VM entry with events blocked by MOV SS",
	[28] = "invalid operand to INVEPT or INVVPID",
};

const char *vmx_error_name(uint32_t number)
{
	return number < ARRAY_SIZE(error_names) && error_names[number] ? error_names[number]
								       : "an unknown error";
}

/* Without vmread(): a failing one would come back here. */
static uint32_t read_insn_error(void)
{
	uint64_t value = 0;

	vmread_try(VMCS_INSN_ERROR, &value);
	return (uint32_t)value;
}

void vmx_access_failed(const char *insn, enum vmcs_field field, uint64_t value, const void *caller)
{
	uint32_t error = read_insn_error();

	log_error("%s of %s (%x, value %llx) from %p: error %u: %s", insn, field_name(field), field,
		  (unsigned long long)value, caller, error, vmx_error_name(error));
	assert(!"VMCS field access");
	__builtin_unreachable();
}

static const char *const reason_names[VMX_REASON_COUNT] = {
	[VMX_EXCEPTION_OR_NMI] = "exception or NMI",
	[VMX_EXTERNAL_INTR] = "external interrupt",
	[VMX_TRIPLE_FAULT] = "triple fault",
	[VMX_INIT] = "INIT signal",
	[VMX_SIPI] = "start-up IPI",
	[VMX_INTR_WINDOW] = "interrupt window",
	[VMX_NMI_WINDOW] = "NMI window",
	[VMX_TASK_SWITCH] = "task switch",
	[VMX_CPUID] = "CPUID",
	[VMX_GETSEC] = "GETSEC",
	[VMX_HLT] = "HLT",
	[VMX_INVD] = "INVD",
	[VMX_INVLPG] = "INVLPG",
	[VMX_RDPMC] = "RDPMC",
	[VMX_RDTSC] = "RDTSC",
	[VMX_RSM] = "RSM",
	[VMX_VMCALL] = "VMCALL",
	[VMX_CR] = "control-register access",
	[VMX_DR] = "MOV DR",
	[VMX_IO] = "I/O instruction",
	[VMX_RDMSR] = "RDMSR",
	[VMX_WRMSR] = "WRMSR",
	[VMX_ENTRY_GUEST_STATE] = "VM-entry failure due to invalid guest state",
	[VMX_ENTRY_MSR_LOADING] = "VM-entry failure due to MSR loading",
	[VMX_MWAIT] = "MWAIT",
	[VMX_MTF] = "monitor trap flag",
	[VMX_MONITOR] = "MONITOR",
	[VMX_PAUSE] = "PAUSE",
	[VMX_ENTRY_MACHINE_CHECK] = "VM-entry failure due to machine-check event",
	[VMX_TPR_BELOW] = "TPR below threshold",
	[VMX_APIC_ACCESS] = "APIC access",
	[VMX_VIRTUALIZED_EOI] = "virtualized EOI",
	[VMX_GDTR_IDTR] = "access to GDTR or IDTR",
	[VMX_LDTR_TR] = "access to LDTR or TR",
	[VMX_EPT_VIOLATION] = "EPT violation",
	[VMX_EPT_MISCONFIG] = "EPT misconfiguration",
	[VMX_RDTSCP] = "RDTSCP",
	[VMX_PREEMPTION_TIMER] = "VMX-preemption timer expired",
	[VMX_WBINVD] = "WBINVD",
	[VMX_XSETBV] = "XSETBV",
	[VMX_APIC_WRITE] = "APIC write",
	[VMX_RDRAND] = "RDRAND",
	[VMX_INVPCID] = "INVPCID",
	[VMX_RDSEED] = "RDSEED",
	[VMX_PML_FULL] = "page-modification log full",
	[VMX_XSAVES] = "XSAVES",
	[VMX_XRSTORS] = "XRSTORS",
	[VMX_NOTIFY] = "notify window",
};

const char *vmx_reason_name(uint32_t reason)
{
	uint32_t n = reason & VMX_REASON_BASIC;

	return n < VMX_REASON_COUNT && reason_names[n] ? reason_names[n]
						       : "a VMX instruction or an unknown reason";
}

struct bit_name {
	uint8_t bit;
	const char *name;
};

static const struct bit_name pin_bits[] = {
	{0, "external-interrupt"},
	{3, "NMI"},
	{5, "virtual-NMIs"},
	{6, "preemption-timer"},
};
static const struct bit_name proc_bits[] = {
	{2, "interrupt-window"}, {3, "TSC-offset"},   {7, "HLT"},	 {9, "INVLPG"},
	{10, "MWAIT"},		 {11, "RDPMC"},	      {12, "RDTSC"},	 {15, "CR3-load"},
	{16, "CR3-store"},	 {19, "CR8-load"},    {20, "CR8-store"}, {21, "TPR-shadow"},
	{22, "NMI-window"},	 {23, "MOV-DR"},      {24, "all-I/O"},	 {25, "I/O-bitmaps"},
	{27, "monitor-trap"},	 {28, "MSR-bitmaps"}, {29, "MONITOR"},	 {30, "PAUSE"},
	{31, "secondary"},
};
static const struct bit_name proc2_bits[] = {
	{0, "APIC-accesses"},
	{1, "EPT"},
	{2, "descriptor-tables"},
	{3, "RDTSCP"},
	{4, "x2APIC"},
	{5, "VPID"},
	{6, "WBINVD"},
	{7, "unrestricted"},
	{8, "APIC-registers"},
	{9, "virtual-interrupts"},
	{10, "PAUSE-loop"},
	{12, "INVPCID"},
	{20, "XSAVES"},
	{25, "TSC-scaling"},
	{31, "notify"},
};
static const struct bit_name exit_bits[] = {
	{2, "save-debug"}, {9, "64-bit-host"}, {15, "acknowledge-interrupt"},
	{18, "save-PAT"},  {19, "load-PAT"},   {20, "save-EFER"},
	{21, "load-EFER"}, {22, "save-timer"},
};
static const struct bit_name entry_bits[] = {
	{2, "load-debug"},
	{9, "IA-32e-guest"},
	{14, "load-PAT"},
	{15, "load-EFER"},
};
static const struct bit_name shadow_bits[] = {
	{0, "STI"},
	{1, "MOV-SS"},
	{2, "SMI"},
	{3, "NMI"},
};

static const struct {
	enum vmcs_field field;
	const struct bit_name *bits;
	size_t count;
} decoded[] = {
	{VMCS_PIN_CONTROLS, pin_bits, ARRAY_SIZE(pin_bits)},
	{VMCS_PROC_CONTROLS, proc_bits, ARRAY_SIZE(proc_bits)},
	{VMCS_PROC2_CONTROLS, proc2_bits, ARRAY_SIZE(proc2_bits)},
	{VMCS_EXIT_CONTROLS, exit_bits, ARRAY_SIZE(exit_bits)},
	{VMCS_ENTRY_CONTROLS, entry_bits, ARRAY_SIZE(entry_bits)},
	{VMCS_GUEST_INTERRUPTIBILITY, shadow_bits, ARRAY_SIZE(shadow_bits)},
};

static void dump_bits(struct strbuf *out, enum vmcs_field field, uint64_t value)
{
	for (size_t d = 0; d < ARRAY_SIZE(decoded); d++) {
		if (decoded[d].field != field)
			continue;
		for (size_t i = 0; i < decoded[d].count; i++)
			if (value & BIT(decoded[d].bits[i].bit))
				sb_printf(out, " %s", decoded[d].bits[i].name);
	}
}

static void dump_fields(struct strbuf *out, const char *title, const struct field *f, size_t count)
{
	sb_printf(out, "  %s\n", title);
	for (size_t i = 0; i < count; i++) {
		uint64_t value = 0;

		/* A processor without a feature lacks its fields: those are left out. */
		if (!vmread_try(f[i].encoding, &value))
			continue;
		sb_printf(out, "    %-22s %llx", f[i].name, (unsigned long long)value);
		dump_bits(out, f[i].encoding, value);
		sb_putc(out, '\n');
	}
}

static void dump_gprs(const struct vcpu *v, struct strbuf *out)
{
	static const char *const names[GPR_COUNT] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15",
	};

	sb_puts(out, "  general registers\n");
	for (int i = 0; i < GPR_COUNT; i++)
		sb_printf(out, "%s%4s %016llx%s", i % 4 ? "" : "   ", names[i],
			  (unsigned long long)v->gpr[i], i % 4 == 3 ? "\n" : "");
}

void vmx_dump(struct vcpu *v, struct strbuf *out)
{
	uint32_t reason = (uint32_t)vmread(VMCS_EXIT_REASON);
	uint32_t error = read_insn_error();

	vmx_get_state(v, ST_RIP);
	sb_printf(out, "  exit reason %x: %s\n", reason, vmx_reason_name(reason));
	if (error)
		sb_printf(out, "  last VM-instruction error %u: %s\n", error,
			  vmx_error_name(error));
	dump_gprs(v, out);
	dump_fields(out, "guest state", guest_fields, ARRAY_SIZE(guest_fields));
	dump_fields(out, "exit information", exit_fields, ARRAY_SIZE(exit_fields));
	dump_fields(out, "controls", control_fields, ARRAY_SIZE(control_fields));
	dump_fields(out, "host state", host_fields, ARRAY_SIZE(host_fields));
}
