/* Which files say that they have no CRS. */
#include "tiling/base/geojson.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void finds_null(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool null;
    } cases[] = {{"{\"type\":\"FeatureCollection\",\"crs\":null,\"features\":[]}", true},
                 {"{ \"crs\" :\n null , \"features\" : [] }", true},
                 {"{\"crs\":{\"type\":\"name\"},\"features\":[]}", false},
                 {"{\"features\":[{\"properties\":{\"crs\":null}}]}", false},
                 {"{\"type\":\"FeatureCollection\"}", false},
                 {"\"crs\"", false},
                 {"\"crs\":nul", false},
                 {"", false}};
    char path[] = "/tmp/pantile-geojson-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FILE *stream = fopen(path, "wb");
        assert_non_null(stream);
        fputs(cases[i].text, stream);
        fclose(stream);
        assert_int_equal(pt_geojson_has_null_crs(path), cases[i].null);
    }
    unlink(path);
    assert_false(pt_geojson_has_null_crs(path));
    assert_false(pt_geojson_has_null_crs("/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_null)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
