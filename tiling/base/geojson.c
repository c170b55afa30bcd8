#include "tiling/base/geojson.h"

#include <stdio.h>
#include <string.h>

static const char *skip_space(const char *c)
{
    return c + strspn(c, " \t\r\n");
}

/* Whether the text's "crs" is followed by a colon and null. */
static bool is_null_member(const char *after_key)
{
    const char *c = skip_space(after_key);
    return *c == ':' && strncmp(skip_space(c + 1), "null", 4) == 0;
}

bool pt_geojson_has_null_crs(const char *path)
{
    char head[4096];
    FILE *file = fopen(path, "rb");
    if (!file) {
        return false;
    }
    size_t length = fread(head, 1, sizeof head - 1, file);
    fclose(file);
    head[length] = '\0'; /* what follows a zero byte is no JSON */
    char *features = strstr(head, "\"features\"");
    if (features) {
        *features = '\0';
    }
    const char *key = strstr(head, "\"crs\"");
    return key && is_null_member(key + strlen("\"crs\""));
}
