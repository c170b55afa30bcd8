/* Reads what tools/make_fixtures.py wrote: images and torchvision's tables of floats. */
#ifndef PANTILE_TESTS_ENGINE_NETWORK_TABLES_H
#define PANTILE_TESTS_ENGINE_NETWORK_TABLES_H

#include <stddef.h>
#include <stdint.h>

typedef struct table {
    int image, level;
    char name[16];
    size_t rows, columns;
    float *data;
} table;

typedef struct tables {
    int width, height, images;
    uint8_t *rgb; /* images one after the other */
    table *items;
    size_t count;
} tables;

/* path without ending; fails the test when something is missing. */
tables tables_read(const char *path);
void tables_free(tables *t);
const table *tables_find(const tables *t, int image, const char *name,
                         int level); /* NULL when there is none */
/* Copies a table in. */
void tables_add(tables *t, int image, const char *name, int level, const float *data, size_t rows,
                size_t columns);

/* sqrt(sum (a - b)^2 / sum b^2) */
double relative_l2(const float *a, const float *b, size_t count);

#endif
