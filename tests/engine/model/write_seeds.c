/* write_seeds FOLDER: the seed corpus of fuzz_model and fuzz_network, tiny models of each kind in their input
 * format. */
#include "engine/calibrate/calibrate.h"
#include "tests/engine/model/builder.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bits of the first byte. */
enum { SIDECAR = 1, PORTABLE = 2 };

static int write_seed(const char *folder, const char *name, builder b, const char *sidecar)
{
    size_t size, length = sidecar ? strlen(sidecar) : 0;
    b.description = sidecar ? NULL : b.description;
    uint8_t *bytes = build_bytes(&b, &size);
    const uint8_t head[3] = {sidecar ? SIDECAR : 0, (uint8_t)length, (uint8_t)(length >> 8)};
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    int failed = !file || fwrite(head, 1, sidecar ? 3 : 1, file) == 0 ||
                 (sidecar && fwrite(sidecar, 1, length, file) != length) ||
                 fwrite(bytes, 1, size, file) != size;
    failed |= file && fclose(file) != 0;
    free(bytes);
    build_free(&b);
    return failed;
}

/* Every key of a description, beside a container too small to be a model: both parsers at full speed. */
static const char all_keys[] =
    "{\"format\":1,\"arch\":\"mobilenet_v2_fpn\",\"name\":\"a\",\"classes\":[\"b\",\"c\"],\"bn_eps\":0.001,"
    "\"taps\":[3,6,13,17],\"fpn_channels\":6,\"gsd_m\":{\"default\":0.2},"
    "\"normalisation\":{\"mean\":[0,0.5,1],\"std\":[1,2,3]},"
    "\"roi\":{\"box_roi_size\":2,\"mask_roi_size\":2,\"sampling_ratio\":4,\"aligned\":true,\"canonical_"
    "size\":112,"
    "\"canonical_level\":3,\"featmaps\":[\"0\",\"1\"],\"box_coder_weights\":[1,2,3,4],"
    "\"dw_dh_clip\":\"log(1000/16)\",\"mask_size\":4,\"mask_binarise\":0.5},"
    "\"rpn\":{\"pre_nms_top_n_per_level\":11,\"post_nms_top_n\":12,\"nms_thresh\":0.25,\"score_thresh\":0.5,"
    "\"min_box\":2,\"box_coder_weights\":[4,3,2,1],\"anchors_per_cell\":3},"
    "\"thresholds\":{\"score\":0.75,\"nms\":0.25,\"detections_per_image\":13,\"min_box\":3,"
    "\"recommended_export_score\":0.5},"
    "\"anchors\":{\"ratios\":[1],\"sizes_per_level\":[[1,2],4,8,16,32],\"strides\":[4,8,16,32,64]}}";

static builder small(void)
{
    builder b = {0};
    build_add(&b, "rpn.head.conv.weight", 2, 1, 2, 0, 0);
    build_add(&b, "backbone.body.0.0.weight", 1, 1, 0, 0, 0);
    return b;
}

/* A calibrated one. */
static builder calibrated(void)
{
    builder b = build_mobilenet(BUILD_FOLDED);
    b.calibration =
        "{\"format\":1,\"method\":\"kl\",\"tiles\":100,\"precision\":\"int8,mask=fp32\",\"ranges\":"
        "{\"image\":[-2.1,2.6],\"backbone.body.0.0\":[0,6],\"rpn.head.conv.0.0\":[0,1e2]}}";
    build_add(&b, "calibration.image.mean", 1, 3, 0, 0, 0);
    build_add(&b, "calibration.backbone.body.0.0.mean", 1, 3, 0, 0, 0);
    return b;
}

static bool write_bytes(const char *path, int first, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    bool good = file && (first < 0 || fputc(first, file) == first) && fwrite(bytes, 1, size, file) == size;
    return file && fclose(file) == 0 && good;
}

/* The model at `path` gets ranges of all its activations, from one image. */
static bool calibrate(const char *path)
{
    enum { SIDE = 64 };
    static uint8_t pixels[SIDE * SIDE * 3];
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(i * 37 ^ i >> 5);
    }
    const pt_image image = {pixels, SIDE, SIDE, 3 * SIDE};
    pt_calibrator *calibrator = NULL;
    bool good = pt_calibrator_open(path, 1, &calibrator).code == PT_OK &&
                pt_calibrator_add(calibrator, &image).code == PT_OK &&
                pt_calibrator_objects(calibrator) > 0 &&
                pt_calibrator_write(calibrator, PT_RANGE_MINMAX, "int8", path).code == PT_OK;
    pt_calibrator_close(&calibrator);
    return good;
}

/* A model that finds something: as it is on one backend, calibrated on either. */
static int write_finders(const char *folder, const char *kind, builder b)
{
    static uint8_t bytes[1 << 20];
    char model[1024], path[1100];
    size_t size;
    snprintf(model, sizeof model, "%s/%s.safetensors", folder, kind);
    build_soften(&b);
    uint8_t *plain = build_bytes(&b, &size);
    snprintf(path, sizeof path, "%s/%s_finds", folder, kind);
    bool good = write_bytes(path, 0, plain, size) && write_bytes(model, -1, plain, size) && calibrate(model);
    FILE *file = good ? fopen(model, "rb") : NULL;
    size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    good = file && fclose(file) == 0 && size > 0 && size < sizeof bytes;
    for (int first = 0; good && first <= PORTABLE; first += PORTABLE) {
        snprintf(path, sizeof path, "%s/%s_bytes_%d", folder, kind, first);
        good = write_bytes(path, first, bytes, size);
    }
    unlink(model);
    free(plain);
    build_free(&b);
    return !good;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 1;
    }
    int failed = write_seed(argv[1], "mobilenet_folded", build_mobilenet(BUILD_FOLDED), NULL);
    failed |= write_seed(argv[1], "mobilenet_sidecar", build_mobilenet(BUILD_FOLDED), build_description);
    failed |= write_seed(argv[1], "mobilenet_old", build_mobilenet(BUILD_OLD_NAMES | BUILD_COUNTERS), NULL);
    failed |= write_seed(argv[1], "resnet50_folded", build_resnet(6, BUILD_FOLDED), NULL);
    failed |= write_seed(argv[1], "calibrated", calibrated(), NULL);
    failed |= write_seed(argv[1], "all_keys", small(), all_keys);
    failed |= write_finders(argv[1], "mobilenet", build_mobilenet(BUILD_FOLDED));
    failed |= write_finders(argv[1], "resnet", build_resnet(6, 0));
    if (failed) {
        fprintf(stderr, "%s: cannot be written to\n", argv[1]);
    }
    return failed;
}
