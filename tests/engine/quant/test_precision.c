/* The text that says which parts of the network compute in bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/quant/precision.h"

#include <stdio.h>
#include <string.h>

static pt_precision parsed(const char *text)
{
    pt_precision p;
    pt_status status = pt_precision_parse(text, &p);
    if (status.code != PT_OK) {
        fail_msg("%s: %s", text, status.message);
    }
    return p;
}

static void test_words(void **state)
{
    (void)state;
    pt_precision p = parsed("int8");
    for (int i = 0; i < PT_COMPONENTS; i++) {
        assert_int_equal(p.component[i], PT_INT8);
    }
    p = parsed("int8,mask=fp32,backbone.body.conv1=fp32");
    assert_int_equal(pt_precision_of(&p, PT_COMPONENT_MASK, "roi_heads.mask_head.0.0"), PT_FP32);
    assert_int_equal(pt_precision_of(&p, PT_COMPONENT_BACKBONE, "backbone.body.conv1"), PT_FP32);
    assert_int_equal(pt_precision_of(&p, PT_COMPONENT_BACKBONE, "backbone.body.conv"), PT_INT8);
    assert_int_equal(pt_precision_of(&p, PT_COMPONENT_BACKBONE, "backbone.body.conv12"), PT_INT8);
    pt_numeric numeric = PT_INT8;
    assert_true(pt_precision_names(&p, "backbone.body.conv1", &numeric));
    assert_int_equal(numeric, PT_FP32);
    numeric = PT_INT8;
    assert_false(pt_precision_names(&p, "mask", &numeric));
    assert_int_equal(numeric, PT_INT8);
    assert_true(pt_precision_any_int8(&p));

    p = parsed("backbone=int8"); /* the others begin as floats */
    assert_int_equal(p.component[PT_COMPONENT_BACKBONE], PT_INT8);
    assert_int_equal(p.component[PT_COMPONENT_FPN], PT_FP32);
    p = parsed("a.b=int8");
    assert_true(pt_precision_any_int8(&p));
    p = parsed("fp32,a.b=fp32");
    assert_false(pt_precision_any_int8(&p));
}

static void test_left_to_right(void **state)
{
    (void)state;
    pt_precision p = parsed("mask=fp32,a=fp32,int8,b=int8,b=fp32");
    assert_int_equal(p.component[PT_COMPONENT_MASK], PT_INT8);
    assert_int_equal(p.layer_count, 1);
    assert_int_equal(pt_precision_of(&p, PT_COMPONENT_BOX, "a"), PT_INT8);
    assert_int_equal(pt_precision_of(&p, PT_COMPONENT_BOX, "b"), PT_FP32);
}

static void check_print(const char *text, const char *wanted)
{
    char out[256];
    pt_precision p = parsed(text);
    assert_true(pt_precision_print(&p, out, sizeof out));
    assert_string_equal(out, wanted);
    pt_precision again = parsed(out);
    assert_memory_equal(&again, &p, sizeof p);
}

static void test_print(void **state)
{
    (void)state;
    check_print("fp32", "fp32");
    check_print("int8", "int8");
    check_print("mask=int8", "mask=int8");
    check_print("fp32,backbone=int8,fpn=int8,rpn=int8,box=int8", "int8,mask=fp32");
    check_print("backbone=int8,fpn=int8,rpn=int8,box=int8,mask=int8", "int8");
    check_print("fp32,z=int8,a=int8", "a=int8,z=int8");
    check_print("int8,z=fp32,a.b=int8,a=fp32", "int8,a=fp32,a.b=int8,z=fp32"); /* by name */
    check_print("int8,mask=fp32,box=fp32,z=fp32", "int8,box=fp32,mask=fp32,z=fp32");
}

static void test_cut(void **state)
{
    (void)state;
    pt_precision p = parsed("int8,mask=fp32,layer=fp32"), other;
    char whole[64], out[64];
    assert_true(pt_precision_print(&p, whole, sizeof whole));
    for (size_t size = 1; size <= strlen(whole); size++) {
        memset(out, 'x', sizeof out);
        assert_false(pt_precision_print(&p, out, size));
        assert_int_equal(strlen(out), size - 1);
        assert_memory_equal(out, whole, size - 1);
        assert_int_equal(out[size], 'x');
    }
    assert_true(pt_precision_print(&p, out, strlen(whole) + 1));
    assert_int_equal(pt_precision_parse(out, &other).code, PT_OK);
}

static void refuse(const char *text, const char *says)
{
    pt_precision p = parsed("int8"), before = p;
    pt_status status = pt_precision_parse(text, &p);
    assert_int_equal(status.code, PT_E_USAGE);
    if (!strstr(status.message, says)) {
        fail_msg("%s: \"%s\" does not say \"%s\"", text, status.message, says);
    }
    assert_memory_equal(&p, &before, sizeof p); /* untouched */
}

static void test_refusals(void **state)
{
    (void)state;
    refuse("", "empty word");
    refuse("int8,", "empty word");
    refuse(",int8", "empty word");
    refuse("int4", "\"int4\" is unknown");
    refuse("INT8", "\"INT8\" is unknown");
    refuse("int8 ", "\"int8?\" is unknown");
    refuse("auto", "\"auto\" is unknown");
    refuse("int8,mask", "\"mask\" is unknown");
    refuse("mask=fp16", "\"mask=fp16\" must end in =fp32 or =int8");
    refuse("mask=", "must end in");
    refuse("=int8", "is unknown");
    refuse("a=b=int8", "must end in");
    refuse("a b=int8", "is no layer's name");
    refuse("\x1b[31m=int8", "\"?[31m\" is no layer's name");
    char name[200];
    memset(name, 'n', sizeof name);
    strcpy(name + PT_PRECISION_MAX_NAME, "=int8");
    assert_int_equal(parsed(name).layer_count, 1);
    strcpy(name + PT_PRECISION_MAX_NAME, "n=int8");
    refuse(name, "longer than any layer's name");
    char many[1024] = "int8";
    for (int i = 0; i < PT_PRECISION_MAX_LAYERS; i++) {
        snprintf(many + strlen(many), 16, ",l%d=fp32", i);
    }
    assert_int_equal(parsed(many).layer_count, PT_PRECISION_MAX_LAYERS);
    strcat(many, ",more=fp32");
    refuse(many, "\"more\" is one layer more");
    pt_precision p;
    assert_int_equal(pt_precision_parse(NULL, &p).code, PT_E_USAGE);
    assert_int_equal(pt_precision_parse("int8", NULL).code, PT_E_USAGE);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(pt_component_name(PT_COMPONENT_BACKBONE), "backbone");
    assert_string_equal(pt_component_name(PT_COMPONENT_MASK), "mask");
    assert_string_equal(pt_numeric_name(PT_FP32), "fp32");
    assert_string_equal(pt_numeric_name(PT_INT8), "int8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_left_to_right), cmocka_unit_test(test_print),
        cmocka_unit_test(test_cut),   cmocka_unit_test(test_refusals),      cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
