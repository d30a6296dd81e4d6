/*
 * The machine around svm/run.c in its tests: one vCPU, core/'s handlers that write down what they
 * were asked, and an entry that plays what a processor does. For test_svm_run.c alone.
 */
#ifndef TESTS_UNIT_SUPPORT_SVM_MACHINE_H
#define TESTS_UNIT_SUPPORT_SVM_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/percpu.h"
#include "core/cpuid.h"
#include "core/exits.h"
#include "core/lapic.h"
#include "core/mmio.h"
#include "lib/assert.h"
#include "lib/err.h"
#include "tests/unit/support/host_handler.h"
#include "tests/unit/support/hv_memory.h"
#include "svm/internal.h"

struct svm_features svm_features;

static struct pcpu pcpu = {.apic_id = 7};
static unsigned int kicks, invlpgas;

struct pcpu *this_cpu(void)
{
	return &pcpu;
}

void apic_send_ipi(uint32_t apic_id, uint8_t vector)
{
	assert_int_equal(apic_id, 7);
	(void)vector;
	kicks++;
}

void svm_invlpga(const struct svm_vcpu *s, uint64_t gva)
{
	(void)s;
	assert_int_equal(gva, 0xdead000);
	invlpgas++;
}

void svm_prepare_asid(struct svm_vcpu *s, const struct svm_vm *m)
{
	(void)m;
	vmcb_set_asid(&s->vmcb, 1);
}

uint64_t svm_nested_root(const struct vm *vm)
{
	return vm->npt.root;
}

/* core/, as far as the inner loop calls it. */
static struct {
	unsigned int cpuid, rdmsr, wrmsr, lengths;
	unsigned int events; /* requests that run_events() takes */
	const uint8_t *code; /* exit_mov()'s */
	uint64_t mov_gpa;
	bool mov_write;
	unsigned int mov_length;
	uint16_t port;
	bool in;
	uint8_t size;
	enum act act;
	uint8_t bytes[15];
	uint8_t queued;
} core;

void vcpu_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	(void)has_error;
	(void)error;
	core.queued = vector;
	v->requests |= REQ_EVENT;
}

void exit_cpuid(struct vcpu *v)
{
	core.cpuid++;
	v->gpr[RAX] = 0x11;
}

enum act exit_rdmsr(struct vcpu *v)
{
	(void)v;
	core.rdmsr++;
	return core.act;
}

enum act exit_wrmsr(struct vcpu *v)
{
	(void)v;
	core.wrmsr++;
	return core.act;
}

unsigned int exit_mov(struct vcpu *v, const uint8_t *code, uint64_t gpa, bool write)
{
	(void)v;
	assert_ptr_equal(code, core.code);
	core.mov_gpa = gpa;
	core.mov_write = write;
	return core.mov_length;
}

bool run_events(struct vcpu *v)
{
	if (!core.events || v->requests != REQ_EVENT)
		return false;
	core.events--;
	v->requests = 0;
	return true;
}

void exit_pio(struct vcpu *v, uint16_t port, bool in, uint8_t size)
{
	(void)v;
	core.port = port;
	core.in = in;
	core.size = size;
}

unsigned int exit_insn_len(struct vcpu *v)
{
	(void)v;
	core.lengths++;
	return 2;
}

/* The link of the task-state segment. */
int mmio_system_access(struct vcpu *v, uint64_t linear, void *buf, unsigned int size, bool write)
{
	(void)v;
	assert_int_equal(linear, 0x7000);
	assert_int_equal(size, 2);
	assert_false(write);
	*(uint16_t *)buf = 0x28;
	return 0;
}

unsigned int exit_fetch(struct vcpu *v, uint8_t buf[15])
{
	(void)v;
	memcpy(buf, core.bytes, 15);
	return 15;
}

uint64_t cpuid_xcr0_mask(const struct vm *v)
{
	(void)v;
	return 7;
}

uint8_t cpuid_phys_width(const struct vm *v)
{
	(void)v;
	return 40;
}

/*
 * The processor: each call of svm_enter() looks at the VMCB with the next step of the script, and
 * leaves an exit in it. After the script's end a request is pending, so that run() returns.
 */
typedef void step(struct vmcb *b);

static step *script[8];
static unsigned int entries;
static bool uncovered; /* the return stack is as the guest left it */
static struct cpuid_plain no_plain_leaves;
static struct vm vm;
static struct svm_vm svm_vm;
static struct vcpu vcpu;

static struct svm_vcpu *svm(void)
{
	return svm_of(&vcpu);
}

static struct vmcb *vmcb(void)
{
	return &svm()->vmcb;
}

void svm_enter(struct vcpu *v, uint64_t vmcb_pa, uint64_t host_pa)
{
	(void)host_pa;
	assert_int_equal(vmcb_pa, (uintptr_t)vmcb());
	vmcb()->exitintinfo = 0;
	vmcb()->exitinfo1 = vmcb()->exitinfo2 = vmcb()->nrip = 0;
	assert_non_null(script[entries]);
	uncovered = true;
	script[entries++](vmcb());
	if (!script[entries])
		v->requests |= REQ_YIELD;
}

void svm_fill_return_stack(void)
{
	uncovered = false;
}

static struct hv_exit run_script(step *a, step *b, step *c)
{
	struct hv_exit x;

	memset(&x, 0xaa, sizeof(x));
	entries = 0;
	vcpu.requests = 0;
	script[0] = a;
	script[1] = b;
	script[2] = c;
	assert_int_equal(svm_run(&vcpu, &x), 0);
	assert_false(uncovered); /* returns from here on could be ones that the guest steers */
	return x;
}

static struct hv_exit run_one(step *a)
{
	return run_script(a, NULL, NULL);
}

static int set_up(void **state)
{
	(void)state;
	svm_features = (struct svm_features){.asid_count = 16};
	memset(&core, 0, sizeof(core));
	core.queued = 0xff;
	kicks = invlpgas = 0;
	memset(&vcpu, 0, sizeof(vcpu));
	vm = (struct vm){.hv = &svm_vm, .name = "test", .cpuid = &no_plain_leaves};
	vcpu.vm = &vm;
	assert_int_equal(svm_vcpu_init(&vcpu), 0);
	svm()->cpu = (struct svm_cpu *)&pcpu;
	vcpu.st.rip = 0x1000;
	vcpu.st.rflags = 0x202;
	assert_int_equal(svm_vcpu_reset(&vcpu), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(vcpu.hv);
	return 0;
}

#endif
