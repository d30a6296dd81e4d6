#include "config/parser.h"

#include "config/suggest.h"
#include "lib/string.h"
#include "lib/strbuf.h"
#include "lib/util.h"

/* ---- what the value parsers use ---- */

struct config_pos parser_pos(struct parser *p, const char *at)
{
	if (at < p->column_at) {
		p->column_at = p->line.p;
		p->column = 1;
	}
	p->column += text_chars((struct text){p->column_at, (size_t)(at - p->column_at)});
	p->column_at = at;
	return (struct config_pos){p->line_number, p->column};
}

static void report(struct parser *p, struct config_pos pos, const char *text)
{
	p->errors++;
	p->report(p->report_ctx, pos, text);
}

static void report_format(struct parser *p, struct config_pos pos, const char *format, va_list args)
{
	char text[CONFIG_MESSAGE_SIZE];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	sb_vprintf(&sb, format, args);
	report(p, pos, text);
}

void parser_error_at(struct parser *p, struct config_pos pos, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_format(p, pos, format, args);
	va_end(args);
}

void parser_error(struct parser *p, const char *at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_format(p, parser_pos(p, at), format, args);
	va_end(args);
}

size_t parser_unknown(struct parser *p, const char *what, struct text word,
		      const char *const *names, size_t count)
{
	const char *nearest = suggest(word, names, count);
	char text[CONFIG_MESSAGE_SIZE];
	struct strbuf sb;
	struct quoted q;
	size_t i;

	sb_init(&sb, text, sizeof(text));
	sb_printf(&sb, "unknown %s '%s'; ", what, text_quote(&q, word));
	if (nearest)
		sb_printf(&sb, "did you mean '%s'?", nearest);
	else
		sb_puts(&sb, "known: ");
	for (i = 0; i < count && names[i] != nearest; i++) {
		if (!nearest)
			sb_printf(&sb, "%s%s", i > 0 ? ", " : "", names[i]);
	}
	report(p, parser_pos(p, word.p), text);
	return i;
}

void *parser_alloc(struct parser *p, size_t size)
{
	void *room = p->no_memory ? NULL : p->memory->alloc(p->memory->ctx, size);

	if (!room && !p->no_memory) {
		p->no_memory = true;
		parser_error_at(p, (struct config_pos){MAX(p->line_number, 1), 1},
				"out of memory while reading the file");
	}
	return room;
}

void *parser_grow(struct parser *p, void *array, size_t count, size_t size)
{
	char *old, *grown;

	memcpy(&old, array, sizeof(old));
	/* Full at each power of two: the elements move to a place twice as large. */
	if (count & (count - 1))
		return old + count * size;
	grown = parser_alloc(p, MAX(count * 2, 1) * size);
	if (!grown)
		return NULL;
	if (count > 0)
		memcpy(grown, old, count * size);
	memcpy(array, &grown, sizeof(grown));
	return grown + count * size;
}

/* ---- sections ---- */

static const char name_characters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";

static bool in_name(char c)
{
	return c != 0 && strchr(name_characters, c);
}

