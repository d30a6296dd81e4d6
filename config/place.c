#include "config/config.h"

#include "lib/util.h"

/*
 * Which processor runs which vCPU, as a matching: a vCPU that finds all its processors taken makes
 * their VMs move on to others, along a chain that ends in a free one (an augmenting path). Small
 * numbers, and once a boot: no cleverness with the sets.
 */

/* A processor on the search's way: the number of the one it was reached from, or one of these. */
#define UNREACHED UINT32_MAX
#define ROOT	  (UINT32_MAX - 1)

struct placement {
	const struct config *config;
	uint32_t cpus;
	uint32_t *owner;
	uint32_t *from;
};

static bool allowed(const struct config_vm *vm, uint32_t cpu)
{
	for (size_t i = 0; i < vm->cpus_count; i++) {
		if (cpu >= vm->cpus[i].first && cpu <= vm->cpus[i].last)
			return true;
	}
	return !vm->has_cpus;
}

/* Each processor of the chain that ends in FREE takes over the VM of the one before it. */
static void move_along(struct placement *p, uint32_t free, uint32_t vm)
{
	while (p->from[free] != ROOT) {
		p->owner[free] = p->owner[p->from[free]];
		free = p->from[free];
	}
	p->owner[free] = vm;
}

/* Marks what VM may use as reached FROM, up to a free processor, which is returned. */
static uint32_t reach(struct placement *p, uint32_t vm, uint32_t from, bool *any)
{
	for (uint32_t c = 0; c < p->cpus; c++) {
		if (p->from[c] != UNREACHED || !allowed(&p->config->vms[vm], c))
			continue;
		p->from[c] = from;
		*any = true;
		if (p->owner[c] == CONFIG_NO_VM)
			return c;
	}
	return UNREACHED;
}

static bool place_vcpu(struct placement *p, uint32_t vm)
{
	uint32_t free;
	bool any;

	for (uint32_t c = 0; c < p->cpus; c++)
		p->from[c] = UNREACHED;
	free = reach(p, vm, ROOT, &any);
	do {
		any = false;
		for (uint32_t c = 0; c < p->cpus && free == UNREACHED; c++) {
			if (p->from[c] != UNREACHED)
				free = reach(p, p->owner[c], c, &any);
		}
	} while (free == UNREACHED && any);
	if (free == UNREACHED)
		return false;
	move_along(p, free, vm);
	return true;
}

static bool place_vm(struct placement *p, uint32_t vm)
{
	for (uint32_t i = 0; i < p->config->vms[vm].vcpus; i++) {
		if (place_vcpu(p, vm))
			continue;
		/* All or nothing, so that a VM behind this one may still fit. */
		for (uint32_t c = 0; c < p->cpus; c++) {
			if (p->owner[c] == vm)
				p->owner[c] = CONFIG_NO_VM;
		}
		return false;
	}
	return true;
}

size_t config_place(const struct config *config, uint32_t cpus, uint32_t *owner, uint32_t *scratch)
{
	struct placement p = {config, cpus, owner, scratch};
	size_t failed = 0;

	for (uint32_t c = 0; c < cpus; c++)
		owner[c] = CONFIG_NO_VM;
	/* Those that name processors first: the others then have the lowest of what is left. */
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t vm = 0; vm < config->vm_count; vm++) {
			const struct config_vm *v = &config->vms[vm];

			if (v->autostart && v->has_cpus == (pass == 0))
				failed += !place_vm(&p, vm);
		}
	}
	return failed;
}
