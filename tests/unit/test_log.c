/* links: lib/log.c lib/fmt.c -lpthread */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/log.h"
#include "lib/util.h"

/* The lines a sink was given, joined by newlines. */
struct capture {
	char text[1 << 20];
	size_t len;
	unsigned int lines;
	unsigned int bad; /* lines with a newline inside, or too many */
};

static struct capture live, replayed;

static void capture_line(void *ctx, const char *line, size_t len)
{
	struct capture *c = ctx;

	/* The log's lock is held here: no assertion may jump out. */
	if (memchr(line, '\n', len) || c->len + len + 1 >= sizeof(c->text)) {
		c->bad++;
		return;
	}
	memcpy(c->text + c->len, line, len);
	c->len += len;
	c->text[c->len++] = '\n';
	c->text[c->len] = 0;
	c->lines++;
}

static void capture_reset(struct capture *c)
{
	c->len = 0;
	c->lines = 0;
	c->bad = 0;
	c->text[0] = 0;
}

static int setup(void **state)
{
	(void)state;
	capture_reset(&live);
	capture_reset(&replayed);
	log_set_level(LOG_INFO);
	log_set_sink(capture_line, &live);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return live.bad || replayed.bad;
}

static void prefixes_tell_the_level(void **state)
{
	(void)state;
	log_set_level(LOG_DEBUG);
	log_error("vm %s: no kernel", "web");
	log_warn("slow");
	log_info("cpu %d: vmx on", 3);
	log_debug("detail");
	log_raw(LOG_INFO, "socle 1.0");
	assert_string_equal(live.text, "socle: error: vm web: no kernel\n"
				       "socle: warning: slow\n"
				       "socle: cpu 3: vmx on\n"
				       "socle: detail\n"
				       "socle 1.0\n");
}

static void messages_above_the_level_are_dropped(void **state)
{
	(void)state;
	log_debug("not at the start");
	log_set_level(LOG_ERROR);
	log_warn("no");
	log_info("no");
	log_raw(LOG_WARN, "no");
	log_error("yes");
	log_replay(1, capture_line, &replayed);
	assert_string_equal(live.text, "socle: error: yes\n");
	assert_string_equal(replayed.text, "socle: error: yes\n");
}

static void newlines_split(void **state)
{
	(void)state;
	log_info("one\ntwo%sfour", "\nthree\n");
	log_info("five\n");
	log_info("%s", "");
	log_raw(LOG_INFO, "six\n\nseven\n");
	assert_string_equal(live.text, "socle: one\nsocle: two\nsocle: three\nsocle: four\n"
				       "socle: five\n"
				       "socle: \n"
				       "six\n\nseven\n");
}

static void long_lines_are_cut(void **state)
{
	char *text = malloc(5001);

	(void)state;
	memset(text, 'x', 5000);
	text[5000] = 0;
	log_info("%s\nnext", text);
	assert_int_equal(strchr(live.text, '\n') - live.text, 1023);
	assert_string_equal(live.text + 1024, "socle: next\n");
	log_replay(2, capture_line, &replayed);
	assert_string_equal(replayed.text, live.text);
	free(text);
}

static void replay_gives_the_last_lines(void **state)
{
	(void)state;
	log_info("a");
	log_info("b");
	log_info("c");
	log_replay(2, capture_line, &replayed);
	assert_string_equal(replayed.text, "socle: b\nsocle: c\n");
	capture_reset(&replayed);
	log_replay(0, capture_line, &replayed);
	assert_int_equal(replayed.lines, 0);
}

/* More than the ring holds: what comes back is whole lines, the newest, close to 64 KiB of them. */
static void the_ring_keeps_the_newest(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 10000; i++)
		log_info("line %u %.*s", i, (int)(i % 50),
			 "..................................................");
	log_replay(UINT32_MAX, capture_line, &replayed);
	assert_true(replayed.len > 65536 - 1024 && replayed.len <= 65536);
	assert_string_equal(replayed.text, live.text + live.len - replayed.len);
	assert_memory_equal(replayed.text, "socle: line ", 12);
}

static void no_sink_still_fills_the_ring(void **state)
{
	(void)state;
	log_set_sink(NULL, NULL);
	log_info("early");
	log_replay(1, capture_line, &replayed);
	assert_string_equal(replayed.text, "socle: early\n");
	assert_int_equal(live.lines, 0);
}

static void *write_many(void *arg)
{
	for (int i = 0; i < 1000; i++)
		log_info("%s\n%s", (const char *)arg, (const char *)arg);
	return NULL;
}

static void lines_of_two_cores_never_mix(void **state)
{
	static const char *const pair =
		"socle: aaaaaaaaaaaaaaaaaaaa\nsocle: aaaaaaaaaaaaaaaaaaaa\n";
	static const char *const other =
		"socle: bbbbbbbbbbbbbbbbbbbb\nsocle: bbbbbbbbbbbbbbbbbbbb\n";
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, write_many, "aaaaaaaaaaaaaaaaaaaa");
	write_many("bbbbbbbbbbbbbbbbbbbb");
	pthread_join(thread, NULL);
	assert_int_equal(live.lines, 4000);
	for (size_t at = 0; at < live.len; at += strlen(pair)) {
		bool whole = !strncmp(live.text + at, pair, strlen(pair)) ||
			     !strncmp(live.text + at, other, strlen(other));

		assert_true(whole);
	}
}

/* The sink runs with the log's lock held: a panic from there must still get its words out. */
static void panic_from_the_sink(void *ctx, const char *line, size_t len)
{
	unsigned int *depth = ctx;

	capture_line(&live, line, len);
	if ((*depth)++ == 0) {
		log_set_panicking();
		log_error("panic: from inside");
	}
}

/* Last: panicking cannot be taken back. */
static void panic_does_not_wait_for_the_lock(void **state)
{
	unsigned int depth = 0;

	(void)state;
	log_set_sink(panic_from_the_sink, &depth);
	log_info("x");
	assert_non_null(strstr(live.text, "socle: error: panic: from inside\n"));
	log_info("after");
	assert_non_null(strstr(live.text, "socle: after\n"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(messages_above_the_level_are_dropped, setup,
						teardown),
		cmocka_unit_test_setup_teardown(prefixes_tell_the_level, setup, teardown),
		cmocka_unit_test_setup_teardown(newlines_split, setup, teardown),
		cmocka_unit_test_setup_teardown(long_lines_are_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(replay_gives_the_last_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(the_ring_keeps_the_newest, setup, teardown),
		cmocka_unit_test_setup_teardown(no_sink_still_fills_the_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_of_two_cores_never_mix, setup, teardown),
		cmocka_unit_test_setup_teardown(panic_does_not_wait_for_the_lock, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
