#include "lib/log.h"

#include <stdbool.h>
#include <stdint.h>

#include "lib/fmt.h"
#include "lib/spinlock.h"
#include "lib/string.h"
#include "lib/util.h"

#define LINE_BYTES 1023
#define RING_SIZE  65536u

/*
 * How long a writer waits for the lock once the hypervisor is in panic(): its holder may be the
 * core that failed.
 */
#define PANIC_SPINS 1000000u

/* A line on its way out: PREFIX first, then what the format gives, up to its newline. */
struct line {
	const char *prefix;
	size_t len;
	bool any_out; /* a line of this call is already out */
	char text[LINE_BYTES];
};

static struct {
	struct spinlock lock; /* guards all below, except where a comment says otherwise */
	enum log_level level; /* read without the lock */
	bool panicking;	      /* read without the lock */
	log_sink *sink;
	void *sink_ctx;
	struct line line;
	/*
	 * Lines with a newline behind each, at ring[position % RING_SIZE]. written counts all bytes
	 * ever: the ring holds the last RING_SIZE of them. log_replay() reads both without the
	 * lock.
	 */
	uint64_t written;
} logger = {.level = LOG_INFO};

static char ring[RING_SIZE];

static const char *const prefixes[] = {
	[LOG_ERROR] = "socle: error: ",
	[LOG_WARN] = "socle: warning: ",
	[LOG_INFO] = "socle: ",
	[LOG_DEBUG] = "socle: ",
};

static void ring_write(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		ring[(logger.written + i) % RING_SIZE] = text[i];
	/* A reader without the lock sees the count only when the bytes are there. */
	__atomic_store_n(&logger.written, logger.written + len, __ATOMIC_RELEASE);
}

static void line_append(struct line *line, const char *text, size_t len)
{
	len = MIN(len, sizeof(line->text) - line->len);
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void line_start(struct line *line)
{
	line->len = 0;
	line_append(line, line->prefix, strlen(line->prefix));
}

static void line_out(struct line *line)
{
	ring_write(line->text, line->len);
	ring_write("\n", 1);
	if (logger.sink)
		logger.sink(logger.sink_ctx, line->text, line->len);
	line->any_out = true;
	line_start(line);
}

static void put(void *ctx, const char *text, size_t len)
{
	struct line *line = ctx;
	const char *newline;

	while ((newline = memchr(text, '\n', len))) {
		size_t part = (size_t)(newline - text);

		line_append(line, text, part);
		line_out(line);
		text += part + 1;
		len -= part + 1;
	}
	line_append(line, text, len);
}

static bool lock(void)
{
	if (__atomic_load_n(&logger.panicking, __ATOMIC_ACQUIRE))
		return spin_trylock_for(&logger.lock, PANIC_SPINS);
	spin_lock(&logger.lock);
	return true;
}

static void write_lines(const char *prefix, const char *format, va_list args)
{
	bool locked = lock();
	struct line *line = &logger.line;

	line->prefix = prefix;
	line->any_out = false;
	line_start(line);
	fmt_vprintf(put, line, format, args);
	/* A newline at the format's end has ended the line already. */
	if (!line->any_out || line->len > strlen(prefix))
		line_out(line);
	if (locked)
		spin_unlock(&logger.lock);
}

static bool wanted(enum log_level level)
{
	return level <= __atomic_load_n(&logger.level, __ATOMIC_RELAXED);
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&logger.level, level, __ATOMIC_RELAXED);
}

void log_set_sink(log_sink *sink, void *ctx)
{
	bool locked = lock();

	logger.sink = sink;
	logger.sink_ctx = ctx;
	if (locked)
		spin_unlock(&logger.lock);
}

void log_set_panicking(void)
{
	__atomic_store_n(&logger.panicking, true, __ATOMIC_RELEASE);
}

void log_write(enum log_level level, const char *format, ...)
{
	va_list args;

	if (!wanted(level))
		return;
	va_start(args, format);
	write_lines(prefixes[level], format, args);
	va_end(args);
}

void log_raw(enum log_level level, const char *format, ...)
{
	va_list args;

	if (!wanted(level))
		return;
	va_start(args, format);
	write_lines("", format, args);
	va_end(args);
}

static char ring_at(uint64_t position)
{
	return READ_ONCE(ring[position % RING_SIZE]);
}

/*
 * Where the last COUNT lines before END begin. A line whose head is overwritten already is left
 * out.
 */
static uint64_t replay_start(uint64_t end, unsigned int count)
{
	uint64_t oldest = end > RING_SIZE ? end - RING_SIZE : 0;
	uint64_t start = end;

	for (uint64_t p = end; p > oldest; p--) {
		if (ring_at(p - 1) != '\n')
			continue;
		start = p;
		if (count-- == 0)
			return start;
	}
	return oldest == 0 ? 0 : start;
}

void log_replay(unsigned int count, log_sink *sink, void *ctx)
{
	uint64_t end = __atomic_load_n(&logger.written, __ATOMIC_ACQUIRE);
	char text[LINE_BYTES];
	size_t len = 0;

	for (uint64_t p = replay_start(end, count); p < end; p++) {
		char c = ring_at(p);

		if (c == '\n') {
			sink(ctx, text, len);
			len = 0;
		} else if (len < sizeof(text)) {
			text[len++] = c;
		}
	}
}
