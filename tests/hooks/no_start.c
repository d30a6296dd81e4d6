/* wraps: apic_send_startup */
/* Socle on a machine whose second processor never starts. */
#include "arch/x86/apic.h"

void __real_apic_send_startup(uint32_t apic_id, uint8_t page);
void __wrap_apic_send_startup(uint32_t apic_id, uint8_t page);

void __wrap_apic_send_startup(uint32_t apic_id, uint8_t page)
{
	if (apic_id != 1)
		__real_apic_send_startup(apic_id, page);
}
