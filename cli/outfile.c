#include "cli/outfile.h"

#include "cli/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pt_status failed(const char *path, int error)
{
    if (error == ENOSPC || error == EDQUOT) {
        return pt_error(PT_E_NOSPACE, "%s: no space left; free some or write elsewhere", path);
    }
    return pt_error(PT_E_WRITE, "%s: cannot be written: %s", path, strerror(error ? error : EIO));
}

pt_status pt_outfile_check(const char *path, bool overwrite)
{
    struct stat there;
    if (!overwrite && access(path, F_OK) == 0) {
        return pt_error(PT_E_EXISTS, "%s: is there already; name another file or add --overwrite", path);
    }
    /* Renaming would put a file in the place of a device, which the whole machine then misses. */
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) {
        return pt_error(PT_E_WRITE, "%s: is a %s; name another file", path,
                        S_ISDIR(there.st_mode) ? "folder" : "device or pipe");
    }
    char *folder = NULL;
    PT_TRY(pt_paths_folder(path, &folder));
    pt_status status = pt_ok();
    if (access(folder, W_OK | X_OK) != 0) {
        status = pt_error(PT_E_WRITE, "%s: folder %s: %s; make it or write elsewhere", path, folder,
                          strerror(errno));
    }
    pt_free(folder);
    return status;
}

static bool same_inode(const char *a, const char *b)
{
    struct stat sa;
    struct stat sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

pt_status pt_outfile_apart(const char *output, const char *other)
{
    if (!output || !other) {
        return pt_ok();
    }
    bool same = same_inode(output, other);
    if (!same && strcmp(base_of(output), base_of(other)) == 0) { /* neither may exist yet */
        char *folders[2] = {NULL, NULL};
        pt_status status = pt_paths_folder(output, &folders[0]);
        if (status.code == PT_OK) {
            status = pt_paths_folder(other, &folders[1]);
        }
        same = status.code == PT_OK && same_inode(folders[0], folders[1]);
        pt_free(folders[0]);
        pt_free(folders[1]);
        PT_TRY(status);
    }
    return same ? pt_error(PT_E_USAGE, "%s: would be written over %s; name another output", output, other)
                : pt_ok();
}

pt_status pt_outfile_open(const char *path, bool overwrite, pt_outfile *out)
{
    PT_TRY(pt_outfile_check(path, overwrite));
    pt_outfile file = {.path = pt_strdup(path),
                       .partial = pt_asprintf("%s.partial-%ld", path, (long)getpid()),
                       .overwrite = overwrite};
    if (!file.path || !file.partial) {
        pt_outfile_close(&file);
        return PT_NOMEM("an output's name");
    }
    file.stream = fopen(file.partial, "wb");
    if (!file.stream) {
        pt_status status = failed(path, errno);
        pt_outfile_close(&file);
        return status;
    }
    *out = file;
    return pt_ok();
}

/* The name survives a power cut only once its folder is on disk. */
static pt_status sync_folder(const char *path)
{
    char *folder = NULL;
    PT_TRY(pt_paths_folder(path, &folder));
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pt_free(folder);
    if (dir >= 0) {
        (void)fsync(dir); /* some file systems refuse it on folders */
        close(dir);
    }
    return pt_ok();
}

pt_status pt_outfile_commit(pt_outfile *file)
{
    errno = 0;
    bool good = !ferror(file->stream) && fflush(file->stream) == 0 && fsync(fileno(file->stream)) == 0;
    int error = errno;
    if (fclose(file->stream) != 0 && good) {
        good = false;
        error = errno;
    }
    file->stream = NULL;
    if (!good) {
        return failed(file->path, error);
    }
    /* link refuses a name that has appeared meanwhile; rename replaces it. */
    if (file->overwrite ? rename(file->partial, file->path) != 0 : link(file->partial, file->path) != 0) {
        if (errno == EEXIST) {
            return pt_error(PT_E_EXISTS, "%s: has appeared meanwhile; name another file or add --overwrite",
                            file->path);
        }
        if (file->overwrite || rename(file->partial, file->path) != 0) {
            return failed(file->path, errno);
        }
    }
    return sync_folder(file->path);
}

void pt_outfile_close(pt_outfile *file)
{
    if (file->stream) {
        fclose(file->stream);
    }
    if (file->partial) {
        unlink(file->partial);
    }
    pt_free(file->path);
    pt_free(file->partial);
    memset(file, 0, sizeof *file);
}
