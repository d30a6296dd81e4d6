#include "tests/guests/fuzz/fuzz.h"

static struct stream streams[2];
static uint64_t trace_from, report;
static volatile bool finished;

/* splitmix64: every state is the seed plus a multiple of one constant. */
uint64_t next64(struct stream *s)
{
	uint64_t z = s->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static const struct operation *draw(struct stream *s)
{
	static uint32_t total;
	uint32_t n;

	if (!total)
		for (size_t i = 0; i < operation_count; i++)
			total += operations[i].weight;
	n = below(s, total);
	for (size_t i = 0;; i++) {
		if (n < operations[i].weight)
			return &operations[i];
		n -= operations[i].weight;
	}
}

static void run(uint64_t argument)
{
	struct stream *s = (struct stream *)argument;

	draw(s)->run(s);
}

/* The operation's own generator begins at its number: what it does depends on nothing before it but
 * state. */
static void step(struct stream *s, uint64_t seed)
{
	unsigned int id = rt_cpu_id();

	s->state = seed ^ s->op * 0xd6e8feb86659fd93 ^ (uint64_t)id << 63;
	if (id == 0 && s->op >= trace_from) {
		struct stream peek = *s;

		rt_printf("fuzz: trace %lu: %s\n", s->op, draw(&peek)->name);
	}
	rt_try(run, (uint64_t)s);
	s->op++;
	if (s->op % 64 == 0)
		heal();
}

void rt_second(void)
{
	uint64_t seed = rt_option("seed", 1);

	while (!finished)
		step(&streams[1], seed);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void rt_guest(void)
{
	uint64_t seed = rt_option("seed", 1), count = rt_option("count", 10000);

	trace_from = rt_option("trace", ~0ull);
	report = rt_option("report", 1000);
	streams[0].op = rt_option("from", 0);
	rt_printf("fuzz: seed %lu, %lu operations\n", seed, count);
	if (rt_option("cpus", 2) > 1)
		rt_start_second();
	while (streams[0].op < count) {
		if (streams[0].op % report == 0)
			rt_printf("fuzz: %lu\n", streams[0].op);
		step(&streams[0], seed);
	}
	finished = true;
	rt_printf("fuzz: %lu operations done, %lu beside them\n", streams[0].op, streams[1].op);
	rt_exit(33);
}
