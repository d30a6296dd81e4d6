#include "tests/unit/support/unprivileged.h"

#include "arch/x86/errata.c"
