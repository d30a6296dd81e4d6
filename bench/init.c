/*
 * The first process of a boot that is measured: says how long the kernel took from its 64-bit entry
 * to here, by the TSC. What the TSC was at the entry stands in boot_params, where the first
 * instructions of the kernel's image, changed for that by bench.py, have left it. With bench_idle=N
 * on the kernel's command line it then sleeps N seconds.
 *
 * It says so in the kernel's log, which writes to the console without interrupts.
 */
#include <asm/bootparam.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>
#include <x86intrin.h>

static int log_fd;

/*
 * At the level that "quiet" lets through; always as many digits, each of which a UART that is
 * emulated makes an exit of.
 */
static void say(const char *what, unsigned long long ticks)
{
	char text[96];
	int length = snprintf(text, sizeof(text), "<0>bench: metric %s %020llu 1\n", what, ticks);

	if (write(log_fd, text, (size_t)length) != length)
		_exit(1);
}

static uint64_t entry_stamp(void)
{
	struct boot_params params;
	uint64_t stamp = 0;
	int fd = open("/sys/kernel/boot_params/data", O_RDONLY);

	if (fd >= 0 && read(fd, &params, sizeof(params)) == sizeof(params))
		memcpy(&stamp, params.hd0_info, sizeof(stamp));
	return stamp;
}

int main(void)
{
	uint64_t now = __rdtsc(), before;
	const char *idle = getenv("bench_idle");

	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	log_fd = open("/dev/kmsg", O_WRONLY);
	say("boot-ticks", now - entry_stamp());
	before = __rdtsc();
	if (idle && atoi(idle))
		sleep((unsigned int)atoi(idle));
	say("after-boot", __rdtsc() - before);
	reboot(RB_POWER_OFF);
	return 0;
}
