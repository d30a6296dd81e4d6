/* links: boot/place.c lib/log.c lib/fmt.c lib/strbuf.c */
/* Which core each vCPU gets, on machines with and without threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/percpu.h"
#include "boot/place.h"
#include "core/sched.h"
#include "core/vm.h"
#include "lib/assert.h"
#include "lib/log.h"

#define CPUS 8
#define VMS  4

struct pcpu *pcpus[CPU_MAX];
unsigned int cpu_count;

static struct pcpu cpu[CPUS];
static unsigned int load[CPUS];
static struct boot_cpu known[CPUS];
static struct vm vm[VMS], *vms[VMS];
static struct vcpu vcpu[VMS][CPUS];
static struct config_vm config[VMS];
static struct config_cpu_range range[VMS];
static struct boot_vm boot_vm[VMS];
static struct handover h;
static char said[4096];

unsigned int sched_load_of(const struct pcpu *c)
{
	return load[c->id];
}

void sched_place(struct vcpu *v, struct pcpu *c)
{
	v->cpu = c;
	load[c->id]++;
}

_Noreturn void assert_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static void note(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	strncat(said, line, len);
	strcat(said, "\n");
}

/* Processors, THREADS to a core, of which COUNT are there. */
static void machine(unsigned int count, unsigned int threads)
{
	cpu_count = count;
	memset(load, 0, sizeof(load));
	memset(vcpu, 0, sizeof(vcpu));
	memset(config, 0, sizeof(config));
	h = (struct handover){.vms = boot_vm, .cpus = known, .cpu_count = count};
	for (unsigned int i = 0; i < count; i++) {
		cpu[i] = (struct pcpu){.id = i, .state = CPU_ONLINE};
		pcpus[i] = &cpu[i];
		known[i] = (struct boot_cpu){.probed = true,
					     .core = i / threads,
					     .thread = i % threads};
	}
	said[0] = '\0';
	log_set_sink(note, NULL);
}

static void add(unsigned int vcpus)
{
	unsigned int n = (unsigned int)h.vm_count++;

	vm[n] = (struct vm){.index = n, .vcpu_count = vcpus, .name = {(char)('a' + n)}};
	vms[n] = &vm[n];
	boot_vm[n].config = &config[n];
	for (unsigned int i = 0; i < vcpus; i++)
		vm[n].vcpu[i] = &vcpu[n][i];
}

static void add_on(unsigned int vcpus, uint32_t first, uint32_t last)
{
	struct config_vm *c = &config[h.vm_count];

	range[h.vm_count].first = first;
	range[h.vm_count].last = last;
	c->has_cpus = true;
	c->cpus = &range[h.vm_count];
	c->cpus_count = 1;
	add(vcpus);
}

/* "01 2": VM a has processors 0 and 1, VM b 2. */
static void assert_placed(const char *wanted)
{
	char got[64] = "";

	place_vms(&h, vms);
	for (size_t i = 0; i < h.vm_count; i++) {
		for (unsigned int n = 0; n < vm[i].vcpu_count; n++)
			sprintf(got + strlen(got), "%u", vcpu[i][n].cpu->id);
		strcat(got, i + 1 < h.vm_count ? " " : "");
	}
	assert_string_equal(got, wanted);
}

static void test_one_to_a_core(void **state)
{
	(void)state;
	machine(4, 1);
	add(2);
	add(1);
	add(1);
	assert_placed("01 2 3");
	assert_string_equal(said, "");
}

static void test_more_vcpus_than_cores(void **state)
{
	(void)state;
	machine(2, 1);
	add(2);
	add(1);
	add(1);
	assert_placed("01 0 1");
	machine(2, 1);
	add(1);
	add_on(1, 0, 0);
	assert_placed("1 0");
	assert_string_equal(said, "");
}

/* While there are enough cores nobody is next to anybody on one. */
static void test_threads_are_left_empty(void **state)
{
	(void)state;
	machine(8, 2);
	add(2);
	add(1);
	add(1);
	assert_placed("02 4 6");
	assert_string_equal(said, "");
}

/* Else a VM is next to itself. */
static void test_threads_of_a_core_are_one_vms(void **state)
{
	(void)state;
	machine(8, 2);
	add(2);
	add(3);
	add(1);
	assert_placed("01 234 6");
	assert_string_equal(said, "");
}

static void test_mixed_cores_are_told(void **state)
{
	(void)state;
	machine(4, 2);
	add(1);
	add(1);
	add(1);
	assert_placed("0 2 1");
	assert_non_null(strstr(said, "warning: vm a on cpu 0 and vm c on cpu 1 share a core"));
	assert_null(strstr(said, "vm b"));
	machine(4, 2);
	add_on(1, 2, 2);
	add_on(1, 3, 3);
	assert_placed("2 3");
	assert_non_null(strstr(said, "warning: vm a on cpu 2 and vm b on cpu 3 share a core"));
}

/* What nobody could ask counts as a core of its own. */
static void test_unknown_topology(void **state)
{
	(void)state;
	machine(4, 2);
	for (unsigned int i = 0; i < 4; i++)
		known[i] = (struct boot_cpu){0};
	add(1);
	add(1);
	assert_placed("0 1");
	assert_string_equal(said, "");
}

static void test_cores_that_did_not_start(void **state)
{
	(void)state;
	machine(4, 1);
	cpu[1].state = CPU_FAILED;
	add(2);
	add_on(1, 1, 1);
	assert_placed("23 0");
	assert_non_null(strstr(said, "vm b: vcpu 0 shares a core: not all of this machine's"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_to_a_core),
		cmocka_unit_test(test_more_vcpus_than_cores),
		cmocka_unit_test(test_threads_are_left_empty),
		cmocka_unit_test(test_threads_of_a_core_are_one_vms),
		cmocka_unit_test(test_mixed_cores_are_told),
		cmocka_unit_test(test_unknown_topology),
		cmocka_unit_test(test_cores_that_did_not_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
