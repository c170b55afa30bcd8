/* Run options from a YAML file: keys are the long names of the options that may stand in a config, values
 * what the command line would take, lists as YAML lists. Unknown keys are refused.
 *
 *   model: buildings_mnv2_fpn
 *   bands: [1, 2, 3]
 *   square: true
 *
 * Life cycle: pt_config_load -> pt_config_apply (the command line is parsed afterwards and wins) ->
 * pt_config_free, once the option values are no longer needed: texts are borrowed from it.
 */
#ifndef PANTILE_CLI_CONFIG_H
#define PANTILE_CLI_CONFIG_H

#include "cli/options.h"

typedef struct pt_config pt_config;

/* PT_E_INPUT names the file, the key and where the reader knows it the line. */
pt_status pt_config_load(const char *path, const pt_command *command, pt_config **out);
/* The same from memory; `name` stands in messages. */
pt_status pt_config_load_data(const char *name, const void *bytes, size_t size, const pt_command *command,
                              pt_config **out);
/* Sets the members of `values`. PT_E_INPUT for a value that the option does not take. */
pt_status pt_config_apply(const pt_config *config, void *values);
void pt_config_free(pt_config **config);

#endif
