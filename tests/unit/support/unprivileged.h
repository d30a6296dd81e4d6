/*
 * Stands before a file of core/ or vmx/ that executes instructions which the build machine refuses,
 * or answers in its own way, to a test: they become calls of tests/unit/support/fake_machine.c.
 */
#ifndef TESTS_UNIT_SUPPORT_UNPRIVILEGED_H
#define TESTS_UNIT_SUPPORT_UNPRIVILEGED_H

#include "arch/x86/cpu.h"
#include "tests/unit/support/fake_machine.h"

#define cpu_irq_window()     fake_irq_window()
#define cpu_idle()	     fake_idle()
#define cpu_hlt()	     fake_hlt()
#define cpu_pause()	     fake_hlt()
#define write_cr3(value)     fake_write_cr3(value)
#define rdmsr(index)	     fake_rdmsr(index)
#define wrmsr(index, value)  fake_set_msr(index, value)
#define rdpkru()	     machine.pkru
#define cpuid(leaf, subleaf) fake_cpuid(leaf, subleaf)

#endif
