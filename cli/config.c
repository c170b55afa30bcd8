#include "cli/config.h"

#include <cyaml/cyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTINGS_MAX = 64, VALUES_MAX = 64, VALUE_LENGTH_MAX = 4096, FILE_MAX = 1 << 20 };

/* One option's value as the YAML reader leaves it: a text, or texts for lists. NULL: not in the file. */
typedef struct setting {
    union {
        char *text;
        char **texts;
    } value;
    uint32_t count; /* of texts */
} setting;

/* The schema is made from the option table; the reader's data is an array of `setting`. */
struct pt_config {
    char *name;
    const pt_option *options[SETTINGS_MAX]; /* that of each setting */
    size_t count;
    cyaml_schema_field_t fields[SETTINGS_MAX + 1];
    cyaml_schema_value_t schema;
    setting *settings; /* owned by the reader's allocator; NULL: an empty file */
};

static const cyaml_schema_value_t list_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, VALUE_LENGTH_MAX),
};

/* The reader's own words: its first error and the first line number it mentions. */
typedef struct complaint {
    char text[200];
    int line;
} complaint;

static void take_complaint(cyaml_log_t level, void *user, const char *format, va_list args)
{
    complaint *c = user;
    char message[256];
    if (level < CYAML_LOG_ERROR) {
        return;
    }
    vsnprintf(message, sizeof message, format, args);
    const char *line = strstr(message, "line: ");
    if (line && c->line == 0) {
        c->line = atoi(line + strlen("line: "));
    }
    if (!c->text[0]) {
        const char *said = strncmp(message, "Load: ", 6) == 0 ? message + 6 : message;
        snprintf(c->text, sizeof c->text, "%.*s", (int)strcspn(said, "\n"), said);
    }
}

static void *allocate(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        pt_free(block);
        return NULL;
    }
    return pt_realloc(block, size, 1);
}

static cyaml_config_t reader_setup(complaint *c)
{
    return (cyaml_config_t){.log_fn = c ? take_complaint : NULL,
                            .log_ctx = c,
                            .mem_fn = allocate,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
}

static bool is_list(const pt_option *option)
{
    return option->kind == PT_OPTION_TEXTS || option->kind == PT_OPTION_REALS;
}

static void describe_field(const pt_option *option, size_t index, cyaml_schema_field_t *field)
{
    uint32_t offset = (uint32_t)(index * sizeof(setting));
    field->key = option->name;
    field->data_offset = offset + (uint32_t)offsetof(setting, value);
    field->value.flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL;
    if (is_list(option)) {
        field->count_offset = offset + (uint32_t)offsetof(setting, count);
        field->count_size = sizeof(uint32_t);
        field->value.type = CYAML_SEQUENCE;
        field->value.data_size = sizeof(char *);
        field->value.sequence.entry = &list_entry;
        field->value.sequence.min = 1;
        field->value.sequence.max = VALUES_MAX;
    } else {
        field->value.type = CYAML_STRING;
        field->value.data_size = sizeof(char);
        field->value.string.min = 1;
        field->value.string.max = VALUE_LENGTH_MAX;
    }
}

static pt_status describe(pt_config *config, const pt_command *command)
{
    for (size_t i = 0; i < command->option_count; i++) {
        if (!command->options[i].config) {
            continue;
        }
        if (config->count == SETTINGS_MAX) {
            return pt_error(PT_E_INTERNAL, "too many options for a config");
        }
        describe_field(&command->options[i], config->count, &config->fields[config->count]);
        config->options[config->count++] = &command->options[i];
    }
    config->schema = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                            .flags = CYAML_FLAG_POINTER,
                                            .data_size = (uint32_t)(config->count * sizeof(setting)),
                                            .mapping = {.fields = config->fields}};
    return pt_ok();
}

/* The reader gives the line of the mapping for a key that it does not know, not that of the key: the first
 * line that begins with it, or 0. */
static int find_key_line(const char *key, const char *text, size_t size)
{
    size_t length = strlen(key);
    int line = 1;
    for (size_t at = 0; at + length < size; line++) {
        if (memcmp(text + at, key, length) == 0 && (text[at + length] == ':' || text[at + length] == ' ')) {
            return line;
        }
        const char *end = memchr(text + at, '\n', size - at);
        if (!end) {
            break;
        }
        at = (size_t)(end - text) + 1;
    }
    return 0;
}

