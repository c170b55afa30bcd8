#include "engine/model/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool pt_text_is_plain(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Counts brackets, commas and colons outside texts. jansson would build whatever it is given (100 MB of
 * "[[]," make gigabytes), so the structure's size is bounded before it runs. Malformed texts are left for it
 * to name. */
static pt_status bound_structure(const char *what, const char *text, size_t size)
{
    size_t marks = 0, depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        marks += c == ',' || c == ':' || c == '[' || c == '{';
        if (c == '[' || c == '{') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    if (deepest > PT_HEADER_MAX_DEPTH) {
        return pt_error(PT_E_INPUT, "%s is nested %zu levels deep, at most %d are allowed", what, deepest,
                        PT_HEADER_MAX_DEPTH);
    }
    if (marks > (size_t)2 * PT_HEADER_MAX_VALUES) {
        return pt_error(PT_E_INPUT, "%s holds more than %d values", what, PT_HEADER_MAX_VALUES);
    }
    return pt_ok();
}

/* jansson's messages quote what is near the fault: hostile bytes, which must not reach a terminal. */
static void plain_copy(char *out, size_t size, const char *text)
{
    size_t i = 0;
    for (; i + 1 < size && text[i] && strncmp(text + i, " near ", 6) != 0; i++) {
        out[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    }
    out[i] = '\0';
}

pt_status pt_json_parse(const char *what, const char *text, size_t size, json_t **out)
{
    PT_TRY(bound_structure(what, text, size));
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        if (json_error_code(&error) == json_error_out_of_memory) {
            return PT_NOMEM(what);
        }
        char reason[96];
        plain_copy(reason, sizeof reason, error.text);
        return pt_error(PT_E_INPUT, "%s is not valid JSON (byte %d: %s)", what, error.position, reason);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return pt_error(PT_E_INPUT, "%s is not a JSON object", what);
    }
    *out = root;
    return pt_ok();
}

typedef struct key_text {
    char text[128];
} key_text;

static key_text full_key(const pt_json_group *group, const char *key)
{
    key_text full;
    snprintf(full.text, sizeof full.text, "%s%s%s", group->name, group->name[0] ? "." : "", key);
    return full;
}

static key_text entry_key(const pt_json_group *group, const char *key, size_t index)
{
    key_text full;
    snprintf(full.text, sizeof full.text, "%s%s%s[%zu]", group->name, group->name[0] ? "." : "", key, index);
    return full;
}

pt_status pt_json_group_get(const json_t *root, const char *key, pt_json_group *out)
{
    const json_t *value = json_object_get(root, key);
    if (value && !json_is_object(value)) {
        return pt_error(PT_E_INPUT, "description: %s must be an object", key);
    }
    *out = (pt_json_group){key, value};
    return pt_ok();
}

static pt_status check_number(const char *key, const json_t *value, double low, double high, double *out)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !isfinite(number)) {
        return pt_error(PT_E_INPUT, "description: %s must be a number", key);
    }
    if (number < low || number > high) {
        return pt_error(PT_E_INPUT, "description: %s is %g, must lie in %g .. %g", key, number, low, high);
    }
    *out = number;
    return pt_ok();
}

static pt_status check_int(const char *key, const json_t *value, int low, int high, int *out)
{
    if (!json_is_integer(value)) {
        return pt_error(PT_E_INPUT, "description: %s must be a whole number", key);
    }
    json_int_t number = json_integer_value(value);
    if (number < low || number > high) {
        return pt_error(PT_E_INPUT, "description: %s is %lld, must lie in %d .. %d", key, (long long)number,
                        low, high);
    }
    *out = (int)number;
    return pt_ok();
}

pt_status pt_json_int(const pt_json_group *group, const char *key, int low, int high, int *value)
{
    const json_t *found = json_object_get(group->object, key);
    return found ? check_int(full_key(group, key).text, found, low, high, value) : pt_ok();
}

pt_status pt_json_number(const pt_json_group *group, const char *key, double low, double high, double *value)
{
    const json_t *found = json_object_get(group->object, key);
    return found ? check_number(full_key(group, key).text, found, low, high, value) : pt_ok();
}

pt_status pt_json_float(const pt_json_group *group, const char *key, double low, double high, float *value)
{
    double wide = (double)*value;
    PT_TRY(pt_json_number(group, key, low, high, &wide));
    *value = (float)wide;
    return pt_ok();
}

pt_status pt_json_bool(const pt_json_group *group, const char *key, bool *value)
{
    const json_t *found = json_object_get(group->object, key);
    if (found && !json_is_boolean(found)) {
        return pt_error(PT_E_INPUT, "description: %s must be true or false", full_key(group, key).text);
    }
    *value = found ? json_is_true(found) : *value;
    return pt_ok();
}

pt_status pt_json_list(const pt_json_group *group, const char *key, size_t low_count, size_t high_count,
                       const json_t **out)
{
    const json_t *found = json_object_get(group->object, key);
    if (found && !json_is_array(found)) {
        return pt_error(PT_E_INPUT, "description: %s must be a list", full_key(group, key).text);
    }
    size_t count = json_array_size(found);
    if (found && (count < low_count || count > high_count)) {
        return pt_error(PT_E_INPUT, "description: %s has %zu entries, must have %zu .. %zu",
                        full_key(group, key).text, count, low_count, high_count);
    }
    *out = found;
    return pt_ok();
}

pt_status pt_json_entry_number(const pt_json_group *group, const char *key, size_t index, const json_t *entry,
                               double low, double high, double *value)
{
    return check_number(entry_key(group, key, index).text, entry, low, high, value);
}

pt_status pt_json_entry_int(const pt_json_group *group, const char *key, size_t index, const json_t *entry,
                            int low, int high, int *value)
{
    return check_int(entry_key(group, key, index).text, entry, low, high, value);
}

pt_status pt_json_name(const char *key, const json_t *value, char **out)
{
    if (!json_is_string(value)) {
        return pt_error(PT_E_INPUT, "description: %s must be a text", key);
    }
    size_t length = json_string_length(value);
    if (length == 0 || length > PT_MODEL_MAX_NAME || !pt_text_is_plain(json_string_value(value))) {
        return pt_error(PT_E_INPUT, "description: %s must have 1 .. %d bytes and no control characters", key,
                        PT_MODEL_MAX_NAME);
    }
    char *copy = pt_strdup(json_string_value(value));
    if (!copy) {
        return PT_NOMEM("the model's description");
    }
    *out = copy;
    return pt_ok();
}
