/* A broken invariant of the hypervisor itself; never a guest's doing. */
#ifndef BOOT_PANIC_H
#define BOOT_PANIC_H

#include <stdbool.h>

/* What follows: halt, or reboot (on_panic in socle.cfg). At boot. */
void panic_set_reboot(bool reboot);

/*
 * Says why on the console, past all locks, stops the other cores and then halts or resets the
 * machine. From any context but the firmware's.
 */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

#endif
