/* LD_PRELOAD: counts what a process does to some files, and lets it fail or die at a chosen point.
 *
 *   PANTILE_SHIM_PATH=TEXT       files whose absolute path contains TEXT; without it nothing is watched
 *   PANTILE_SHIM_CALLS=a,b       only these calls (names as in the log); default: all of them
 *   PANTILE_SHIM_LOG=FILE        a line "PID N CALL PATH" for each, appended before it is made
 *   PANTILE_SHIM_KILL_AT=N       SIGKILL in place of the N-th call, 1 being the first
 *   PANTILE_SHIM_TEAR_AT=N       the N-th call, if it writes bytes, writes half of them; then SIGKILL
 *   PANTILE_SHIM_ERRNO_AT=N:E    the N-th call fails with E (EIO, ENOSPC, EDQUOT, EACCES); N+:E: it and all
 * after
 *
 * Calls: write, pwrite, fwrite, fsync, fdatasync, ftruncate, rename (also renameat2 through syscall), link,
 * unlink, mkdir, create (open with O_CREAT of what is not there). What the C library does inside itself does
 * not pass here: fwrite is seen when it is called, not when its buffer is written. Each process counts for
 * itself. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct settings {
    const char *path, *calls, *log;
    long kill_at, tear_at, error_from, error_to;
    int error;
} settings;

static settings set;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long count;

#define REAL(result, name, ...)                                                                              \
    static result (*real_##name)(__VA_ARGS__);                                                               \
    if (!real_##name) {                                                                                      \
        *(void **)&real_##name = dlsym(RTLD_NEXT, #name);                                                    \
    }

static long number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : 0;
}

static void read_settings(void)
{
    static const struct {
        const char *name;
        int value;
    } errors[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EACCES", EACCES}};
    set.path = getenv("PANTILE_SHIM_PATH");
    set.calls = getenv("PANTILE_SHIM_CALLS");
    set.log = getenv("PANTILE_SHIM_LOG");
    set.kill_at = number("PANTILE_SHIM_KILL_AT");
    set.tear_at = number("PANTILE_SHIM_TEAR_AT");
    const char *error = getenv("PANTILE_SHIM_ERRNO_AT");
    if (!error) {
        return;
    }
    char *end;
    set.error_from = set.error_to = strtol(error, &end, 10);
    if (*end == '+') {
        set.error_to = __LONG_MAX__;
        end++;
    }
    for (size_t i = 0; *end == ':' && i < sizeof errors / sizeof *errors; i++) {
        if (strcmp(end + 1, errors[i].name) == 0) {
            set.error = errors[i].value;
        }
    }
    if (!set.error) {
        fprintf(stderr, "shim: PANTILE_SHIM_ERRNO_AT=%s is not N:ERROR\n", error);
        _exit(99);
    }
}

static bool is_listed(const char *call)
{
    size_t length = strlen(call);
    for (const char *at = set.calls; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, call, length) == 0 && (at[length] == ',' || !at[length])) {
            return true;
        }
    }
    return !set.calls;
}

static void write_log(const char *call, const char *path)
{
    char line[4400];
    int length = snprintf(line, sizeof line, "%ld %ld %s %s\n", (long)getpid(), count, call, path);
    int file = (int)syscall(SYS_openat, AT_FDCWD, set.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file >= 0) {
        syscall(SYS_write, file, line, (size_t)length);
        syscall(SYS_close, file);
    }
}

enum { GO_ON, FAIL, TEAR };

/* What is to become of this call; errno is set for FAIL. */
static int consider(const char *call, const char *path)
{
    int saved = errno;
    if (!set.path || !strstr(path, set.path) || !is_listed(call)) {
        errno = saved;
        return GO_ON;
    }
    pthread_mutex_lock(&mutex);
    long n = ++count;
    if (set.log) {
        write_log(call, path);
    }
    pthread_mutex_unlock(&mutex);
    if (n == set.kill_at) {
        kill(getpid(), SIGKILL);
    }
    if (set.error && n >= set.error_from && n <= set.error_to) {
        errno = set.error;
        return FAIL;
    }
    errno = saved;
    return n == set.tear_at ? TEAR : GO_ON;
}

static int consider_file(const char *call, int file)
{
    char link[64], path[4096];
    pthread_once(&once, read_settings);
    if (!set.path) {
        return GO_ON;
    }
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    errno = saved;
    return consider(call, path);
}

static int consider_path(const char *call, const char *path)
{
    char full[8192], here[4096] = "";
    pthread_once(&once, read_settings);
    if (!set.path) {
        return GO_ON;
    }
    int saved = errno;
    if (path[0] != '/' && getcwd(here, sizeof here)) {
        snprintf(full, sizeof full, "%s/%s", here, path);
    } else {
        snprintf(full, sizeof full, "%s", path);
    }
    errno = saved;
    return consider(call, full);
}

