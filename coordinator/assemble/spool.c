#include "coordinator/assemble/spool.h"

#include "coordinator/assemble/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WRITE_BUFFER = 1 << 20 }; /* bytes; far above a record, so that writes are few */

typedef struct key {
    int64_t owner; /* tile that holds the anchor */
    int64_t area;
    uint64_t offset; /* of the record in the file */
    uint32_t length;
    int32_t y, x; /* anchor; the grid keeps scenes below 2^31 */
    int32_t class_id;
    uint16_t score_q;
} key;

struct pt_spool {
    pt_grid grid;
    char *dir; /* for messages */
    int file;
    uint64_t written, bytes; /* in the file; with what is buffered */
    unsigned char *buffer;
    size_t buffered;
    pt_record record;
    key *keys;
    size_t count, capacity;
};

static pt_status spool_failed(const pt_spool *spool, int error)
{
    if (error == ENOSPC || error == EDQUOT) {
        return pt_error(PT_E_NOSPACE,
                        "%s: no space left for finished features; free some or write the output elsewhere",
                        spool->dir);
    }
    return pt_error(PT_E_WRITE, "%s: temporary file: %s", spool->dir, strerror(error));
}

/* An open file without a name in `dir`, or -1 and errno. */
static int open_unnamed(const char *dir)
{
#ifdef O_TMPFILE
    int file = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) {
        return file;
    }
#endif
    char *name = pt_asprintf("%s/.pantile-spool-XXXXXX", dir);
    if (!name) {
        errno = ENOMEM;
        return -1;
    }
    int named = mkstemp(name);
    if (named >= 0) {
        unlink(name);
    }
    pt_free(name);
    return named;
}

pt_status pt_spool_new(const char *dir, const pt_grid *grid, pt_spool **out)
{
    pt_spool *spool = pt_calloc(1, sizeof *spool);
    if (!spool) {
        return PT_NOMEM("the spool of finished features");
    }
    pt_status status = pt_ok();
    spool->grid = *grid;
    spool->file = -1;
    spool->dir = pt_strdup(dir);
    spool->buffer = pt_alloc(WRITE_BUFFER, 1);
    if (!spool->dir || !spool->buffer) {
        status = PT_NOMEM("the spool of finished features");
        goto out;
    }
    spool->file = open_unnamed(dir);
    if (spool->file < 0) {
        status = errno == ENOMEM ? PT_NOMEM("the spool's name") : spool_failed(spool, errno);
        goto out;
    }
    *out = spool;
    spool = NULL;
out:
    pt_spool_free(&spool);
    return status;
}

static pt_status flush(pt_spool *spool)
{
    size_t done = 0;
    while (done < spool->buffered) {
        ssize_t n = pwrite(spool->file, spool->buffer + done, spool->buffered - done, (off_t)spool->written);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return spool_failed(spool, errno);
        }
        done += (size_t)n;
        spool->written += (uint64_t)n;
    }
    spool->buffered = 0;
    return pt_ok();
}

static pt_status append(pt_spool *spool, const unsigned char *bytes, size_t size)
{
    spool->bytes += size;
    while (size > 0) {
        size_t room = WRITE_BUFFER - spool->buffered;
        size_t part = size < room ? size : room;
        memcpy(spool->buffer + spool->buffered, bytes, part);
        spool->buffered += part;
        bytes += part;
        size -= part;
        if (spool->buffered == WRITE_BUFFER) {
            PT_TRY(flush(spool));
        }
    }
    return pt_ok();
}

pt_status pt_spool_add(pt_spool *spool, const pt_feature *feature, int64_t area)
{
    PT_TRY(pt_record_encode(&spool->record, feature));
    if (spool->record.size > UINT32_MAX) {
        return pt_error(PT_E_TILE, "an object near pixel %lld, %lld has an outline of more than 4 GiB",
                        (long long)feature->anchor_x, (long long)feature->anchor_y);
    }
    PT_TRY(pt_grow(&spool->keys, &spool->capacity, spool->count + 1, sizeof *spool->keys));
    key k = {.owner = pt_grid_owner(&spool->grid, feature->anchor_x, feature->anchor_y),
             .area = area,
             .offset = spool->bytes,
             .length = (uint32_t)spool->record.size,
             .y = (int32_t)feature->anchor_y,
             .x = (int32_t)feature->anchor_x,
             .class_id = feature->class_id,
             .score_q = feature->score_q};
    PT_TRY(append(spool, spool->record.bytes, spool->record.size));
    spool->keys[spool->count++] = k;
    return pt_ok();
}

