#include "boot/canary.h"

#include <stdint.h>

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "boot/panic.h"

#define RDRAND_TRIES 10 /* SDM vol. 1 7.3.17.1 */

/* Names and meaning are the compiler's. The value here is that of the time in the firmware. */
uintptr_t __stack_chk_guard = 0x00a5c3961e2d4b87;
_Noreturn void __stack_chk_fail(void);

_Noreturn void __stack_chk_fail(void)
{
	panic("a function has written over its stack");
}

static uint64_t random_word(void)
{
	uint64_t value = 0;
	uint8_t good = 0;

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND))
		return 0;
	for (unsigned int i = 0; i < RDRAND_TRIES && !good; i++)
		__asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(good)::"cc");
	return good ? value : 0;
}

/* The lowest byte, which text that runs over meets first, is 0 and ends text. */
__attribute__((optimize("no-stack-protector"))) void canary_init(void)
{
	uint64_t mixed = (rdtsc() ^ random_word()) * 0x9e3779b97f4a7c15;

	__stack_chk_guard = (mixed ^ mixed >> 32) & ~(uint64_t)0xff;
}
