#include "engine/kernels/vec_avx512.h"

#include "engine/kernels/regions_tmpl.h"
