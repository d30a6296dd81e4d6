/* socle.cfg and the files it names. */
#ifndef EFI_SETUP_H
#define EFI_SETUP_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/handover.h"
#include "efi/files.h"
#include "efi/report.h"

struct setup {
	struct config config;
	const uint16_t *folder; /* the one that socle.cfg was found in; NULL: not found */
};

/*
 * Finds socle.cfg in the application's folder or in the volume's root, and parses it. Whatever is
 * wrong goes to R; with nothing found, that are the paths tried and a file that would work.
 */
void setup_read(struct setup *s, const struct volume *v, struct report *r);

/*
 * Makes h->vms of the configuration and reads every file it names; a file that several VMs name is
 * read once. Whatever is wrong goes to R.
 */
void setup_load(struct handover *h, const struct setup *s, const struct volume *v,
		struct report *r);

/* config_check() against this machine: its processors, and MEMORY bytes for guests. */
void setup_check(const struct setup *s, size_t cpus, uint64_t memory, struct report *r);

#endif
