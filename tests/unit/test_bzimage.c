/* links: guest/bzimage.c lib/strbuf.c lib/fmt.c tests/unit/support/fake_bzimage.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/bzimage.h"
#include "lib/err.h"
#include "lib/util.h"
#include "tests/unit/support/fake_bzimage.h"

static char text[256];

static int parse(struct bzimage *bz, const uint8_t *file, size_t size)
{
	struct strbuf why;

	sb_init(&why, text, sizeof(text));
	memset(bz, 0, sizeof(*bz));
	return bzimage_parse(bz, file, size, &why);
}

static void good_header(void **state)
{
	uint8_t *f = fake_bzimage();
	struct bzimage bz;

	(void)state;
	assert_int_equal(parse(&bz, f, FAKE_SIZE), 0);
	assert_string_equal(text, "");
	assert_int_equal(bz.load, FAKE_PREF);
	assert_int_equal(bz.end, FAKE_PREF + FAKE_INIT_SIZE);
	assert_ptr_equal(bz.payload, f + FAKE_SETUP_SIZE);
	assert_int_equal(bz.payload_size, FAKE_PAYLOAD_SIZE);
	assert_int_equal(bz.header_size, 0x26c - 0x1f1);
	assert_int_equal(bz.cmdline_max, FAKE_CMDLINE);
	assert_int_equal(bz.initrd_end, 0x80000000);
	assert_true(bz.initrd_anywhere);
	free(f);
}

struct change {
	const char *name;
	size_t offset;
	unsigned int len;
	uint64_t value;
	const char *why; /* part of the reason */
};

static const struct change refused[] = {
	{"setup_sects beyond the file", 0x1f1, 1, 255, "130048 of 135168 bytes are missing"},
	{"setup_sects 0 means 4", 0x1f1, 1, 0, "1536 of 6656 bytes are missing"},
	{"syssize one paragraph more than there is", 0x1f4, 4, FAKE_PAYLOAD_SIZE / 16 + 1,
	 "16 of 5136 bytes are missing"},
	{"syssize of 64 GiB", 0x1f4, 4, 0xffffffff, "68719472624 of 68719477744 bytes"},
	{"syssize that ends before the 64-bit entry", 0x1f4, 4, 0x20, "syssize"},
	{"syssize 0", 0x1f4, 4, 0, "syssize"},
	{"boot_flag", 0x1fe, 2, 0x55aa, "no bzImage"},
	{"magic", 0x202, 1, 'h', "no bzImage"},
	{"jump over less than the header", 0x201, 1, 0x65, "before init_size"},
	{"protocol 2.01", 0x206, 2, 0x201, "boot protocol 2.01"},
	{"protocol 0.00", 0x206, 2, 0, "boot protocol 0.00"},
	{"zImage", 0x211, 1, 0x80, "zImage"},
	{"kernel_alignment 0", 0x230, 4, 0, "kernel_alignment is 0"},
	{"kernel_alignment no power of two", 0x230, 4, 0x300000, "kernel_alignment is 0x300000"},
	{"pref_address at the end of 64 bits", 0x258, 8, 0xffffffffffffffff, "pref_address"},
	{"pref_address that wraps when aligned", 0x258, 8, 0xfffffffffff00000, "pref_address"},
	{"pref_address at 4 GiB", 0x258, 8, 0x100000000, "pref_address is 0x100000000"},
};

static void refused_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		const struct change *c = &refused[i];
		uint8_t *f = fake_bzimage();
		struct bzimage bz;

		fake_put(f, c->offset, c->value, c->len);
		if (parse(&bz, f, FAKE_SIZE) != -ENOEXEC || !strstr(text, c->why))
			fail_msg("%s: \"%s\"", c->name, text);
		free(f);
	}
}

/* Without a 64-bit entry: what else a header must say. */
static const struct change refused_32[] = {
	{"code32_start 0", 0x214, 4, 0, "only a 16-bit entry, which needs a BIOS"},
	{"code32_start below the payload", 0x214, 4, 0xfffff, "code32_start is 0xfffff"},
	{"code32_start behind the payload", 0x214, 4, 0x101000, "code32_start is 0x101000"},
	{"syssize 0", 0x1f4, 4, 0, "syssize leaves no 32-bit entry"},
	{"jump over less than the header", 0x201, 1, 0x29, "before cmd_line_ptr"},
	{"protocol 2.01", 0x206, 2, 0x201, "boot protocol 2.01"},
	{"zImage", 0x211, 1, 0x80, "zImage"},
};

