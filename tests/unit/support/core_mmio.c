#include "tests/unit/support/unprivileged.h"

#include "core/mmio.c"
