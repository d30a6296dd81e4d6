/* A VM's memory in its two sets of tables: nested ones for the guest, host ones for its exits. */
#ifndef CORE_NPT_H
#define CORE_NPT_H

struct vm;
struct mtrr;

/*
 * Maps vm->ram[] into vm->npt and vm->host, which this creates. Types follow the MTRRs, since EPT
 * entries ignore them (SDM vol. 3C 29.3.7). At boot. -ENOMEM, -EEXIST where extents overlap.
 */
int npt_map_ram(struct vm *vm, const struct mtrr *mtrr);

#endif
