/*
 * What svm/vcpu.c, state.c and event.c call, for the tests that have no core/ around them: memory,
 * one processor, and the rest without effect.
 */
#ifndef TESTS_UNIT_SUPPORT_SVM_CORE_H
#define TESTS_UNIT_SUPPORT_SVM_CORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/percpu.h"
#include "core/exits.h"
#include "svm/internal.h"
#include "tests/unit/support/hv_memory.h"

struct svm_features svm_features;

static struct pcpu pcpu;

struct pcpu *this_cpu(void)
{
	return &pcpu;
}

unsigned int exit_fetch(struct vcpu *v, uint8_t buf[15])
{
	(void)v;
	(void)buf;
	return 0;
}

void apic_send_ipi(uint32_t apic_id, uint8_t vector)
{
	(void)apic_id;
	(void)vector;
}

void svm_invlpga(const struct svm_vcpu *s, uint64_t gva)
{
	(void)s;
	(void)gva;
}

uint64_t svm_nested_root(const struct vm *vm)
{
	return vm->npt.root;
}

#endif
