#include "cli/crew.h"

#include "worker/loop/loop.h"

#include <pthread.h>
#include <string.h>

typedef struct member {
    pthread_t thread;
    const pt_scene *scene;
    pt_link *link;
    pt_detector *detector;
    pt_status status;
} member;

struct pt_crew {
    member *members;
    size_t count; /* started */
};

static void *work(void *user)
{
    member *m = user;
    m->status = pt_worker_run(m->scene, m->detector, m->link);
    return NULL;
}

static pt_status start_member(const pt_job *job, const pt_scene *scene, pt_link *link, member *m)
{
    m->scene = scene;
    m->link = link;
    m->status = pt_ok();
    PT_TRY(pt_job_detector(job, scene, &m->detector));
    int error = pthread_create(&m->thread, NULL, work, m);
    if (error) {
        pt_detector_free(&m->detector);
        return pt_error(PT_E_NOMEM, "no thread for a worker: %s; try fewer --threads", strerror(error));
    }
    return pt_ok();
}

pt_status pt_crew_start(const pt_job *job, const pt_scene *scene, pt_link *link, size_t count, pt_crew **out)
{
    pt_crew *crew = pt_calloc(1, sizeof *crew);
    member *members = pt_calloc(count, sizeof *members);
    if (!crew || !members) {
        pt_free(crew);
        pt_free(members);
        return PT_NOMEM("the workers");
    }
    crew->members = members;
    pt_status status = pt_ok();
    while (crew->count < count) {
        status = start_member(job, scene, link, &members[crew->count]);
        if (status.code != PT_OK) {
            pt_link_close(link);
            (void)pt_crew_join(&crew);
            return status;
        }
        crew->count++;
    }
    *out = crew;
    return status;
}

pt_status pt_crew_join(pt_crew **crew)
{
    pt_status first = pt_ok();
    if (!crew || !*crew) {
        return first;
    }
    for (size_t i = 0; i < (*crew)->count; i++) {
        member *m = &(*crew)->members[i];
        pthread_join(m->thread, NULL);
        pt_detector_free(&m->detector);
        if (first.code == PT_OK) {
            first = m->status;
        }
    }
    pt_free((*crew)->members);
    pt_free(*crew);
    *crew = NULL;
    return first;
}
