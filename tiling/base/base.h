/* What every folder stands on: errors as values, the allocator, checked integers, rectangles, the log. */
#ifndef PANTILE_TILING_BASE_BASE_H
#define PANTILE_TILING_BASE_BASE_H

#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"
#include "tiling/base/log.h"
#include "tiling/base/rect.h"
#include "tiling/base/status.h"

#endif
