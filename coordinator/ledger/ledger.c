#include "coordinator/ledger/internal.h"

#include <string.h>

static pt_status new_ledger(const char *dir, bool writable, pt_ledger **out)
{
    pt_ledger *l = pt_calloc(1, sizeof *l);
    if (!l) {
        return PT_NOMEM("a ledger");
    }
    l->lock = -1;
    l->failed = pt_ok();
    l->writable = writable;
    l->dir = pt_strdup(dir);
    l->path = pt_asprintf("%s/ledger.db", dir);
    if (!l->dir || !l->path) {
        pt_ledger_close(&l);
        return PT_NOMEM("a ledger");
    }
    *out = l;
    return pt_ok();
}

void pt_ledger_close(pt_ledger **ledger)
{
    pt_ledger *l = *ledger;
    if (!l) {
        return;
    }
    pt_store_close(l);
    pt_folder_leave(&l->lock);
    pt_job_row_fini(l);
    pt_free(l->dir);
    pt_free(l->path);
    pt_free(l);
    *ledger = NULL;
}

void pt_ledger_discard(pt_ledger **ledger)
{
    pt_ledger *l = *ledger;
    if (l && l->writable) {
        pt_store_close(l);
        pt_folder_remove(l->path);
        pt_folder_discard(l->dir);
    }
    pt_ledger_close(ledger);
}

/* Opens and checks what lies there; the lock is the caller's. */
static pt_status open_there(const char *dir, bool writable, pt_ledger **out)
{
    pt_ledger *l = NULL;
    pt_status status;
    PT_TRY_OUT(new_ledger(dir, writable, &l));
    if (!pt_folder_has(l->path)) {
        status = pt_error(PT_E_INPUT, PT_NO_JOB, dir);
        goto out;
    }
    PT_TRY_OUT(pt_store_open(l));
    PT_TRY_OUT(pt_job_row_load(l));
    *out = l;
    l = NULL;
out:
    pt_ledger_close(&l);
    return status;
}

/* The job in the folder is in the way. */
static pt_status in_the_way(const pt_ledger *old, const uint8_t hash[32])
{
    if (memcmp(old->spec_hash, hash, 32) != 0) {
        return pt_error(PT_E_EXISTS,
                        "%s holds %s job with other scenes or options; choose another folder "
                        "with --job-dir, or drop that job with --overwrite",
                        old->dir, old->state == PT_JOB_DONE ? "a finished" : "an interrupted");
    }
    if (old->state == PT_JOB_DONE) {
        return pt_error(PT_E_EXISTS, "%s: this job is done already; run it again with --overwrite", old->dir);
    }
    return pt_error(PT_E_EXISTS,
                    "%s holds this job, interrupted; go on with --resume, or begin anew with "
                    "--overwrite",
                    old->dir);
}

/* The epoch to begin with: above that of a job that is given up. */
static pt_status first_epoch(const pt_ledger *new, bool overwrite, uint32_t *epoch)
{
    *epoch = 1;
    if (!pt_folder_has(new->path)) {
        return pt_ok();
    }
    pt_ledger *old = NULL;
    pt_status status = open_there(new->dir, true, &old);
    if (status.code == PT_OK && !overwrite) {
        status = in_the_way(old, new->spec_hash);
    } else if (status.code == PT_OK) {
        *epoch = old->epoch + (old->epoch < UINT32_MAX);
    } else if (status.code == PT_E_INPUT || status.code == PT_E_UNSUPPORTED) {
        /* Whatever it is that lies there, it goes, or is in the way. */
        status.code = PT_E_EXISTS;
        status = overwrite ? pt_ok() : status;
    }
    pt_ledger_close(&old);
    return status;
}

static pt_status encode_spec(const pt_job_spec *spec, pt_ledger *l)
{
    PT_TRY(pt_job_spec_encode(spec, &l->spec_bytes, &l->spec_size));
    return pt_job_spec_hash(spec, l->spec_hash);
}

/* Writes the new ledger under another name and puts it in place once it is whole, so that a job is there or
 * is not. */
static pt_status install(pt_ledger *new)
{
    char *path = new->path, *partial = pt_asprintf("%s.partial", path);
    if (!partial) {
        return PT_NOMEM("a file name");
    }
    pt_folder_remove(partial);
    new->path = partial;
    pt_status status = pt_store_create(new);
    pt_store_close(new);
    new->path = path;
    if (status.code == PT_OK) {
        status = pt_folder_install(new->dir, partial, path);
    }
    pt_folder_remove(partial);
    pt_free(partial);
    return status;
}