static void refused_headers_32(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused_32); i++) {
		const struct change *c = &refused_32[i];
		uint8_t *f = fake_bzimage();
		struct bzimage bz;

		fake_put(f, 0x236, 0, 2);
		fake_put(f, c->offset, c->value, c->len);
		if (parse(&bz, f, FAKE_SIZE) != -ENOEXEC || !strstr(text, c->why))
			fail_msg("%s: \"%s\"", c->name, text);
		free(f);
	}
}

/* The 32-bit entry, for kernels that have no other. */
static void protected_mode_entry(void **state)
{
	uint8_t *f = fake_bzimage();
	struct bzimage bz;

	(void)state;
	assert_int_equal(parse(&bz, f, FAKE_SIZE), 0);
	assert_true(bz.long_mode);
	assert_int_equal(bz.entry, FAKE_PREF + 0x200);
	fake_put(f, 0x236, 0, 2);
	fake_put(f, 0x214, 0x100010, 4);
	assert_int_equal(parse(&bz, f, FAKE_SIZE), 0);
	assert_false(bz.long_mode);
	assert_int_equal(bz.entry, FAKE_PREF + 0x10);
	assert_false(bz.initrd_anywhere);
	/* One that cannot move is put at 1 MiB, and moves to pref_address by itself. */
	fake_put(f, 0x234, 0, 1);
	assert_int_equal(parse(&bz, f, FAKE_SIZE), 0);
	assert_int_equal(bz.load, 0x100000);
	assert_int_equal(bz.entry, 0x100010);
	assert_int_equal(bz.end, FAKE_PREF + FAKE_INIT_SIZE);
	free(f);
}

/* Fields that came later than a header's version are something else, and the defaults hold. */
static void old_header(void **state)
{
	uint8_t *f = fake_bzimage();
	struct bzimage bz;

	(void)state;
	fake_put(f, 0x206, 0x202, 2);
	fake_put(f, 0x201, 0x2a, 1); /* the header ends at 22ch */
	memset(f + 0x22c, 0xee, 0x40);
	assert_int_equal(parse(&bz, f, FAKE_SIZE), 0);
	assert_false(bz.long_mode);
	assert_int_equal(bz.load, 0x100000);
	assert_int_equal(bz.end, 0x100000 + FAKE_PAYLOAD_SIZE);
	assert_int_equal(bz.cmdline_max, 255);
	assert_int_equal(bz.initrd_end, 0x38000000);
	assert_int_equal(bz.header_size, 0x22c - 0x1f1);
	free(f);
}

/* Before protocol 2.04 syssize had two bytes, too few for many a kernel: the file says it all. */
static void old_syssize(void **state)
{
	uint8_t *f = fake_bzimage();
	struct bzimage bz;

	(void)state;
	fake_put(f, 0x206, 0x203, 2);
	fake_put(f, 0x1f4, 0xabcd0001, 4);
	assert_int_equal(parse(&bz, f, FAKE_SIZE), 0);
	assert_int_equal(bz.payload_size, FAKE_PAYLOAD_SIZE);
	assert_int_equal(bz.end, 0x100000 + FAKE_PAYLOAD_SIZE);
	assert_int_equal(parse(&bz, f, FAKE_SETUP_SIZE), -ENOEXEC);
	fake_put(f, 0x206, 0x204, 2);
	fake_put(f, 0x1f4, 0x10, 4);
	assert_int_equal(parse(&bz, f, FAKE_SIZE), 0);
	assert_int_equal(bz.payload_size, 0x100);
	free(f);
}

/* pref_address below 1 MiB is a place for a kernel that can move, and none for one that cannot. */
static void low_pref_address(void **state)
{
	uint8_t *f = fake_bzimage();
	struct bzimage bz;

	(void)state;
	fake_put(f, 0x258, 0, 8);
	assert_int_equal(parse(&bz, f, FAKE_SIZE), 0);
	assert_int_equal(bz.load, 0x200000);
	fake_put(f, 0x234, 0, 1);
	assert_int_equal(parse(&bz, f, FAKE_SIZE), -ENOEXEC);
	assert_non_null(strstr(text, "pref_address is 0"));
	free(f);
}

