#include "tests/unit/support/unprivileged.h"

#include "vmx/caps.c"
