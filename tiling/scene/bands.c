#include "tiling/scene/internal.h"

#include <math.h>
#include <string.h>

static int find_band(GDALDatasetH dataset, GDALColorInterp wanted)
{
    for (int b = 1; b <= GDALGetRasterCount(dataset); b++) {
        if (GDALGetRasterColorInterpretation(GDALGetRasterBand(dataset, b)) == wanted) {
            return b;
        }
    }
    return 0;
}

/* Red, green and blue by name; else the first three bands that are not alpha; else the first alone. */
static void choose_numbers(GDALDatasetH dataset, int numbers[3])
{
    static const GDALColorInterp names[3] = {GCI_RedBand, GCI_GreenBand, GCI_BlueBand};
    int found = 0;
    for (int i = 0; i < 3; i++) {
        numbers[i] = find_band(dataset, names[i]);
        found += numbers[i] != 0;
    }
    if (found == 3) {
        return;
    }
    found = 0;
    for (int b = 1; b <= GDALGetRasterCount(dataset) && found < 3; b++) {
        if (GDALGetRasterColorInterpretation(GDALGetRasterBand(dataset, b)) != GCI_AlphaBand) {
            numbers[found++] = b;
        }
    }
    if (found == 0) {
        numbers[found++] = 1; /* an alpha band alone is still a picture */
    }
    if (found < 3) {
        numbers[1] = numbers[2] = numbers[0];
    }
}

static pt_status check_numbers(GDALDatasetH dataset, const int wanted[3], const char *shown, int numbers[3])
{
    int count = GDALGetRasterCount(dataset);
    for (int i = 0; i < 3; i++) {
        int b = wanted[i] ? wanted[i] : wanted[0]; /* one number alone is grey */
        if (b < 1 || b > count) {
            return pt_error(PT_E_INPUT, "%s: there is no band %d; it has %d: choose others with --bands",
                            shown, b, count);
        }
        numbers[i] = b;
    }
    return pt_ok();
}

static double round_to_type(double value, GDALDataType type)
{
    return type == GDT_Float32 ? (double)(float)value : value;
}

static pt_status describe_channel(GDALDatasetH dataset, int number, const char *shown, pt_channel *channel)
{
    GDALRasterBandH band = GDALGetRasterBand(dataset, number);
    channel->band = number;
    channel->type = GDALGetRasterDataType(band);
    if (GDALDataTypeIsComplex(channel->type)) {
        return pt_error(PT_E_UNSUPPORTED,
                        "%s: band %d holds complex numbers (%s); make an image of it first, with "
                        "gdal_translate or a calibration tool",
                        shown, number, GDALGetDataTypeName(channel->type));
    }
    const char *sign = GDALGetMetadataItem(band, "PIXELTYPE", "IMAGE_STRUCTURE");
    channel->is_signed_byte = channel->type == GDT_Byte && sign && strcmp(sign, "SIGNEDBYTE") == 0;
    int has = 0;
    double nodata = 0;
    if (channel->type == GDT_Int64) {
        nodata = (double)GDALGetRasterNoDataValueAsInt64(band, &has);
    } else if (channel->type == GDT_UInt64) {
        nodata = (double)GDALGetRasterNoDataValueAsUInt64(band, &has);
    } else {
        nodata = GDALGetRasterNoDataValue(band, &has);
    }
    channel->has_nodata = has != 0;
    channel->nodata = round_to_type(nodata, channel->type);
    channel->lo = 0;
    channel->hi = 255;
    return pt_ok();
}

static pt_status load_palette(GDALDatasetH dataset, pt_bands *bands)
{
    GDALRasterBandH band = GDALGetRasterBand(dataset, bands->channels[0].band);
    GDALColorTableH table = GDALGetRasterColorTable(band);
    GDALDataType type = bands->channels[0].type;
    if (bands->count != 1 || !table || (type != GDT_Byte && type != GDT_UInt16)) {
        return pt_ok();
    }
    int size = type == GDT_Byte ? 256 : 65536;
    bands->palette = pt_calloc((size_t)size, sizeof *bands->palette);
    if (!bands->palette) {
        return PT_NOMEM("a palette");
    }
    bands->palette_size = size;
    for (int i = 0; i < size; i++) {
        GDALColorEntry entry = {0, 0, 0, 255};
        if (i < GDALGetColorEntryCount(table)) {
            GDALGetColorEntryAsRGB(table, i, &entry);
        }
        bands->palette[i][0] = (uint8_t)entry.c1;
        bands->palette[i][1] = (uint8_t)entry.c2;
        bands->palette[i][2] = (uint8_t)entry.c3;
        bands->palette[i][3] = (uint8_t)entry.c4;
    }
    return pt_ok();
}

static void find_validity(GDALDatasetH dataset, pt_bands *bands)
{
    GDALRasterBandH first = GDALGetRasterBand(dataset, bands->channels[0].band);
    int flags = GDALGetMaskFlags(first);
    bands->mask = (flags & GMF_PER_DATASET) != 0 && (flags & GMF_ALPHA) == 0;
    int alpha = find_band(dataset, GCI_AlphaBand);
    for (int c = 0; c < bands->count; c++) {
        alpha = bands->channels[c].band == alpha ? 0 : alpha; /* shown as a colour: not a mask */
        bands->nodata |= bands->channels[c].has_nodata;
    }
    bands->alpha = alpha;
    if (alpha) {
        GDALDataType type = GDALGetRasterDataType(GDALGetRasterBand(dataset, alpha));
        bands->alpha_full = type == GDT_UInt16 ? 65535 : 255;
    }
}

pt_status pt_bands_choose(GDALDatasetH dataset, const pt_scene_options *options, const char *shown,
                          pt_bands *bands)
{
    int numbers[3] = {0, 0, 0};
    if (options->bands[0]) {
        PT_TRY(check_numbers(dataset, options->bands, shown, numbers));
    } else {
        choose_numbers(dataset, numbers);
    }
    bool grey = numbers[0] == numbers[1] && numbers[1] == numbers[2];
    bands->count = grey ? 1 : 3;
    bands->bytes = true;
    for (int c = 0; c < bands->count; c++) {
        PT_TRY(describe_channel(dataset, numbers[c], shown, &bands->channels[c]));
        bands->bytes &= bands->channels[c].type == GDT_Byte && !bands->channels[c].is_signed_byte;
    }
    PT_TRY(load_palette(dataset, bands));
    find_validity(dataset, bands);
    for (int c = 0; c < bands->count; c++) {
        pt_bands_set_range(bands, c, 0, 255);
    }
    return pt_ok();
}

void pt_bands_set_range(pt_bands *bands, int channel, double lo, double hi)
{
    bands->channels[channel].lo = lo;
    bands->channels[channel].hi = hi;
    for (int i = 0; i < 256; i++) {
        double v = (i - lo) * 255.0 / (hi - lo);
        bands->table[channel][i] = (uint8_t)lround(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

void pt_bands_fini(pt_bands *bands)
{
    pt_free(bands->palette);
    *bands = (pt_bands){0};
}
