/*
 * What the last walks of the guest's page tables found, for as long as each entry that they passed
 * is what it was: reading it again is as good as walking again. Kept for each kind of access. Own
 * core.
 */
#ifndef CORE_GVA_H
#define CORE_GVA_H

#include "core/vm.h"
#include "emul/walk.h"

/* CPL, RFLAGS.AC (false for a fetch), and whether the access is implicit. */
#define GVA_ACCESS(cpl, ac, implicit) ((uint32_t)(cpl) | (ac ? 4u : 0) | (implicit ? 8u : 0))

/*
 * The slot of a walk for KIND of LINEAR's page that still holds under these registers, or NULL.
 */
static inline const struct gva_slot *gva_find(const struct vcpu *v, enum walk_access kind,
					      uint64_t linear, const struct gva_key *key)
{
	const struct gva_slot *s = &v->gva[kind];

	if (s->page != linear >> 12 || s->key.cr3 != key->cr3 || s->key.cr0 != key->cr0 ||
	    s->key.cr4 != key->cr4 || s->key.efer != key->efer || s->key.access != key->access)
		return NULL;
	if (READ_ONCE(*s->where[0]) != s->entry[0] || READ_ONCE(*s->where[1]) != s->entry[1] ||
	    READ_ONCE(*s->where[2]) != s->entry[2] || READ_ONCE(*s->where[3]) != s->entry[3])
		return NULL;
	return s;
}

/*
 * The SIZE bytes of code at LINEAR, where they lie in one page that has been fetched from lately;
 * NULL: ask exit_fetch().
 */
static inline const uint8_t *gva_code(const struct vcpu *v, uint64_t linear, unsigned int size,
				      const struct gva_key *key)
{
	uint64_t offset = linear & (PAGE_SIZE - 1);
	const struct gva_slot *s;

	if (unlikely(offset > PAGE_SIZE - size))
		return NULL;
	s = gva_find(v, WALK_FETCH, linear, key);
	return likely(s && s->host) ? s->host + offset : NULL;
}

#endif
