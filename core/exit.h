/* From an exit's reason to its handler: the slow half; core/exits.h has what back ends call by
 * themselves. */
#ifndef CORE_EXIT_H
#define CORE_EXIT_H

#include "core/hv_ops.h"

/* Handles X on V, loaded on this core, and advances RIP where the instruction is done. */
void exit_dispatch(struct vcpu *v, struct hv_exit *x);
/* What REASON is called where people read it. */
const char *exit_name(enum hv_reason reason);

#endif
