#include "worker/job/access.h"
#include "tiling/scene/scene.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_url(const char *path)
{
    return strncmp(path, "/vsi", 4) == 0;
}

/* Whether some part of the path between slashes is "." or "..", or empty. */
static bool has_odd_part(const char *path, bool empty_too)
{
    for (const char *part = path;;) {
        size_t length = strcspn(part, "/");
        if (length == 0 ? empty_too : length <= 2 && strncmp(part, "..", length) == 0) {
            return true;
        }
        if (part[length] == '\0') {
            return false;
        }
        part += length + 1;
    }
}

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 127) {
            return true;
        }
    }
    return false;
}

/* A dot, slash or backslash written with a percent sign. */
static bool has_escaped_path(const char *text)
{
    for (const char *at = strchr(text, '%'); at; at = strchr(at + 1, '%')) {
        if (strncasecmp(at, "%2e", 3) == 0 || strncasecmp(at, "%2f", 3) == 0 ||
            strncasecmp(at, "%5c", 3) == 0) {
            return true;
        }
    }
    return false;
}

/* What follows an allowed prefix may lead anywhere below it and nowhere else: a server resolves "..", also
 * when it is escaped, and another /vsi inside would name another handler. */
static bool stays_below(const char *rest)
{
    return !has_odd_part(rest, false) && !has_escaped_path(rest) && !strstr(rest, "/vsi") &&
           !strchr(rest, '\\');
}

/* A prefix ends at a slash, so that .../host does not let in .../host.example.org. */
static const char *after_prefix(const char *url, const char *prefix)
{
    size_t length = strlen(prefix);
    if (length == 0 || strncmp(url, prefix, length) != 0) {
        return NULL;
    }
    if (prefix[length - 1] == '/' || url[length] == '\0') {
        return url + length;
    }
    return url[length] == '/' ? url + length + 1 : NULL;
}

/* "/vsi" alone stands for every address that GDAL knows. */
static bool allows(const char *prefix, const char *url)
{
    if (strcmp(prefix, "/vsi") == 0) {
        return true;
    }
    const char *rest = after_prefix(url, prefix);
    return rest && stays_below(rest);
}

static pt_status check_url(const pt_worker_access *access, const char *what, const char *url)
{
    for (size_t i = 0; i < access->url_count && !has_control(url); i++) {
        if (allows(access->urls[i], url)) {
            return pt_ok();
        }
    }
    return pt_error(PT_E_INPUT, "the job's %s %s is at no address that this worker allows; see --allow-url",
                    what, url);
}

/* Where `path`, which must be there, leads once links are resolved. Owned by the caller of realpath's kind:
 * free. */
static pt_status follow(const char *what, const char *path, char **out)
{
    char *real = realpath(path, NULL);
    if (!real) {
        return errno == ENOMEM
                   ? PT_NOMEM("a path")
                   : pt_error(PT_E_INPUT, "the job's %s %s: %s; see --root", what, path, strerror(errno));
    }
    *out = real;
    return pt_ok();
}

static bool is_below(const char *path, const char *root)
{
    size_t length = strlen(root);
    return strcmp(root, "/") == 0 ||
           (strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0'));
}

static const char *root_of(const pt_worker_access *access)
{
    return access->root && access->root[0] ? access->root : "/";
}

static pt_status check_file(const pt_worker_access *access, const char *what, const char *path)
{
    char *root = NULL, *real = NULL;
    pt_status status;
    PT_TRY_OUT(follow("root", root_of(access), &root));
    PT_TRY_OUT(follow(what, path, &real));
    if (!is_below(real, root)) {
        status = pt_error(PT_E_INPUT, "the job's %s %s leads to %s, outside of this worker's root %s", what,
                          path, real, root);
    }
out:
    free(root);
    free(real);
    return status;
}

pt_status pt_access_check(const pt_worker_access *access, const char *what, const char *name)
{
    name += pt_scene_before_file(name);
    return is_url(name) ? check_url(access, what, name) : check_file(access, what, name);
}

pt_status pt_access_resolve(const pt_worker_access *access, const char *what, const char *path, char **out)
{
    size_t before = pt_scene_before_file(path);
    const char *name = path + before, *root = root_of(access);
    char *found = NULL;
    if (is_url(name)) {
        found = pt_strdup(path);
    } else if (has_odd_part(name, true) || has_control(name)) {
        return pt_error(PT_E_INPUT, "the job's %s is at \"%s\", which is no path below a root", what, path);
    } else {
        bool slash = root[strlen(root) - 1] == '/';
        found = pt_asprintf("%.*s%s%s%s", (int)before, path, root, slash ? "" : "/", name);
    }
    if (!found) {
        return PT_NOMEM("a path");
    }
    pt_status status = pt_access_check(access, what, found + before);
    if (status.code != PT_OK) {
        pt_free(found);
        return status;
    }
    *out = found;
    return status;
}
