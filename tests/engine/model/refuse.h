/* Shared by the tests of the model reader: opens bytes and expects a refusal that says what it must. */
#ifndef PANTILE_TESTS_ENGINE_MODEL_REFUSE_H
#define PANTILE_TESTS_ENGINE_MODEL_REFUSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/model/model.h"
#include "tests/engine/model/builder.h"

#include <stdlib.h>
#include <string.h>

/* Refused with PT_E_INPUT, one line that begins with the file's name and holds `says`; *out untouched. */
static inline void refuse(const void *bytes, size_t size, const char *sidecar, const char *says)
{
    pt_model *model = NULL;
    pt_status status = pt_model_open_memory("dir/bad.safetensors", bytes, size, sidecar, &model);
    if (status.code != PT_E_INPUT || !strstr(status.message, says)) {
        fail_msg("expected a refusal with \"%s\", got %s \"%s\"", says, pt_code_name(status.code),
                 status.message);
    }
    assert_null(model);
    assert_ptr_equal(strstr(status.message, "dir/bad.safetensors: "), status.message);
    for (const char *p = status.message; *p; p++) {
        assert_true((unsigned char)*p >= 0x20);
    }
}

static inline void refuse_built(const builder *b, const char *says)
{
    size_t size;
    uint8_t *bytes = build_bytes(b, &size);
    refuse(bytes, size, NULL, says);
    free(bytes);
}

static inline void refuse_raw(const char *header, size_t data_size, const char *says)
{
    size_t size;
    uint8_t *bytes = build_raw(header, data_size, &size);
    refuse(bytes, size, build_description, says);
    free(bytes);
}

/* Opens what must be good; the bytes are returned to be freed after close. */
static inline pt_model *accept_built(const builder *b, uint8_t **bytes)
{
    size_t size;
    pt_model *model = NULL;
    *bytes = build_bytes(b, &size);
    pt_status status = pt_model_open_memory("good.safetensors", *bytes, size, NULL, &model);
    if (status.code != PT_OK) {
        fail_msg("refused: %s", status.message);
    }
    return model;
}

#endif
