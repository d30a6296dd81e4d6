/* A VMCS for people: every field by name, the controls' bits, and what the exit was. */
#include "core/vm.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/strbuf.h"
#include "vmx/internal.h"

#define ENCODING(name, encoding) VMCS_##name,
#define NAME(name, encoding)	 #name "\0"
#define COUNT(name, encoding)	 +1
#define LIST(title, FIELDS)                                                                \
	{                                                                                  \
		title, (const uint16_t[]){FIELDS(ENCODING)}, FIELDS(NAME), 0 FIELDS(COUNT) \
	}

static const struct list {
	const char *title;
	const uint16_t *encodings;
	const char *names;
	size_t count;
} lists[] = {
	LIST("guest state", VMCS_GUEST_FIELDS),
	LIST("exit information", VMCS_EXIT_FIELDS),
	LIST("controls", VMCS_CONTROL_FIELDS),
	LIST("host state", VMCS_HOST_FIELDS),
};

static const char *field_name(enum vmcs_field encoding)
{
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		for (size_t i = 0; i < lists[l].count; i++)
			if (lists[l].encodings[i] == encoding)
				return nth_name(lists[l].names, i);
	return "a field without a name";
}

/* SDM vol. 3C table 31-1. */
/* From 0 on, as many as LAST_ERROR says; empty: none. */
#define LAST_ERROR 28
static const char error_names[] =
	"\0" /* 0 */
	"VMCALL executed in VMX root operation\0"
	"VMCLEAR with invalid physical address\0"
	"VMCLEAR with VMXON pointer\0"
	"VMLAUNCH with non-clear VMCS\0"
	"VMRESUME with non-launched VMCS\0"
	"VMRESUME after VMXOFF\0"
	"VM entry with invalid control fields\0"
	"VM entry with invalid host-state fields\0"
	"VMPTRLD with invalid physical address\0"
	"VMPTRLD with VMXON pointer\0"
	"VMPTRLD with incorrect VMCS revision identifier\0"
	"VMREAD or VMWRITE from or to an unsupported VMCS component\0"
	"VMWRITE to a read-only VMCS component\0"
	"\0" /* 14 */
	"VMXON executed in VMX root operation\0"
	"VM entry with invalid executive-VMCS pointer\0"
	"VM entry with non-launched executive VMCS\0"
	"VM entry with executive-VMCS pointer that is not the VMXON pointer\0"
	"VMCALL with non-clear VMCS\0"
	"VMCALL with invalid VM-exit control fields\0"
	"\0" /* 21 */
	"VMCALL with incorrect MSEG revision identifier\0"
	"VMXOFF under dual-monitor treatment of SMIs and SMM\0"
	"VMCALL with invalid SMM-monitor features\0"
	"VM entry with invalid VM-execution control fields in executive VMCS\0"
	"VM entry with events blocked by MOV SS\0"
	"\0" /* 27 */
	"invalid operand to INVEPT or INVVPID";

