#include "boot/image.h"

struct guest_image boot_image(const struct boot_vm *vm)
{
	return (struct guest_image){
		.kind = vm->config->kind,
		.kernel = vm->kernel.data,
		.kernel_size = vm->kernel.size,
		.initrd = vm->initrd.data,
		.initrd_size = vm->initrd.size,
		.modules = vm->modules,
		.module_count = vm->config->module_count,
		.cmdline = vm->config->cmdline,
	};
}
