#include "tiling/scene/internal.h"

#include <cpl_conv.h>
#include <cpl_minixml.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <stdlib.h>
#include <string.h>

/* What VRTs name, told from their text alone. GDAL's own list leaves out what is no plain file (vrt://, XML
 * within XML, GTIFF_DIR:) and what only a mask band names; and to ask for it, the VRT must be open, and with
 * it files that it names. */

enum { HEAD = 1024 /* where GDAL looks for the mark */, TEXT_MAX = 1 << 30, DEPTH = 8, NAMES_MAX = 1 << 20 };

typedef struct search {
    const char *root; /* for messages */
    pt_scene_file_sink *sink;
    void *user;
    int told;
} search;

static bool is_vrt(const char *name)
{
    char head[HEAD + 1];
    VSILFILE *file = VSIFOpenL(name, "rb");
    if (!file) {
        return false; /* it shows when it is opened */
    }
    head[VSIFReadL(head, 1, HEAD, file)] = '\0';
    VSIFCloseL(file);
    return strstr(head, "<VRTDataset") != NULL;
}

static bool names_file(const CPLXMLNode *node)
{
    static const char *const names[] = {"SourceFilename", "SourceDataset", "DEMPath"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (EQUAL(node->pszValue, names[i])) {
            return true;
        }
    }
    const char *key = EQUAL(node->pszValue, "MDI") ? CPLGetXMLValue(node, "key", "") : "";
    return EQUAL(key, "X_DATASET") || EQUAL(key, "Y_DATASET") || EQUAL(key, "RPC_DEM");
}

typedef struct name_list {
    char **names; /* owned, and each */
    size_t count, capacity;
} name_list;

static pt_status collect(const CPLXMLNode *node, const char *folder, name_list *l)
{
    for (; node; node = node->psNext) {
        if (node->eType != CXT_Element) {
            continue;
        }
        if (!names_file(node)) {
            PT_TRY(collect(node->psChild, folder, l));
            continue;
        }
        const char *text = CPLGetXMLValue(node, NULL, "");
        bool relative = EQUAL(CPLGetXMLValue(node, "relativeToVRT", "0"), "1") && folder[0];
        PT_TRY(pt_grow(&l->names, &l->capacity, l->count + 1, sizeof *l->names));
        char *name = pt_strdup(relative ? CPLProjectRelativeFilename(folder, text) : text);
        if (!name) {
            return PT_NOMEM("a file name");
        }
        l->names[l->count++] = name;
    }
    return pt_ok();
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static pt_status search_file(search *s, const char *name, int depth);

/* Each once: mostly every band names the same. */
static pt_status tell(search *s, name_list *l, int depth)
{
    if (l->count > 1) {
        qsort(l->names, l->count, sizeof *l->names, compare_names);
    }
    for (size_t i = 0; i < l->count; i++) {
        if (i > 0 && strcmp(l->names[i], l->names[i - 1]) == 0) {
            continue;
        }
        if (++s->told > NAMES_MAX) {
            return pt_error(PT_E_INPUT, "%s: names more than %d files", s->root, NAMES_MAX);
        }
        PT_TRY(s->sink(s->user, l->names[i]));
        PT_TRY(search_file(s, l->names[i], depth + 1));
    }
    return pt_ok();
}

static pt_status search_tree(search *s, const CPLXMLNode *tree, const char *name, int depth)
{
    name_list l = {0};
    char *folder = pt_strdup(CPLGetPath(name));
    pt_status status = folder ? collect(tree, folder, &l) : PT_NOMEM("a file name");
    if (status.code == PT_OK) {
        status = tell(s, &l, depth);
    }
    for (size_t i = 0; i < l.count; i++) {
        pt_free(l.names[i]);
    }
    pt_free(l.names);
    pt_free(folder);
    return status;
}

static pt_status search_file(search *s, const char *name, int depth)
{
    if (!is_vrt(name)) {
        return pt_ok();
    }
    if (depth > DEPTH) {
        return pt_error(PT_E_INPUT,
                        "%s: VRTs in it are nested more than %d deep; flatten it with gdalbuildvrt", s->root,
                        DEPTH);
    }
    GByte *text = NULL;
    CPLXMLNode *tree =
        VSIIngestFile(NULL, name, &text, NULL, TEXT_MAX) ? CPLParseXMLString((char *)text) : NULL;
    pt_status status =
        tree ? search_tree(s, tree, name, depth) : pt_error(PT_E_INPUT, "%s: its XML cannot be read", name);
    CPLDestroyXMLNode(tree);
    VSIFree(text);
    return status;
}

pt_status pt_scene_named(const char *path, pt_scene_file_sink *sink, void *user)
{
    pt_gdal_start();
    char *name = pt_gdal_name(path);
    if (!name) {
        return PT_NOMEM("a file name");
    }
    pt_gdal_log log;
    pt_gdal_watch(&log);
    search s = {.root = path, .sink = sink, .user = user};
    pt_status status = search_file(&s, name, 0);
    pt_gdal_unwatch();
    pt_free(name);
    return status;
}

size_t pt_scene_before_file(const char *path)
{
    static const char start[] = "GTIFF_DIR:";
    if (strncmp(path, start, sizeof start - 1) != 0) {
        return 0;
    }
    size_t length = sizeof start - 1;
    length += strncmp(path + length, "off:", 4) == 0 ? 4 : 0;
    size_t digits = strspn(path + length, "0123456789");
    return digits > 0 && path[length + digits] == ':' ? length + digits + 1 : 0;
}
