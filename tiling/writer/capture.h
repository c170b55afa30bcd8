/* Private to tiling/writer: GDAL's messages are kept, never printed. */
#ifndef PANTILE_TILING_WRITER_CAPTURE_H
#define PANTILE_TILING_WRITER_CAPTURE_H

#include <stdbool.h>

/* Between begin and end, which nest, this thread's first GDAL failure lands in `message`. `capture` must stay
 * where it is meanwhile. */
typedef struct pt_capture {
    char message[300]; /* empty: no failure */
    bool no_space;     /* some failure said that the disk is full */
} pt_capture;

void pt_capture_begin(pt_capture *capture);
void pt_capture_end(void);

#endif
