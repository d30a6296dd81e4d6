/*
 * Where messages go while the firmware is there: to Socle's own serial port, and to the firmware's
 * screens. The firmware's console often reaches the same serial port; a line is not printed twice.
 */
#ifndef EFI_CONSOLE_H
#define EFI_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/handover.h"
#include "config/config.h"

/* From here on the log is seen. RSDP as in boot_serial_init(). */
void console_start(uint64_t rsdp);

/*
 * The configuration is known: its serial ports, and its log level. Returns whether the console is
 * to be shown on FB: it is asked for, or no serial port answers; and says so.
 */
bool console_configure(const struct config_socle *config, uint64_t rsdp,
		       const struct boot_framebuffer *fb);

/* No more calls of the firmware: the serial port alone. */
void console_leave_firmware(void);

/* Waits for a key, or ten seconds, so that a report can be read. */
void console_hold(void);

#endif
