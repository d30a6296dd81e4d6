/* What the parser's own files share. Everybody else needs config/config.h alone. */
#ifndef CONFIG_PARSER_H
#define CONFIG_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "config/text.h"

struct parser;
struct config_key;

/*
 * Reads VALUE into FIELD, or reports what is wrong with it and leaves FIELD alone. VALUE is
 * trimmed, and not empty unless the key says that it may be.
 */
typedef void config_value_parser(struct parser *p, const struct config_key *key, struct text value,
				 void *field);

/* A word that a value may be. */
struct config_choice {
	char name[12];
	uint32_t value;
};

struct config_key {
	const char *name;
	config_value_parser *parse;
	const struct config_choice *choices;
	uint64_t multiple_of; /* sizes */
	uint32_t min, max;    /* numbers and sizes */
	uint16_t offset;      /* of the field in struct config_socle or struct config_vm */
	uint16_t size;	      /* of the field, for numbers and choices */

	uint8_t prefix; /* so much of the name stands in the file, the user's word behind it; 0: all
			 */
	uint8_t choice_count;
	bool required;
	bool repeats; /* each line adds to the field's list */
	bool may_be_empty;
};

/* A kind of section. */
struct config_section {
	const char *name;
	bool named; /* [NAME ...] rather than [NAME] */
	const struct config_key *keys;
	size_t key_count;
};

/* [socle]'s keys, as indices of their places. [vm]'s are enum config_vm_key. */
enum config_socle_key {
	CONFIG_SOCLE_CONSOLE,
	CONFIG_SOCLE_LOG,
	CONFIG_SOCLE_ESCAPE,
	CONFIG_SOCLE_ON_PANIC,
	CONFIG_SOCLE_MITIGATIONS,
	CONFIG_SOCLE_SLICE,
	CONFIG_SOCLE_KEY_COUNT
};

enum config_section_kind { CONFIG_SECTION_SOCLE, CONFIG_SECTION_VM, CONFIG_SECTION_COUNT };

extern const struct config_section config_sections[CONFIG_SECTION_COUNT];
extern const struct config_socle config_socle_default;
extern const struct config_vm config_vm_default;

/* A bound beyond any machine's for vCPUs and processor numbers, so that nothing overflows. */
#define CONFIG_CPUS_MAX 65536u
/* What core/ has room for in one VM. */
#define CONFIG_VCPUS_MAX 128u

/*
 * A choice of [socle]'s console has the kind in its value's upper bits, the address in the lower.
 */
#define CONFIG_CONSOLE_KIND_SHIFT 8

/* Enough for the longest message: one with all keys of a section. */
#define CONFIG_MESSAGE_SIZE 512

struct parser {
	struct config *out;
	const struct config_memory *memory;
	config_report *report;
	void *report_ctx;
	size_t errors;
	bool no_memory; /* reported; parsing ends */

	struct text line; /* the present one, without its end */
	uint32_t line_number;
	bool line_damaged;     /* cut at a character that is none, which is reported */
	const char *column_at; /* columns were counted up to here: */
	uint32_t column;
	struct text key; /* as the line has it */

	const struct config_section *section; /* NULL: none yet, or one to be skipped */
	bool skipping;			      /* an unknown section, which is reported */
	bool before_sections;		      /* no section yet, and no key that missed one */
	void *record;			      /* where the section's fields are */
	struct config_pos *places;	      /* of the section's values, by key */
	struct config_pos socle_places[CONFIG_SOCLE_KEY_COUNT];
	struct config_vm *vm; /* the present section's, or NULL */
	uint64_t excused;     /* keys that are missing since their names were mistyped */

	uint32_t *names; /* hash table of VM names: index + 1, 0 is free */
	size_t names_mask;
	uint64_t *cpu_bits; /* for the list being read: one bit a processor */
};

/* The place of AT, which is in the present line or at its end. */
struct config_pos parser_pos(struct parser *p, const char *at);

void parser_error(struct parser *p, const char *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void parser_error_at(struct parser *p, struct config_pos pos, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * "unknown WHAT 'WORD'" with the nearest one of NAMES, or all of them when none is near. Returns
 * the nearest one's index, COUNT when none is.
 */
size_t parser_unknown(struct parser *p, const char *what, struct text word,
		      const char *const *names, size_t count);

/* NULL, once reported, when there is none; the parser stops after the present line. */
void *parser_alloc(struct parser *p, size_t size);

/* Room for one more element in *ARRAY, which has COUNT of SIZE bytes. NULL as parser_alloc(). */
void *parser_grow(struct parser *p, void *array, size_t count, size_t size);

config_value_parser config_parse_size, config_parse_uint, config_parse_choice, config_parse_text,
	config_parse_consoles, config_parse_cpus, config_parse_modules, config_parse_fw_cfg,
	config_parse_duration, config_parse_escape;

#endif
