#include "boot/place.h"

#include "arch/x86/percpu.h"
#include "core/sched.h"
#include "core/vm.h"
#include "lib/assert.h"
#include "lib/log.h"

static const struct handover *handover;
static struct vm *const *vms;
/* There are fewer cores than vCPUs: a VM takes all threads of one before it begins another. */
static bool pack;

static bool allowed(const struct config_vm *c, unsigned int cpu)
{
	for (size_t i = 0; i < c->cpus_count; i++)
		if (cpu >= c->cpus[i].first && cpu <= c->cpus[i].last)
			return true;
	return !c->has_cpus;
}

static unsigned int vcpus_on(const struct vm *vm, const struct pcpu *cpu)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		n += vm->vcpu[i]->cpu == cpu;
	return n;
}

/* Another VM that has a vCPU on CPU, or NULL. */
static const struct vm *stranger_on(const struct vm *vm, const struct pcpu *cpu)
{
	for (size_t i = 0; i < handover->vm_count; i++)
		if (vms[i] != vm && vcpus_on(vms[i], cpu))
			return vms[i];
	return NULL;
}

/* Two threads of one core. What nobody could ask where it is counts as a core. */
static bool are_siblings(const struct pcpu *one, const struct pcpu *other)
{
	const struct boot_cpu *a = &handover->cpus[one->id], *b = &handover->cpus[other->id];

	return one != other && a->probed && b->probed && a->package == b->package &&
	       a->core == b->core;
}

/* How good a place is: the first difference counts, less is better. */
struct rank {
	unsigned int load;	/* vCPUs there */
	unsigned int strangers; /* threads of its core that have other VMs' */
	unsigned int core;	/* its own vCPUs on the core's other threads; packed: how few */
};

static struct rank rank_of(const struct vm *vm, const struct pcpu *cpu)
{
	struct rank r = {.load = sched_load_of(cpu)};
	unsigned int near = 0;

	for (unsigned int i = 0; i < cpu_count; i++) {
		if (!are_siblings(cpu, pcpus[i]))
			continue;
		near += vcpus_on(vm, pcpus[i]);
		r.strangers += stranger_on(vm, pcpus[i]) != NULL;
	}
	r.core = pack ? VM_MAX_VCPUS - near : near;
	return r;
}

static bool better(struct rank a, struct rank b)
{
	if (a.load != b.load)
		return a.load < b.load;
	if (a.strangers != b.strangers)
		return a.strangers < b.strangers;
	return a.core < b.core;
}

/* What a place must have; each later one is for when cores of this machine have not started. */
enum choice { OWN, SHARED, ANY, CHOICES };

static bool may_be(const struct vm *vm, const struct config_vm *c, const struct pcpu *cpu,
		   enum choice choice)
{
	if (cpu->state != CPU_ONLINE)
		return false;
	return choice == ANY || (allowed(c, cpu->id) && (choice == SHARED || !vcpus_on(vm, cpu)));
}

/* The best of those that may be; the lowest number of equals. */
static struct pcpu *choose(const struct vm *vm, const struct config_vm *c, enum choice choice)
{
	struct pcpu *best = NULL;
	struct rank best_rank, rank;

	for (unsigned int i = 0; i < cpu_count; i++) {
		if (!may_be(vm, c, pcpus[i], choice))
			continue;
		rank = rank_of(vm, pcpus[i]);
		if (best && !better(rank, best_rank))
			continue;
		best = pcpus[i];
		best_rank = rank;
	}
	return best;
}

static void place_vm(struct vm *vm, const struct config_vm *c)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		struct pcpu *cpu = NULL;
		enum choice choice = OWN;

		for (; !cpu && choice < CHOICES; choice++)
			cpu = choose(vm, c, choice);
		assert(cpu); /* this one at least is online */
		if (choice > OWN + 1)
			log_warn("vm %s: vcpu %u shares a core: not all of this machine's started",
				 vm->name, i);
		sched_place(vm->vcpu[i], cpu);
	}
}

static bool is_first_thread(const struct pcpu *cpu)
{
	for (unsigned int i = 0; i < cpu->id; i++)
		if (pcpus[i]->state == CPU_ONLINE && are_siblings(cpu, pcpus[i]))
			return false;
	return cpu->state == CPU_ONLINE;
}

static bool fewer_cores_than_vcpus(void)
{
	unsigned int cores = 0, vcpus = 0;

	for (unsigned int i = 0; i < cpu_count; i++)
		cores += is_first_thread(pcpus[i]);
	for (size_t i = 0; i < handover->vm_count; i++)
		vcpus += vms[i]->vcpu_count;
	return vcpus > cores;
}

/* VMs that run at the same time on two threads can watch each other through what these share. */
static void warn_of_mixed_core(const struct vm *vm, const struct pcpu *cpu)
{
	const struct vm *other;

	for (unsigned int i = 0; i < cpu_count; i++) {
		if (!are_siblings(cpu, pcpus[i]))
			continue;
		other = stranger_on(vm, pcpus[i]);
		if (other && other->index > vm->index)
			log_warn("vm %s on cpu %u and vm %s on cpu %u share a core, whose threads "
				 "these are",
				 vm->name, cpu->id, other->name, pcpus[i]->id);
	}
}

/* VMs that name their cores first: the others can go around them. */
void place_vms(const struct handover *h, struct vm *const *all)
{
	handover = h;
	vms = all;
	pack = fewer_cores_than_vcpus();
	for (int named = 1; named >= 0; named--)
		for (size_t i = 0; i < h->vm_count; i++)
			if (h->vms[i].config->has_cpus == named)
				place_vm(vms[i], h->vms[i].config);
	for (size_t i = 0; i < h->vm_count; i++)
		for (unsigned int n = 0; n < vms[i]->vcpu_count; n++)
			warn_of_mixed_core(vms[i], vms[i]->vcpu[n]->cpu);
}
