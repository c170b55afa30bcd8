/* Times chains of layers in bytes, a bottleneck or an inverted residual, layer by layer over whole maps
 * beside band by band: each layer over some rows, so that what lies between the layers stays in the second
 * cache.
 *
 *   bench_bands [SECONDS]
 *
 * Processor milliseconds of one thread, the least of all runs in SECONDS (1). A band makes the rows of its
 * windows that the band above has not made and keeps the two that the next one needs. The times are those of
 * bands as a network would run them, the numbers are not: at a band's edges windows read what lies outside a
 * map. Decision 0014 says what follows. */
#include "bench/kernels_layers.h"
#include "tiling/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 3, HALO = 2, SIZES = 4, MOST_ROWS = 32 };

static const int band_rows[SIZES] = {4, 8, 16, MOST_ROWS}; /* of the output */

typedef struct chain {
    const char *network, *layers[MOST];
    int times; /* how often the network has it */
} chain;

static const chain chains[] = {
    {"mobilenet", {"dw 32 /1 @512", "32->16 @512", NULL}, 1},
    {"mobilenet", {"16->96 @512", "dw 96 /2 @512", "96->24 @256"}, 1},
    {"mobilenet", {"24->144 @256", "dw 144 /1 @256", "144->24+ @256"}, 1},
    {"mobilenet", {"24->144 @256", "dw 144 /2 @256", "144->32 @128"}, 1},
    {"mobilenet", {"32->192 @128", "dw 192 /1 @128", "192->32+ @128"}, 2},
    {"mobilenet", {"64->384 @64", "dw 384 /1 @64", "384->64+ @64"}, 3},
    {"mobilenet", {"96->576 @64", "dw 576 /1 @64", "576->96+ @64"}, 2},
    {"r50", {"layer1.1.conv1", "layer1.1.conv2", "layer1.1.conv3"}, 3},
    {"r50", {"layer2.0.conv1", "layer2.0.conv2", "layer2.1.conv3"}, 1},
    {"r50", {"layer2.1.conv1", "layer2.1.conv2", "layer2.1.conv3"}, 3},
    {"r50", {"layer3.1.conv1", "layer3.1.conv2", "layer3.1.conv3"}, 5},
};

typedef struct run {
    pt_backend *backend;
    int count, window; /* layers, and the one whose windows are 3x3 */
    pt_conv_spec specs[MOST];
    pt_conv *convs[MOST];
    pt_map maps[MOST + 1];
    uint8_t *bands[MOST]; /* bands[i]: rows of maps[i] */
} run;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(pt_status status)
{
    if (status.code != PT_OK) {
        fprintf(stderr, "%s\n", status.message);
        exit(1);
    }
}

