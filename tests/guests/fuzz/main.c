#include "tests/guests/fuzz/fuzz.h"

#define NAP	       2000000u /* ticks of the APIC timer */
#define STILL_NAPS     20
#define STUCK_NAPS     5000
#define OPERATIONS_MAX 64

/* Of what each processor has done, by operation. */
static struct {
	uint32_t done[OPERATIONS_MAX];
	uint32_t faulted[OPERATIONS_MAX];
} tallies[2];
static struct stream streams[2];
static uint64_t seed, share, report, trace_from;

/* splitmix64: every state is the seed plus a multiple of one constant. */
uint64_t next64(struct stream *s)
{
	uint64_t z = s->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

bool is_qemu(void)
{
	static int qemu = -1;

	if (qemu < 0)
		qemu = rt_option("qemu", 0) != 0;
	return qemu;
}

static size_t draw(struct stream *s)
{
	static uint32_t total;
	uint32_t n, sum = 0;

	if (!total) {
		for (size_t i = 0; i < operation_count; i++)
			sum += operations[i].weight;
		total = sum;
	}
	n = below(s, total);
	for (size_t i = 0;; i++) {
		if (n < operations[i].weight)
			return i;
		n -= operations[i].weight;
	}
}

static void run(uint64_t argument)
{
	struct stream *s = (struct stream *)argument;

	operations[s->drawn].run(s);
}

/*
 * The operation's own generator begins at its number: what it does depends on nothing before it but
 * state. One that an INIT cuts short is begun again.
 */
static void step(unsigned int id)
{
	struct stream *s = &streams[id];

	s->state = seed ^ s->op * 0xd6e8feb86659fd93 ^ (uint64_t)id << 63;
	s->drawn = draw(s);
	if (s->op >= trace_from)
		rt_printf("fuzz: trace %u %lu: %s\n", id, s->op, operations[s->drawn].name);
	rt_self()->note = s->op;
	if (rt_try(run, (uint64_t)s) != NO_FAULT)
		tallies[id].faulted[s->drawn]++;
	tallies[id].done[s->drawn]++;
	s->op++;
	if (s->op % 64 == 0)
		heal();
}

/* Where the stacks of the interrupt stack table are in a TSS: NMI and #DF have the first two. */
#define IST(n)		(36 + 8 * ((n)-1))
#define DEBUG_STACK	3
#define EXCEPTION_STACK 4

/*
 * Exceptions come on stacks of their own: user code may leave RSP anywhere, and SYSCALL that ends
 * in one has it still.
 */
static void own_stacks(unsigned int id)
{
	static uint8_t stacks[2][2][4096] __attribute__((aligned(16)));

	*(uint64_t *)(rt_tss(id) + IST(DEBUG_STACK)) = (uint64_t)stacks[id][0] + 4096;
	*(uint64_t *)(rt_tss(id) + IST(EXCEPTION_STACK)) = (uint64_t)stacks[id][1] + 4096;
}

static void use_own_stacks(void)
{
	own_stacks(0);
	for (unsigned int vector = 0; vector < 32; vector++)
		if (vector != NMI && vector != DF)
			rt_idt[2 * vector] |=
				(uint64_t)(vector == DB ? DEBUG_STACK : EXCEPTION_STACK) << 32;
}

static uint64_t *table_of(uint64_t entry)
{
	return (uint64_t *)(entry & 0xffffffffff000);
}

/*
 * Through the window, user code reads DEVICE, and does not write to it: nobody has looked at its
 * values, and an INIT of the first processor or an NMI to one that is starting is the guest's own
 * end. What it writes to devices goes to where none is.
 */
static void shield(uint64_t device, uint64_t *table)
{
	uint64_t *directory = table_of(table_of(rt_pml4[USER_WINDOW >> 39])[device >> 30]);
	uint64_t *entry = &directory[device >> 21 & 511];

	for (uint64_t i = 0; i < 512; i++)
		table[i] = (device & ~0x1fffffull) + (i << 12) + 7;
	table[device >> 12 & 511] &= ~2ull;
	*entry = (uint64_t)table | 7;
}

void rt_second(void)
{
	own_stacks(1);
	while (streams[1].op < share)
		step(1);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static uint64_t second_op(void)
{
	return __atomic_load_n(&streams[1].op, __ATOMIC_RELAXED);
}

/*
 * Woken by its own timer, or by whatever the second processor sends. That is an operation like
 * another: the 8259 pair, set up by the second, may send any vector, those of exceptions included,
 * through an entry of the I/O APIC that says ExtINT.
 */
static void nap(uint64_t unused)
{
	(void)unused;
	rt_reset_apic();
	mmio_write(APIC + 0x3e0, 0xb);
	mmio_write(APIC + 0x320, 0x20000 | V_TIMER);
	mmio_write(APIC + 0x380, NAP);
	__asm__ volatile("sti; hlt; cli");
}

/*
 * Half of the operations are the second processor's, and it may still have some to do: it may also
 * wait for its start, behind an INIT.
 */
static void wait_for_second(void)
{
	uint64_t seen = second_op(), naps = 0;

	heal();
	write_cr8(0);
	while (second_op() < share) {
		rt_try(nap, 0);
		if (second_op() != seen)
			naps = 0;
		if (second_op() / report != seen / report)
			rt_printf("fuzz: %lu\n", second_op());
		seen = second_op();
		if (++naps <= (rt_second_is_up() ? STUCK_NAPS : STILL_NAPS))
			continue;
		rt_start_second();
		naps = 0;
	}
}

static void print_tallies(void)
{
	static const char *const names[KINDS] = {
		[K_MSR] = "MSR",
		[K_PORT] = "port",
		[K_MMIO] = "MMIO",
		[K_APIC] = "APIC",
		[K_CR] = "CR",
		[K_HYPERCALL] = "hypercall",
		[K_INSTRUCTION] = "instruction",
		[K_MEMORY] = "memory",
		[K_USER] = "user code",
	};

	for (unsigned int kind = 0; kind < KINDS; kind++) {
		uint64_t done = 0, faulted = 0;

		for (size_t i = 0; i < operation_count; i++) {
			if (operations[i].kind != kind)
				continue;
			done += tallies[0].done[i] + tallies[1].done[i];
			faulted += tallies[0].faulted[i] + tallies[1].faulted[i];
		}
		rt_printf("fuzz: %s: %lu, %lu of them faulted\n", names[kind], done, faulted);
	}
}

void rt_guest(void)
{
	static uint64_t apic_pages[512] __attribute__((aligned(4096)));
	static uint64_t ioapic_pages[512] __attribute__((aligned(4096)));
	uint64_t count = rt_option("count", 10000);

	report = rt_option("report", 1000);
	seed = rt_option("seed", 1);
	share = (count + 1) / 2;
	trace_from = rt_option("trace", ~0ull);
	streams[0].op = streams[1].op = rt_option("from", 0);
	use_own_stacks();
	shield(APIC, apic_pages);
	shield(IOAPIC, ioapic_pages);
	rt_printf("fuzz: seed %lu, %lu operations\n", seed, count);
	rt_start_second();
	while (streams[0].op < share) {
		if (streams[0].op % report == 0)
			rt_printf("fuzz: %lu\n", streams[0].op);
		step(0);
	}
	wait_for_second();
	print_tallies();
	rt_printf("fuzz: %lu operations done\n", streams[0].op + streams[1].op);
	rt_exit(33);
}
