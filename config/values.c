#include "config/parser.h"

#include "lib/assert.h"
#include "lib/err.h"
#include "lib/string.h"
#include "lib/strbuf.h"
#include "lib/util.h"

/* Serial ports are 16550s: eight registers. */
#define PORT_REGISTERS 8
/* No x86-64 processor has physical addresses of more than 52 bits (SDM vol. 3A 4.1.4). */
#define MMIO_LIMIT (1ULL << 52)
/* More lines than a PC can have; keeps a list's comparison with itself short. */
#define CONSOLES_MAX 8

/* The longest table of choices. */
#define CHOICES_MAX 8

#define SIZE_HINT "it must be a number with K, M or G behind it, such as 512M"

/* Numbers, sizes and choices have fields of different sizes; all are little-endian. */
static void store(const struct config_key *key, void *field, uint64_t value)
{
	memcpy(field, &value, key->size);
}

/* 512M rather than 536870912: the largest unit that leaves no rest. */
static const char *size_name(struct quoted *q, uint64_t size)
{
	static const char units[] = {'G', 'M', 'K'};
	struct strbuf sb;

	sb_init(&sb, q->text, sizeof(q->text));
	for (unsigned int i = 0; i < ARRAY_SIZE(units); i++) {
		unsigned int shift = 30 - 10 * i;

		if (size > 0 && IS_ALIGNED(size, BIT(shift))) {
			sb_printf(&sb, "%lu%c", size >> shift, units[i]);
			return q->text;
		}
	}
	sb_printf(&sb, "%lu", size);
	return q->text;
}

static void report_not_multiple(struct parser *p, const struct config_key *key, struct text value,
				uint64_t size)
{
	struct quoted q, unit, next;
	uint64_t number;
	const char *bytes = text_number(value, &number) == 0 ? " bytes" : "";

	if (size == 0) {
		parser_error(p, value.p, "%s must not be 0", key->name);
		return;
	}
	text_quote(&q, value);
	size_name(&unit, key->multiple_of);
	if (size > UINT64_MAX - key->multiple_of) {
		parser_error(p, value.p, "%s = %s%s is not a multiple of %s", key->name, q.text,
			     bytes, unit.text);
		return;
	}
	size_name(&next, ALIGN_UP(size, key->multiple_of));
	parser_error(p, value.p, "%s = %s%s is not a multiple of %s; the next one is %s", key->name,
		     q.text, bytes, unit.text, next.text);
}

void config_parse_size(struct parser *p, const struct config_key *key, struct text value,
		       void *field)
{
	struct quoted q;
	uint64_t size;
	int err = text_size(value, &size);

	if (err == -ERANGE)
		parser_error(p, value.p, "%s = %s is more than 64 bits can count", key->name,
			     text_quote(&q, value));
	else if (err)
		parser_error(p, value.p, "%s = %s is not a size; " SIZE_HINT, key->name,
			     text_quote(&q, value));
	else if (size == 0 || size % key->multiple_of)
		report_not_multiple(p, key, value, size);
	else
		store(key, field, size);
}

/* A number from MIN to MAX. Returns whether *NUMBER is one; if not, it is reported. */
static bool number_between(struct parser *p, const char *what, struct text value, uint64_t min,
			   uint64_t max, uint64_t *number)
{
	struct quoted q;
	int err = text_number(value, number);

	text_quote(&q, value);
	if (value.len == 0) {
		parser_error(p, value.p, "%s: a number is missing", what);
		return false;
	}
	if (err == -EINVAL) {
		parser_error(p, value.p, "%s = %s is not a number", what, q.text);
		return false;
	}
	if (err || *number < min || *number > max) {
		parser_error(p, value.p, "%s = %s is out of range: %lu to %lu", what, q.text, min,
			     max);
		return false;
	}
	return true;
}

void config_parse_uint(struct parser *p, const struct config_key *key, struct text value,
		       void *field)
{
	uint64_t number;

	if (number_between(p, key->name, value, key->min, key->max, &number))
		store(key, field, number);
}

