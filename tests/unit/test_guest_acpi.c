/* links: guest/acpi.c core/gmem.c lib/strbuf.c lib/fmt.c tests/unit/support/guest_vm.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/gmem.h"
#include "guest/acpi.h"
#include "tests/unit/support/guest_vm.h"

static const struct guest_platform platform = {
	.pm1_event = 0x600,
	.pm1_control = 0x604,
	.pm_timer = 0x608,
	.reset_port = 0xcf9,
	.reset_value = 6,
	.sci_gsi = 9,
	.ioapic_id = 200,
	.ioapic_address = 0xfec00000,
	.rtc = false,
};

static struct vm *with_tables(const struct guest_platform *p, unsigned int vcpus)
{
	struct vm *vm = guest_vm_new(MIB(2), 1);
	struct writer w = {.vm = vm};

	assert_int_equal(guest_acpi_write(&w, p, vcpus), 0xe0000);
	assert_int_equal(w.err, 0);
	return vm;
}

static uint8_t sum(const struct vm *vm, uint64_t gpa, uint64_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + guest_vm_get(vm, gpa++, 1));
	return s;
}

static bool is(const struct vm *vm, uint64_t table, const char *signature)
{
	char got[4];

	assert_int_equal(gmem_read(vm, table, got, sizeof(got)), 0);
	return !memcmp(got, signature, sizeof(got));
}

/* The table with this SIGNATURE, found as an operating system does; 0: none. */
static uint64_t find(const struct vm *vm, const char *signature)
{
	uint64_t xsdt = guest_vm_get(vm, 0xe0000 + 24, 8);
	uint64_t len = guest_vm_get(vm, xsdt + 4, 4);

	if (is(vm, xsdt, signature))
		return xsdt;
	if (is(vm, guest_vm_get(vm, 0xe0000 + 16, 4), signature))
		return guest_vm_get(vm, 0xe0000 + 16, 4);
	for (uint64_t at = xsdt + 36; at < xsdt + len; at += 8) {
		uint64_t table = guest_vm_get(vm, at, 8);

		if (is(vm, table, signature))
			return table;
		if (is(vm, table, "FACP") && is(vm, guest_vm_get(vm, table + 140, 8), signature))
			return guest_vm_get(vm, table + 140, 8);
		if (is(vm, table, "FACP") && is(vm, guest_vm_get(vm, table + 36, 4), signature))
			return guest_vm_get(vm, table + 36, 4);
	}
	return 0;
}

static void rsdp(void **state)
{
	struct vm *vm = with_tables(&platform, 1);

	(void)state;
	assert_int_equal(sum(vm, 0xe0000, 20), 0);
	assert_int_equal(sum(vm, 0xe0000, 36), 0);
	assert_int_equal(guest_vm_get(vm, 0xe0000 + 15, 1), 2);	 /* revision */
	assert_int_equal(guest_vm_get(vm, 0xe0000 + 20, 4), 36); /* length */
	guest_vm_free(vm);
}

static void every_table(void **state)
{
	static const char *const signatures[] = {"XSDT", "RSDT", "FACP", "APIC", "DSDT"};
	struct vm *vm = with_tables(&platform, VM_MAX_VCPUS);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		uint64_t table = find(vm, signatures[i]);

		assert_int_not_equal(table, 0);
		assert_true(table > 0xe0000 && table < 0x100000);
		assert_int_equal(sum(vm, table, guest_vm_get(vm, table + 4, 4)), 0);
	}
	guest_vm_free(vm);
}

/* For those who know 32-bit addresses alone. */
static void roots_name_the_same(void **state)
{
	struct guest_platform p = platform;
	struct vm *vm;
	uint64_t xsdt, rsdt, n;

	(void)state;
	p.rtc = p.legacy = p.com2 = p.fw_cfg = true;
	p.hpet_address = 0xfed00000;
	vm = with_tables(&p, 2);
	xsdt = find(vm, "XSDT");
	rsdt = find(vm, "RSDT");
	n = (guest_vm_get(vm, xsdt + 4, 4) - 36) / 8;
	assert_int_equal(n, 8);
	assert_int_equal(guest_vm_get(vm, rsdt + 4, 4), 36 + 4 * n);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(guest_vm_get(vm, rsdt + 36 + 4 * i, 4),
				 guest_vm_get(vm, xsdt + 36 + 8 * i, 8));
	guest_vm_free(vm);
}

