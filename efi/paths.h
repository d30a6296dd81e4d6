/*
 * Paths on the volume that Socle was started from, as the firmware's file system takes them: UCS-2
 * units, '\' between names. Pure text, no firmware: also compiled for the build machine.
 *
 * A normal path starts with '\', has single separators, no separator at its end (but "\" for the
 * root itself), and no name "." or "..".
 */
#ifndef EFI_PATHS_H
#define EFI_PATHS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/strbuf.h"

/* Units of PATH before its terminating zero. */
size_t path_length(const uint16_t *path);

/* Makes PATH normal, in place. PATH starts with '\' or '/'. -EPERM: ".." leads above the root. */
int path_normalize(uint16_t *path);

/* Cuts the last name off a normal path: the folder it is in. The root's is the root. */
void path_parent(uint16_t *path);

/* How many units path_resolve() needs for OUT, the terminating zero included. */
size_t path_resolve_units(const uint16_t *folder, const char *text);

/*
 * The normal path of what the configuration calls TEXT (UTF-8): from the root when it starts with
 * '/' or '\', else from FOLDER, a normal path. -EINVAL: TEXT is empty or not UTF-8; -ERANGE: it has
 * a character outside the Basic Multilingual Plane, which UCS-2 cannot hold; -EPERM: it leads above
 * the root.
 */
int path_resolve(const uint16_t *folder, const char *text, uint16_t *out);

/* Adds PATH in UTF-8, for messages. Half of a surrogate pair becomes '?'. */
void path_print(struct strbuf *sb, const uint16_t *path);

/*
 * Takes the next character off UTF-8 text. *TEXT is zero-terminated and not at its end; it moves
 * behind the character. Returns the code point, or -EINVAL with *TEXT one byte further.
 */
int32_t utf8_next(const char **text);

#endif
