/* Pages of zeros from the build machine, and an assertion that fails is a test that fails. */
#ifndef TESTS_UNIT_SUPPORT_HV_MEMORY_H
#define TESTS_UNIT_SUPPORT_HV_MEMORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/pages.h"
#include "lib/assert.h"

_Noreturn void assert_failed(const char *file, int line, const char *what)
{
	fail_msg("%s:%d: %s", file, line, what);
	abort();
}

void *pages_alloc(size_t count)
{
	return memset(aligned_alloc(4096, count * 4096), 0, count * 4096);
}

#endif
