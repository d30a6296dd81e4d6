#include "tests/unit/support/fake_vmx.h"

#include "arch/x86/mitigations.h"

#include <string.h>

#define FIELDS	 0x8000
#define VMCS_MAX 4

struct fake_vmcs {
	uint64_t pa, field[FIELDS];
	bool active, launched;
	unsigned int core;
};

struct fake_vmx vmx;

static struct fake_vmcs vmcss[VMCS_MAX];
static struct fake_vmcs *current[FAKE_CPUS];

static void require(bool cond, const char *what)
{
	if (cond)
		return;
	if (!vmx.keep_on)
		fail_msg("%s", what);
	if (!vmx.broken)
		vmx.broken = what;
}

void fake_vmx_reset(void)
{
	memset(&vmx, 0, sizeof(vmx));
	memset(vmcss, 0, sizeof(vmcss));
	memset(current, 0, sizeof(current));
}

static struct fake_vmcs *find(uint64_t pa)
{
	for (unsigned int i = 0; i < VMCS_MAX; i++) {
		if (!vmcss[i].pa)
			vmcss[i].pa = pa;
		if (vmcss[i].pa == pa)
			return &vmcss[i];
	}
	fail_msg("more VMCSs than there is room for");
	return NULL;
}

enum vm_result vmclear(uint64_t pa)
{
	struct fake_vmcs *c = find(pa);

	require(!c->active || c->core == machine.here, "VMCLEAR on another core than its own");
	c->active = c->launched = false;
	if (current[machine.here] == c)
		current[machine.here] = NULL;
	return VM_SUCCEED;
}

enum vm_result vmptrld(uint64_t pa)
{
	struct fake_vmcs *c = find(pa);

	require(!c->active || c->core == machine.here,
		"VMPTRLD of a VMCS that is active on another core");
	c->active = true;
	c->core = machine.here;
	current[machine.here] = c;
	return VM_SUCCEED;
}

uint64_t vmread(enum vmcs_field field)
{
	require(current[machine.here], "VMREAD without a current VMCS");
	return current[machine.here] ? current[machine.here]->field[field] : 0;
}

void vmwrite(enum vmcs_field field, uint64_t value)
{
	require(current[machine.here], "VMWRITE without a current VMCS");
	if (current[machine.here])
		current[machine.here]->field[field] = value;
}

enum vm_result invept(uint64_t type, uint64_t eptp)
{
	(void)type;
	vmx.invepts++;
	vmx.last_eptp = eptp;
	return VM_SUCCEED;
}

enum vm_result invvpid(uint64_t type, uint16_t vpid)
{
	(void)type;
	vmx.invvpids++;
	vmx.last_vpid = vpid;
	return VM_SUCCEED;
}

uint64_t fake_read(enum fake_register r)
{
	return vmx.registers[r];
}

void fake_write(enum fake_register r, uint64_t value)
{
	vmx.registers[r] = value;
}

/* The lists that entries and exits go through (25.7.2, 25.8.2). */
static void move_msrs(enum vmcs_field address, enum vmcs_field count, bool store)
{
	struct vmx_msr *m = (struct vmx_msr *)vmread(address);

	for (uint64_t i = vmread(count); i; i--, m++) {
		require(!m->reserved, "a list of MSRs with a reserved field set");
		if (store)
			m->value = fake_rdmsr(m->index);
		else
			fake_set_msr(m->index, m->value);
	}
}

static void enter_once(struct vcpu *v, bool launched)
{
	struct fake_vmcs *c = current[machine.here];

	require(c && c->launched == launched, "VMLAUNCH and VMRESUME mixed up");
	vmx.launches += !launched;
	vmx.resumes += launched;
	vmx.entered = vmread(VMCS_ENTRY_INTR_INFO);
	c->launched = true;
	/* An exit leaves no event behind (25.8.3): the valid bit is cleared. */
	vmwrite(VMCS_ENTRY_INTR_INFO, vmx.entered & ~INTR_INFO_VALID);
	move_msrs(VMCS_ENTRY_MSR_LOAD_ADDR, VMCS_ENTRY_MSR_LOAD_COUNT, false);
	vmx.guest(v);
	move_msrs(VMCS_EXIT_MSR_STORE_ADDR, VMCS_EXIT_MSR_STORE_COUNT, true);
	move_msrs(VMCS_EXIT_MSR_LOAD_ADDR, VMCS_EXIT_MSR_LOAD_COUNT, false);
}

enum vmx_run_result vmx_enter(struct vcpu *v, struct vmx_vcpu *vv, bool launched)
{
	enum vmx_run_result result;

	(void)vv;
	do {
		enter_once(v, launched);
		launched = true;
		result = vmx_handle_exit(v);
	} while (result == RUN_AGAIN);
	return result;
}

void vmx_exit(void)
{
}

void vmx_exit_guarded(void)
{
}

void vmx_exit_guarded_timed(void)
{
}

bool mitigations_around_exits(void)
{
	return false;
}

uint64_t mitigations_spec_ctrl(void)
{
	return vmx.host_spec_ctrl;
}

void vmx_exit_timed(void)
{
}