/* `10 ms` or `500 us`, kept in microseconds. */
void config_parse_duration(struct parser *p, const struct config_key *key, struct text value,
			   void *field)
{
	struct text count = value;
	struct quoted q;
	uint64_t number, scale;

	count.len -= MIN(count.len, 2);
	scale = text_equals(text_from(value, value.p + count.len), "ms") ? 1000 : 1;
	if (scale == 1 && !text_equals(text_from(value, value.p + count.len), "us")) {
		parser_error(p, value.p, "%s = %s is not a time, such as 10 ms or 500 us",
			     key->name, text_quote(&q, value));
		return;
	}
	if (number_between(p, key->name, text_trim(count), (key->min + scale - 1) / scale,
			   key->max / scale, &number))
		store(key, field, number * scale);
}

/* Returns the choice that WORD names, or NULL once it is reported. */
static const struct config_choice *find_choice(struct parser *p, const struct config_key *key,
					       struct text word)
{
	const char *names[CHOICES_MAX];
	char what[32];
	struct strbuf sb;

	assert(key->choice_count <= CHOICES_MAX);
	for (size_t i = 0; i < key->choice_count; i++) {
		const struct config_choice *c = &key->choices[i];

		if (text_equals(word, c->name))
			return c;
		names[i] = c->name;
	}
	sb_init(&sb, what, sizeof(what));
	sb_printf(&sb, "%s value", key->name);
	parser_unknown(p, what, word, names, key->choice_count);
	return NULL;
}

void config_parse_choice(struct parser *p, const struct config_key *key, struct text value,
			 void *field)
{
	const struct config_choice *choice = find_choice(p, key, value);

	if (choice)
		store(key, field, choice->value);
}

static const char *copy_text(struct parser *p, struct text t)
{
	char *copy = parser_alloc(p, t.len + 1);

	if (copy) {
		memcpy(copy, t.p, t.len);
		copy[t.len] = 0;
	}
	return copy;
}

void config_parse_text(struct parser *p, const struct config_key *key, struct text value,
		       void *field)
{
	const char *copy = copy_text(p, value);

	(void)key;
	if (copy)
		*(const char **)field = copy;
}

/* `^]` is Ctrl-]: the letter's code without its upper bits (ECMA-48 5.2). */
void config_parse_escape(struct parser *p, const struct config_key *key, struct text value,
			 void *field)
{
	struct quoted q;

	if (value.len != 2 || value.p[0] != '^' || (value.p[1] & 0x60) != 0x40) {
		parser_error(p, value.p, "%s = %s is not a key such as ^] or ^A", key->name,
			     text_quote(&q, value));
		return;
	}
	store(key, field, value.p[1] & 0x1f);
}

/* ---- [socle] console ---- */

struct console_form {
	const char *prefix;
	enum config_console_kind kind;
	uint64_t max;
};

static const struct console_form console_forms[] = {
	{"port", CONFIG_CONSOLE_PORT, 0x10000 - PORT_REGISTERS},
	{"mmio", CONFIG_CONSOLE_MMIO, MMIO_LIMIT - PORT_REGISTERS},
};

/* `port=0x3f8`. Returns false when ITEM is of no such form, or wrong and reported. */
static bool console_address(struct parser *p, struct text item, struct config_console *console)
{
	const char *equals = memchr(item.p, '=', item.len);
	struct text prefix = text_trim(text_before(item, equals));

	for (size_t i = 0; i < ARRAY_SIZE(console_forms); i++) {
		const struct console_form *form = &console_forms[i];

		if (!text_equals(prefix, form->prefix))
			continue;
		console->kind = form->kind;
		return number_between(p, form->prefix, text_trim(text_from(item, equals + 1)), 1,
				      form->max, &console->address);
	}
	parser_unknown(p, "console value", prefix, (const char *const[]){"port", "mmio"}, 2);
	return false;
}

static bool console_named(struct parser *p, const struct config_key *key, struct text item,
			  struct config_console *console)
{
	const struct config_choice *choice;

