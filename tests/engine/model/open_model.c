/* open_model FILE: what the reader makes of a model file, one line; for test_import.py. */
#include "engine/engine.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    pt_model_summary *s = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 1;
    }
    pt_status status = pt_model_summary_read(argv[1], &s);
    if (status.code != PT_OK) {
        fprintf(stderr, "%s\n", status.message);
        return 2;
    }
    printf("%s %s %s %lld %s %d %d %g\n", s->name, s->architecture, s->dtype, (long long)s->parameters,
           s->class_names[s->class_count - 1], s->level_count, s->max_detections, s->gsd);
    pt_model_summary_free(&s);
    return 0;
}
