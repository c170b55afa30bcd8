#include "engine/kernels/vec_avx2.h"

#include "engine/kernels/regions_tmpl.h"
