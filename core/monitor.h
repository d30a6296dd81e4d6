/*
 * The monitor: a prompt on the physical console, where the VMs are looked at and steered. The
 * escape key opens and closes it. Everything here runs on the core that takes the console's
 * interrupt and waits for nobody: other cores follow in their own time.
 */
#ifndef CORE_MONITOR_H
#define CORE_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf;
struct vm;

/* The VMs it is for, which stay the caller's, and the key that opens it. At boot. -ENOMEM. */
int monitor_init(struct vm *const *vms, size_t count, uint8_t escape);

/*
 * Adds a few words on VM number I to LINE: its name, its state, its vCPUs' cores. False: there is
 * no such VM. Any core.
 */
bool monitor_status(size_t i, struct strbuf *line);

/* As if the escape key had been typed: for a machine where no VM starts by itself. */
void monitor_open(void);

#endif