static void *bytes(size_t count)
{
    uint8_t *block = pt_alloc_aligned(count + PT_MAP_SLACK, 1);
    if (!block) {
        check(PT_NOMEM("the maps"));
    }
    for (size_t i = 0; i < count + PT_MAP_SLACK; i++) {
        block[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    return block;
}

static float *floats(size_t count, float value)
{
    float *block = bytes(count * sizeof *block);
    for (size_t i = 0; i < count; i++) {
        block[i] = value;
    }
    return block;
}

static const bench_layer *find_layer(const char *network, const char *name)
{
    for (size_t i = 0; i < bench_layer_count; i++) {
        if (strcmp(bench_layers[i].network, network) == 0 && strcmp(bench_layers[i].name, name) == 0) {
            return &bench_layers[i];
        }
    }
    check(pt_error(PT_E_USAGE, "no layer %s of %s", name, network));
    return NULL;
}

static size_t row_bytes(const pt_map *map)
{
    return (size_t)map->w * (size_t)map->c;
}

static void prepare(const chain *c, pt_backend *backend, run *r)
{
    *r = (run){.backend = backend};
    for (int i = 0; i < MOST && c->layers[i]; i++, r->count++) {
        const bench_layer *layer = find_layer(c->network, c->layers[i]);
        pt_conv_spec *s = &r->specs[i];
        *s = bench_layer_spec(layer, true);
        r->window = s->kernel_h == 3 ? i : r->window;
        const int side = i > 0 ? r->maps[i].h : layer->h, out = side / s->stride;
        r->maps[i] = (pt_map){NULL, 1, side, side, s->in_channels, PT_U8, s->in};
        r->maps[i + 1] = (pt_map){NULL, 1, out, out, s->out_channels, PT_U8, s->out};
        const size_t outs = (size_t)s->out_channels;
        pt_conv_weights weights = {
            .s8 = bytes(outs * pt_conv_rows(s)), .scale = floats(outs, 0.001f), .bias = floats(outs, 0.5f)};
        check(backend->ops->conv_new(backend, s, &weights, &r->convs[i]));
        check(backend->ops->conv_reserve(backend, r->convs[i], 1, side, side));
    }
    for (int i = 0; i <= r->count; i++) {
        r->maps[i].data = bytes(pt_map_bytes(&r->maps[i]));
        if (i > 0 && i < r->count) {
            r->bands[i] = bytes((2 * MOST_ROWS + HALO) * row_bytes(&r->maps[i]));
        }
    }
}

static void finish(run *r)
{
    for (int i = 0; i <= r->count; i++) {
        pt_free(r->maps[i].data);
        if (i < r->count) {
            pt_free(r->bands[i]);
            r->backend->ops->conv_free(r->backend, r->convs[i]);
        }
    }
}

static void run_layer(const run *r, int i, pt_map in, pt_map out, void *summand)
{
    pt_map sum = out;
    sum.data = summand;
    r->backend->ops->conv_run(r->backend, r->convs[i], &in, r->specs[i].add == PT_ADD_NONE ? NULL : &sum,
                              &out);
}

static void run_whole(const run *r)
{
    for (int i = 0; i < r->count; i++) {
        run_layer(r, i, r->maps[i], r->maps[i + 1], r->maps[0].data);
    }
}

/* Rows y .. y + rows of the last map. A layer that adds the chain's input has no stride before it. */
static void run_band(const run *r, int y, int rows)
{
    const int stride = r->specs[r->window].stride;
    uint8_t *input = pt_map_u8(&r->maps[0]) + (size_t)(y * stride) * row_bytes(&r->maps[0]);
    for (int i = 0; i < r->count; i++) {
        pt_map in = r->maps[i], out = r->maps[i + 1];
        in.h = i <= r->window ? rows * stride : rows;
        out.h = i < r->window ? rows * stride : rows;
        in.data = i > 0 ? r->bands[i] : input;
        out.data = i + 1 == r->count ? pt_map_u8(&out) + (size_t)y * row_bytes(&out)
                                     : r->bands[i + 1] + (i < r->window ? HALO * row_bytes(&out) : 0);
        run_layer(r, i, in, out, input);
    }
    if (r->window > 0) {
        const size_t row = row_bytes(&r->maps[r->window]);
        uint8_t *band = r->bands[r->window];
        memmove(band, band + (size_t)(rows * stride) * row, HALO * row);
    }
}

/* rows 0: whole maps. */
static double time_once(const run *r, int rows)
{
    const double from = now();
    if (rows == 0) {
        run_whole(r);
    }
    for (int y = 0; rows > 0 && y < r->maps[r->count].h; y += rows) {
        run_band(r, y, rows);
    }
    return now() - from;
}

/* Prints one chain and returns how many milliseconds of a tile the best height saves. */
static double measure(const chain *c, pt_backend *backend, double seconds)
{
    run r;
    prepare(c, backend, &r);
    double best[SIZES + 1] = {1e9, 1e9, 1e9, 1e9, 1e9}, least = 1e9;
    for (double end = now() + seconds; now() < end;) {
        for (int i = 0; i <= SIZES; i++) {
            const double took = time_once(&r, i > 0 ? band_rows[i - 1] : 0);
            best[i] = took < best[i] ? took : best[i];
        }
    }
    printf("%-10s %-16s %5d %9.3f", c->network, c->layers[0], c->times, best[0] * 1e3);
    for (int i = 1; i <= SIZES; i++) {
        least = best[i] < least ? best[i] : least;
        printf(" %9.3f", best[i] * 1e3);
    }
    const double saved = best[0] > least ? c->times * (best[0] - least) * 1e3 : 0;
    printf(" %9.3f\n", saved);
    finish(&r);
    return saved;
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
    pt_backend *backend = NULL;
    check(pt_backend_open("native", 1, &backend));
    printf("%s\n%-10s %-16s %5s %9s", backend->description, "network", "chain from", "times", "whole");
    for (int i = 0; i < SIZES; i++) {
        printf(" %6d rows", band_rows[i]);
    }
    printf(" %9s\n", "saved, ms");
    double saved = 0;
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        const double ms = measure(&chains[i], backend, seconds);
        saved = i > 0 && strcmp(chains[i].network, chains[i - 1].network) == 0 ? saved + ms : ms;
        if (i + 1 == sizeof chains / sizeof *chains ||
            strcmp(chains[i].network, chains[i + 1].network) != 0) {
            printf("%-10s saved a tile, the best height of each chain: %.1f ms\n", chains[i].network, saved);
        }
    }
    pt_backend_close(&backend);
    return 0;
}
