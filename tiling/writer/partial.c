#include "tiling/writer/partial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

static bool is_full(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

pt_status pt_partial_failed(const pt_partial *partial, int error, const char *detail)
{
    struct statvfs disk;
    bool full = is_full(error) || (error == 0 && statvfs(partial->folder, &disk) == 0 && disk.f_blocks > 0 &&
                                   disk.f_bavail == 0);
    const char *why = error ? strerror(error) : detail[0] ? detail : "unknown reason";
    if (full) {
        return pt_error(PT_E_NOSPACE,
                        "%s: no space left to write it (%s); free some or choose another folder",
                        partial->path, why);
    }
    return pt_error(PT_E_WRITE, "%s: cannot be written: %s", partial->path, why);
}

static pt_status cannot_create(const pt_partial *partial, int error)
{
    const char *folder = partial->folder;
    switch (error) {
    case ENOENT:
        return pt_error(PT_E_WRITE, "%s: folder %s does not exist; create it first", partial->path, folder);
    case ENOTDIR:
        return pt_error(PT_E_WRITE, "%s: %s is not a folder; choose another output", partial->path, folder);
    case EACCES:
    case EPERM:
    case EROFS:
        return pt_error(PT_E_WRITE, "%s: no permission to write in folder %s; choose another output",
                        partial->path, folder);
    default:
        return pt_partial_failed(partial, error, "");
    }
}

/* FNV-1a over the host's name and the process table's number: what a process id is unique in. */
static uint32_t place(void)
{
    char text[320] = "";
    size_t used = 0;
    if (gethostname(text, 255) == 0) {
        text[255] = '\0';
        used = strlen(text);
    }
    ssize_t got = readlink("/proc/self/ns/pid", text + used, sizeof text - used);
    used += got > 0 ? (size_t)got : 0;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < used; i++) {
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    }
    return hash;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_dead(const char *pid_text)
{
    char *end;
    long pid = strtol(pid_text, &end, 10);
    return end != pid_text && *end == '-' && pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

/* Removes the folder's files that begin with `prefix`; with `only_dead`, those whose process is gone. */
static void remove_like(const char *folder, const char *prefix, bool only_dead)
{
    DIR *listing = opendir(folder);
    if (!listing) {
        return;
    }
    size_t length = strlen(prefix);
    for (struct dirent *entry = readdir(listing); entry; entry = readdir(listing)) {
        if (strncmp(entry->d_name, prefix, length) == 0 && (!only_dead || is_dead(entry->d_name + length))) {
            unlinkat(dirfd(listing), entry->d_name, 0);
        }
    }
    closedir(listing);
}

static void remove_leftovers(const pt_partial *partial)
{
    char *prefix = pt_asprintf(".%s.partial-%08" PRIx32 "-", base_of(partial->path), place());
    if (prefix) {
        remove_like(partial->folder, prefix, true);
        pt_free(prefix);
    }
}

static pt_status create_temp(pt_partial *p)
{
    static atomic_uint serial; /* several writers of one process */
    const char *base = base_of(p->path), *ending = strrchr(base, '.');
    for (int attempt = 0;; attempt++) {
        char *temp = pt_asprintf("%s/.%s.partial-%08" PRIx32 "-%ld-%u%s", p->folder, base, place(),
                                 (long)getpid(), atomic_fetch_add(&serial, 1), ending ? ending : "");
        if (!temp) {
            return PT_NOMEM("a file name");
        }
        int file = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file >= 0) {
            close(file);
            p->temp = temp;
            return pt_ok();
        }
        int error = errno;
        pt_free(temp);
        if (error != EEXIST || attempt == 1000) {
            return cannot_create(p, error);
        }
    }
}

static pt_status check_target(const pt_partial *p)
{
    struct stat found;
    if (lstat(p->path, &found) != 0) {
        return pt_ok(); /* creating the partial file tells what is wrong with the folder */
    }
    if (S_ISDIR(found.st_mode)) {
        return pt_error(PT_E_WRITE, "%s is a folder; name a file", p->path);
    }
    if (!p->overwrite) {
        return pt_error(PT_E_EXISTS, "%s exists; choose another name or allow it with --overwrite", p->path);
    }
    return pt_ok();
}

pt_status pt_partial_open(const char *path, bool overwrite, pt_partial *out)
{
    pt_partial p = {.overwrite = overwrite};
    pt_status status;
    const char *base = base_of(path);
    size_t length = base == path ? 0 : base - path == 1 ? 1 : (size_t)(base - path) - 1;
    p.path = pt_strdup(path);
    p.folder = length ? pt_asprintf("%.*s", (int)length, path) : pt_strdup(".");
    if (!p.path || !p.folder) {
        status = PT_NOMEM("a file name");
        goto out;
    }
    PT_TRY_OUT(check_target(&p));
    remove_leftovers(&p);
    PT_TRY_OUT(create_temp(&p));
    *out = p;
    p = (pt_partial){0};
out:
    pt_partial_close(&p);
    return status;
}

/* A failed sync is never tried again: the kernel may have dropped the pages that it could not write. */
static int sync_path(const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC);
    if (file < 0) {
        return errno;
    }
    int error = fsync(file) != 0 ? errno : 0;
    close(file);
    return error;
}

