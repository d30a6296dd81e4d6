/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/* The scripted back end itself: that it fails what hardware would. */
#include "tests/unit/support/fake_hv.h"

#include <string.h>

static struct vm *vm;
static struct vcpu *v;
static const char *broken;

static int setup(void **state)
{
	(void)state;
	vm = fake_hv_vm(2, 2);
	fake_hv_start(vm);
	v = vm->vcpu[0];
	broken = NULL;
	fake_hv.broken = &broken;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_hv_end();
	return 0;
}

static void assert_broken(const char *what)
{
	assert_non_null(broken);
	assert_string_equal(broken, what);
	broken = NULL;
}

static const struct fake_step once[] = {{.ticks = 1}};

static void test_ownership(void **state)
{
	(void)state;
	machine.here = 1;
	hv->load(v);
	assert_broken("load of a vCPU that another core has not put");
	fake_of(v)->on = &machine.cpu[0];
	machine.cpu[1].current = NULL;
	hv->get_state(v, ST_RIP);
	assert_broken("get_state of a vCPU that is not loaded");
	hv->put(v);
	assert_broken("put of a vCPU that is not loaded");
	machine.here = 0;
	fake_of(v)->on = &machine.cpu[0];
	machine.cpu[0].current = v;
	hv->load(vm->vcpu[1]);
	assert_broken("load while another vCPU is current");
}

static void test_groups(void **state)
{
	(void)state;
	v->st_valid = 0;
	hv->set_state(v, ST_SEGS);
	assert_broken("set_state of a group that was not fetched");
	hv->get_state(v, ST_CRS);
	v->st.cr2 ^= 1;
	FAKE_RUN(v, once);
	assert_broken("a changed group was not set before the entry");
}

static void test_events(void **state)
{
	const struct hv_event irq = {.valid = true, .type = EVENT_INTR, .vector = 0x50};
	const struct hv_event nmi = {.valid = true, .type = EVENT_NMI, .vector = EXC_NMI};
	const struct hv_event gp = {.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_GP};

	(void)state;
	hv->inject(v, &irq);
	assert_null(broken);
	hv->inject(v, &nmi);
	assert_broken("a second event for one entry");
	fake_of(v)->event.valid = false;
	fake_guest(v)->rflags = 2;
	hv->inject(v, &irq);
	assert_broken("inject of what is blocked");
	fake_of(v)->event.valid = false;
	hv->inject(v, &gp);
	assert_broken("an error code where there is none, or the other way round");
}

static void test_registers_of_another(void **state)
{
	(void)state;
	fake_here()->fpu++;
	FAKE_RUN(v, once);
	assert_broken("an entry with another vCPU's FPU registers");
	vm->state = VM_RUNNING;
	vm->end = VM_END_NONE;
	v->requests = 0;
	fake_here()->fpu--;
	fake_here()->cr3++;
	FAKE_RUN(v, once);
	assert_broken("an entry under another VM's page tables");
}

/* ---- translations stay until they are dropped ---- */

static void touch(struct vcpu *c)
{
	fake_touch_gpa(c, 0x5000);
}

static const struct fake_step touches[] = {{.guest = touch, .exit = {EXIT_NMI, 0}}};

static void run_on(struct vm *m)
{
	m->state = VM_RUNNING;
	m->end = VM_END_NONE;
	m->vcpu[0]->requests = 0;
	FAKE_RUN(m->vcpu[0], touches);
}

static void test_nested_translations(void **state)
{
	(void)state;
	assert_int_equal(pt_init(&vm->npt, &ept_format, 4, PT_PAGE_4K, &pt_pages), 0);
	assert_int_equal(pt_map(&vm->npt, 0x5000, 0x9000, 0x1000, PT_R, MT_WB, PT_PAGE_4K), 0);
	run_on(vm);
	run_on(vm);
	assert_null(broken);
	assert_int_equal(pt_unmap(&vm->npt, 0x5000, 0x1000), 0);
	run_on(vm);
	assert_broken("a stale nested translation is used");
	assert_int_equal(pt_map(&vm->npt, 0x5000, 0x8000, 0x1000, PT_R, MT_WB, PT_PAGE_4K), 0);
	hv->npt_flush(vm);
	run_on(vm);
	assert_null(broken);
	pt_free(&vm->npt);
}

static void test_linear_translations(void **state)
{
	uint64_t entry;

	(void)state;
	/* Through tables at 10000h: one 2 MiB page, which moves. */
	entry = 0x11003;
	memcpy(vm->ram[0].hva + 0x10000, &entry, 8);
	entry = 0x12003;
	memcpy(vm->ram[0].hva + 0x11000, &entry, 8);
	entry = 0x83;
	memcpy(vm->ram[0].hva + 0x12000, &entry, 8);
	hv->get_state(v, ST_CRS);
	v->st.cr3 = 0x10000;
	hv->set_state(v, ST_CRS);
	fake_touch_linear(v, 0x1234);
	entry = 0x200083;
	memcpy(vm->ram[0].hva + 0x12000, &entry, 8);
	fake_touch_linear(v, 0x1234);
	assert_broken("a stale linear translation is used");
	entry = 0x83;
	memcpy(vm->ram[0].hva + 0x12000, &entry, 8);
	v->st.cr4 |= CR4_PGE;
	hv->set_state(v, ST_CRS);
	fake_touch_linear(v, 0x1234);
	assert_null(broken);
}

#define T(name)                                           \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ownership),
		T(groups),
		T(events),
		T(registers_of_another),
		T(nested_translations),
		T(linear_translations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
