/* The job's folder: its making, its lock, and the one file in it that must never be half there. */
#include "coordinator/ledger/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static pt_status cannot_write(const char *path, int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return pt_error(PT_E_NOSPACE,
                        "%s: no space left for the job's ledger; free some, or choose another "
                        "folder with --job-dir",
                        path);
    case ENOENT:
        return pt_error(PT_E_WRITE, "%s: the folder that it shall lie in does not exist; create it first",
                        path);
    case ENOTDIR:
    case EEXIST:
        return pt_error(PT_E_WRITE, "%s is in the way of the job's folder; choose another with --job-dir",
                        path);
    case EACCES:
    case EPERM:
    case EROFS:
        return pt_error(PT_E_WRITE, "%s: no permission to write there; choose another folder with --job-dir",
                        path);
    default:
        return pt_error(PT_E_WRITE, "%s: cannot be written: %s", path, strerror(error));
    }
}

/* Never tried again when it fails: the kernel may have dropped what it could not write. */
pt_status pt_folder_sync(const char *dir)
{
    int file = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = file < 0 || fsync(file) != 0 ? errno : 0;
    if (file >= 0) {
        close(file);
    }
    if (error == EINVAL || error == ENOTSUP || error == EACCES) { /* folders that cannot be synced */
        error = 0;
    }
    return error ? cannot_write(dir, error) : pt_ok();
}

static pt_status sync_parent(const char *dir)
{
    size_t length = strlen(dir);
    while (length > 1 && dir[length - 1] == '/') {
        length--;
    }
    while (length > 0 && dir[length - 1] != '/') {
        length--;
    }
    char *parent = length ? pt_asprintf("%.*s", (int)length, dir) : pt_strdup(".");
    if (!parent) {
        return PT_NOMEM("a folder's name");
    }
    pt_status status = pt_folder_sync(parent);
    pt_free(parent);
    return status;
}

static pt_status make(const char *dir)
{
    if (mkdir(dir, 0700) == 0) {
        return sync_parent(dir);
    }
    int error = errno;
    struct stat found;
    if (error == EEXIST && stat(dir, &found) == 0 && S_ISDIR(found.st_mode)) {
        return pt_ok();
    }
    return cannot_write(dir, error);
}

/* Who holds the lock, as it said itself. */
static pt_status occupied(const char *dir, int file)
{
    char holder[160];
    ssize_t length = pread(file, holder, sizeof holder - 1, 0);
    holder[length > 0 ? length : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return pt_error(PT_E_EXISTS, "%s is in use by another pantile (%s); wait for its end or stop it", dir,
                    holder[0] ? holder : "just starting");
}

/* For the message above alone, so a failure to write it changes nothing. */
static void leave_name(int file)
{
    char host[100] = "", text[160];
    gethostname(host, sizeof host - 1);
    int length = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
    if (ftruncate(file, 0) != 0 || pwrite(file, text, (size_t)length, 0) != length) {
        PT_DEBUG("the lock cannot be signed", PT_S("error", strerror(errno)));
    }
}

static pt_status lock_file(const char *dir, int file, int how)
{
    while (flock(file, how | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return occupied(dir, file);
        }
        if (errno != EINTR) {
            return pt_error(PT_E_WRITE,
                            "%s: cannot be locked: %s; choose a folder on another file system "
                            "with --job-dir",
                            dir, strerror(errno));
        }
    }
    return pt_ok();
}

static pt_status open_lock(const char *dir, const char *path, bool writes, int *out)
{
    int file = open(path, (writes ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0600);
    int error = errno;
    if (file >= 0) {
        *out = file;
        return pt_ok();
    }
    if (writes) {
        return cannot_write(dir, error);
    }
    if (error == ENOENT || error == ENOTDIR) {
        return pt_error(PT_E_INPUT, PT_NO_JOB, dir);
    }
    return pt_error(PT_E_INPUT, "%s: the job cannot be read: %s", dir, strerror(error));
}

/* Whether the locked file still is the one of that name: pt_folder_discard may have removed it meanwhile. */
static bool is_current(const char *path, int file)
{
    struct stat named, held;
    return stat(path, &named) == 0 && fstat(file, &held) == 0 && named.st_dev == held.st_dev &&
           named.st_ino == held.st_ino;
}

static pt_status take(const char *dir, bool writes, int *lock)
{
    char *path = pt_asprintf("%s/lock", dir);
    if (!path) {
        return PT_NOMEM("a file name");
    }
    int file = -1;
    pt_status status = pt_ok();
    while (status.code == PT_OK && file < 0) {
        PT_TRY_OUT(open_lock(dir, path, writes, &file));
        status = lock_file(dir, file, writes ? LOCK_EX : LOCK_SH);
        if (status.code != PT_OK || !is_current(path, file)) {
            pt_folder_leave(&file);
        }
    }
    *lock = status.code == PT_OK ? file : *lock;
out:
    pt_free(path);
    return status;
}

pt_status pt_folder_claim(const char *dir, int *lock)
{
    int file = -1;
    PT_TRY(make(dir));
    PT_TRY(take(dir, true, &file));
    leave_name(file);
    *lock = file;
    return pt_ok();
}

pt_status pt_folder_look(const char *dir, int *lock)
{
    return take(dir, false, lock);
}

static void remove_like(const char *path, const char *ending)
{
    char *name = pt_asprintf("%s%s", path, ending);
    if (name) {
        unlink(name);
        pt_free(name);
    }
}

void pt_folder_discard(const char *dir)
{
    remove_like(dir, "/lock");
    rmdir(dir);
}

void pt_folder_leave(int *lock)
{
    if (*lock >= 0) {
        close(*lock);
    }
    *lock = -1;
}

bool pt_folder_has(const char *path)
{
    struct stat found;
    return lstat(path, &found) == 0;
}

void pt_folder_remove(const char *path)
{
    /* The database first: a write-ahead log without one is nothing, one with the wrong database is damage. */
    unlink(path);
    remove_like(path, "-wal");
    remove_like(path, "-shm");
    remove_like(path, "-journal");
}

pt_status pt_folder_install(const char *dir, const char *from, const char *path)
{
    pt_folder_remove(path);
    PT_TRY(pt_folder_sync(dir));
    char *log = pt_asprintf("%s-wal", path);
    if (!log) {
        return PT_NOMEM("a file name");
    }
    bool stuck = access(log, F_OK) == 0;
    pt_free(log);
    if (stuck || rename(from, path) != 0) {
        return cannot_write(path, stuck ? EPERM : errno);
    }
    return pt_folder_sync(dir);
}
