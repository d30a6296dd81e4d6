/* links: boot/preflight.c boot/screen.c boot/terminal.c boot/image.c devices/pc_ports.c lib/strbuf.c lib/fmt.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boot/firmware.h"
#include "boot/handover.h"
#include "core/console.h"
#include "core/vm.h"
#include "guest/guest.h"
#include "lib/err.h"
#include "lib/util.h"
#include "svm/svm.h"
#include "vmx/vmx.h"

/*
 * Back ends of paper: raw[0] is what a processor lacks, raw[1] how it differs. Both write down
 * which processor they judged last.
 */
static const struct hv_caps *judged_last;

static bool present(void)
{
	return false;
}

static void probe(struct hv_caps *caps)
{
	(void)caps;
}

static int check(struct hv_caps *caps, struct strbuf *missing)
{
	judged_last = caps;
	caps->features = HV_F_PAUSE;
	if (caps->raw[0] & 1)
		sb_puts(missing, "no 'enable EPT'\n");
	if (caps->raw[0] & 2)
		sb_puts(missing, "no 'unrestricted guest'\n");
	return caps->raw[0] ? -ENODEV : 0;
}

static int compare(const struct hv_caps *first, const struct hv_caps *mine, struct strbuf *diff)
{
	if (first->raw[1] == mine->raw[1])
		return 0;
	sb_puts(diff, "differs\n");
	return -EINVAL;
}

static void describe(const struct hv_caps *caps, struct strbuf *out)
{
	sb_printf(out, "found %llx\n", (unsigned long long)caps->raw[2]);
}

#define PAPER \
	.present = present, .probe = probe, .check = check, .describe = describe, .compare = compare
const struct hv_ops vmx_ops = {.name = "vmx", PAPER};
const struct hv_ops svm_ops = {.name = "svm", PAPER};

static struct acpi_info tables;
static bool has_tables;

const struct acpi_info *firmware_tables(uint64_t rsdp)
{
	(void)rsdp;
	return has_tables ? &tables : NULL;
}

/* A screen is drawn by the clock. */
uint64_t tsc_now(void)
{
	return 0;
}

static int guest_verdict;

int guest_check(const struct guest_image *img, uint64_t memory, struct strbuf *why)
{
	(void)img;
	(void)memory;
	sb_puts(why, "because");
	return guest_verdict;
}

/* What was reported, a line each; and where. */
static char said[4096], table_text[4096];
static struct strbuf out, table;
static struct config_pos where;

static void report(void *ctx, const struct config_pos *pos, const char *text)
{
	(void)ctx;
	where = pos ? *pos : (struct config_pos){0, 0};
	sb_printf(&out, "%s\n", text);
}

static struct boot_cpu cpus[8];

static int setup(void **state)
{
	(void)state;
	memset(cpus, 0, sizeof(cpus));
	for (uint32_t i = 0; i < ARRAY_SIZE(cpus); i++)
		cpus[i] = (struct boot_cpu){.apic_id = i * 2,
					    .bsp = i == 0,
					    .probed = true,
					    .ops = &vmx_ops};
	sb_init(&out, said, sizeof(said));
	sb_init(&table, table_text, sizeof(table_text));
	hv = NULL;
	memset(&hv_caps, 0, sizeof(hv_caps));
	has_tables = false;
	return 0;
}

static unsigned int check_cpus(size_t count)
{
	return boot_check_cpus(cpus, count, &table, report, NULL);
}

static void a_good_machine_has_its_back_end(void **state)
{
	(void)state;
	assert_int_equal(check_cpus(8), 0);
	assert_string_equal(said, "");
	assert_ptr_equal(hv, &vmx_ops);
	assert_int_equal(hv_caps.features, HV_F_PAUSE);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(cpus[i].caps.features, HV_F_PAUSE);
}

