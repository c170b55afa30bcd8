#include "cli/paths.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LEVELS_UP = 4 }; /* from build/PRESET/cli to the sources are three */

typedef struct kind {
    const char *folder, *ending, *noun;
} kind;

static const kind models = {"models", ".safetensors", "model"};
static const kind configs = {"configs", ".yaml", "config"};

static bool is_file(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && !S_ISDIR(s.st_mode);
}

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* The folder of bundled files, or false. */
static bool find_folder(const kind *k, char *out, size_t size)
{
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0) {
        return false;
    }
    program[n] = '\0';
    for (int level = 0; level <= LEVELS_UP; level++) {
        char *slash = strrchr(program, '/');
        if (!slash) {
            return false;
        }
        *slash = '\0';
        if (level == 1 && (size_t)snprintf(out, size, "%s/share/pantile/%s", program, k->folder) < size &&
            is_folder(out)) {
            return true;
        }
        if (level > 0 && (size_t)snprintf(out, size, "%s/%s", program, k->folder) < size && is_folder(out)) {
            return true;
        }
    }
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The bundled files' names without ending, sorted, separated by commas. */
static void list_bundled(const kind *k, char *out, size_t size)
{
    enum { NAMES_MAX = 32 };
    char *names[NAMES_MAX];
    size_t count = 0;
    char folder[PATH_MAX];
    DIR *dir = find_folder(k, folder, sizeof folder) ? opendir(folder) : NULL;
    for (struct dirent *e = dir ? readdir(dir) : NULL; e && count < NAMES_MAX; e = readdir(dir)) {
        size_t length = strlen(e->d_name);
        size_t ending = strlen(k->ending);
        if (length > ending && strcmp(e->d_name + length - ending, k->ending) == 0) {
            names[count] = pt_strdup(e->d_name);
            if (names[count]) {
                names[count++][length - ending] = '\0';
            }
        }
    }
    if (dir) {
        closedir(dir);
    }
    if (count > 0) {
        qsort(names, count, sizeof *names, compare_names);
    }
    snprintf(out, size, count ? "" : "none");
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s", i ? ", " : "", names[i]);
        pt_free(names[i]);
    }
}

static pt_status find(const kind *k, const char *name, char **out)
{
    char folder[PATH_MAX];
    if (!is_file(name) && !strchr(name, '/') && find_folder(k, folder, sizeof folder)) {
        const char *endings[] = {"", k->ending};
        for (int i = 0; i < 2; i++) {
            char *path = pt_asprintf("%s/%s%s", folder, name, endings[i]);
            if (!path) {
                return PT_NOMEM("a path");
            }
            if (is_file(path)) {
                *out = path;
                return pt_ok();
            }
            pt_free(path);
        }
    }
    if (!is_file(name)) {
        char bundled[256];
        list_bundled(k, bundled, sizeof bundled);
        return pt_error(PT_E_INPUT, "%s: no such %s; bundled ones are: %s", name, k->noun, bundled);
    }
    char *copy = pt_strdup(name);
    if (!copy) {
        return PT_NOMEM("a path");
    }
    *out = copy;
    return pt_ok();
}

pt_status pt_paths_model(const char *name, char **out)
{
    return find(&models, name, out);
}

pt_status pt_paths_config(const char *name, char **out)
{
    return find(&configs, name, out);
}

pt_status pt_paths_no_model(void)
{
    char bundled[256];
    list_bundled(&models, bundled, sizeof bundled);
    return pt_error(PT_E_USAGE, "no model named; add --model FILE or --model with a bundled one: %s",
                    bundled);
}

pt_status pt_paths_folder(const char *path, char **out)
{
    const char *slash = strrchr(path, '/');
    char *folder =
        slash ? pt_asprintf("%.*s", slash == path ? 1 : (int)(slash - path), path) : pt_strdup(".");
    if (!folder) {
        return PT_NOMEM("a path");
    }
    *out = folder;
    return pt_ok();
}
