/* What stands in the way of a start. All of it is printed before the application gives up. */
#ifndef EFI_REPORT_H
#define EFI_REPORT_H

#include "config/config.h"
#include "efi/app.h"

struct report {
	const char *file; /* the configuration's name */
	unsigned int errors;
	EFI_STATUS cause;  /* of errors from now on; the caller sets it */
	EFI_STATUS status; /* the first error's cause: what efi_main() returns */
};

/* Prints one error. CTX is a struct report. A boot_report and a config_report. */
void report_boot(void *ctx, const struct config_pos *pos, const char *text);
void report_config(void *ctx, struct config_pos pos, const char *text);

/* The same, with the text as a format; POS may be NULL. */
void report_error(struct report *r, EFI_STATUS cause, const struct config_pos *pos,
		  const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
