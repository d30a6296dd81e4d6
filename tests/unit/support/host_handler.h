/*
 * INT n with which a back end runs the hypervisor's own handler for what ended a guest's turn: on
 * the build machine a signal, from which the test goes on behind the instruction.
 */
#ifndef TESTS_UNIT_SUPPORT_HOST_HANDLER_H
#define TESTS_UNIT_SUPPORT_HOST_HANDLER_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* REG_RIP, which sys/ucontext.h shows only to those who ask for all of GNU's first. */
#define HOST_REG_RIP 16

/* The vector executed last, and how many there were. */
static volatile unsigned int host_vector, host_handlers;

static void host_on_signal(int signal, siginfo_t *info, void *context)
{
	greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[HOST_REG_RIP];
	const uint8_t *insn = (const uint8_t *)*rip;

	(void)info;
	if (insn[0] != 0xcd) {
		struct sigaction usual = {.sa_handler = SIG_DFL};

		sigaction(signal, &usual, NULL);
		return;
	}
	host_vector = insn[1];
	host_handlers++;
	*rip += 2;
}

static inline void host_handlers_count(void)
{
	struct sigaction action = {.sa_sigaction = host_on_signal, .sa_flags = SA_SIGINFO};

	host_vector = host_handlers = 0;
	sigaction(SIGSEGV, &action, NULL);
}

#endif
