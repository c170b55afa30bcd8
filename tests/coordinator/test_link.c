#include "tests/coordinator/link_conformance.h"

int main(void)
{
    return link_conformance("local link", pt_link_new_local);
}
