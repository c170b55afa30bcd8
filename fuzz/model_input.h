/* What the targets that read model files share: the form of their input, and how it is mutated.
 *
 * Input: one byte (odd: a sidecar follows), with a sidecar two bytes of its length (little-endian) and its
 * text; the rest is the model file. Half of the mutations are made inside the container's header, whose
 * length is then corrected: a change of its length would otherwise end every input at the first check. */
#ifndef PANTILE_FUZZ_MODEL_INPUT_H
#define PANTILE_FUZZ_MODEL_INPUT_H

#include "engine/model/model.h"

#include <stddef.h>
#include <stdint.h>

/* Opens what the input holds and hands it to `use`, when it is a model. Aborts when pt_model_open_memory
 * breaks its contract. */
void fuzz_model_input(const uint8_t *data, size_t size, void (*use)(const pt_model *model));

#endif
