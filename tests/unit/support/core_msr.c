#include "tests/unit/support/unprivileged.h"

#include "core/msr.c"
