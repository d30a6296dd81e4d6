#include "tests/unit/support/unprivileged.h"

#include "core/sched.c"

void fake_sched_forget(void)
{
	stopped = 0;
}
