/* links: core/mov.c core/bus.c core/gmem.c emul/decode.c emul/tables.c tests/unit/support/fake_core.c */
/* The short way for a MOV between a register or a constant and a device. */
#include "tests/unit/support/fake_core.h"

#include <string.h>

#include "core/bus.h"
#include "core/exits.h"
#include "core/lapic.h"

#define DEVICE 0xfec00000ull
#define READS  0x8877665544332211ull

static struct vm *vm;
static struct vcpu *v;
static struct {
	unsigned int count, lapic;
	uint64_t offset, value;
	bool write;
	uint8_t size;
} seen;

static void device(void *dev, struct vcpu *c, uint64_t offset, bool write, uint8_t size,
		   uint64_t *value)
{
	(void)dev;
	(void)c;
	seen.count++;
	seen.offset = offset;
	seen.write = write;
	seen.size = size;
	seen.value = *value;
	if (!write)
		*value = READS;
}

bool lapic_covers(const struct vcpu *c, uint64_t gpa)
{
	(void)c;
	return gpa >> 12 == 0xfee00;
}

void lapic_mmio(struct vcpu *c, uint64_t offset, bool write, uint8_t size, uint64_t *value)
{
	(void)c;
	seen.lapic++;
	seen.offset = offset;
	seen.write = write;
	seen.size = size;
	seen.value = *value;
}

static int setup(void **state)
{
	static uint8_t ram[4096];

	(void)state;
	vm = fake_vm_new(1);
	v = vm->vcpu[0];
	memset(&seen, 0, sizeof(seen));
	vm->ram[0] = (struct vm_ram){.gpa = 0, .size = sizeof(ram), .hva = ram};
	vm->ram_count = 1;
	assert_int_equal(bus_add_mmio(vm, DEVICE, 0x1000, device, NULL), 0);
	for (unsigned int i = 0; i < GPR_COUNT; i++)
		v->gpr[i] = 0xa0a1a2a3a4a5a6a0 + i;
	v->gpr[RBX] = 0xfffff00000005000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_free(vm);
	return 0;
}

static unsigned int mov(const char *bytes, size_t n, uint64_t gpa, bool write)
{
	uint8_t code[MOV_CODE];

	memset(code, 0x90, sizeof(code));
	memcpy(code, bytes, n);
	return exit_mov(v, code, gpa, write);
}
#define MOV(bytes, gpa, write) mov(bytes, sizeof(bytes) - 1, gpa, write)

static void test_reads(void **state)
{
	(void)state;
	/* mov eax, [rbx + 10h]; mov r9, [rbx]; mov cx, [rbx]; mov sil, [rbx]; mov al, [moffs] */
	assert_int_equal(MOV("\x8b\x43\x10", DEVICE + 0x10, false), 3);
	assert_int_equal(v->gpr[RAX], 0x44332211);
	assert_int_equal(seen.offset, 0x10);
	assert_int_equal(seen.size, 4);
	assert_false(seen.write);
	assert_int_equal(MOV("\x4c\x8b\x0b", DEVICE, false), 3);
	assert_int_equal(v->gpr[R9], READS);
	assert_int_equal(MOV("\x66\x8b\x0b", DEVICE, false), 3);
	assert_int_equal(v->gpr[RCX], 0xa0a1a2a3a4a52211);
	assert_int_equal(MOV("\x40\x8a\x33", DEVICE, false), 3);
	assert_int_equal(v->gpr[RSI], 0xa0a1a2a3a4a5a611);
	assert_int_equal(MOV("\xa0\x00\x00\xc0\xfe\x00\x00\x00\x00", DEVICE, false), 9);
	assert_int_equal(v->gpr[RAX], 0x44332211);
	assert_int_equal(seen.count, 5);
}

static void test_writes(void **state)
{
	(void)state;
	/* mov [rbx], edx; mov [rbx], r15; mov dword [rbx + 80000000h], 12345678h;
	 * mov qword [rbx], -2; gs mov byte [rbx], 7 */
	assert_int_equal(MOV("\x89\x13", DEVICE, true), 2);
	assert_int_equal(seen.value, 0xa4a5a6a2);
	assert_int_equal(MOV("\x4c\x89\x3b", DEVICE, true), 3);
	assert_int_equal(seen.value, 0xa0a1a2a3a4a5a6af);
	assert_int_equal(MOV("\xc7\x83\x00\x00\x00\x80\x78\x56\x34\x12", DEVICE + 8, true), 10);
	assert_int_equal(seen.value, 0x12345678);
	assert_int_equal(seen.offset, 8);
	/* The same eight bytes in front: the constant is another. */
	assert_int_equal(MOV("\xc7\x83\x00\x00\x00\x80\x78\x56\x34\x13", DEVICE + 8, true), 10);
	assert_int_equal(seen.value, 0x13345678);
	assert_int_equal(MOV("\x48\xc7\x03\xfe\xff\xff\xff", DEVICE, true), 7);
	assert_int_equal(seen.value, (uint64_t)-2);
	assert_int_equal(seen.size, 8);
	assert_int_equal(MOV("\x65\xc6\x03\x07", DEVICE, true), 4);
	assert_int_equal(seen.value, 7);
	assert_int_equal(seen.size, 1);
	assert_true(seen.write);
}