static int rename_new(const char *from, const char *to)
{
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return errno;
    }
    if (link(from, to) == 0) { /* file systems without that flag: a link never replaces either */
        unlink(from);
        return 0;
    }
    if (errno != EPERM && errno != ENOTSUP && errno != ENOSYS) {
        return errno;
    }
    if (access(to, F_OK) == 0) { /* nor has this one links: the best that is left */
        return EEXIST;
    }
    return rename(from, to) == 0 ? 0 : errno;
}

/* SQLite would play an old journal of the replaced database back into the new one. */
static void remove_old_journals(const char *path)
{
    static const char *const endings[] = {"-journal", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *name = pt_asprintf("%s%s", path, endings[i]);
        if (name) {
            unlink(name);
            pt_free(name);
        }
    }
}

pt_status pt_partial_commit(pt_partial *partial)
{
    int error = sync_path(partial->temp, O_RDONLY);
    if (error) {
        return pt_partial_failed(partial, error, "");
    }
    const char *ending = strrchr(partial->path, '.');
    if (partial->overwrite && ending && strcmp(ending, ".gpkg") == 0) {
        remove_old_journals(partial->path);
    }
    error = partial->overwrite ? (rename(partial->temp, partial->path) == 0 ? 0 : errno)
                               : rename_new(partial->temp, partial->path);
    if (error == EEXIST) {
        return pt_error(PT_E_EXISTS,
                        "%s has come up while it was being written; choose another name or allow it "
                        "with --overwrite",
                        partial->path);
    }
    if (error) {
        return pt_partial_failed(partial, error, "");
    }
    pt_free(partial->temp);
    partial->temp = NULL;
    error = sync_path(partial->folder, O_RDONLY | O_DIRECTORY);
    if (error && error != EINVAL && error != ENOTSUP && error != EACCES) { /* folders that cannot be synced */
        return pt_partial_failed(partial, error, "");
    }
    return pt_ok();
}

void pt_partial_close(pt_partial *partial)
{
    if (partial->temp) {
        /* Without the ending, so that the drivers' own temporary files and journals go as well. */
        const char *base = base_of(partial->temp), *ending = strrchr(base, '.');
        char *prefix = pt_asprintf("%.*s.", (int)(ending - base), base);
        unlink(partial->temp);
        if (prefix) {
            remove_like(partial->folder, prefix, false);
        }
        pt_free(prefix);
    }
    pt_free(partial->path);
    pt_free(partial->folder);
    pt_free(partial->temp);
    *partial = (pt_partial){0};
}
