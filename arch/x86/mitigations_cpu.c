/* The half of arch/x86/mitigations.h that touches the processor. */
#include "arch/x86/mitigations.h"

#include <stddef.h>

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "lib/log.h"

#define NOP 0x90

/* From arch/x86/alternatives.inc: distances from each field itself. */
struct alternative {
	int32_t site;
	uint16_t length, mask;
};

extern const struct alternative _alternatives_start[] __attribute__((visibility("hidden"))),
	_alternatives_end[] __attribute__((visibility("hidden")));

static uint32_t active, wanted;
static char missing[200];

/* ---- what is there ---- */

static bool is_vendor(const char name[12])
{
	struct cpuid_regs zero = cpuid(0, 0);
	const uint32_t words[] = {zero.ebx, zero.edx, zero.ecx};
	const char *text = (const char *)words;

	for (size_t i = 0; i < sizeof(words); i++)
		if (text[i] != name[i])
			return false;
	return true;
}

/* SDM vol. 2A, CPUID: "Version Information" */
static void read_version(struct mit_cpu *cpu)
{
	uint32_t eax = cpuid(1, 0).eax;

	cpu->family = eax >> 8 & 0xf;
	cpu->model = eax >> 4 & 0xf;
	if (cpu->family == 6 || cpu->family == 0xf)
		cpu->model |= eax >> 12 & 0xf0;
	if (cpu->family == 0xf)
		cpu->family += eax >> 20 & 0xff;
}

struct mit_cpu mitigations_cpu(void)
{
	struct cpuid_regs seven = cpuid_or_zero(7, 0);
	struct mit_cpu cpu = {
		.intel = is_vendor("GenuineIntel"),
		.amd = is_vendor("AuthenticAMD") || is_vendor("HygonGenuine"),
		.leaf7_ebx = seven.ebx,
		.leaf7_edx = seven.edx,
		.leaf7_2_edx = seven.eax >= 2 ? cpuid(7, 2).edx : 0,
		.ext8_ebx = cpuid_or_zero(0x80000008, 0).ebx,
		.ext21_eax = cpuid_or_zero(0x80000021, 0).eax,
		.ext21_ecx = cpuid_or_zero(0x80000021, 0).ecx,
	};

	read_version(&cpu);
	if (seven.edx & CPUID_7_EDX_ARCH_CAPABILITIES)
		cpu.arch_capabilities = rdmsr(MSR_IA32_ARCH_CAPABILITIES);
	return cpu;
}

/* ---- and what is done ---- */

static void take_jumps_out(uint32_t mask)
{
	uint64_t cr0 = read_cr0();

	write_cr0(cr0 & ~CR0_WP);
	for (const struct alternative *a = _alternatives_start; a < _alternatives_end; a++) {
		volatile uint8_t *site =
			(volatile uint8_t *)((uintptr_t)&a->site + (uintptr_t)(intptr_t)a->site);

		for (unsigned int i = 0; a->mask & mask && i < a->length; i++)
			site[i] = NOP;
	}
	write_cr0(cr0);
	/* SDM vol. 3A 9.1.3: a serializing instruction before changed code is executed. */
	(void)cpuid(0, 0);
}

void mitigations_init(bool on)
{
	struct mit_cpu cpu = mitigations_cpu();
	struct strbuf lacks;

	sb_init(&lacks, missing, sizeof(missing));
	wanted = mitigations_choose(&cpu, &lacks);
	active = on ? wanted : 0;
	take_jumps_out(active);
}

void mitigations_print(void)
{
	char text[700];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	mitigations_names(wanted, &sb);
	if (active != wanted) {
		log_info("mitigations: off by socle.cfg; this processor wants: %s", text);
		return;
	}
	log_info("mitigations: %s", text);
	if (missing[0])
		log_warn("mitigations: newer microcode is wanted for: %s", missing);
}

/* Which bits may be written differs by model, and below another hypervisor whether any may. */
static void change_msr(uint32_t index, uint64_t clear, uint64_t set)
{
	uint64_t value;

	if ((clear | set) && rdmsr_safe(index, &value) == 0)
		(void)wrmsr_safe(index, (value & ~clear) | set);
}

uint64_t mitigations_spec_ctrl(void)
{
	return (active & (MIT_IBRS | MIT_IBRS_ALWAYS) ? SPEC_CTRL_IBRS : 0) |
	       (active & MIT_BHI ? SPEC_CTRL_BHI_DIS_S : 0);
}

void mitigations_init_cpu(void)
{
	uint64_t spec_ctrl = mitigations_spec_ctrl();

	if (spec_ctrl)
		wrmsr(MSR_IA32_SPEC_CTRL, spec_ctrl);
	if (active & MIT_AUTO_IBRS)
		wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) | EFER_AIBRSE);
	change_msr(MSR_IA32_MCU_OPT_CTRL,
		   (active & MIT_GDS ? MCU_OPT_GDS_MITG_DIS : 0) |
			   (active & MIT_SRBDS ? MCU_OPT_RNGDS_MITG_DIS : 0),
		   0);
	change_msr(MSR_AMD_DE_CFG, 0, active & MIT_ZENBLEED ? DE_CFG_ZENBLEED : 0);
}

bool mitigations_around_exits(void)
{
	return active & (MIT_VERW | MIT_IBRS | MIT_BHB);
}

void mitigations_switch(bool other_vm)
{
	if (likely(!(active & (MIT_IBPB | MIT_L1D))))
		return;
	if (active & MIT_IBPB && other_vm)
		wrmsr(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	if (active & MIT_L1D)
		wrmsr(MSR_IA32_FLUSH_CMD, FLUSH_CMD_L1D);
}
