#define PT_AMX_EMULATED 1
#include "engine/kernels/conv_u8_amx.c"
