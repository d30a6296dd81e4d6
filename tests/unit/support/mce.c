#include "tests/unit/support/unprivileged.h"

#define wrmsr(index, value) fake_set_msr(index, value)

#include "arch/x86/mce.c"
