/* write_seeds FOLDER: the seed corpus of fuzz_model, tiny models of each kind in that target's input format.
 */
#include "tests/engine/model/builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_seed(const char *folder, const char *name, builder b, const char *sidecar)
{
    size_t size, length = sidecar ? strlen(sidecar) : 0;
    b.description = sidecar ? NULL : b.description;
    uint8_t *bytes = build_bytes(&b, &size);
    const uint8_t head[3] = {sidecar != NULL, (uint8_t)length, (uint8_t)(length >> 8)};
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
    if (failed) {
        fprintf(stderr, "%s: cannot be written to\n", argv[1]);
    }
    return failed;
}