	if (item.len == 0) {
		parser_error(p, item.p, "console has an empty entry");
		return false;
	}
	choice = find_choice(p, key, item);
	if (!choice)
		return false;
	console->kind = (enum config_console_kind)(choice->value >> CONFIG_CONSOLE_KIND_SHIFT);
	console->address = choice->value & (BIT(CONFIG_CONSOLE_KIND_SHIFT) - 1);
	return true;
}

/* The same port may be named as com1 and as port=0x3f8. */
static bool same_console(const struct config_console *a, const struct config_console *b)
{
	static const uint16_t com_ports[] = {0, 0x3f8, 0x2f8, 0x3e8, 0x2e8};
	uint64_t x = a->kind == CONFIG_CONSOLE_COM ? com_ports[a->address] : a->address;
	uint64_t y = b->kind == CONFIG_CONSOLE_COM ? com_ports[b->address] : b->address;
	bool x_port = a->kind == CONFIG_CONSOLE_COM || a->kind == CONFIG_CONSOLE_PORT;
	bool y_port = b->kind == CONFIG_CONSOLE_COM || b->kind == CONFIG_CONSOLE_PORT;

	return x == y && (a->kind == b->kind || (x_port && y_port));
}

static void add_console(struct parser *p, struct text item, const struct config_console *console)
{
	struct config_socle *socle = &p->out->socle;
	struct quoted q;

	for (size_t i = 0; i < socle->console_count; i++) {
		if (same_console(&socle->consoles[i], console)) {
			parser_error(p, item.p, "console names %s twice", text_quote(&q, item));
			return;
		}
	}
	if (socle->console_count == CONSOLES_MAX) {
		parser_error(p, item.p, "console has more than %d entries", CONSOLES_MAX);
		return;
	}
	socle->consoles[socle->console_count++] = *console;
}

void config_parse_consoles(struct parser *p, const struct config_key *key, struct text value,
			   void *field)
{
	struct config_socle *socle = &p->out->socle;
	struct text rest = value, item;
	bool none = false;

	(void)field;
	socle->consoles = parser_alloc(p, CONSOLES_MAX * sizeof(*socle->consoles));
	while (socle->consoles && text_split(&rest, ',', &item)) {
		struct config_console console = {.pos = parser_pos(p, item.p)};
		bool address = memchr(item.p, '=', item.len);

		if (address ? !console_address(p, item, &console)
			    : !console_named(p, key, item, &console))
			continue;
		none |= console.kind == CONFIG_CONSOLE_NONE;
		add_console(p, item, &console);
	}
	if (none && socle->console_count > 1)
		parser_error(p, value.p, "console = none cannot have other entries beside it");
}

/* ---- [vm] cpus ---- */

#define CPU_WORD_BITS 64

/* `4` or `1-3`. */
static bool cpu_range(struct parser *p, struct text item, struct config_cpu_range *range)
{
	const char *dash = memchr(item.p, '-', item.len);
	struct text low = item, high = item;
	uint64_t first, last;

	if (dash) {
		low = text_trim(text_before(item, dash));
		high = text_trim(text_from(item, dash + 1));
	}
	if (!number_between(p, "cpus", low, 0, CONFIG_CPUS_MAX - 1, &first))
		return false;
	if (!number_between(p, "cpus", high, 0, CONFIG_CPUS_MAX - 1, &last))
		return false;
	if (first > last) {
		parser_error(p, item.p, "cpus = %lu-%lu runs backwards; write %lu-%lu", first, last,
			     last, first);
		return false;
	}
	*range = (struct config_cpu_range){(uint32_t)first, (uint32_t)last, parser_pos(p, item.p)};
	return true;
}

/* Marks the range's processors; reports the first that is marked already. */
static bool mark_cpus(struct parser *p, struct text item, const struct config_cpu_range *range)
{
	for (uint32_t cpu = range->first; cpu <= range->last; cpu++) {
		uint64_t bit = BIT(cpu % CPU_WORD_BITS);
		uint64_t *word = &p->cpu_bits[cpu / CPU_WORD_BITS];

		if (*word & bit) {
			parser_error(p, item.p, "cpus names processor %u twice", cpu);
			return false;
		}
		*word |= bit;
	}
	return true;
}

