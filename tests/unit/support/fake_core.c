#include "tests/unit/support/fake_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/apic.h"
#include "arch/x86/pages.h"
#include "arch/x86/tsc.h"
#include "core/clock.h"
#include "core/cpuid.h"
#include "core/sched.h"
#include "lib/assert.h"

struct fake fake;
struct hv_caps hv_caps;

static void apic_mode(struct vcpu *v, enum apic_mode mode)
{
	fake.apic_mode_calls++;
	v->vid = fake.offers_vid && mode != APIC_OFF;
}

static void irq_sync(struct vcpu *v)
{
	(void)v;
	fake.irq_syncs++;
}

static void eoi_exits(struct vcpu *v, const uint64_t vectors[4])
{
	(void)v;
	fake.eoi_exits_calls++;
	memcpy(fake.eoi_exits, vectors, sizeof(fake.eoi_exits));
}

static const struct hv_ops ops = {.name = "fake",
				  .apic_mode = apic_mode,
				  .irq_sync = irq_sync,
				  .eoi_exits = eoi_exits};
const struct hv_ops *hv = &ops;

struct vm *fake_vm_new(unsigned int vcpus)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	memset(&fake, 0, sizeof(fake));
	fake.hz = NS_PER_S;
	fake.phys_width = 39;
	vm->vcpu_count = vcpus;
	for (unsigned int i = 0; i < vcpus; i++) {
		vm->vcpu[i] = calloc(1, sizeof(struct vcpu));
		vm->vcpu[i]->id = i;
		vm->vcpu[i]->vm = vm;
		vm->vcpu[i]->armed = ~0ull;
		vm->vcpu[i]->apic_page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
		memset(vm->vcpu[i]->apic_page, 0xa5, PAGE_SIZE);
	}
	return vm;
}

void fake_vm_free(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		free(vm->vcpu[i]->apic_page);
		free(vm->vcpu[i]);
	}
	free(vm);
}

uint32_t fake_requests(struct vcpu *v)
{
	return __atomic_exchange_n(&v->requests, 0, __ATOMIC_RELAXED);
}

/* Tests that link core/event.c, core/lifecycle.c or core/cpuid.c have the real ones. */
#define UNLESS_LINKED __attribute__((weak))

UNLESS_LINKED void sched_rearm(struct vcpu *v, uint64_t at)
{
	v->armed = at;
	fake.rearms++;
}

UNLESS_LINKED void sched_let_in(void)
{
}

UNLESS_LINKED bool sched_alone(const struct vcpu *v)
{
	(void)v;
	return true;
}

/* The core's own timer: tests that have one link tests/unit/support/fake_machine.c. */
UNLESS_LINKED bool apic_timer_has_deadline(void)
{
	return false;
}

UNLESS_LINKED uint64_t apic_timer_deadline(void)
{
	return 0;
}

UNLESS_LINKED void apic_timer_vector(uint8_t vector)
{
	(void)vector;
}

UNLESS_LINKED void apic_timer_arm(uint64_t host_tsc)
{
	(void)host_tsc;
}

UNLESS_LINKED void apic_timer_stop(void)
{
}

UNLESS_LINKED bool apic_is_pending(uint8_t vector)
{
	(void)vector;
	return false;
}

UNLESS_LINKED void vcpu_request(struct vcpu *v, uint32_t req)
{
	__atomic_fetch_or(&v->requests, req, __ATOMIC_RELAXED);
}

UNLESS_LINKED void vcpu_nmi(struct vcpu *v)
{
	v->nmis++;
	vcpu_request(v, REQ_NMI);
}

UNLESS_LINKED void vm_end(struct vm *vm, enum vm_end end, const char *why)
{
	(void)vm;
	assert_non_null(why);
	fake.end = end;
	snprintf(fake.end_why, sizeof(fake.end_why), "%s", why);
	fake.ends++;
}

UNLESS_LINKED void vm_set_irq(struct vm *vm, unsigned int gsi, bool level)
{
	assert_true(gsi < FAKE_GSIS);
	fake.rises[gsi] += level && !fake.line[gsi];
	fake.line[gsi] = level;
	for (unsigned int i = 0; i < vm->sink_count; i++)
		vm->sink[i].set_line(vm->sink[i].dev, gsi, level);
}

UNLESS_LINKED uint8_t cpuid_phys_width(const struct vm *vm)
{
	(void)vm;
	return fake.phys_width;
}

uint64_t tsc_now(void)
{
	return fake.tsc;
}

uint64_t tsc_hz(void)
{
	return fake.hz;
}

uint64_t tsc_from_ns(uint64_t ns)
{
	return mul_div(ns, fake.hz, NS_PER_S);
}

uint64_t tsc_to_ns(uint64_t ticks)
{
	return mul_div(ticks, NS_PER_S, fake.hz);
}

void *pages_alloc(size_t count)
{
	return memset(aligned_alloc(PAGE_SIZE, count * PAGE_SIZE), 0, count * PAGE_SIZE);
}

void pages_free(void *pages, size_t count)
{
	(void)count;
	free(pages);
}

void assert_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}
