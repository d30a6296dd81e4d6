/*
 * Invariants of the hypervisor itself, never of a guest's behaviour: a failed one ends in panic()
 * in the hypervisor and in abort() on the build machine (lib/ does not know which; whoever links
 * provides assert_failed()).
 */
#ifndef LIB_ASSERT_H
#define LIB_ASSERT_H

_Noreturn void assert_failed(const char *file, int line, const char *what);

#define assert(cond) ((cond) ? (void)0 : assert_failed(__FILE__, __LINE__, #cond))

#endif
