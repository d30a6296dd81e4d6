/*
 * Hardware task switches, for processors that hand every one to the hypervisor (SDM vol. 3C
 * 26.4.2). Own core.
 */
#ifndef CORE_TASK_H
#define CORE_TASK_H

#include "core/hv_ops.h"

/* hv_exit.task.cause: in the order of VT-x's exit qualification (SDM vol. 3C table 28-2). */
enum task_cause { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE };

/*
 * Does the switch of X (EXIT_TASK_SWITCH) as the processor would: the guest is then in the new
 * task, or the exception that stopped it is queued, in the context of the task that SDM vol. 3A 8.3
 * names. With X->vectoring that event is V->pending.
 */
void task_switch(struct vcpu *v, const struct hv_exit *x);

#endif
