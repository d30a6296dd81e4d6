#include "tests/unit/support/unprivileged.h"

#include "core/cpuid.c"
