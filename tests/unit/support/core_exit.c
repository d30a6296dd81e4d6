#include "tests/unit/support/unprivileged.h"

#include "core/exit.c"
