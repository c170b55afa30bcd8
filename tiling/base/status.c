#include "tiling/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void end_in_dots(char *message, int wanted)
{
    if (wanted >= PT_STATUS_MESSAGE) {
        memcpy(message + PT_STATUS_MESSAGE - 4, "...", 4);
    }
}

pt_status pt_ok(void)
{
    pt_status status;
    status.code = PT_OK;
    status.message[0] = '\0';
    return status;
}

pt_status pt_error(pt_code code, const char *format, ...)
{
    pt_status status;
    status.code = code;
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(status.message, sizeof status.message, format, args);
    va_end(args);
    end_in_dots(status.message, wanted);
    return status;
}

pt_status pt_context(pt_status status, const char *format, ...)
{
    if (status.code == PT_OK) {
        return status;
    }
    char context[PT_STATUS_MESSAGE];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    return pt_error(status.code, "%s: %s", context, status.message);
}

const char *pt_code_name(pt_code code)
{
    switch (code) {
    case PT_OK:
        return "ok";
    case PT_E_USAGE:
        return "usage";
    case PT_E_INPUT:
        return "input";
    case PT_E_UNSUPPORTED:
        return "unsupported";
    case PT_E_EXISTS:
        return "exists";
    case PT_E_READ:
        return "read";
    case PT_E_TILE:
        return "tile";
    case PT_E_NOMEM:
        return "nomem";
    case PT_E_NOSPACE:
        return "nospace";
    case PT_E_WRITE:
        return "write";
    case PT_E_STOPPED:
        return "stopped";
    case PT_E_INTERNAL:
        return "internal";
    }
    return "unknown";
}
