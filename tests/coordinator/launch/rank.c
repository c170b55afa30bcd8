/* One rank of test_ranks.py: begins, shares, and prints a JSON line of what it found.
 *
 *   rank good          rank 0 invites
 *   rank failed        rank 0 could not start
 *   rank slow          rank 0 takes two seconds; the others say what the wait cost them
 *   rank code N        rank 0 leaves code N
 */
#include "coordinator/launch/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void fill(pt_invitation *invitation, const char *mode)
{
    strcpy(invitation->endpoint, "tcp://127.0.0.1:5555");
    strcpy(invitation->worker.secret, "a secret");
    strcpy(invitation->server.text, "a public key");
    memset(invitation->engine_sha256, 0xab, sizeof invitation->engine_sha256);
    invitation->failed = strcmp(mode, "failed") == 0;
    if (strcmp(mode, "slow") == 0) {
        sleep(2);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "good";
    pt_launch launch;
    pt_invitation invitation = {.failed = false};
    pt_status status = pt_launch_begin(&launch);
    if (status.code != PT_OK) {
        fprintf(stderr, "%s\n", status.message);
        return 1;
    }
    if (launch.rank == 0) {
        fill(&invitation, mode);
    }
    double before = cpu_seconds();
    status = pt_launch_share(&launch, &invitation);
    printf(
        "{\"rank\": %d, \"size\": %d, \"local_rank\": %d, \"local_size\": %d, \"hosts\": %d, \"cores\": %d, "
        "\"mpi\": %s, \"status\": %d, \"endpoint\": \"%s\", \"secret\": \"%s\", \"server\": \"%s\", "
        "\"digest\": %d, \"failed\": %s, \"cpu\": %f}\n",
        launch.rank, launch.size, launch.local_rank, launch.local_size, launch.hosts,
        pt_launch_cores(&launch), launch.mpi ? "true" : "false", (int)status.code, invitation.endpoint,
        invitation.worker.secret, invitation.server.text, invitation.engine_sha256[31],
        invitation.failed ? "true" : "false", cpu_seconds() - before);
    if (strcmp(mode, "code") == 0 && argc > 2) {
        pt_launch_leave_code(&launch, atoi(argv[2]));
    }
    return 0;
}
