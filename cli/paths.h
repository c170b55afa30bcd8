/* Where models and configs lie that came with the program. */
#ifndef PANTILE_CLI_PATHS_H
#define PANTILE_CLI_PATHS_H

#include "tiling/base/base.h"

/* The file of that name, else the bundled model or config of that name (with or without its ending): in
 * ../share/pantile/ seen from the program, or in a folder above it that holds the sources. PT_E_INPUT lists
 * the bundled ones. Free *out with pt_free. */
pt_status pt_paths_model(const char *name, char **out);
pt_status pt_paths_config(const char *name, char **out);

/* PT_E_USAGE: no model was named; lists the bundled ones. */
pt_status pt_paths_no_model(void);

/* The folder part of a path, "." when it has none. Free *out with pt_free. */
pt_status pt_paths_folder(const char *path, char **out);

#endif
