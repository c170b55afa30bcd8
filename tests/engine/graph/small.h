/* Small IRs made by hand, and what must hold of any IR. */
#ifndef PANTILE_TESTS_ENGINE_GRAPH_SMALL_H
#define PANTILE_TESTS_ENGINE_GRAPH_SMALL_H

#include "engine/graph/passes.h"

/* Each adds an operator whose output has its name, and returns the output. */
int small_input(pt_ir *ir, int channels);
int small_conv(pt_ir *ir, const char *name, int in, int channels); /* 3x3 */
int small_op(pt_ir *ir, pt_op_kind kind, const char *name, int a,
             int b); /* b -1: none; like its first input */
void small_result(pt_ir *ir, int value);

/* The operator that writes the value of this name; fails the test when there is none. */
pt_ir_op *small_find(const pt_ir *ir, const char *value);
/* Operators of a kind. */
int small_count(const pt_ir *ir, pt_op_kind kind);
/* Every input is written before it is read, every value at most once, results are written. */
void small_check(const pt_ir *ir);

/* A tiny model of this architecture, opened; free with small_model_close. */
typedef struct small_model {
    pt_model *model;
    uint8_t *bytes;
} small_model;

small_model small_resnet(int flags); /* of tests/engine/model/builder.h */
small_model small_mobilenet(int flags);
void small_model_close(small_model *m);
pt_ir small_network(const small_model *m, const char *without); /* with passes */

#endif