/* The slot of NAME in the table of names, or the free one where it belongs. */
static uint32_t *name_slot(struct parser *p, const char *name)
{
	size_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (const char *c = name; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3;
	for (;; hash++) {
		uint32_t *slot = &p->names[hash & p->names_mask];

		if (*slot == 0 || strcmp(p->out->vms[*slot - 1].name, name) == 0)
			return slot;
	}
}

static void report_twice(struct parser *p, struct text name)
{
	uint32_t *slot = name_slot(p, p->vm->name);

	if (*slot)
		parser_error(p, name.p, "vm '%s' is there twice; the first is in line %u",
			     p->vm->name, p->out->vms[*slot - 1].section.line);
	else
		*slot = (uint32_t)p->out->vm_count;
}

/* Takes what the name has of good characters, so that messages about the VM have one. */
static void take_vm_name(struct parser *p, struct text name)
{
	const char *bad = NULL;
	size_t len = 0;

	for (size_t i = 0; i < name.len; i++) {
		if (!in_name(name.p[i]) && !bad)
			bad = name.p + i;
		else if (len < CONFIG_VM_NAME_MAX && !bad)
			p->vm->name[len++] = name.p[i];
	}
	p->vm->name[len] = 0;
	if (p->line_damaged)
		return;
	if (name.len == 0)
		parser_error(p, name.p, "a VM needs a name: [vm NAME]");
	else if (bad)
		parser_error(p, bad, "a VM's name is made of a-z A-Z 0-9 . _ - alone");
	else if (name.len > CONFIG_VM_NAME_MAX)
		parser_error(p, name.p, "a VM's name has at most %d characters, not %zu",
			     CONFIG_VM_NAME_MAX, name.len);
	else
		report_twice(p, name);
}

static uint64_t listed_cpus(const struct config_vm *vm)
{
	uint64_t count = 0;

	for (size_t i = 0; i < vm->cpus_count; i++)
		count += vm->cpus[i].last - vm->cpus[i].first + 1;
	return count;
}

/* What takes more than one key to tell. */
static void finish_vm(struct parser *p, const struct config_vm *vm)
{
	const struct config_section *section = &config_sections[CONFIG_SECTION_VM];

	for (size_t i = 0; i < section->key_count; i++) {
		bool there = vm->pos[i].line || p->excused & BIT(i);

		if (section->keys[i].required && !there)
			parser_error_at(p, vm->section, "vm '%s' lacks the key '%s'", vm->name,
					section->keys[i].name);
	}
	if (vm->has_cpus && vm->vcpus > listed_cpus(vm))
		parser_error_at(p, vm->pos[CONFIG_VM_VCPUS],
				"vm '%s' has %u vcpus, and cpus names only %lu", vm->name,
				vm->vcpus, listed_cpus(vm));
}

static void end_section(struct parser *p)
{
	if (p->vm)
		finish_vm(p, p->vm);
	p->vm = NULL;
	p->section = NULL;
	p->record = NULL;
	p->excused = 0;
}

static void begin_socle(struct parser *p, struct text word, struct text name)
{
	struct config_socle *socle = &p->out->socle;

	p->record = socle;
	p->places = p->socle_places;
	if (name.len > 0)
		parser_error(p, name.p, "[socle] takes no name");
	if (socle->section.line)
		parser_error(p, word.p, "[socle] is there twice; the first is in line %u",
			     socle->section.line);
	else
		socle->section = parser_pos(p, word.p);
}

static void begin_vm(struct parser *p, struct text name)
{
	p->vm = &p->out->vms[p->out->vm_count++];
	*p->vm = config_vm_default;
	p->vm->section = parser_pos(p, name.p);
	p->record = p->vm;
	p->places = p->vm->pos;
	take_vm_name(p, name);
}

static void begin_section(struct parser *p, struct text word, struct text name)
{
	const char *names[CONFIG_SECTION_COUNT];

	for (size_t i = 0; i < CONFIG_SECTION_COUNT; i++) {
		names[i] = config_sections[i].name;
		if (text_equals(word, names[i]))
			p->section = &config_sections[i];
	}
	if (p->section && p->section->named)
		begin_vm(p, name);
	else if (p->section)
		begin_socle(p, word, name);
	else if (!p->line_damaged)
		parser_unknown(p, "section", word, names, CONFIG_SECTION_COUNT);
	p->skipping = !p->section;
}

/* LINE starts with '['. A header that is wrong still starts its section, whose keys are checked. */
static void parse_header(struct parser *p, struct text line)
{
	const char *end = memchr(line.p, ']', line.len);
	struct text inside = text_from(line, line.p + 1), rest = {0}, word, name;

	end_section(p);
	p->before_sections = false;
	if (end) {
		rest = text_trim(text_from(line, end + 1));
		inside = text_before(inside, end);
	} else if (!p->line_damaged) {
		parser_error(p, line.p + line.len, "the section's ']' is missing");
		p->line_damaged = true;
	}
	if (rest.len > 0)
		parser_error(p, rest.p,
			     rest.p[0] == '#' || rest.p[0] == ';'
				     ? "a comment needs a line of its own"
				     : "nothing may stand behind a section's ']'");
	inside = text_trim(inside);
	word = inside;
	for (word.len = 0; word.len < inside.len; word.len++) {
		if (inside.p[word.len] == ' ' || inside.p[word.len] == '\t')
			break;
	}
	name = text_trim(text_from(inside, word.p + word.len));
	begin_section(p, word, name);
}

/* ---- keys ---- */

static bool key_matches(const struct config_key *key, struct text word)
{
	if (key->prefix > 0)
		return word.len > key->prefix && memcmp(word.p, key->name, key->prefix) == 0;
	return text_equals(word, key->name);
}

static const struct config_key *find_key(const struct config_section *section, struct text word)
{
	for (size_t i = 0; i < section->key_count; i++) {
		if (key_matches(&section->keys[i], word))
			return &section->keys[i];
	}
	return NULL;
}

/* Returns whether WORD is a key of another section, once that is reported. */
static bool report_misplaced(struct parser *p, struct text word)
{
	for (size_t i = 0; i < CONFIG_SECTION_COUNT; i++) {
		const struct config_section *other = &config_sections[i];
		const struct config_key *key = find_key(other, word);

		if (!key)
			continue;
		parser_error(p, word.p, "key '%s' belongs into [%s%s]", key->name, other->name,
			     other->named ? " NAME" : "");
		return true;
	}
	return false;
}

static void report_unknown_key(struct parser *p, struct text word)
{
	const char *names[CONFIG_VM_KEY_COUNT];
	size_t count = p->section->key_count, nearest;

	for (size_t i = 0; i < count; i++)
		names[i] = p->section->keys[i].name;
	nearest = parser_unknown(p, "key", word, names, count);
	/* That it is missing would be a second error for one mistake. */
	if (nearest < count)
		p->excused |= BIT(nearest);
}

static void take_value(struct parser *p, const struct config_key *key, struct text value)
{
	struct config_pos *place = &p->places[key - p->section->keys];
	uint32_t first = place->line;
	struct quoted q;

	if (!first)
		*place = parser_pos(p, value.p);
	if (p->line_damaged)
		return;
	text_quote(&q, p->key);
	if (first && !key->repeats)
		parser_error(p, p->key.p, "key '%s' is there twice; the first is in line %u",
			     q.text, first);
	else if (value.len == 0 && !key->may_be_empty)
		parser_error(p, value.p, "key '%s' has no value", q.text);
	else
		key->parse(p, key, value, (char *)p->record + key->offset);
}

/* True where keys can stand; where not, the first that does is reported. */
static bool in_section(struct parser *p, struct text line)
{
	if (p->before_sections)
		parser_error(p, line.p, "a section, [socle] or [vm NAME], must come first");
	p->before_sections = false;
	return p->section;
}

static void parse_assignment(struct parser *p, struct text line)
{
	const char *equals = memchr(line.p, '=', line.len);
	const struct config_key *key;

	if (!equals && !p->line_damaged)
		parser_error(p, line.p, "expected KEY = VALUE, [SECTION] or a comment");
	if (!equals || !in_section(p, line))
		return;
	p->key = text_trim(text_before(line, equals));
	key = find_key(p->section, p->key);
	if (key)
		take_value(p, key, text_trim(text_from(line, equals + 1)));
	else if (p->key.len == 0)
		parser_error(p, equals, "a key is missing before '='");
	else if (!report_misplaced(p, p->key))
		report_unknown_key(p, p->key);
}

/* ---- lines ---- */

static bool is_control(uint32_t c)
{
	return (c < 0x20 && c != '\t') || (c >= 0x7f && c < 0xa0);
}

/* Cuts the line at the first thing that is not text. */
static void check_characters(struct parser *p)
{
	size_t i = 0;

	while (i < p->line.len) {
		uint32_t c;
		size_t len = utf8_decode(p->line.p + i, p->line.len - i, &c);

		if (len > 0 && !is_control(c)) {
			i += len;
			continue;
		}
		if (len == 0)
			parser_error(p, p->line.p + i, "byte 0x%02x: the file is not UTF-8",
				     (uint8_t)p->line.p[i]);
		else
			parser_error(p, p->line.p + i, "control character 0x%02x", c);
		p->line.len = i;
		p->line_damaged = true;
	}
}

static void parse_line(struct parser *p, struct text line)
{
	p->line_number++;
	p->line = line;
	p->line_damaged = false;
	p->column_at = line.p;
	p->column = 1;
	check_characters(p);
	line = text_trim(p->line);
	if (line.len == 0 || line.p[0] == '#' || line.p[0] == ';')
		return;
	if (line.p[0] == '[')
		parse_header(p, line);
	else
		parse_assignment(p, line);
}

/* Cuts a line off *REST, its LF or CRLF left out. */
static struct text next_line(struct text *rest)
{
	const char *end = memchr(rest->p, '\n', rest->len);
	struct text line = end ? text_before(*rest, end) : *rest;

	*rest = text_from(*rest, end ? end + 1 : rest->p + rest->len);
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* At least as many as there are VMs. */
static size_t count_headers(struct text text)
{
	size_t count = 0;

	while (text.len > 0) {
		struct text line = text_trim(next_line(&text));

		count += line.len > 0 && line.p[0] == '[';
	}
	return count;
}

/* One allocation for all VMs, and a table of names at most half full. */
static bool make_room(struct parser *p, struct text text)
{
	size_t count = count_headers(text);
	size_t slots = 2;

	while (slots < count * 2)
		slots *= 2;
	p->out->vms = parser_alloc(p, MAX(count, 1) * sizeof(*p->out->vms));
	p->names = parser_alloc(p, slots * sizeof(*p->names));
	if (p->no_memory)
		return false;
	memset(p->names, 0, slots * sizeof(*p->names));
	p->names_mask = slots - 1;
	return true;
}

static void parse_text(struct parser *p, struct text text)
{
	bool any_unknown = false;

	if (!make_room(p, text))
		return;
	while (text.len > 0 && !p->no_memory) {
		parse_line(p, next_line(&text));
		any_unknown |= p->skipping;
	}
	end_section(p);
	if (p->out->vm_count == 0 && !any_unknown && !p->no_memory)
		parser_error_at(p, (struct config_pos){1, 1},
				"there is no VM: a section [vm NAME] is needed");
}

size_t config_parse(struct config *out, const char *file, const char *bytes, size_t size,
		    const struct config_memory *memory, config_report *report_error,
		    void *report_ctx)
{
	struct text text = {bytes, size};
	struct parser p = {
		.out = out,
		.memory = memory,
		.report = report_error,
		.report_ctx = report_ctx,
		.before_sections = true,
	};

	*out = (struct config){.file = file, .socle = config_socle_default};
	if (text_starts_with(text, "\xff\xfe") || text_starts_with(text, "\xfe\xff")) {
		parser_error_at(&p, (struct config_pos){1, 1},
				"the file is UTF-16; save it as UTF-8");
		return p.errors;
	}
	/* Windows' editors put a byte order mark first. */
	if (text_starts_with(text, "\xef\xbb\xbf"))
		text = text_from(text, text.p + 3);
	parse_text(&p, text);
	return p.errors;
}
