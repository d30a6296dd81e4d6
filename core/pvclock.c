/* See core/pvclock.h. */
#include "core/pvclock.h"

#include "arch/x86/tsc.h"
#include "core/gmem.h"
#include "core/vm.h"
#include "lib/err.h"

/* Layouts: Linux arch/x86/include/asm/pvclock-abi.h, part of the documented interface. */
struct pvclock_time {
	uint32_t version; /* odd while it is being written */
	uint32_t pad;
	uint64_t tsc_timestamp;
	uint64_t system_time; /* ns */
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad2[2];
} __attribute__((packed, aligned(4))); /* the guest may put it at any multiple of 4 */

struct pvclock_wall {
	uint32_t version;
	uint32_t sec, nsec;
};

_Static_assert(sizeof(struct pvclock_time) == 32, "pvclock ABI");
_Static_assert(sizeof(struct pvclock_wall) == 12, "pvclock ABI");

#define PVCLOCK_TSC_STABLE 1u
#define NS_PER_S	   1000000000ull

/* ns = ((ticks << shift) * mul) >> 32: the shift that keeps mul's top bit set, so that it loses
 * least. */
static void scale(uint64_t hz, uint32_t *mul, int8_t *shift)
{
	uint64_t base = hz;
	int s = 0;

	while (base > 2 * NS_PER_S) {
		base >>= 1;
		s--;
	}
	while (base <= NS_PER_S) {
		base <<= 1;
		s++;
	}
	*mul = (uint32_t)(((unsigned __int128)NS_PER_S << 32) / base);
	*shift = (int8_t)s;
}

static void publish(struct pvclock_time *page, const struct pvclock_time *t, uint32_t *version)
{
	/* The guest reads on its own vCPU only while this one does not run, or retries on an odd
	 * version. */
	*version += 1;
	__atomic_store_n(&page->version, *version, __ATOMIC_SEQ_CST);
	page->tsc_timestamp = t->tsc_timestamp;
	page->system_time = t->system_time;
	page->tsc_to_system_mul = t->tsc_to_system_mul;
	page->tsc_shift = t->tsc_shift;
	page->flags = t->flags;
	*version += 1;
	__atomic_store_n(&page->version, *version, __ATOMIC_SEQ_CST);
}

void pvclock_update(struct vcpu *v)
{
	struct pvclock_time t = {.flags = PVCLOCK_TSC_STABLE};
	struct pvclock_time *page;

	if (!(v->pvclock_gpa & 1))
		return;
	page = gmem_ptr(v->vm, v->pvclock_gpa & ~1ull, sizeof(*page));
	if (!page)
		return;
	scale(tsc_hz(), &t.tsc_to_system_mul, &t.tsc_shift);
	/* One line for all vCPUs: time 0 is the VM's start, so no vCPU's clock is ahead of
	 * another's. */
	/* What the guest has moved its TSC by since is in TSC_ADJUST. */
	t.tsc_timestamp = v->vm->tsc_base + v->tsc_adjust;
	t.system_time = 0;
	publish(page, &t, &v->pvclock_version);
}

int pvclock_set_system_time(struct vcpu *v, uint64_t value)
{
	if (value & 1 &&
	    (value & 2 || !gmem_ptr(v->vm, value & ~1ull, sizeof(struct pvclock_time))))
		return -EPERM;
	v->pvclock_gpa = value;
	pvclock_update(v);
	return 0;
}

int pvclock_write_wall_clock(struct vcpu *v, uint64_t gpa)
{
	struct pvclock_wall *page = gmem_ptr(v->vm, gpa, sizeof(*page));
	uint64_t ns =
		v->vm->wall_clock_ns + tsc_to_ns(v->vm->tsc_base + READ_ONCE(v->vm->stood_still));
	uint32_t version;

	if (!page || gpa & 3)
		return -EPERM;
	/* Odd while it is being written, and another one each time: a reader on another vCPU sees
	 * that. */
	version = READ_ONCE(page->version) | 1;
	__atomic_store_n(&page->version, version, __ATOMIC_SEQ_CST);
	page->sec = (uint32_t)(ns / NS_PER_S);
	page->nsec = (uint32_t)(ns % NS_PER_S);
	__atomic_store_n(&page->version, version + 1, __ATOMIC_SEQ_CST);
	return 0;
}
