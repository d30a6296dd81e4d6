/*
 * VMX on the build machine: VMCSs that are fields in a table, current on one core at a time; VMREAD
 * and VMWRITE with none current, VMPTRLD of one that another core has not cleared, VMLAUNCH of a
 * launched and VMRESUME of a cleared one fail the test (SDM vol. 3C 25.1, 25.11). Translations are
 * counted as if nothing but INVEPT and INVVPID dropped them.
 */
#ifndef TESTS_UNIT_SUPPORT_FAKE_VMX_H
#define TESTS_UNIT_SUPPORT_FAKE_VMX_H

#include "tests/unit/support/unprivileged_vmx.h"

#include "tests/unit/support/fake_core.h"
#include "vmx/internal.h"

struct fake_vmx {
	unsigned int invepts, invvpids, launches, resumes;
	uint16_t last_vpid;
	uint64_t last_eptp;
	/* What the guest does at an entry; it sets VMCS_EXIT_REASON with vmwrite(). */
	void (*guest)(struct vcpu *v);
	/* Interruption information at the last entry. */
	uint64_t entered;
	uint64_t registers[FAKE_REGISTERS];
	uint64_t host_spec_ctrl; /* mitigations_spec_ctrl() */
	const char *broken; /* the first rule that was broken, where KEEP_ON is set */
	bool keep_on;
};

extern struct fake_vmx vmx;

/* No VMCS is known any more. */
void fake_vmx_reset(void);

#endif
