/*
 * The stack protector's canary: a function with an array on its stack panics when it returns and
 * the value above the array is not this one.
 */
#ifndef BOOT_CANARY_H
#define BOOT_CANARY_H

/*
 * Gives it a value of this boot's own. On the boot core, before the others are started, and from
 * functions alone that never return.
 */
void canary_init(void);

#endif
