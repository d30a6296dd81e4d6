/* A broken invariant of the hypervisor itself; never a guest's doing. */
#ifndef BOOT_PANIC_H
#define BOOT_PANIC_H

#include <stdbool.h>

/* What follows: halt, or reboot (on_panic in socle.cfg). At boot. */
void panic_set_reboot(bool reboot);

/*
 * Says why on the console, past all locks, with registers, callers, the vCPU loaded and the last
 * messages, stops the other cores and then halts or resets the machine. From any context but the
 * firmware's.
 */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

struct int_frame;

/* The same, where FRAME is what registers and callers are shown of: an interrupted function's. */
_Noreturn void panic_in(struct int_frame *frame, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

#endif
