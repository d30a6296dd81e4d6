/* The word that someone may have meant. */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include <stddef.h>

#include "config/text.h"

/*
 * Returns the one of NAMES that is nearest to WORD by insertions, deletions, replacements and swaps
 * of neighbours, upper and lower case alike; NULL when none is near enough to be a mistyped WORD.
 */
const char *suggest(struct text word, const char *const *names, size_t count);

#endif
