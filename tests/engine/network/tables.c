#include "tests/engine/network/tables.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static FILE *open_file(const char *path, const char *ending)
{
    char full[1024];
    snprintf(full, sizeof full, "%s.%s", path, ending);
    FILE *file = fopen(full, "rb");
    if (!file) {
        fail_msg("%s: cannot be read; was the test fixtures run before?", full);
    }
    return file;
}

void tables_add(tables *t, int image, const char *name, int level, const float *data, size_t rows,
                size_t columns)
{
    table *items = realloc(t->items, (t->count + 1) * sizeof *items);
    assert_non_null(items);
    t->items = items;
    table *item = &items[t->count++];
    *item = (table){.image = image, .level = level, .rows = rows, .columns = columns};
    snprintf(item->name, sizeof item->name, "%s", name);
    item->data = calloc(rows * columns + 1, sizeof *item->data);
    assert_non_null(item->data);
    if (data) {
        memcpy(item->data, data, rows * columns * sizeof *data);
    }
}

tables tables_read(const char *path)
{
    tables t = {0};
    FILE *index = open_file(path, "index"), *bin = open_file(path, "bin"), *rgb = open_file(path, "rgb");
    assert_int_equal(fscanf(index, "size %d %d %d", &t.width, &t.height, &t.images), 3);
    size_t bytes = 3 * (size_t)t.width * (size_t)t.height * (size_t)t.images;
    t.rgb = malloc(bytes);
    assert_non_null(t.rgb);
    assert_int_equal(fread(t.rgb, 1, bytes, rgb), bytes);
    int image, level;
    char name[16];
    size_t rows, columns, offset;
    while (fscanf(index, "%d %15s %d %zu %zu %zu", &image, name, &level, &rows, &columns, &offset) == 6) {
        tables_add(&t, image, name, level, NULL, rows, columns);
        assert_int_equal(fseek(bin, (long)(offset * sizeof(float)), SEEK_SET), 0);
        assert_int_equal(fread(t.items[t.count - 1].data, sizeof(float), rows * columns, bin),
                         rows * columns);
    }
    fclose(index);
    fclose(bin);
    fclose(rgb);
    return t;
}

void tables_free(tables *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->items[i].data);
    }
    free(t->items);
    free(t->rgb);
    *t = (tables){0};
}

const table *tables_find(const tables *t, int image, const char *name, int level)
{
    for (size_t i = 0; i < t->count; i++) {
        const table *item = &t->items[i];
        if (item->image == image && item->level == level && strcmp(item->name, name) == 0) {
            return item;
        }
    }
    return NULL;
}

double relative_l2(const float *a, const float *b, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        size += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / (size > 0 ? size : 1));
}