static void test_again(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 3; i++) {
		v->gpr[RDX] = i;
		assert_int_equal(MOV("\x89\x13", DEVICE + 4 * i, true), 2);
		assert_int_equal(seen.value, i);
		assert_int_equal(seen.offset, 4 * i);
	}
	/* What it was is not what it is: mov eax, [rbx] */
	assert_int_equal(MOV("\x8b\x03", DEVICE, false), 2);
	assert_int_equal(seen.count, 4);
}

static void test_local_apic(void **state)
{
	(void)state;
	assert_int_equal(MOV("\x89\x13", 0xfee000b0, true), 2);
	assert_int_equal(seen.lapic, 1);
	assert_int_equal(seen.offset, 0xb0);
	assert_int_equal(seen.count, 0);
}

/* An operand that begins on the page before exits at the second one: it is not a register there. */
static void test_across_pages(void **state)
{
	(void)state;
	v->gpr[RBX] -= 4;
	assert_int_equal(MOV("\x48\x8b\x03", DEVICE, false), 0); /* mov rax, [rbx] */
	assert_int_equal(MOV("\x48\x89\x13", DEVICE, true), 0);
	v->gpr[RCX] = 1;
	assert_int_equal(MOV("\x8b\x44\x8b\x04", DEVICE, false), 0); /* mov eax, [rbx+rcx*4+4] */
	assert_int_equal(seen.count, 0);
	assert_int_equal(MOV("\x8b\x04\x8b", DEVICE, false), 3); /* mov eax, [rbx+rcx*4] */
	assert_int_equal(MOV("\x8b\x43\x04", DEVICE, false), 3); /* mov eax, [rbx+4] */
	assert_int_equal(MOV("\x8a\x03", DEVICE, false), 2);	  /* one byte is nowhere else */
	assert_int_equal(seen.count, 3);
	/* Whose address is not known: [rsp], [rip - 4], gs:[rbx + 4] */
	assert_int_equal(MOV("\x8b\x04\x24", DEVICE, false), 0);
	assert_int_equal(MOV("\x8b\x05\xfc\xff\xff\xff", DEVICE, false), 0);
	assert_int_equal(MOV("\x65\x8b\x43\x04", DEVICE, false), 0);
	assert_int_equal(MOV("\x8b\x04\x24", DEVICE + 4, false), 3);
	assert_int_equal(seen.count, 4);
}

/* All that is not plain, or not what the exit says: nothing may happen. */
static void test_left_alone(void **state)
{
	uint64_t before[GPR_COUNT];

	(void)state;
	memcpy(before, v->gpr, sizeof(before));
	assert_int_equal(MOV("\x8a\x23", DEVICE, false), 0);	     /* mov ah, [rbx] */
	assert_int_equal(MOV("\x88\x3b", DEVICE, true), 0);	     /* mov [rbx], bh */
	assert_int_equal(MOV("\x48\x8b\x23", DEVICE, false), 0);     /* mov rsp, [rbx] */
	assert_int_equal(MOV("\x03\x03", DEVICE, false), 0);	     /* add eax, [rbx] */
	assert_int_equal(MOV("\x0f\xb6\x03", DEVICE, false), 0);     /* movzx eax, byte [rbx] */
	assert_int_equal(MOV("\x8c\x1b", DEVICE, true), 0);	     /* mov [rbx], ds */
	assert_int_equal(MOV("\xa5", DEVICE, true), 0);		     /* movsd */
	assert_int_equal(MOV("\xff\x33", DEVICE, false), 0);	     /* push [rbx] */
	assert_int_equal(MOV("\x89\xd3", DEVICE, true), 0);	     /* mov ebx, edx */
	assert_int_equal(MOV("\xf0\x89\x13", DEVICE, true), 0);	     /* lock: #UD */
	assert_int_equal(MOV("\x0f\xff", DEVICE, true), 0);	     /* UD0 */
	assert_int_equal(MOV("\x89\x13", DEVICE, false), 0);	     /* it writes, the exit read */
	assert_int_equal(MOV("\x8b\x03", DEVICE, true), 0);	     /* the other way round */
	assert_int_equal(MOV("\x8b\x03", DEVICE + 0xffd, false), 0); /* into the next page */
	assert_int_equal(MOV("\x8b\x03", 0x100, false), 0);	     /* memory */
	assert_memory_equal(before, v->gpr, sizeof(before));
	assert_int_equal(seen.count + seen.lapic, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reads), T(writes), T(again), T(local_apic), T(left_alone), T(across_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
