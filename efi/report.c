#include "efi/report.h"

#include <stdarg.h>
#include <stddef.h>

#include "lib/log.h"
#include "lib/strbuf.h"

void report_boot(void *ctx, const struct config_pos *pos, const char *text)
{
	struct report *r = ctx;

	if (r->errors++ == 0)
		r->status = r->cause;
	if (pos && pos->line)
		log_error("%s:%u:%u: %s", r->file, pos->line, pos->column, text);
	else
		log_error("%s", text);
}

void report_config(void *ctx, struct config_pos pos, const char *text)
{
	report_boot(ctx, &pos, text);
}

void report_error(struct report *r, EFI_STATUS cause, const struct config_pos *pos,
		  const char *format, ...)
{
	char text[1024];
	struct strbuf sb;
	va_list args;

	sb_init(&sb, text, sizeof(text));
	va_start(args, format);
	sb_vprintf(&sb, format, args);
	va_end(args);
	r->cause = cause;
	report_boot(r, pos, text);
}
