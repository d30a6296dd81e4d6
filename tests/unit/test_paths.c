/* links: efi/paths.c lib/strbuf.c lib/fmt.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "efi/paths.h"
#include "lib/err.h"
#include "lib/util.h"

/* ASCII to units, on the heap with not a unit to spare, so that ASan sees a step too far. */
static uint16_t *units(const char *text)
{
	uint16_t *p = malloc((strlen(text) + 1) * sizeof(*p));

	assert_non_null(p);
	for (size_t i = 0; i <= strlen(text); i++)
		p[i] = (uint8_t)text[i];
	return p;
}

static void assert_path(const uint16_t *path, const char *want)
{
	char text[256];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	path_print(&sb, path);
	assert_string_equal(text, want);
}

static int resolve(const char *folder, const char *text, const char *want)
{
	uint16_t *f = units(folder);
	uint16_t *out = malloc(path_resolve_units(f, text) * sizeof(*out));
	int err;

	assert_non_null(out);
	err = path_resolve(f, text, out);
	if (want)
		assert_path(out, want);
	free(out);
	free(f);
	return err;
}

static void relative_to_the_folder_of_the_configuration(void **state)
{
	(void)state;
	assert_int_equal(resolve("\\", "vmlinuz", "\\vmlinuz"), 0);
	assert_int_equal(resolve("\\EFI\\BOOT", "vmlinuz", "\\EFI\\BOOT\\vmlinuz"), 0);
	assert_int_equal(resolve("\\EFI\\BOOT", "a/b\\c", "\\EFI\\BOOT\\a\\b\\c"), 0);
	assert_int_equal(resolve("\\EFI\\BOOT", "./a//b", "\\EFI\\BOOT\\a\\b"), 0);
	assert_int_equal(resolve("\\EFI\\BOOT", "../a", "\\EFI\\a"), 0);
}

static void absolute_from_the_root(void **state)
{
	(void)state;
	assert_int_equal(resolve("\\EFI\\BOOT", "/vmlinuz", "\\vmlinuz"), 0);
	assert_int_equal(resolve("\\EFI\\BOOT", "\\linux\\vmlinuz", "\\linux\\vmlinuz"), 0);
	assert_int_equal(resolve("\\EFI\\BOOT", "/a/../b/./c..d/...", "\\b\\c..d\\..."), 0);
	assert_int_equal(resolve("\\EFI", "/", "\\"), 0);
	assert_int_equal(resolve("\\EFI", "..", "\\"), 0);
	assert_int_equal(resolve("\\", "a/b/", "\\a\\b"), 0);
}

static void what_has_no_path(void **state)
{
	(void)state;
	assert_int_equal(resolve("\\", "", NULL), -EINVAL);
	assert_int_equal(resolve("\\", "..", NULL), -EPERM);
	assert_int_equal(resolve("\\EFI\\BOOT", "../../../x", NULL), -EPERM);
	assert_int_equal(resolve("\\", "bad\xff", NULL), -EINVAL);
	assert_int_equal(resolve("\\", "cut\xe2\x82", NULL), -EINVAL);
	assert_int_equal(resolve("\\", "overlong\xc0\xaf", NULL), -EINVAL);
	assert_int_equal(resolve("\\", "surrogate\xed\xa0\x80", NULL), -EINVAL);
	assert_int_equal(resolve("\\", "high\xf4\x90\x80\x80", NULL), -EINVAL);
	assert_int_equal(resolve("\\", "penguin\xf0\x9f\x90\xa7", NULL), -ERANGE);
}

static void letters_beyond_ascii(void **state)
{
	(void)state;
	assert_int_equal(resolve("\\", "gr\xc3\xbc\xc3\x9f/\xe2\x82\xac",
				 "\\gr\xc3\xbc\xc3\x9f\\\xe2\x82\xac"),
			 0);
}

static void any_depth(void **state)
{
	enum { DEPTH = 5000 };
	char *text = malloc(DEPTH * 3 + 1);
	uint16_t root[] = {'\\', 0};
	uint16_t *out;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < DEPTH; i++)
		memcpy(text + i * 3, i < DEPTH / 2 ? "/ab" : "\\cd", 3);
	text[DEPTH * 3] = '\0';
	out = malloc(path_resolve_units(root, text) * sizeof(*out));
	assert_non_null(out);
	assert_int_equal(path_resolve(root, text, out), 0);
	assert_int_equal(path_length(out), DEPTH * 3);
	assert_int_equal(out[DEPTH * 3 - 1], 'd');
	assert_int_equal(out[DEPTH * 3 - 3], '\\');
	free(out);
	free(text);
}

static void parents(void **state)
{
	static const struct {
		const char *path, *parent;
	} cases[] = {{"\\EFI\\BOOT\\BOOTX64.EFI", "\\EFI\\BOOT"},
		     {"\\socle.efi", "\\"},
		     {"\\", "\\"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint16_t *p = units(cases[i].path);

		path_parent(p);
		assert_path(p, cases[i].parent);
		free(p);
	}
}

/* What firmware's device paths look like: doubled and mixed separators. */
static void normal_in_place(void **state)
{
	uint16_t *p = units("\\\\EFI/BOOT\\\\..\\x\\");

	(void)state;
	assert_int_equal(path_normalize(p), 0);
	assert_path(p, "\\EFI\\x");
	free(p);
}

static void half_a_pair_is_printed_as_a_question_mark(void **state)
{
	static const uint16_t path[] = {'\\', 0xd83d, 'x', 0};

	(void)state;
	assert_path(path, "\\?x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(relative_to_the_folder_of_the_configuration),
		cmocka_unit_test(absolute_from_the_root),
		cmocka_unit_test(what_has_no_path),
		cmocka_unit_test(letters_beyond_ascii),
		cmocka_unit_test(any_depth),
		cmocka_unit_test(parents),
		cmocka_unit_test(normal_in_place),
		cmocka_unit_test(half_a_pair_is_printed_as_a_question_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
