/* Preloaded by test_model.py: an OpenBLAS that does not know this CPU, as far as its name for the kernels
 * goes. It says Prescott unless the variable that overrides its choice is set, as the real one does. */
#include <stdlib.h>

char *openblas_get_corename(void);

char *openblas_get_corename(void)
{
    static char slow[] = "Prescott";
    char *set = getenv("OPENBLAS_CORETYPE");
    return set && *set ? set : slow;
}
