/* links: core/share.c tests/unit/support/fake_core.c */
/* Weights and caps: what a VM is promised in socle.cfg, over many turns. */
#include "tests/unit/support/fake_core.h"

#include "core/share.h"
#include "core/vm.h"

#define MS 1000000ull /* ticks: the fake clock runs at 1 GHz */

static struct vm vm[3];
static struct vcpu vcpu[3];

static int setup(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		vm[i] = (struct vm){.weight = 100, .vcpu_count = 1};
		vcpu[i] = (struct vcpu){.vm = &vm[i]};
	}
	fake = (struct fake){.hz = 1000000000};
	return 0;
}

/* Slices of 10 ms to whoever has the least virtual time; how many each of N got of COUNT. */
static void take_turns(unsigned int n, unsigned int count, unsigned int turns[3])
{
	for (unsigned int i = 0; i < n; i++)
		turns[i] = 0;
	while (count--) {
		unsigned int best = 0;

		for (unsigned int i = 1; i < n; i++)
			if (vcpu[i].vtime < vcpu[best].vtime)
				best = i;
		turns[best]++;
		share_charge(&vcpu[best], 10 * MS);
	}
}

static void equal_weights_share_equally(void **state)
{
	unsigned int turns[3];

	(void)state;
	take_turns(3, 900, turns);
	for (int i = 0; i < 3; i++)
		assert_in_range(turns[i], 299, 301);
}

static void time_follows_the_weights(void **state)
{
	unsigned int turns[3];

	(void)state;
	vm[1].weight = 300;
	vm[2].weight = 600;
	take_turns(3, 1000, turns);
	assert_in_range(turns[0], 99, 101);
	assert_in_range(turns[1], 299, 301);
	assert_in_range(turns[2], 599, 601);
}

static void sleep_earns_no_credit(void **state)
{
	(void)state;
	vcpu[0].vtime = 10 * MS;
	share_wake(&vcpu[0], 5000 * MS, 100 * MS);
	assert_int_equal(vcpu[0].vtime, 5000 * MS);
}

static void what_was_used_is_owed_up_to_a_bound(void **state)
{
	(void)state;
	vcpu[0].vtime = 50 * MS;
	share_wake(&vcpu[0], 20 * MS, 100 * MS);
	assert_int_equal(vcpu[0].vtime, 50 * MS);
	vcpu[0].vtime = 70000 * MS;
	share_wake(&vcpu[0], 20 * MS, 100 * MS);
	assert_int_equal(vcpu[0].vtime, 120 * MS);
}

static void without_a_cap_there_is_always_room(void **state)
{
	(void)state;
	share_charge(&vcpu[0], ~0ull / 2);
	assert_true(share_room(&vm[0], 1) == ~0ull);
}

/* 30 % of one processor: 30 ms of each 100. */
static void a_cap_ends_a_turn_and_the_next_window_gives_it_back(void **state)
{
	(void)state;
	vm[0].cap = 30;
	assert_int_equal(share_room(&vm[0], 0), 30 * MS);
	share_charge(&vcpu[0], 20 * MS);
	assert_int_equal(share_room(&vm[0], 20 * MS), 10 * MS);
	share_charge(&vcpu[0], 10 * MS);
	assert_int_equal(share_room(&vm[0], 30 * MS), 0);
	assert_int_equal(share_room_at(&vm[0]), 100 * MS);
	assert_int_equal(share_room(&vm[0], 99 * MS), 0);
	assert_int_equal(share_room(&vm[0], 100 * MS), 30 * MS);
}

static void what_was_too_much_is_paid_for_later(void **state)
{
	(void)state;
	vm[0].cap = 30;
	share_charge(&vcpu[0], 40 * MS);
	assert_int_equal(share_room(&vm[0], 40 * MS), 0);
	assert_int_equal(share_room(&vm[0], 100 * MS), 20 * MS);
}

static void what_was_not_used_is_not_saved_up(void **state)
{
	(void)state;
	vm[0].cap = 150;
	assert_int_equal(share_room(&vm[0], 10000 * MS), 150 * MS);
	assert_int_equal(share_room_at(&vm[0]), 10100 * MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(equal_weights_share_equally, setup),
		cmocka_unit_test_setup(time_follows_the_weights, setup),
		cmocka_unit_test_setup(sleep_earns_no_credit, setup),
		cmocka_unit_test_setup(what_was_used_is_owed_up_to_a_bound, setup),
		cmocka_unit_test_setup(without_a_cap_there_is_always_room, setup),
		cmocka_unit_test_setup(a_cap_ends_a_turn_and_the_next_window_gives_it_back, setup),
		cmocka_unit_test_setup(what_was_too_much_is_paid_for_later, setup),
		cmocka_unit_test_setup(what_was_not_used_is_not_saved_up, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
