#include "tiling/stitch/parts.h"

enum { FIRST_BUCKETS = 64 };

pt_status pt_tile_book_init(const pt_grid *grid, pt_tile_book *out)
{
    pt_tile_book book = {.bucket_count = FIRST_BUCKETS};
    book.state = pt_calloc((size_t)pt_grid_count(grid), sizeof *book.state);
    book.buckets = pt_calloc(FIRST_BUCKETS, sizeof(pt_waiting_tile *));
    if (!book.state || !book.buckets) {
        pt_tile_book_fini(&book);
        return pt_error(PT_E_NOMEM,
                        "out of memory for the state of %lld tiles: use larger tiles or a smaller overlap",
                        (long long)pt_grid_count(grid));
    }
    *out = book;
    return pt_ok();
}

void pt_waiting_tile_free(pt_waiting_tile *tile)
{
    if (tile) {
        pt_free(tile->detections);
        pt_free(tile);
    }
}

void pt_tile_book_fini(pt_tile_book *book)
{
    for (size_t i = 0; book->buckets && i < book->bucket_count; i++) {
        while (book->buckets[i]) {
            pt_waiting_tile *next = book->buckets[i]->next;
            pt_waiting_tile_free(book->buckets[i]);
            book->buckets[i] = next;
        }
    }
    pt_free(book->buckets);
    pt_free(book->state);
    *book = (pt_tile_book){0};
}

/* Multiplication by 2^64 / golden ratio (Knuth, The Art of Computer Programming 6.4) spreads rows of tiles.
 */
static size_t bucket_of(int64_t tile, size_t bucket_count)
{
    uint64_t hash = (uint64_t)tile * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(hash >> 32) & (bucket_count - 1);
}

static pt_waiting_tile **slot_of(const pt_tile_book *book, int64_t tile)
{
    pt_waiting_tile **slot = &book->buckets[bucket_of(tile, book->bucket_count)];
    while (*slot && (*slot)->tile != tile) {
        slot = &(*slot)->next;
    }
    return slot;
}

pt_waiting_tile *pt_tile_book_find(const pt_tile_book *book, int64_t tile)
{
    return *slot_of(book, tile);
}

static pt_status grow(pt_tile_book *book)
{
    size_t count = book->bucket_count * 2;
    pt_waiting_tile **buckets = pt_calloc(count, sizeof(pt_waiting_tile *));
    if (!buckets) {
        return PT_NOMEM("the tiles that wait for neighbours");
    }
    for (size_t i = 0; i < book->bucket_count; i++) {
        while (book->buckets[i]) {
            pt_waiting_tile *moved = book->buckets[i];
            book->buckets[i] = moved->next;
            pt_waiting_tile **bucket = &buckets[bucket_of(moved->tile, count)];
            moved->next = *bucket;
            *bucket = moved;
        }
    }
    pt_free(book->buckets);
    book->buckets = buckets;
    book->bucket_count = count;
    return pt_ok();
}

pt_status pt_tile_book_insert(pt_tile_book *book, pt_waiting_tile *tile)
{
    if (book->waiting >= book->bucket_count) {
        PT_TRY(grow(book));
    }
    *slot_of(book, tile->tile) = tile;
    book->waiting++;
    return pt_ok();
}

void pt_tile_book_remove(pt_tile_book *book, int64_t tile)
{
    pt_waiting_tile **slot = slot_of(book, tile);
    pt_waiting_tile *removed = *slot;
    if (removed) {
        *slot = removed->next;
        book->waiting--;
        pt_waiting_tile_free(removed);
    }
}