const char *vmx_error_name(uint32_t number)
{
	const char *name = nth_name(error_names, number <= LAST_ERROR ? number : 0);

	return *name ? name : "an unknown error";
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

/* From 0 on; empty: none. */
static const char reason_names[] = "exception or NMI\0"
				   "external interrupt\0"
				   "triple fault\0"
				   "INIT signal\0"
				   "start-up IPI\0"
				   "\0\0" /* 5 */
				   "interrupt window\0"
				   "NMI window\0"
				   "task switch\0"
				   "CPUID\0"
				   "GETSEC\0"
				   "HLT\0"
				   "INVD\0"
				   "INVLPG\0"
				   "RDPMC\0"
				   "RDTSC\0"
				   "RSM\0"
				   "VMCALL\0"
				   "\0\0\0\0\0\0\0\0\0" /* 19 */
				   "control-register access\0"
				   "MOV DR\0"
				   "I/O instruction\0"
				   "RDMSR\0"
				   "WRMSR\0"
				   "VM-entry failure due to invalid guest state\0"
				   "VM-entry failure due to MSR loading\0"
				   "\0" /* 35 */
				   "MWAIT\0"
				   "monitor trap flag\0"
				   "\0" /* 38 */
				   "MONITOR\0"
				   "PAUSE\0"
				   "VM-entry failure due to machine-check event\0"
				   "\0" /* 42 */
				   "TPR below threshold\0"
				   "APIC access\0"
				   "virtualized EOI\0"
				   "access to GDTR or IDTR\0"
				   "access to LDTR or TR\0"
				   "EPT violation\0"
				   "EPT misconfiguration\0"
				   "\0" /* 50 */
				   "RDTSCP\0"
				   "VMX-preemption timer expired\0"
				   "\0" /* 53 */
				   "WBINVD\0"
				   "XSETBV\0"
				   "APIC write\0"
				   "RDRAND\0"
				   "INVPCID\0"
				   "\0\0" /* 59 */
				   "RDSEED\0"
				   "page-modification log full\0"
				   "XSAVES\0"
				   "XRSTORS\0"
				   "\0\0\0\0\0\0\0\0\0\0" /* 65 */
				   "notify window\0"
				   "\0\0\0\0" /* 76 */;

const char *vmx_reason_name(uint32_t reason)
{
	uint32_t n = reason & VMX_REASON_BASIC;
	const char *name = n < VMX_REASON_COUNT ? nth_name(reason_names, n) : "";

	return *name ? name : "a VMX instruction or an unknown reason";
}

/* Controls whose bits have names, and which. */
static const struct {
	enum vmcs_field field;
	uint32_t named;
	const char *names;
} decoded[] = {
	{VMCS_PIN_CONTROLS, 0x69, "external-interrupt\0NMI\0virtual-NMIs\0preemption-timer"},
	{VMCS_PROC_CONTROLS, 0xfbf99e8c,
	 "interrupt-window\0TSC-offset\0HLT\0INVLPG\0MWAIT\0RDPMC\0RDTSC\0CR3-load\0CR3-store\0"
	 "CR8-load\0CR8-store\0TPR-shadow\0NMI-window\0MOV-DR\0all-I/O\0I/O-bitmaps\0monitor-trap\0"
	 "MSR-bitmaps\0MONITOR\0PAUSE\0secondary"},
	{VMCS_PROC2_CONTROLS, 0x821017ff,
	 "APIC-accesses\0EPT\0descriptor-tables\0RDTSCP\0x2APIC\0VPID\0WBINVD\0unrestricted\0"
	 "APIC-registers\0virtual-interrupts\0PAUSE-loop\0INVPCID\0XSAVES\0TSC-scaling\0notify"},
	{VMCS_EXIT_CONTROLS, 0x7c8204,
	 "save-debug\0"
	 "64-bit-host\0acknowledge-interrupt\0save-PAT\0load-PAT\0save-EFER\0load-EFER\0"
	 "save-timer"},
	{VMCS_ENTRY_CONTROLS, 0xc204, "load-debug\0IA-32e-guest\0load-PAT\0load-EFER"},
	{VMCS_GUEST_INTERRUPTIBILITY, 0xf, "STI\0MOV-SS\0SMI\0NMI"},
};

static void dump_list(struct strbuf *out, const struct list *l)
{
	sb_printf(out, "  %s\n", l->title);
	for (size_t i = 0; i < l->count; i++) {
		uint64_t value = 0;

		/* A processor without a feature lacks its fields: those are left out. */
		if (!vmread_try(l->encodings[i], &value))
			continue;
		sb_printf(out, "    %-22s %llx", nth_name(l->names, i), (unsigned long long)value);
		for (size_t d = 0; d < ARRAY_SIZE(decoded); d++)
			if (decoded[d].field == l->encodings[i])
				sb_bits(out, value, decoded[d].named, decoded[d].names);
		sb_putc(out, '\n');
	}
}

static void dump_gprs(const struct vcpu *v, struct strbuf *out)
{
	static const char names[GPR_COUNT][4] = {
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
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		dump_list(out, &lists[l]);
}
