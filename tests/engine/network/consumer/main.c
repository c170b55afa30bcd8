/* A program that knows nothing of this repository but the installed package. Argument: a model. */
#include <engine/engine.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    static uint8_t pixels[3 * 64 * 48];
    pt_image image = {pixels, 64, 48, 3 * 64};
    pt_engine *engine = NULL;
    const pt_detection *items;
    size_t count = 0;
    pt_status status = pt_engine_open(argc > 1 ? argv[1] : NULL, NULL, &engine);
    if (status.code == PT_OK) {
        status = pt_engine_infer(engine, &image, 1);
    }
    if (status.code == PT_OK) {
        status = pt_engine_detections(engine, 0, &items, &count);
    }
    if (status.code != PT_OK) {
        fprintf(stderr, "%s\n", status.message);
        return 1;
    }
    printf("%s, %s: %zu detections\n", pt_engine_model(engine)->name, pt_engine_backend(engine), count);
    pt_engine_close(&engine);
    return 0;
}
