#include "config/suggest.h"

#include "lib/string.h"
#include "lib/util.h"

/* Longer words are no keys: nobody is helped by comparing them. */
#define WORD_MAX 32

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/*
 * Optimal string alignment distance: rows of the usual table, the two before the present one kept.
 */
static unsigned int distance(struct text a, struct text b)
{
	unsigned int rows[3][WORD_MAX + 1];

	for (size_t j = 0; j <= b.len; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= a.len; i++) {
		unsigned int *row = rows[i % 3];
		const unsigned int *above = rows[(i - 1) % 3];
		const unsigned int *two_above = rows[(i + 1) % 3];
		char x = lower(a.p[i - 1]);

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b.len; j++) {
			char y = lower(b.p[j - 1]);
			unsigned int best = above[j - 1] + (x != y);

			best = MIN(best, MIN(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && x == lower(b.p[j - 2]) && lower(a.p[i - 2]) == y)
				best = MIN(best, two_above[j - 2] + 1);
			row[j] = best;
		}
	}
	return rows[a.len % 3][b.len];
}

const char *suggest(struct text word, const char *const *names, size_t count)
{
	const char *nearest = NULL;
	/* A third of the letters, and at least one, may be wrong; more is another word. */
	unsigned int limit = (unsigned int)(word.len + 2) / 3;

	if (word.len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		struct text name = {names[i], strlen(names[i])};
		unsigned int d;

		if (name.len > WORD_MAX)
			continue;
		d = distance(word, name);
		/* A word of which nothing is left is not mistyped. */
		if (d > limit || d >= name.len)
			continue;
		nearest = names[i];
		if (d == 0)
			break;
		limit = d - 1;
	}
	return nearest;
}