static void hpet(void **state)
{
	struct guest_platform p = platform;
	struct vm *vm = with_tables(&p, 1);
	uint64_t t;

	(void)state;
	assert_int_equal(find(vm, "HPET"), 0);
	guest_vm_free(vm);
	p.hpet_address = 0xfed00000;
	p.hpet_id = 0x8086a201;
	p.hpet_min_tick = 500;
	vm = with_tables(&p, 1);
	t = find(vm, "HPET");
	assert_int_equal(sum(vm, t, guest_vm_get(vm, t + 4, 4)), 0);
	assert_int_equal(guest_vm_get(vm, t + 4, 4), 56);
	assert_int_equal(guest_vm_get(vm, t + 36, 4), 0x8086a201);
	assert_int_equal(guest_vm_get(vm, t + 40, 4), 0x00004000); /* in memory, 64 bits wide */
	assert_int_equal(guest_vm_get(vm, t + 44, 8), 0xfed00000);
	assert_int_equal(guest_vm_get(vm, t + 53, 2), 500);
	guest_vm_free(vm);
}

/* Offsets of ACPI 5.2.9. */
static void fadt(void **state)
{
	struct vm *vm = with_tables(&platform, 1);
	uint64_t t = find(vm, "FACP");

	(void)state;
	assert_int_equal(guest_vm_get(vm, t + 8, 1), 6);      /* revision */
	assert_int_equal(guest_vm_get(vm, t + 46, 2), 9);     /* SCI_INT */
	assert_int_equal(guest_vm_get(vm, t + 48, 4), 0);     /* SMI_CMD */
	assert_int_equal(guest_vm_get(vm, t + 56, 4), 0x600); /* PM1a_EVT_BLK */
	assert_int_equal(guest_vm_get(vm, t + 64, 4), 0x604); /* PM1a_CNT_BLK */
	assert_int_equal(guest_vm_get(vm, t + 76, 4), 0x608); /* PM_TMR_BLK */
	assert_int_equal(guest_vm_get(vm, t + 88, 1), 4);
	assert_int_equal(guest_vm_get(vm, t + 89, 1), 2);
	assert_int_equal(guest_vm_get(vm, t + 91, 1), 4);
	assert_int_equal(guest_vm_get(vm, t + 109, 2), 0x25); /* no 8042, no VGA, no RTC */
	assert_int_equal(guest_vm_get(vm, t + 112, 4) & (1 << 8), 1 << 8); /* TMR_VAL_EXT */
	assert_int_equal(guest_vm_get(vm, t + 112, 4) & (1 << 10), 1 << 10);
	assert_int_equal(guest_vm_get(vm, t + 112, 4) & (1 << 20), 0); /* HW_REDUCED_ACPI */
	assert_int_equal(guest_vm_get(vm, t + 116, 4), 0x01000801);    /* RESET_REG */
	assert_int_equal(guest_vm_get(vm, t + 120, 8), 0xcf9);
	assert_int_equal(guest_vm_get(vm, t + 128, 1), 6);
	assert_int_equal(guest_vm_get(vm, t + 140, 8), guest_vm_get(vm, t + 40, 4)); /* DSDT */
	assert_int_equal(guest_vm_get(vm, t + 152, 8), 0x600);
	assert_int_equal(guest_vm_get(vm, t + 176, 8), 0x604);
	assert_int_equal(guest_vm_get(vm, t + 212, 8), 0x608);
	assert_int_equal(find(vm, "FACS") % 64, 0);
	guest_vm_free(vm);
}

static void clock_that_is_there(void **state)
{
	struct guest_platform p = platform;
	struct vm *vm;
	uint64_t ssdt;

	(void)state;
	p.rtc = true;
	vm = with_tables(&p, 1);
	assert_int_equal(guest_vm_get(vm, find(vm, "FACP") + 109, 2), 0x05);
	/* The century's index in the clock; an alarm has neither day nor month. */
	assert_int_equal(guest_vm_get(vm, find(vm, "FACP") + 108, 1), 0x32);
	assert_int_equal(guest_vm_get(vm, find(vm, "FACP") + 106, 2), 0);
	ssdt = find(vm, "SSDT");
	assert_int_not_equal(ssdt, 0);
	assert_int_equal(sum(vm, ssdt, guest_vm_get(vm, ssdt + 4, 4)), 0);
	guest_vm_free(vm);
	vm = with_tables(&platform, 1);
	assert_int_equal(find(vm, "SSDT"), 0);
	assert_int_equal(guest_vm_get(vm, find(vm, "FACP") + 108, 1), 0);
	guest_vm_free(vm);
}

