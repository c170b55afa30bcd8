#include "fuzz/model_input.h"

#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8 }; /* of a container's header */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

/* Where the sidecar's text ends and the model file begins. */
static size_t model_begins(const uint8_t *data, size_t size)
{
    if (!(data[0] & 1) || size < 3) {
        return 1;
    }
    size_t length = (size_t)data[1] | (size_t)data[2] << 8;
    return 3 + (length < size - 3 ? length : size - 3);
}

/* Mutates the header at `at` + LENGTH_BYTES; 0: there is none. */
static size_t mutate_header(uint8_t *data, size_t size, size_t max_size, size_t at)
{
    uint64_t length = 0;
    if (size - at < LENGTH_BYTES) {
        return 0;
    }
    for (size_t i = LENGTH_BYTES; i-- > 0;) {
        length = length << 8 | data[at + i];
    }
    size_t begin = at + LENGTH_BYTES;
    if (length == 0 || length > size - begin || size > max_size) {
        return 0;
    }
    size_t room = (size_t)length + (max_size - size), tail = size - begin - (size_t)length;
    uint8_t *header = malloc(room);
    if (!header) {
        return 0;
    }
    memcpy(header, data + begin, (size_t)length);
    size_t mutated = LLVMFuzzerMutate(header, (size_t)length, room);
    memmove(data + begin + mutated, data + begin + length, tail);
    memcpy(data + begin, header, mutated);
    free(header);
    for (size_t i = 0; i < LENGTH_BYTES; i++) {
        data[at + i] = (uint8_t)((uint64_t)mutated >> 8 * i);
    }
    return begin + mutated + tail;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    size_t mutated = size > 0 && seed & 1 ? mutate_header(data, size, max_size, model_begins(data, size)) : 0;
    return mutated > 0 ? mutated : LLVMFuzzerMutate(data, size, max_size);
}

static void open_and_close(const uint8_t *bytes, size_t size, const char *sidecar,
                           void (*use)(const pt_model *model))
{
    pt_model *model = NULL;
    pt_status status = pt_model_open_memory("fuzz", bytes, size, sidecar, &model);
    if ((status.code == PT_OK) != (model != NULL)) {
        abort(); /* a model exactly when all is well */
    }
    if (model) {
        use(model);
    }
    pt_model_close(&model);
}

void fuzz_model_input(const uint8_t *data, size_t size, void (*use)(const pt_model *model))
{
    if (size < 1) {
        return;
    }
    size_t at = model_begins(data, size);
    char *sidecar = NULL;
    if (at >= 3) {
        sidecar = calloc(at - 3 + 1, 1);
        if (!sidecar) {
            return;
        }
        memcpy(sidecar, data + 3, at - 3);
    }
    /* A copy of its own, so that one byte too many is seen. */
    uint8_t *bytes = malloc(size - at ? size - at : 1);
    if (bytes) {
        memcpy(bytes, data + at, size - at);
        open_and_close(bytes, size - at, sidecar, use);
    }
    free(bytes);
    free(sidecar);
}