static void die(void)
{
    kill(getpid(), SIGKILL);
}

ssize_t write(int file, const void *bytes, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t)
    int what = consider_file("write", file);
    if (what == FAIL) {
        return -1;
    }
    ssize_t got = real_write(file, bytes, what == TEAR ? size / 2 : size);
    if (what == TEAR) {
        die();
    }
    return got;
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t at)
{
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
    int what = consider_file("pwrite", file);
    if (what == FAIL) {
        return -1;
    }
    ssize_t got = real_pwrite(file, bytes, what == TEAR ? size / 2 : size, at);
    if (what == TEAR) {
        die();
    }
    return got;
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at)
{
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t)
    int what = consider_file("pwrite", file);
    if (what == FAIL) {
        return -1;
    }
    ssize_t got = real_pwrite64(file, bytes, what == TEAR ? size / 2 : size, at);
    if (what == TEAR) {
        die();
    }
    return got;
}

size_t fwrite(const void *bytes, size_t size, size_t items, FILE *stream)
{
    REAL(size_t, fwrite, const void *, size_t, size_t, FILE *)
    int what = consider_file("fwrite", fileno(stream));
    if (what == FAIL) {
        return 0;
    }
    size_t got = real_fwrite(bytes, size, what == TEAR ? items / 2 : items, stream);
    if (what == TEAR) {
        fflush(stream);
        die();
    }
    return got;
}

/* For calls without bytes, torn is killed after them. */
#define AFTER(what, call)                                                                                    \
    int after_result_ = (call);                                                                              \
    if ((what) == TEAR) {                                                                                    \
        die();                                                                                               \
    }                                                                                                        \
    return after_result_

int fsync(int file)
{
    REAL(int, fsync, int)
    int what = consider_file("fsync", file);
    if (what == FAIL) {
        return -1;
    }
    AFTER(what, real_fsync(file));
}

int fdatasync(int file)
{
    REAL(int, fdatasync, int)
    int what = consider_file("fdatasync", file);
    if (what == FAIL) {
        return -1;
    }
    AFTER(what, real_fdatasync(file));
}

int ftruncate(int file, off_t size)
{
    REAL(int, ftruncate, int, off_t)
    int what = consider_file("ftruncate", file);
    if (what == FAIL) {
        return -1;
    }
    AFTER(what, real_ftruncate(file, size));
}

int ftruncate64(int file, off64_t size)
{
    REAL(int, ftruncate64, int, off64_t)
    int what = consider_file("ftruncate", file);
    if (what == FAIL) {
        return -1;
    }
    AFTER(what, real_ftruncate64(file, size));
}

int rename(const char *from, const char *to)
{
    REAL(int, rename, const char *, const char *)
    int what = consider_path("rename", to);
    if (what == FAIL) {
        return -1;
    }
    AFTER(what, real_rename(from, to));
}

int link(const char *from, const char *to)
{
    REAL(int, link, const char *, const char *)
    int what = consider_path("link", to);
    if (what == FAIL) {
        return -1;
    }
    AFTER(what, real_link(from, to));
}

int unlink(const char *path)
{
    REAL(int, unlink, const char *)
    int what = consider_path("unlink", path);
    if (what == FAIL) {
        return -1;
    }
    AFTER(what, real_unlink(path));
}

int mkdir(const char *path, mode_t mode)
{
    REAL(int, mkdir, const char *, mode_t)
    int what = consider_path("mkdir", path);
    if (what == FAIL) {
        return -1;
    }
    AFTER(what, real_mkdir(path, mode));
}

static int consider_open(const char *path, int flags)
{
    struct stat found;
    int saved = errno;
    bool creates = (flags & O_CREAT) && lstat(path, &found) != 0;
    errno = saved;
    return creates ? consider_path("create", path) : GO_ON;
}

int open(const char *path, int flags, ...)
{
    REAL(int, open, const char *, int, ...)
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    int what = consider_open(path, flags);
    if (what == FAIL) {
        return -1;
    }
    AFTER(what, real_open(path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
    REAL(int, open64, const char *, int, ...)
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    int what = consider_open(path, flags);
    if (what == FAIL) {
        return -1;
    }
    AFTER(what, real_open64(path, flags, mode));
}

long syscall(long which, ...)
{
    REAL(long, syscall, long, ...)
    long a[6];
    va_list args;
    va_start(args, which);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(args, long);
    }
    va_end(args);
    int what = which == SYS_renameat2 ? consider_path("rename", (const char *)a[3]) : GO_ON;
    if (what == FAIL) {
        return -1;
    }
    long got = real_syscall(which, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (what == TEAR) {
        die();
    }
    return got;
}
