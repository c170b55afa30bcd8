#include "cli/run_scenes.h"

#include "cli/paths.h"
#include "cli/stop.h"

#include <string.h>

enum { OVERLAY_SIDE = 2048 }; /* pixels: sharp on a screen, some MB */

pt_status pt_run_scenes_open(const pt_job *job, pt_run_scenes *out)
{
    pt_run_scenes scenes = {.count = job->group_count};
    pt_status status = pt_ok();
    scenes.groups = pt_calloc(scenes.count, sizeof *scenes.groups);
    if (!scenes.groups) {
        return PT_NOMEM("the scenes");
    }
    for (size_t g = 0; g < scenes.count; g++) {
        pt_run_group *group = &scenes.groups[g];
        PT_TRY_OUT(pt_job_open_scene(job, g, &group->scene, &group->grid));
        pt_job_say_scene(pt_scene_describe(group->scene), &group->grid);
        PT_TRY_OUT(pt_stop_check());
    }
    PT_TRY_OUT(pt_run_spec_make(job, scenes.groups, &scenes.spec));
    *out = scenes;
    return status;
out:
    pt_run_scenes_close(&scenes);
    return status;
}

static pt_status new_assembler(const pt_job *job, pt_run_group *group, pt_assemble_progress *progress,
                               void *user)
{
    const pt_run_options *o = job->options;
    const pt_scene_info *info = pt_scene_describe(group->scene);
    char *folder = NULL;
    PT_TRY(pt_paths_folder(o->output, &folder));
    pt_assemble_options options = pt_assemble_defaults();
    options.spool_dir = folder;
    options.vectorise.pixel_m = info->gsd > 0 ? info->gsd : 1;
    double width = info->native_gsd_x * info->scale_x, height = info->native_gsd_y * info->scale_y;
    options.vectorise.aspect = width > 0 && height > 0 ? height / width : 1;
    options.vectorise.min_area = o->min_area;
    options.vectorise.simplify = o->simplify;
    options.vectorise.square = o->square;
    options.progress = progress;
    options.user = user;
    pt_status status = pt_assembler_new(&group->grid, &options, &group->assembler);
    pt_free(folder);
    return status;
}

static pt_status new_overlay(const pt_scene *scene, pt_overlay **out)
{
    uint8_t *rgb = NULL;
    int width;
    int height;
    PT_TRY(pt_scene_preview(scene, OVERLAY_SIDE, &rgb, &width, &height));
    const pt_scene_info *info = pt_scene_describe(scene);
    pt_status status = pt_overlay_new(rgb, width, height, (double)width / (double)info->width,
                                      (double)height / (double)info->height, out);
    pt_free(rgb);
    return status;
}

pt_status pt_run_scenes_assemble(pt_run_scenes *scenes, const pt_job *job, pt_assemble_progress *progress,
                                 void *user)
{
    for (size_t g = 0; g < scenes->count; g++) {
        pt_run_group *group = &scenes->groups[g];
        PT_TRY(new_assembler(job, group, progress, user));
        if (job->options->overlay) {
            PT_TRY(new_overlay(group->scene, &group->overlay));
        }
    }
    return pt_ok();
}

void pt_run_scenes_close(pt_run_scenes *scenes)
{
    for (size_t g = 0; scenes->groups && g < scenes->count; g++) {
        pt_assembler_free(&scenes->groups[g].assembler);
        pt_overlay_free(&scenes->groups[g].overlay);
        pt_scene_close(&scenes->groups[g].scene);
    }
    pt_free(scenes->groups);
    pt_job_spec_fini(&scenes->spec);
    memset(scenes, 0, sizeof *scenes);
}