static void the_table_numbers_processors_as_the_configuration_does(void **state)
{
	(void)state;
	cpus[0].kind = 0x40;
	cpus[1].kind = 0x20;
	cpus[1].core = 7;
	cpus[2].probed = false;
	check_cpus(3);
	assert_non_null(strstr(table_text, "  0        0        0     0       0  P\n"));
	assert_non_null(strstr(table_text, "  1        2        0     7       0  E\n"));
	assert_non_null(strstr(table_text, "  2        4  not asked"));
}

static void everything_missing_is_said_once_for_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < 8; i++)
		cpus[i].caps.raw[0] = 3;
	assert_int_equal(check_cpus(8), 2);
	assert_string_equal(said, "cpus 0-7: no 'enable EPT'\ncpus 0-7: no 'unrestricted guest'\n");
	assert_null(hv);
}

static void processors_are_told_apart(void **state)
{
	(void)state;
	cpus[1].caps.raw[0] = 1;
	cpus[4].caps.raw[1] = 5;
	cpus[5].caps.raw[1] = 5;
	cpus[7].caps.raw[1] = 5;
	assert_int_equal(check_cpus(8), 2);
	assert_non_null(strstr(said, "cpu 1: no 'enable EPT'\n"));
	assert_non_null(strstr(said, "cpus 4-5,7: differs\n"));
	assert_null(hv);
}

static void a_processor_with_neither_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		cpus[i].ops = NULL;
		memcpy((uint32_t *)&cpus[i].vendor_regs[1], "Genu", 4);
		memcpy((uint32_t *)&cpus[i].vendor_regs[3], "ineI", 4);
		memcpy((uint32_t *)&cpus[i].vendor_regs[2], "ntel", 4);
	}
	assert_int_equal(check_cpus(2), 1);
	assert_non_null(strstr(said, "cpus 0-1: neither VT-x"));
	assert_non_null(strstr(said, "GenuineIntel, "));
}

static void what_is_negotiated_last_is_the_first_processor_s(void **state)
{
	(void)state;
	cpus[5].caps.raw[2] = 1; /* a difference that does not matter */
	assert_int_equal(check_cpus(8), 0);
	assert_ptr_equal(judged_last, &cpus[0].caps);
}

static void two_back_ends_in_one_machine_are_refused(void **state)
{
	(void)state;
	cpus[3].ops = &svm_ops;
	assert_int_not_equal(check_cpus(4), 0);
	assert_non_null(strstr(said, "cpu 3: "));
	assert_null(hv);
}

static void processors_from_acpi_begin_with_this_one(void **state)
{
	uint32_t ids[4] = {0}, self;

	(void)state;
	assert_int_equal(boot_list_cpus(0, ids, 4), 1);
	self = ids[0];
	has_tables = true;
	tables.cpu_count = 4;
	tables.cpus[0].apic_id = self + 1;
	tables.cpus[1].apic_id = self + 2;
	tables.cpus[2].apic_id = self;
	tables.cpus[3].apic_id = self + 9;
	assert_int_equal(boot_list_cpus(0, ids, 4), 4);
	assert_int_equal(ids[0], self);
	assert_int_equal(ids[1], self + 1);
	assert_int_equal(ids[3], self + 9);
	assert_int_equal(boot_list_cpus(0, ids, 1), 4);
}

static void a_guest_s_fault_is_laid_to_its_key(void **state)
{
	static const struct {
		int verdict;
		enum config_vm_key key;
	} cases[] = {
		{-ENOEXEC, CONFIG_VM_KERNEL}, {-EOPNOTSUPP, CONFIG_VM_KIND},
		{-E2BIG, CONFIG_VM_CMDLINE},  {-ENOSPC, CONFIG_VM_MEMORY},
		{-EINVAL, CONFIG_VM_INITRD},
	};
	struct config_vm config = {.name = "web", .cmdline = ""};
	struct boot_vm vm = {.config = &config, .initrd.path = "initrd"};

	(void)state;
	for (uint32_t i = 0; i < CONFIG_VM_KEY_COUNT; i++)
		config.pos[i].line = 100 + i;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		sb_reset(&out);
		guest_verdict = cases[i].verdict;
		assert_int_equal(boot_check_vm(&vm, report, NULL), 1);
		assert_string_equal(said, "vm web: because\n");
		assert_int_equal(where.line, 100 + cases[i].key);
	}
	guest_verdict = 0;
	assert_int_equal(boot_check_vm(&vm, report, NULL), 0);
}

