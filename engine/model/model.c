#include "engine/model/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens a regular file for reading; O_NONBLOCK so that a pipe in its place is refused, not waited for. */
static pt_status open_regular(const char *path, int *fd, size_t *size)
{
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0) {
        return pt_error(PT_E_INPUT, "cannot be opened: %s", strerror(errno));
    }
    struct stat info;
    if (fstat(opened, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(opened);
        return pt_error(PT_E_INPUT, "is not a regular file");
    }
    *fd = opened;
    *size = (size_t)info.st_size;
    return pt_ok();
}

static pt_status map_file(pt_model *model, const char *path)
{
    int fd = -1;
    PT_TRY(open_regular(path, &fd, &model->size));
    pt_status status = pt_ok();
    void *bytes = model->size ? mmap(NULL, model->size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (model->size == 0) {
        status = pt_error(PT_E_INPUT, "is empty");
    } else if (bytes == MAP_FAILED) {
        status = errno == ENOMEM ? PT_NOMEM("the mapping of the model")
                                 : pt_error(PT_E_INPUT, "cannot be mapped: %s", strerror(errno));
    } else {
        model->bytes = bytes;
        model->mapped = true;
    }
    close(fd);
    return status;
}

static pt_status read_all(int fd, char *out, size_t size)
{
    size_t at = 0;
    while (at < size) {
        ssize_t got = read(fd, out + at, size - at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return pt_error(PT_E_INPUT, "cannot be read: %s", got ? strerror(errno) : "it became shorter");
        }
        at += (size_t)got;
    }
    return pt_ok();
}

static pt_status read_sidecar(const char *path, char **text, size_t *size)
{
    int fd = -1;
    PT_TRY(open_regular(path, &fd, size));
    pt_status status;
    if (*size > PT_DESCRIPTION_MAX_BYTES) {
        status = pt_error(PT_E_INPUT, "exceeds %d bytes", PT_DESCRIPTION_MAX_BYTES);
        goto out;
    }
    *text = pt_alloc(*size, 1);
    status = *text ? read_all(fd, *text, *size) : PT_NOMEM("the model's description");
out:
    close(fd);
    return status;
}

/* DIR/NAME.json for DIR/NAME.safetensors (or any other ending). */
static char *sidecar_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');
    return pt_asprintf("%.*s.json", dot ? (int)(dot - path) : (int)strlen(path), path);
}

/* Container, description, shapes. `sidecar` (NULL: none) serves when the metadata has no description. */
static pt_status read_model(pt_model *model, const char *sidecar, size_t sidecar_size, bool *wants_sidecar)
{
    char *text = NULL;
    *wants_sidecar = false;
    if (!model->tensors) {
        PT_TRY(pt_model_read_header(model, &text));
    }
    if (!text && !sidecar) {
        *wants_sidecar = true;
        return pt_ok();
    }
    pt_status status =
        pt_description_read(text ? text : sidecar, text ? strlen(text) : sidecar_size, &model->description);
    pt_free(text);
    PT_TRY(status);
    PT_TRY(pt_model_check_shapes(model));
    return pt_model_fill_summary(model);
}

pt_status pt_model_read_sidecar(const char *path, char **text, size_t *size)
{
    char *beside = sidecar_path(path);
    if (!beside) {
        return PT_NOMEM("the name of the model's description");
    }
    pt_status status = pt_context(
        read_sidecar(beside, text, size),
        "has no description in its metadata (tools/import_torchvision.py writes one), and %s", beside);
    pt_free(beside);
    return status;
}

static pt_status read_with_sidecar_file(pt_model *model)
{
    bool wanted = false;
    PT_TRY(read_model(model, NULL, 0, &wanted));
    if (!wanted) {
        return pt_ok();
    }
    char *text = NULL;
    size_t size = 0;
    pt_status status = pt_model_read_sidecar(model->path, &text, &size);
    if (status.code == PT_OK) {
        status = read_model(model, text, size, &wanted);
    }
    pt_free(text);
    return status;
}