pt_status pt_ledger_create(const char *dir, const pt_job_spec *spec, bool overwrite, pt_ledger **out)
{
    pt_ledger *new = NULL, *made = NULL;
    int lock = -1;
    pt_status status;
    PT_TRY_OUT(new_ledger(dir, true, &new));
    PT_TRY_OUT(encode_spec(spec, new));
    PT_TRY_OUT(pt_folder_claim(dir, &lock));
    PT_TRY_OUT(first_epoch(new, overwrite, &new->epoch));
    PT_TRY_OUT(install(new));
    PT_TRY_OUT(open_there(dir, true, &made));
    made->lock = lock;
    lock = -1;
    *out = made;
out:
    pt_ledger_close(&new);
    pt_folder_leave(&lock);
    return status;
}

typedef struct differences {
    char text[PT_STATUS_MESSAGE];
    size_t used;
    const char *dir;
} differences;

static void note_difference(void *user, const char *field, const char *was, const char *is)
{
    differences *d = user;
    PT_INFO("this job differs from the interrupted one", PT_S("folder", d->dir), PT_S("field", field),
            PT_S("was", was), PT_S("is", is));
    char *more = pt_asprintf("%s%s was %s, is %s", d->used ? "; " : "", field, was, is);
    if (more && d->used < sizeof d->text) {
        size_t room = sizeof d->text - 1 - d->used, length = strlen(more);
        size_t taken = length < room ? length : room;
        memcpy(d->text + d->used, more, taken);
        d->used += taken;
        d->text[d->used] = '\0';
    }
    pt_free(more);
}

static pt_status check_same(const pt_ledger *l, const pt_job_spec *spec)
{
    uint8_t hash[32];
    PT_TRY(pt_job_spec_hash(spec, hash));
    if (memcmp(hash, l->spec_hash, sizeof hash) == 0) {
        return pt_ok();
    }
    differences d = {.dir = l->dir};
    int count = pt_job_spec_compare(&l->spec, spec, note_difference, &d);
    return pt_error(PT_E_INPUT,
                    "%s holds another job (resume it with what it was begun with, or begin anew "
                    "with --overwrite in place of --resume); %d %s: %s",
                    l->dir, count, count == 1 ? "difference" : "differences", d.text);
}

static pt_status put_job(pt_ledger *l, const void *user)
{
    (void)user;
    return pt_job_row_put(l);
}

static pt_status raise_epoch(pt_ledger *l)
{
    if (l->epoch == UINT32_MAX) {
        return pt_error(PT_E_UNSUPPORTED, "%s has been resumed too often; begin anew with --overwrite",
                        l->dir);
    }
    l->epoch++;
    return pt_store_transact(l, put_job, NULL);
}

pt_status pt_ledger_resume(const char *dir, const pt_job_spec *spec, pt_ledger **out)
{
    pt_ledger *l = NULL;
    int lock = -1;
    pt_status status;
    PT_TRY(pt_folder_look(dir, &lock)); /* makes nothing where no job is */
    pt_folder_leave(&lock);
    PT_TRY(pt_folder_claim(dir, &lock));
    PT_TRY_OUT(open_there(dir, true, &l));
    l->lock = lock;
    lock = -1;
    PT_TRY_OUT(check_same(l, spec));
    PT_TRY_OUT(pt_ledger_check_quickly(l));
    if (l->state == PT_JOB_DONE) {
        pt_ledger_shrink(l); /* where the last end was cut short */
    } else {
        PT_TRY_OUT(raise_epoch(l));
    }
    *out = l;
    l = NULL;
out:
    pt_ledger_close(&l);
    pt_folder_leave(&lock);
    return status;
}

pt_status pt_ledger_read(const char *dir, pt_ledger **out)
{
    int lock = -1;
    pt_ledger *l = NULL;
    PT_TRY(pt_folder_look(dir, &lock));
    pt_status status = open_there(dir, false, &l);
    if (status.code != PT_OK) {
        pt_folder_leave(&lock);
        return status;
    }
    l->lock = lock;
    *out = l;
    return status;
}

pt_job_state pt_ledger_state(const pt_ledger *ledger)
{
    return ledger->state;
}

uint32_t pt_ledger_epoch(const pt_ledger *ledger)
{
    return ledger->epoch;
}

const pt_job_spec *pt_ledger_spec(const pt_ledger *ledger)
{
    return &ledger->spec;
}

const char *pt_ledger_dir(const pt_ledger *ledger)
{
    return ledger->dir;
}

const char *pt_ledger_output(const pt_ledger *ledger, uint8_t sha256[32])
{
    if (ledger->output) {
        memcpy(sha256, ledger->output_sha256, 32);
    }
    return ledger->output;
}
