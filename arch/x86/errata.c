#include "arch/x86/errata.h"

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "lib/util.h"

#define INT_PENDING_SMI_ON_HALT BIT(27)
#define INT_PENDING_C1E_ON_HALT BIT(28)

/* Of AMD's processors with SVM; 0 of any other. APM vol. 3 E.3.2: family and extended family. */
static uint32_t amd_family(void)
{
	uint32_t eax = cpuid(1, 0).eax;

	if (!(cpuid_or_zero(0x80000001, 0).ecx & CPUID_80000001_ECX_SVM))
		return 0;
	return (eax >> 8 & 0xf) + (eax >> 20 & 0xff);
}

/*
 * Families 0Fh to 11h: when all cores are halted, the processor or the firmware's SMI handler takes
 * the machine to C1E, where the local APICs' timers stand still (BIOS and Kernel Developer's Guide
 * for family 10h, MSRC001_0055; erratum 400). Guests would sleep until somebody types.
 */
static void avoid_c1e(void)
{
	const uint64_t bits = INT_PENDING_SMI_ON_HALT | INT_PENDING_C1E_ON_HALT;
	uint32_t family = amd_family();
	uint64_t value;

	/* Not all of family 0Fh have the register. */
	if (family < 0xf || family > 0x11 || rdmsr_safe(MSR_AMD_INT_PENDING, &value))
		return;
	if (value & bits)
		(void)wrmsr_safe(MSR_AMD_INT_PENDING, value & ~bits);
}

void errata_init_cpu(void)
{
	avoid_c1e();
}
