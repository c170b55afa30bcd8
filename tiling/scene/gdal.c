#define _LARGEFILE64_SOURCE 1 /* GDAL's VSIStatBufL is a struct stat64 */
#include "tiling/scene/internal.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The block cache is shared by all threads; GDAL's own default of 5% of the machine's memory is 25 GB on a
 * large node. 256 MiB holds two rows of 512 x 512 RGB blocks of a 170,000 pixels wide scene. */
enum { CACHE_BYTES = 256 << 20 };

static void one_line(char *to, const char *from)
{
    size_t n = 0;
    for (; *from && n + 1 < PT_GDAL_TEXT; from++) {
        unsigned char c = (unsigned char)*from;
        to[n++] = c < ' ' || c == 127 ? ' ' : (char)c;
    }
    while (n > 0 && (to[n - 1] == ' ' || to[n - 1] == '.')) {
        n--;
    }
    to[n] = '\0';
}

static void CPL_STDCALL keep_message(CPLErr level, CPLErrorNum number, const char *message)
{
    (void)number;
    pt_gdal_log *log = CPLGetErrorHandlerUserData();
    if (!log) {
        return;
    }
    if (level >= CE_Failure) {
        if (log->failures++ == 0) {
            one_line(log->failure, message);
        }
    } else if (level == CE_Warning) {
        bool made_up = strstr(message, "Premature end") || strstr(message, "remature EOF");
        if (log->warnings++ == 0 || (made_up && !log->made_up)) {
            one_line(log->warning, message);
        }
        log->made_up |= made_up;
    }
}

void pt_gdal_watch(pt_gdal_log *log)
{
    memset(log, 0, sizeof *log);
    CPLPushErrorHandlerEx(keep_message, log);
}

void pt_gdal_unwatch(void)
{
    CPLPopErrorHandler();
    CPLErrorReset();
}

/* GDAL's own threads (decoders) have no handler of ours; what they meet also fails the read that waits. */
static void CPL_STDCALL drop_message(CPLErr level, CPLErrorNum number, const char *message)
{
    (void)level;
    (void)number;
    (void)message;
}

static const char listing_option[] = "GDAL_DISABLE_READDIR_ON_OPEN";
static bool user_decides_listing; /* written once, by start */

static void start(void)
{
    CPLSetErrorHandler(drop_message);
    GDALAllRegister();
    if (!CPLGetConfigOption("GDAL_CACHEMAX", NULL)) {
        GDALSetCacheMax64(CACHE_BYTES);
    }
    /* Else two readers opened by one thread share the files behind a VRT, and then race. */
    if (!CPLGetConfigOption("VRT_SHARED_SOURCE", NULL)) {
        CPLSetConfigOption("VRT_SHARED_SOURCE", "0");
    }
    user_decides_listing = CPLGetConfigOption(listing_option, NULL) != NULL;
}

void pt_gdal_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}

char *pt_gdal_name(const char *path)
{
    bool url = strncasecmp(path, "http://", 7) == 0 || strncasecmp(path, "https://", 8) == 0;
    return url ? pt_asprintf("/vsicurl/%s", path) : pt_strdup(path);
}

bool pt_gdal_stat(const char *name, bool *is_folder, uint64_t *bytes)
{
    VSIStatBufL stat;
    if (VSIStatExL(name, &stat, VSI_STAT_EXISTS_FLAG | VSI_STAT_NATURE_FLAG | VSI_STAT_SIZE_FLAG) != 0) {
        return false;
    }
    *is_folder = VSI_ISDIR(stat.st_mode);
    *bytes = (uint64_t)stat.st_size;
    return true;
}

bool pt_gdal_ends_with_marker(const char *name, const uint8_t marker[2])
{
    enum { TAIL = 1 << 16 };
    bool is_folder = false, found = false;
    uint64_t bytes = 0;
    uint8_t *tail = pt_alloc(TAIL, 1);
    VSILFILE *file = tail && pt_gdal_stat(name, &is_folder, &bytes) ? VSIFOpenL(name, "rb") : NULL;
    if (file) {
        VSIFSeekL(file, bytes > TAIL ? bytes - TAIL : 0, SEEK_SET);
        size_t count = VSIFReadL(tail, 1, TAIL, file);
        for (size_t i = 1; i < count && !found; i++) {
            found = tail[i - 1] == marker[0] && tail[i] == marker[1];
        }
        VSIFCloseL(file);
    }
    pt_free(tail);
    return found || !file;
}