static void extreme_but_legal(void **state)
{
	uint8_t *f = fake_bzimage();
	struct bzimage bz;

	(void)state;
	fake_put(f, 0x230, 0x80000000, 4); /* kernel_alignment */
	fake_put(f, 0x258, 0xffffffff, 8); /* pref_address */
	fake_put(f, 0x260, 0xffffffff, 4); /* init_size */
	fake_put(f, 0x22c, 0xffffffff, 4); /* initrd_addr_max */
	fake_put(f, 0x236, 0x0001, 2);	   /* initrd not above 4 GiB */
	fake_put(f, 0x201, 0xff, 1);	   /* header to 301h */
	assert_int_equal(parse(&bz, f, FAKE_SIZE), 0);
	assert_int_equal(bz.load, 0x100000000);
	assert_int_equal(bz.end, 0x1ffffffff);
	assert_int_equal(bz.initrd_end, 0x100000000);
	assert_false(bz.initrd_anywhere);
	assert_int_equal(bz.header_size, 0x290 - 0x1f1);
	free(f);
}

static void init_size_below_the_payload(void **state)
{
	uint8_t *f = fake_bzimage();
	struct bzimage bz;

	(void)state;
	fake_put(f, 0x260, 16, 4);
	assert_int_equal(parse(&bz, f, FAKE_SIZE), 0);
	assert_int_equal(bz.end, FAKE_PREF + FAKE_PAYLOAD_SIZE);
	free(f);
}

/* A file cut off anywhere is refused; AddressSanitizer sees any read behind its end. */
static void every_cut(void **state)
{
	uint8_t *f = fake_bzimage();

	(void)state;
	for (size_t size = 0; size < FAKE_SIZE; size++) {
		uint8_t *cut = malloc(size ? size : 1);
		struct bzimage bz;

		memcpy(cut, f, size);
		/* Of the last paragraph one byte is enough. */
		assert_int_equal(parse(&bz, cut, size), size > FAKE_SIZE - 16 ? 0 : -ENOEXEC);
		assert_int_equal(strlen(text) == 0, size > FAKE_SIZE - 16);
		free(cut);
	}
	free(f);
}

static void bytes_behind_the_payload(void **state)
{
	uint8_t *f = realloc(fake_bzimage(), FAKE_SIZE + 100);
	struct bzimage bz;

	(void)state;
	assert_int_equal(parse(&bz, f, FAKE_SIZE + 100), 0);
	assert_int_equal(bz.payload_size, FAKE_PAYLOAD_SIZE);
	free(f);
}

static void other_files_by_name(void **state)
{
	static const struct {
		const char *bytes, *why;
	} files[] = {
		{"\x7f"
		 "ELF",
		 "ELF"},
		{"\x1f\x8b\x08", "gzip"},
		{"\x28\xb5\x2f\xfd", "zstd"},
		{"\xfd"
		 "7zXZ",
		 "xz"},
		{"070701", "cpio"},
		{"MZ", "EFI or DOS program"},
		{"hello", "5 bytes"},
		{"", "0 bytes"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct bzimage bz;

		assert_int_equal(parse(&bz, (const uint8_t *)files[i].bytes,
				       strlen(files[i].bytes)),
				 -ENOEXEC);
		if (!strstr(text, files[i].why))
			fail_msg("%s: \"%s\"", files[i].why, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_header),
		cmocka_unit_test(refused_headers),
		cmocka_unit_test(refused_headers_32),
		cmocka_unit_test(protected_mode_entry),
		cmocka_unit_test(old_header),
		cmocka_unit_test(old_syssize),
		cmocka_unit_test(low_pref_address),
		cmocka_unit_test(extreme_but_legal),
		cmocka_unit_test(init_size_below_the_payload),
		cmocka_unit_test(every_cut),
		cmocka_unit_test(bytes_behind_the_payload),
		cmocka_unit_test(other_files_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
