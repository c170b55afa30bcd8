/* Seeds for the protocol's fuzz targets: write_protocol_seeds DIR fills
 * DIR/{message,instances,job_spec,keys}. Messages are without the frame's header, behind a byte of type, as
 * fuzz_message.c wants them. */
#include "coordinator/protocol/keys.h"
#include "tests/coordinator/protocol/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { HEADER = 32 };

static void write_seed(const char *dir, const char *kind, int number, uint8_t first, const uint8_t *bytes,
                       size_t size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, kind);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%03d", dir, kind, number);
    FILE *file = fopen(path, "wb");
    if (!file || (first && fputc(first, file) == EOF) || fwrite(bytes, 1, size, file) != size ||
        fclose(file) != 0) {
        fprintf(stderr, "%s cannot be written\n", path);
        exit(1);
    }
}

static void must(pt_status status)
{
    if (status.code != PT_OK) {
        fprintf(stderr, "%s\n", status.message);
        exit(1);
    }
}

static void write_messages(const char *dir)
{
    for (int type = PT_MSG_HELLO; type < PT_MSG_TYPES; type++) {
        for (int variant = 0; variant < SAMPLE_VARIANTS; variant++) {
            pt_message m = sample_message((pt_message_type)type, variant);
            uint8_t *bytes;
            size_t size;
            must(pt_message_encode(&m, &bytes, &size));
            write_seed(dir, "message", type * SAMPLE_VARIANTS + variant, (uint8_t)type, bytes + HEADER,
                       size - HEADER);
            pt_free(bytes);
            pt_message_fini(&m);
        }
    }
}

static void write_instances(const char *dir)
{
    for (int n = 0; n < 12; n++) {
        pt_instance_list list = sample_instances((size_t)n, 4 + n, n % 2);
        uint8_t *bytes;
        size_t size;
        must(pt_instances_encode(&list, &bytes, &size));
        write_seed(dir, "instances", n, 0, bytes, size);
        pt_free(bytes);
        pt_instance_list_fini(&list);
    }
}

static void write_specs(const char *dir)
{
    for (int n = 0; n < 2; n++) {
        pt_job_spec spec = sample_spec();
        spec.scene.has_bbox = n == 0;
        uint8_t *bytes;
        size_t size;
        must(pt_job_spec_encode(&spec, &bytes, &size));
        write_seed(dir, "job_spec", n, 0, bytes, size);
        pt_free(bytes);
        pt_job_spec_fini(&spec);
    }
}

static void write_keys(const char *dir)
{
    /* The pair of ZeroMQ's RFC 26 example: seeds must not differ from build to build. */
    static const char text[] = "# a pair\npublic Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\n"
                               "secret D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\n"
                               "server rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\n";
    write_seed(dir, "keys", 0, 0, (const uint8_t *)text, sizeof text - 1);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: write_protocol_seeds DIR\n");
        return 1;
    }
    write_messages(argv[1]);
    write_instances(argv[1]);
    write_specs(argv[1]);
    write_keys(argv[1]);
    return 0;
}