static void debug_ports_take_no_device_s_ports(void **state)
{
	struct config_vm config = {.name = "web", .cmdline = ""};
	struct boot_vm vm = {.config = &config};

	(void)state;
	guest_verdict = 0;
	config.pos[CONFIG_VM_DEBUG_EXIT].line = 5;
	config.pos[CONFIG_VM_DEBUG_CONSOLE].line = 6;
	config.debug_exit = 0xf4;
	config.debug_console = 0xe9;
	assert_int_equal(boot_check_vm(&vm, report, NULL), 0);
	config.debug_exit = 0x3f5;
	assert_int_equal(boot_check_vm(&vm, report, NULL), 1);
	assert_string_equal(said, "vm web: debug_exit = 0x3f5 to 0x3f8: COM1 has a port there\n");
	assert_int_equal(where.line, 5);
	sb_reset(&out);
	config.debug_exit = 0xf4;
	config.debug_console = 0xf7;
	assert_int_equal(boot_check_vm(&vm, report, NULL), 1);
	assert_string_equal(said,
			    "vm web: debug_console = 0xf7 to 0xf7: debug_exit has a port there\n");
	assert_int_equal(where.line, 6);
}

/* A VM without `kind` is at fault for its kernel. */
static void a_key_that_is_not_there_is_not_blamed(void **state)
{
	struct config_vm config = {.name = "web", .cmdline = ""};
	struct boot_vm vm = {.config = &config};

	(void)state;
	config.pos[CONFIG_VM_KERNEL].line = 7;
	guest_verdict = -EOPNOTSUPP;
	boot_check_vm(&vm, report, NULL);
	assert_int_equal(where.line, 7);
}

/* The README's promise: 4 MiB and 128 KiB a vCPU, page tables and console rings apart. */
static void the_pool_keeps_the_promise(void **state)
{
	struct config_vm vms[8];
	struct config config = {.vms = vms};

	(void)state;
	memset(vms, 0, sizeof(vms));
	for (uint32_t vcpus = 1; vcpus <= 16; vcpus++) {
		for (size_t n = 1; n <= 8; n++) {
			uint64_t tables_at_most = (64 + n * 128) * PAGE_SIZE;
			uint64_t rings = n * CONSOLE_RING;

			config.vm_count = n;
			vms[n - 1].vcpus = vcpus;
			vms[n - 1].memory = MIB(2);
			/* What is left of the 4 MiB is the image's and the configuration's. */
			assert_in_range(boot_pool_size(&config, vcpus * n, GIB(4), NULL), MIB(1),
					MIB(3) + n * vcpus * KIB(128) + tables_at_most + rings);
		}
		memset(vms, 0, sizeof(vms));
	}
}

/* One VM of VCPUS on CPUS processors: what goes beyond the promise. The image has 530 KiB of it,
 * the configuration 70 and 3 for each processor's capabilities. */
static int64_t excess(uint32_t vcpus, size_t cpus)
{
	struct config_vm vm = {.vcpus = vcpus, .memory = MIB(2)};
	struct config config = {.vms = &vm, .vm_count = 1};
	uint64_t apart = CONSOLE_RING + (200 + cpus * KIB(128) / MIB(2)) * PAGE_SIZE;

	return (int64_t)(boot_pool_size(&config, cpus, GIB(4), NULL) - apart) -
	       (int64_t)(MIB(4) - KIB(600) - cpus * KIB(3) + vcpus * KIB(128));
}

