/* What guest/ is given of a VM's files. */
#ifndef BOOT_IMAGE_H
#define BOOT_IMAGE_H

#include "boot/handover.h"
#include "guest/guest.h"

/* It refers to VM, which has to stay. */
struct guest_image boot_image(const struct boot_vm *vm);

#endif
