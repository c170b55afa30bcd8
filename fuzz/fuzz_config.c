/* The config reader on hostile bytes: whatever it takes must apply or be refused by name, and nothing may
 * leak. */
#include "cli/commands.h"
#include "cli/run_options.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pt_run_options options = pt_run_defaults();
    pt_status status = pt_config_load_data("fuzz", data, size, &pt_command_run, &options.loaded);
    if ((status.code == PT_OK) != (options.loaded != NULL)) {
        abort(); /* a config exactly when all is well */
    }
    if (status.code == PT_OK) {
        status = pt_config_apply(options.loaded, &options);
    }
    if (status.code != PT_OK && (status.code != PT_E_INPUT || strncmp(status.message, "fuzz: ", 6) != 0)) {
        abort(); /* every refusal is one of input and names the file */
    }
    if (status.code == PT_OK && (options.tile < 64 || options.tile > 16384 || options.score > 1)) {
        abort(); /* what is applied is within the table's limits */
    }
    pt_run_options_fini(&options);
    return 0;
}
