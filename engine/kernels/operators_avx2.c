#include "engine/kernels/vec_avx2.h"

#include "engine/kernels/operators_tmpl.h"