static pt_status new_model(const char *path, pt_model **out)
{
    pt_model *model = pt_calloc(1, sizeof *model);
    if (!model) {
        return PT_NOMEM("a model");
    }
    model->path = pt_strdup(path);
    if (!model->path) {
        pt_free(model);
        return PT_NOMEM("a model");
    }
    *out = model;
    return pt_ok();
}

/* Hands the model out, or closes it and names the file. */
static pt_status finish(pt_status status, const char *path, pt_model *model, pt_model **out)
{
    if (status.code == PT_OK) {
        *out = model;
    } else {
        pt_model_close(&model);
    }
    return pt_context(status, "%.160s", path);
}

static pt_status open_model(const char *path, bool undigested, pt_model **out)
{
    if (!path || !out) {
        return pt_error(PT_E_USAGE, "pt_model_open: a path and a place for the result are needed");
    }
    pt_model *model = NULL;
    PT_TRY(new_model(path, &model));
    model->undigested = undigested;
    pt_status status = map_file(model, path);
    if (status.code == PT_OK) {
        status = read_with_sidecar_file(model);
    }
    return finish(status, path, model, out);
}

pt_status pt_model_open(const char *path, pt_model **out)
{
    return open_model(path, false, out);
}

pt_status pt_model_open_undigested(const char *path, pt_model **out)
{
    return open_model(path, true, out);
}

pt_status pt_model_open_memory(const char *name, const void *bytes, size_t size, const char *sidecar,
                               pt_model **out)
{
    if (!name || !bytes || !out) {
        return pt_error(PT_E_USAGE,
                        "pt_model_open_memory: a name, bytes and a place for the result are needed");
    }
    pt_model *model = NULL;
    bool wanted = false;
    PT_TRY(new_model(name, &model));
    model->bytes = bytes;
    model->size = size;
    pt_status status =
        sidecar && strlen(sidecar) > PT_DESCRIPTION_MAX_BYTES
            ? pt_error(PT_E_INPUT, "its description exceeds %d bytes", PT_DESCRIPTION_MAX_BYTES)
            : read_model(model, sidecar, sidecar ? strlen(sidecar) : 0, &wanted);
    if (status.code == PT_OK && wanted) {
        status = pt_error(PT_E_INPUT,
                          "has no description in its metadata (tools/import_torchvision.py writes one)");
    }
    return finish(status, name, model, out);
}

void pt_model_release_pages(const pt_model *model)
{
    if (model->mapped) {
        /* A refusal costs memory alone. The cast drops a const that is ours: nothing ever writes there. */
        (void)madvise((void *)model->bytes, model->size, MADV_DONTNEED);
    }
}

void pt_model_close(pt_model **model)
{
    if (!model || !*model) {
        return;
    }
    pt_model *m = *model;
    if (m->mapped) {
        /* The cast drops a const that is ours: nothing ever writes there. */
        munmap((void *)m->bytes, m->size);
    }
    pt_description_fini(&m->description);
    pt_calibration_fini(&m->calibration);
    pt_free(m->tensors);
    pt_free(m->names);
    pt_free(m->path);
    pt_free(m);
    *model = NULL;
}

const pt_model_config *pt_model_get_config(const pt_model *model)
{
    return &model->description.config;
}

const pt_model_summary *pt_model_get_summary(const pt_model *model)
{
    return &model->summary;
}

static int compare_name(const void *name, const void *tensor)
{
    return strcmp(name, ((const pt_tensor *)tensor)->name);
}

const pt_tensor *pt_model_find(const pt_model *model, const char *name)
{
    return bsearch(name, model->tensors, model->tensor_count, sizeof *model->tensors, compare_name);
}

size_t pt_model_tensor_count(const pt_model *model)
{
    return model->tensor_count;
}

const pt_tensor *pt_model_tensor_at(const pt_model *model, size_t index)
{
    return index < model->tensor_count ? &model->tensors[index] : NULL;
}
