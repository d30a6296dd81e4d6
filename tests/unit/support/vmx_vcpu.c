#include "tests/unit/support/unprivileged_vmx.h"

#include "arch/x86/tsc.h"
#include "vmx/vcpu.c"