static bool clear_cpu_bits(struct parser *p)
{
	size_t size = CONFIG_CPUS_MAX / 8;

	if (!p->cpu_bits)
		p->cpu_bits = parser_alloc(p, size);
	if (p->cpu_bits)
		memset(p->cpu_bits, 0, size);
	return p->cpu_bits;
}

static bool add_cpu_range(struct parser *p, const struct config_cpu_range *range)
{
	struct config_vm *vm = p->vm;
	struct config_cpu_range *slot =
		parser_grow(p, &vm->cpus, vm->cpus_count, sizeof(*vm->cpus));

	if (!slot)
		return false;
	*slot = *range;
	vm->cpus_count++;
	return true;
}

void config_parse_cpus(struct parser *p, const struct config_key *key, struct text value,
		       void *field)
{
	struct config_cpu_range range;
	struct text item;
	bool good = clear_cpu_bits(p);

	(void)key;
	(void)field;
	while (p->cpu_bits && text_split(&value, ',', &item))
		good &= cpu_range(p, item, &range) && mark_cpus(p, item, &range) &&
			add_cpu_range(p, &range);
	/* A list that is wrong in part would only bring errors after it. */
	p->vm->has_cpus = good;
}

/* ---- keys that may be repeated ---- */

static void add_item(struct parser *p, struct config_item **items, size_t *count, const char *name,
		     struct text value)
{
	struct config_item *slot = parser_grow(p, items, *count, sizeof(**items));

	if (!slot)
		return;
	slot->name = name;
	slot->text = copy_text(p, value);
	slot->pos = parser_pos(p, value.p);
	*count += slot->text != NULL;
}

void config_parse_modules(struct parser *p, const struct config_key *key, struct text value,
			  void *field)
{
	(void)key;
	(void)field;
	add_item(p, &p->vm->modules, &p->vm->module_count, NULL, value);
}

/*
 * The names that the device's specification leaves to users, in plain ASCII. Returns whether NAME
 * is one, and new.
 */
static bool fw_cfg_name(struct parser *p, struct text name)
{
	const char *bad = NULL;

	for (size_t i = 0; i < name.len && !bad; i++)
		bad = name.p[i] > ' ' && name.p[i] < 0x7f ? NULL : name.p + i;
	for (size_t i = 0; i < p->vm->fw_cfg_count; i++) {
		if (!text_equals(name, p->vm->fw_cfg[i].name))
			continue;
		parser_error(p, name.p, "there is a file '%s' already, in line %u",
			     p->vm->fw_cfg[i].name, p->vm->fw_cfg[i].pos.line);
		return false;
	}
	if (bad)
		parser_error(p, bad, "a file's name is made of ASCII characters without spaces");
	else if (!text_starts_with(name, "opt/") || name.len == 4)
		parser_error(p, name.p,
			     "a file's name must begin with opt/, as in fw_cfg.opt/NAME");
	else if (name.len > CONFIG_FW_CFG_NAME_MAX)
		parser_error(p, name.p, "a file's name has at most %d characters, not %zu",
			     CONFIG_FW_CFG_NAME_MAX, name.len);
	else if (p->vm->fw_cfg_count == CONFIG_FW_CFG_MAX)
		parser_error(p, p->key.p, "a VM has at most %d files of fw_cfg", CONFIG_FW_CFG_MAX);
	else
		return true;
	return false;
}

void config_parse_fw_cfg(struct parser *p, const struct config_key *key, struct text value,
			 void *field)
{
	struct text name = text_from(p->key, p->key.p + key->prefix);
	const char *copy = fw_cfg_name(p, name) ? copy_text(p, name) : NULL;

	(void)field;
	if (copy)
		add_item(p, &p->vm->fw_cfg, &p->vm->fw_cfg_count, copy, value);
}