bool pt_gdal_is_local(const char *name)
{
    return name[0] != '<' && (strncmp(name, "/vsi", 4) != 0 || strncmp(name, "/vsimem/", 8) == 0);
}

static bool is_remote(const char *name)
{
    return strncmp(name, "/vsi", 4) == 0 && strncmp(name, "/vsimem/", 8) != 0;
}

static pt_status explain_open(const char *name, const char *shown, const pt_gdal_log *log)
{
    if (pt_gdal_is_local(name)) {
        bool is_folder = false;
        uint64_t bytes = 0;
        if (!pt_gdal_stat(name, &is_folder, &bytes)) {
            return pt_error(PT_E_INPUT, "%s: no such file; check the path", shown);
        }
        if (is_folder) {
            return pt_error(PT_E_INPUT, "%s: is a folder; name the raster files in it", shown);
        }
    }
    GDALDriverH driver = name[0] == '<' ? NULL : GDALIdentifyDriverEx(name, GDAL_OF_RASTER, NULL, NULL);
    if (strstr(log->failure, "or bands on VRTDataset")) {
        return pt_error(PT_E_INPUT, "%s: has no bands; make it anew with gdalbuildvrt", shown);
    }
    if (!strstr(log->failure, "not recognized")) {
        return pt_error(PT_E_INPUT, "%s: cannot be opened (%s); %s", shown,
                        log->failure[0] ? log->failure : "GDAL gives no reason",
                        is_remote(name) ? "check the address, access rights and the network"
                                        : "it may be cut short: copy or download it again");
    }
    if (driver) {
        return pt_error(PT_E_INPUT, "%s: format %s is not among those allowed; add --driver %s", shown,
                        GDALGetDriverShortName(driver), GDALGetDriverShortName(driver));
    }
    return pt_error(PT_E_INPUT, "%s: not a raster file; GeoTIFF, VRT, JPEG 2000, PNG and JPEG are read",
                    shown);
}

/* Whether a remote GeoTIFF has neither mask nor overviews nor metadata in files beside it. Knowing so from
 * three requests spares GDAL a listing of the folder, or some eighty requests for the names that all makers
 * use. */
static bool stands_alone(const char *name)
{
    static const char *const beside[] = {".msk", ".ovr", ".aux.xml"};
    const char *ending = CPLGetExtension(name);
    if (!is_remote(name) || (!EQUAL(ending, "tif") && !EQUAL(ending, "tiff")) || user_decides_listing) {
        return false;
    }
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        bool is_folder = false;
        uint64_t bytes = 0;
        if (pt_gdal_stat(CPLSPrintf("%s%s", name, beside[i]), &is_folder, &bytes)) {
            return false;
        }
    }
    return true;
}

pt_status pt_gdal_open(const char *name, const char *shown, const char *const *drivers, GDALDatasetH *out)
{
    pt_gdal_start();
    pt_gdal_log log;
    pt_gdal_watch(&log);
    bool alone = stands_alone(name);
    if (alone) {
        CPLSetThreadLocalConfigOption(listing_option, "EMPTY_DIR");
    }
    GDALDatasetH dataset =
        GDALOpenEx(name, GDAL_OF_RASTER | GDAL_OF_READONLY | GDAL_OF_VERBOSE_ERROR, drivers, NULL, NULL);
    if (alone) {
        CPLSetThreadLocalConfigOption(listing_option, NULL);
    }
    pt_status status = dataset ? pt_ok() : explain_open(name, shown, &log);
    pt_gdal_unwatch();
    if (status.code == PT_OK) {
        if (log.warnings) {
            PT_WARN("GDAL warns while opening", PT_S("file", shown), PT_S("message", log.warning));
        }
        *out = dataset;
    }
    return status;
}
