/*
 * Included in front of every file of the hypervisor: one image has it all, so that no name is
 * looked up in the table that position-independent code keeps for others' names.
 */
#ifndef LIB_HIDDEN_H
#define LIB_HIDDEN_H

#pragma GCC visibility push(hidden)

#endif
