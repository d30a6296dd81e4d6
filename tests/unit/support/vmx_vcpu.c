#include "tests/unit/support/unprivileged_vmx.h"

#include "vmx/vcpu.c"
