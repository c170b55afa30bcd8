#include "tiling/writer/capture.h"

#include <cpl_error.h>
#include <stdio.h>
#include <string.h>

static void CPL_STDCALL keep(CPLErr level, CPLErrorNum number, const char *message)
{
    (void)number;
    pt_capture *capture = CPLGetErrorHandlerUserData();
    if (level < CE_Failure) {
        return;
    }
    if (!capture->message[0]) {
        snprintf(capture->message, sizeof capture->message, "%s", message);
        capture->message[strcspn(capture->message, "\r\n")] = '\0';
    }
    if (strstr(message, "No space left") || strstr(message, "disk is full") ||
        strstr(message, "quota exceeded")) {
        capture->no_space = true;
    }
}

void pt_capture_begin(pt_capture *capture)
{
    *capture = (pt_capture){.no_space = false};
    CPLPushErrorHandlerEx(keep, capture);
}

void pt_capture_end(void)
{
    CPLPopErrorHandler();
}
