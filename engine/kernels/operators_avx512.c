#include "engine/kernels/vec_avx512.h"

#include "engine/kernels/operators_tmpl.h"