/* Walks the MADT's structures; counts each type. */
static void count_madt(const struct vm *vm, unsigned int counts[256])
{
	uint64_t madt = find(vm, "APIC"), at = madt + 44;
	uint64_t end = madt + guest_vm_get(vm, madt + 4, 4);

	memset(counts, 0, 256 * sizeof(counts[0]));
	while (at < end) {
		uint64_t type = guest_vm_get(vm, at, 1), len = guest_vm_get(vm, at + 1, 1);

		if (type == 0) {
			assert_int_equal(guest_vm_get(vm, at + 2, 1), counts[0]); /* UID */
			assert_int_equal(guest_vm_get(vm, at + 3, 1), counts[0]); /* APIC ID */
			assert_int_equal(guest_vm_get(vm, at + 4, 4), 1);
		} else if (type == 1) {
			assert_int_equal(guest_vm_get(vm, at + 2, 1), 200);
			assert_int_equal(guest_vm_get(vm, at + 4, 8), 0xfec00000);
		} else if (type == 2) {
			assert_int_equal(guest_vm_get(vm, at + 2, 8),
					 counts[2] ? 0x0000000000020000 : 0x000d000000090900);
		} else if (type == 4) {
			assert_int_equal(guest_vm_get(vm, at + 2, 4), 0x010000ff);
		}
		counts[type]++;
		assert_true(len >= 6);
		at += len;
	}
	assert_int_equal(at, end);
}

static void madt(void **state)
{
	static const unsigned int sizes[] = {1, 2, 17, VM_MAX_VCPUS};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vm *vm = with_tables(&platform, sizes[i]);
		unsigned int counts[256];

		assert_int_equal(guest_vm_get(vm, find(vm, "APIC") + 36, 4), 0xfee00000);
		assert_int_equal(guest_vm_get(vm, find(vm, "APIC") + 40, 4), 0); /* PCAT_COMPAT */
		count_madt(vm, counts);
		assert_int_equal(counts[0], sizes[i]);
		assert_int_equal(counts[1], 1);
		assert_int_equal(counts[2], 1);
		assert_int_equal(counts[4], 1);
		guest_vm_free(vm);
	}
}

/* With an 8259 pair and an 8254: the timer is on pin 2. */
static void madt_of_a_pc(void **state)
{
	struct guest_platform p = platform;
	static const unsigned int sizes[] = {1, VM_MAX_VCPUS};

	(void)state;
	p.legacy = true;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vm *vm = with_tables(&p, sizes[i]);
		unsigned int counts[256];

		assert_int_equal(guest_vm_get(vm, find(vm, "APIC") + 40, 4), 1);
		count_madt(vm, counts);
		assert_int_equal(counts[0], sizes[i]);
		assert_int_equal(counts[2], 2);
		/* An 8042. */
		assert_int_equal(guest_vm_get(vm, find(vm, "FACP") + 109, 2), 0x27);
		assert_true(is(vm, find(vm, "SSDT"), "SSDT"));
		guest_vm_free(vm);
	}
}

static void dump(const struct vm *vm, const char *dir, const char *signature)
{
	uint64_t table = find(vm, signature);
	uint64_t len = guest_vm_get(vm, table + 4, 4);
	uint8_t *bytes = malloc(len);
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.dat", dir, signature);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(gmem_read(vm, table, bytes, len), 0);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	fclose(f);
	free(bytes);
}

/* The compiler of ACPI's reference implementation can read all of it and has nothing to say. */
static void disassembles(void **state)
{
	static const char *const signatures[] = {"XSDT", "FACP", "APIC", "FACS",
						 "DSDT", "SSDT", "HPET"};
	struct guest_platform p = platform;
	struct vm *vm;
	char dir[] = "/tmp/socle-acpi-XXXXXX", command[512];

	(void)state;
	p.rtc = true;
	p.hpet_address = 0xfed00000;
	vm = with_tables(&p, 3);
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		dump(vm, dir, signatures[i]);
		snprintf(command, sizeof(command),
			 "cd %s && iasl -d %s.dat >out 2>&1 && test -s %s.dsl && "
			 "! grep -inE 'error|warning|invalid|unknown|incorrect' out %s.dsl",
			 dir, signatures[i], signatures[i], signatures[i]);
		if (system(command))
			fail_msg("%s: see %s", signatures[i], dir);
	}
	snprintf(command, sizeof(command),
		 "cd %s && grep -q '_HID, EisaId (\"PNP0501\")' DSDT.dsl && "
		 "grep -q 'Name (_S5' DSDT.dsl && grep -q 0x03F8 DSDT.dsl",
		 dir);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	guest_vm_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rsdp),		cmocka_unit_test(every_table),
		cmocka_unit_test(fadt),		cmocka_unit_test(clock_that_is_there),
		cmocka_unit_test(madt),		cmocka_unit_test(madt_of_a_pc),
		cmocka_unit_test(disassembles), cmocka_unit_test(roots_name_the_same),
		cmocka_unit_test(hpet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
