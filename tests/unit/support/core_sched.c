#include "tests/unit/support/unprivileged.h"

#include "core/sched.c"

void fake_sched_forget(void)
{
	housekeeping = NULL;
	housekeeping_at = 0;
	stopped = 0;
}
