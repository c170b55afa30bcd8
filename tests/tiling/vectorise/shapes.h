/* Helpers of the vectorise tests: masks from pictures and random numbers, facts about features. */
#ifndef PANTILE_TESTS_TILING_VECTORISE_SHAPES_H
#define PANTILE_TESTS_TILING_VECTORISE_SHAPES_H

#include "tiling/vectorise/vectorise.h"

/* Each returns an owned instance whose mask is `bytes` != 0 (w x h, placed at (x, y)). */
pt_instance instance_from_bytes(int64_t x, int64_t y, int w, int h, const uint8_t *bytes);
/* Rows of '#' and '.'. */
pt_instance instance_from_picture(int64_t x, int64_t y, const char *const *rows, int h);
/* Mask and probabilities: q >= PT_PROB_HALF is set. */
pt_instance instance_from_q(int64_t x, int64_t y, int w, int h, const uint8_t *q);

uint32_t next_random(uint32_t *state);

bool feature_valid(const pt_feature *feature);  /* GEOS' opinion of the multipolygon */
bool feature_wound(const pt_feature *feature);  /* closed rings, exteriors right-handed, holes left-handed */
double feature_area(const pt_feature *feature); /* square pixels */
size_t feature_points(const pt_feature *feature); /* closing points not counted */
size_t feature_holes(const pt_feature *feature);
bool feature_holds(const pt_feature *feature, double x, double y); /* even-odd */
/* Pixels of the box, grown by one, whose centres' sides differ from the mask. */
int64_t feature_differs(const pt_feature *feature, const pt_mask *mask);
double features_iou(const pt_feature *a, const pt_feature *b);

#endif