#define COMPARE(a, b)                                                                                        \
    do {                                                                                                     \
        if ((a) != (b)) {                                                                                    \
            return (a) < (b) ? -1 : 1;                                                                       \
        }                                                                                                    \
    } while (0)

static int compare_keys(const void *left, const void *right)
{
    const key *a = left;
    const key *b = right;
    COMPARE(a->owner, b->owner);
    COMPARE(a->y, b->y);
    COMPARE(a->x, b->x);
    COMPARE(a->class_id, b->class_id);
    COMPARE(b->score_q, a->score_q); /* the surer first */
    COMPARE(a->area, b->area);
    COMPARE(a->length, b->length);
    return 0;
}

static pt_status read_record(const pt_spool *spool, const key *k, unsigned char *bytes)
{
    size_t done = 0;
    while (done < k->length) {
        ssize_t n = pread(spool->file, bytes + done, k->length - done, (off_t)(k->offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return spool_failed(spool, n == 0 ? EIO : errno);
        }
        done += (size_t)n;
    }
    return pt_ok();
}

/* Orders keys [first, last) that are equal but for their records' bytes. Such runs are two or three long:
 * distinct objects hardly ever share their anchor, score and area, so insertion sort will do. */
static pt_status sort_ties(pt_spool *spool, size_t first, size_t last)
{
    pt_status status = pt_ok();
    size_t length = spool->keys[first].length;
    unsigned char *a = pt_alloc(length, 1);
    unsigned char *b = pt_alloc(length, 1);
    if (!a || !b) {
        status = PT_NOMEM("comparing features");
        goto out;
    }
    for (size_t i = first + 1; i < last; i++) {
        PT_TRY_OUT(read_record(spool, &spool->keys[i], a));
        key moving = spool->keys[i];
        size_t j = i;
        for (; j > first; j--) {
            PT_TRY_OUT(read_record(spool, &spool->keys[j - 1], b));
            if (memcmp(b, a, length) <= 0) {
                break;
            }
            spool->keys[j] = spool->keys[j - 1];
        }
        spool->keys[j] = moving;
    }
out:
    pt_free(a);
    pt_free(b);
    return status;
}

pt_status pt_spool_sort(pt_spool *spool)
{
    PT_TRY(flush(spool));
    if (spool->count == 0) {
        return pt_ok();
    }
    qsort(spool->keys, spool->count, sizeof *spool->keys, compare_keys);
    size_t first = 0;
    for (size_t i = 1; i <= spool->count; i++) {
        if (i < spool->count && compare_keys(&spool->keys[first], &spool->keys[i]) == 0) {
            continue;
        }
        if (i - first > 1) {
            PT_TRY(sort_ties(spool, first, i));
        }
        first = i;
    }
    return pt_ok();
}

size_t pt_spool_count(const pt_spool *spool)
{
    return spool->count;
}

uint64_t pt_spool_bytes(const pt_spool *spool)
{
    return spool->bytes;
}

pt_status pt_spool_read(const pt_spool *spool, size_t index, pt_feature *out)
{
    if (index >= spool->count) {
        return pt_error(PT_E_USAGE, "the spool holds %zu features, not %zu", spool->count, index + 1);
    }
    const key *k = &spool->keys[index];
    unsigned char *bytes = pt_alloc(k->length, 1);
    if (!bytes) {
        return PT_NOMEM("a feature's record");
    }
    pt_status status = read_record(spool, k, bytes);
    if (status.code == PT_OK) {
        status = pt_record_decode(bytes, k->length, out);
    }
    pt_free(bytes);
    return status;
}

void pt_spool_free(pt_spool **spool)
{
    if (!spool || !*spool) {
        return;
    }
    pt_spool *s = *spool;
    if (s->file >= 0) {
        close(s->file);
    }
    pt_record_fini(&s->record);
    pt_free(s->keys);
    pt_free(s->buffer);
    pt_free(s->dir);
    pt_free(s);
    *spool = NULL;
}
