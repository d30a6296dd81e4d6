/*
 * The hypervisor's own messages. Each call makes whole lines: "socle: TEXT", "socle: warning:
 * TEXT", "socle: error: TEXT", kept in a ring for panic() and handed to the sink. May be called on
 * any core, with interrupts on or off, but not from an NMI or machine-check handler.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdarg.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/*
 * Takes one line of LEN bytes without its line end. Called with the log's lock held: lines never
 * mix.
 */
typedef void log_sink(void *ctx, const char *line, size_t len);

/* Messages above LEVEL are dropped. The start value is LOG_INFO. */
void log_set_level(enum log_level level);
void log_set_sink(log_sink *sink, void *ctx);

/*
 * For panic(): from here on no writer waits long for the log's lock, whose holder may be the core
 * that failed, or one that was stopped. Lines may then mix.
 */
void log_set_panicking(void);

/*
 * FORMAT needs no newline; a newline inside starts another line with the same prefix, one at the
 * end does nothing. Lines are cut at 1023 bytes, the prefix included.
 */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line as it is, without the "socle: " prefix: the banner and dumps. */
void log_raw(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Calls SINK for each of the last COUNT lines in the ring of 64 KiB, oldest first, without taking
 * the lock: for panic(). Takes 1 KiB of stack. While other cores still write, lines may come out
 * torn.
 */
void log_replay(unsigned int count, log_sink *sink, void *ctx);

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
