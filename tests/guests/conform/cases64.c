/* 64-bit mode. */
#include "conform64.h"

void cases(void)
{
	identity_cases();
	register_cases();
	debug_cases();
	memory_cases();
	processor_cases();
	/* The last: QEMU's TCG does not switch its APIC on again. */
	apic_cases();
}