static pt_status parse(pt_config *config, const void *bytes, size_t size)
{
    static const char unknown[] = "Unexpected key: ";
    complaint c = {.line = 0};
    cyaml_config_t setup = reader_setup(&c);
    cyaml_data_t *data = NULL;
    cyaml_err_t error = cyaml_load_data(bytes, size, &setup, &config->schema, &data, NULL);
    if (error == CYAML_OK) {
        config->settings = data;
        return pt_ok();
    }
    if (error == CYAML_ERR_OOM) {
        return PT_NOMEM("the config");
    }
    char line[32] = "";
    if (strncmp(c.text, unknown, strlen(unknown)) == 0) {
        c.line = find_key_line(c.text + strlen(unknown), bytes, size);
    }
    if (c.line > 0) {
        snprintf(line, sizeof line, "line %d: ", c.line);
    }
    return pt_error(PT_E_INPUT, "%s: %s%s; configs/example.yaml shows every key", config->name, line,
                    c.text[0] ? c.text : cyaml_strerror(error));
}

pt_status pt_config_load_data(const char *name, const void *bytes, size_t size, const pt_command *command,
                              pt_config **out)
{
    pt_config *config = pt_calloc(1, sizeof *config);
    if (!config) {
        return PT_NOMEM("the config");
    }
    config->name = pt_strdup(name);
    pt_status status = config->name ? describe(config, command) : PT_NOMEM("the config's name");
    if (status.code == PT_OK) {
        status = parse(config, bytes, size);
    }
    if (status.code != PT_OK) {
        pt_config_free(&config);
        return status;
    }
    *out = config;
    return status;
}

pt_status pt_config_load(const char *path, const pt_command *command, pt_config **out)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        return pt_error(PT_E_INPUT, "%s: no such config; name a YAML file such as configs/buildings.yaml",
                        path);
    }
    pt_status status;
    char *bytes = pt_alloc(FILE_MAX + 1, 1);
    size_t size = bytes ? fread(bytes, 1, FILE_MAX + 1, file) : 0;
    if (!bytes) {
        status = PT_NOMEM("the config");
    } else if (ferror(file) || size > FILE_MAX) {
        status = pt_error(PT_E_INPUT, "%s: cannot be read, or larger than 1 MiB", path);
    } else {
        status = pt_config_load_data(path, bytes, size, command, out);
    }
    pt_free(bytes);
    fclose(file);
    return status;
}

/* Numbers in a list go to the option as the command line would give them: separated by commas. */
static pt_status apply_list(const pt_option *option, const setting *s, void *values)
{
    pt_option_reset(option, values);
    if (option->kind == PT_OPTION_TEXTS) {
        for (uint32_t i = 0; i < s->count; i++) {
            PT_TRY(pt_option_set(option, values, s->value.texts[i]));
        }
        return pt_ok();
    }
    char joined[256];
    size_t used = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        int n = snprintf(joined + used, sizeof joined - used, "%s%s", i ? "," : "", s->value.texts[i]);
        if (n < 0 || (size_t)n >= sizeof joined - used) {
            return pt_error(PT_E_USAGE, "--%s: too long", option->name);
        }
        used += (size_t)n;
    }
    return pt_option_set(option, values, joined);
}

pt_status pt_config_apply(const pt_config *config, void *values)
{
    for (size_t i = 0; config->settings && i < config->count; i++) {
        const setting *s = &config->settings[i];
        const pt_option *option = config->options[i];
        if (!s->value.text) {
            continue;
        }
        pt_status status =
            is_list(option) ? apply_list(option, s, values) : pt_option_set(option, values, s->value.text);
        if (status.code == PT_E_USAGE) {
            return pt_error(PT_E_INPUT, "%s: %s", config->name, status.message + strspn(status.message, "-"));
        }
        PT_TRY(status);
    }
    return pt_ok();
}

void pt_config_free(pt_config **config)
{
    if (!config || !*config) {
        return;
    }
    pt_config *c = *config;
    if (c->settings) {
        cyaml_config_t setup = reader_setup(NULL);
        cyaml_free(&setup, &c->schema, c->settings, 0);
    }
    pt_free(c->name);
    pt_free(c);
    *config = NULL;
}