/* Each processor needs its stacks: 60 are within the 4 MiB, and any number that has vCPUs. */
static void the_pool_has_room_for_every_processor(void **state)
{
	struct config_vm vm = {.vcpus = 1, .memory = MIB(2)};
	struct config config = {.vms = &vm, .vm_count = 1};

	(void)state;
	for (size_t cpus = 1; cpus <= CPU_MAX; cpus++) {
		assert_true(excess((uint32_t)cpus, cpus) <= 0);
		if (cpus <= 60)
			assert_true(excess(1, cpus) <= 0);
		assert_true(boot_pool_size(&config, cpus, GIB(4), NULL) >=
			    KIB(400) + boot_cpu_size(cpus));
		assert_int_equal(boot_cpu_size(cpus),
				 cpus * (PERCPU_BYTES + HV_CPU_PAGES * PAGE_SIZE));
	}
}

static void larger_guests_get_more_tables(void **state)
{
	struct config_vm vm = {.vcpus = 1, .memory = GIB(1)};
	struct config config = {.vms = &vm, .vm_count = 1};
	uint64_t small = boot_pool_size(&config, 1, GIB(4), NULL), large;

	(void)state;
	vm.memory = GIB(100);
	large = boot_pool_size(&config, 1, GIB(4), NULL);
	/* A page of 2 MiB entries for each GiB, nested and in the host's own tables. */
	assert_true(large >= small + 2 * 99 * PAGE_SIZE);
	hv_caps.features = HV_F_EXEC_4K;
	assert_true(boot_pool_size(&config, 1, GIB(4), NULL) >= large + MIB(200));
}

/* Two cells of 4 bytes for each character, and page tables for Socle and for each VM. */
static void a_screen_is_counted(void **state)
{
	const struct boot_framebuffer fb = {.base = GIB(3),
					    .size = 800 * 600 * 4,
					    .width = 800,
					    .height = 600,
					    .stride = 800,
					    .red = 0xff0000,
					    .green = 0xff00,
					    .blue = 0xff,
					    .reserved = 0xff000000};
	struct config_vm vm = {.vcpus = 1, .memory = GIB(1)};
	struct config config = {.vms = &vm, .vm_count = 1};
	uint64_t without = boot_pool_size(&config, 1, GIB(4), NULL);

	(void)state;
	assert_in_range(boot_pool_size(&config, 1, GIB(4), &fb),
			without + 100 * 37 * 8 + 2 * 2 * PAGE_SIZE, without + KIB(100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_good_machine_has_its_back_end, setup),
		cmocka_unit_test_setup(the_table_numbers_processors_as_the_configuration_does,
				       setup),
		cmocka_unit_test_setup(everything_missing_is_said_once_for_all, setup),
		cmocka_unit_test_setup(processors_are_told_apart, setup),
		cmocka_unit_test_setup(a_processor_with_neither_is_named, setup),
		cmocka_unit_test_setup(what_is_negotiated_last_is_the_first_processor_s, setup),
		cmocka_unit_test_setup(two_back_ends_in_one_machine_are_refused, setup),
		cmocka_unit_test_setup(processors_from_acpi_begin_with_this_one, setup),
		cmocka_unit_test_setup(a_guest_s_fault_is_laid_to_its_key, setup),
		cmocka_unit_test_setup(debug_ports_take_no_device_s_ports, setup),
		cmocka_unit_test_setup(a_key_that_is_not_there_is_not_blamed, setup),
		cmocka_unit_test_setup(the_pool_keeps_the_promise, setup),
		cmocka_unit_test_setup(the_pool_has_room_for_every_processor, setup),
		cmocka_unit_test_setup(larger_guests_get_more_tables, setup),
		cmocka_unit_test_setup(a_screen_is_counted, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
