#include "engine/measure/measure.h"

#include <errno.h>
#include <string.h>

enum { SIDE_MAX = 16384, ROOFS_PER_MPX = 400, ROOF_MIN = 12, ROOF_MAX = 70 }; /* pixels */

/* Knuth, The Art of Computer Programming 2, 3.3.4, table 1, line 26: the multiplier. */
static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

static void paint(uint8_t *rgb, int side, const int area[4], const uint8_t colour[3])
{
    for (int y = area[1]; y < area[1] + area[3] && y < side; y++) {
        for (int x = area[0]; x < area[0] + area[2] && x < side; x++) {
            memcpy(rgb + 3 * ((size_t)y * (size_t)side + (size_t)x), colour, 3);
        }
    }
}

/* Noisy ground with bright and dark rectangles, so that detectors have something to propose. */
static void draw_scene(uint8_t *rgb, int side)
{
    uint64_t state = 1;
    size_t bytes = (size_t)side * (size_t)side * 3;
    for (size_t i = 0; i < bytes; i++) {
        rgb[i] = (uint8_t)(70 + 8 * (i % 3) + draw(&state, 40));
    }
    int64_t roofs = (int64_t)side * side * ROOFS_PER_MPX / 1000000 + 1;
    for (int64_t i = 0; i < roofs; i++) {
        uint8_t shade = (uint8_t)(draw(&state, 200) + 40), tint = (uint8_t)draw(&state, 16);
        int area[4] = {(int)draw(&state, (uint32_t)side), (int)draw(&state, (uint32_t)side),
                       ROOF_MIN + (int)draw(&state, ROOF_MAX - ROOF_MIN),
                       ROOF_MIN + (int)draw(&state, ROOF_MAX - ROOF_MIN)};
        paint(rgb, side, area, (uint8_t[3]){shade, (uint8_t)(shade - tint), (uint8_t)(shade - 2 * tint)});
    }
}

static pt_status allocate(int width, int height, pt_image *out, uint8_t **pixels)
{
    if (width < 1 || height < 1 || width > SIDE_MAX || height > SIDE_MAX) {
        return pt_error(PT_E_USAGE, "an image of %d x %d pixels: sides must be from 1 to %d", width, height,
                        SIDE_MAX);
    }
    *pixels = pt_alloc((size_t)width * (size_t)height, 3);
    if (!*pixels) {
        return PT_NOMEM("an image");
    }
    *out = (pt_image){.rgb = *pixels, .width = width, .height = height, .row_stride = (ptrdiff_t)width * 3};
    return pt_ok();
}

pt_status pt_measure_image_new(int side, pt_image *out)
{
    uint8_t *pixels;
    PT_TRY(allocate(side, side, out, &pixels));
    draw_scene(pixels, side);
    return pt_ok();
}

pt_status pt_measure_image_read(const char *path, pt_image *out)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        return pt_error(PT_E_INPUT, "%s: %s", path, strerror(errno));
    }
    pt_status status;
    pt_image image = {0};
    uint8_t *pixels;
    int width = 0, height = 0;
    if (fscanf(file, "P6 %d %d 255", &width, &height) != 2 || fgetc(file) == EOF) {
        status = pt_error(PT_E_INPUT, "%s: no PPM as pantile run --dump-tiles writes them", path);
        goto out;
    }
    PT_TRY_OUT(pt_context(allocate(width, height, &image, &pixels), "%s", path));
    size_t bytes = (size_t)width * (size_t)height * 3;
    if (fread(pixels, 1, bytes, file) != bytes) {
        status = pt_error(PT_E_INPUT, "%s: cut short", path);
        goto out;
    }
    *out = image;
    image.rgb = NULL;
out:
    pt_measure_image_free(&image);
    fclose(file);
    return status;
}

void pt_measure_image_free(pt_image *image)
{
    pt_free((void *)(uintptr_t)image->rgb);
    *image = (pt_image){0};
}
