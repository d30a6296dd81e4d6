/* Files of the volume that the application was started from. */
#ifndef EFI_FILES_H
#define EFI_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/handover.h"
#include "efi/app.h"

struct volume {
	EFI_FILE_HANDLE root;
	uint16_t *app_folder; /* normal path of the folder that socle.efi is in (efi/paths.h) */
};

/* EFI_UNSUPPORTED: the application was not started from a file system. */
EFI_STATUS volume_open(struct volume *v);
void volume_close(struct volume *v);

/* Whether there is something at PATH, readable or not. */
bool volume_has(const struct volume *v, const uint16_t *path);

/*
 * Reads a whole file into pages of its own. PATH is a normal path. *PAGES and *SIZE are set on
 * success alone; the pages are mem_release()d or stay.
 */
EFI_STATUS volume_read(const struct volume *v, const uint16_t *path, struct boot_extent *pages,
		       size_t *size);

#endif
