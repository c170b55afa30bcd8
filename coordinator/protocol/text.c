#include "coordinator/protocol/codec.h"

/* Bytes of the character at `s` when it may be printed: RFC 3629, section 4, without controls (C0, DEL and
 * C1). 0 when it may not, or at the end. */
static size_t plain_character(const unsigned char *s)
{
    if (s[0] < 0x80) {
        return s[0] >= 0x20 && s[0] != 0x7f;
    }
    size_t length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] < 0xc2 || s[0] > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool refused = (s[0] == 0xc2 && s[1] < 0xa0)     /* C1 */
                   || (s[0] == 0xe0 && s[1] < 0xa0)  /* longer than needed */
                   || (s[0] == 0xed && s[1] >= 0xa0) /* surrogates */
                   || (s[0] == 0xf0 && s[1] < 0x90)  /* longer than needed */
                   || (s[0] == 0xf4 && s[1] >= 0x90) /* beyond Unicode */;
    return refused ? 0 : length;
}

void pt_text_clean(char *to, size_t capacity, const char *from)
{
    const unsigned char *s = (const unsigned char *)from;
    size_t at = 0;
    while (*s) {
        size_t length = plain_character(s);
        size_t takes = length ? length : 1;
        if (at + takes >= capacity) {
            break;
        }
        for (size_t i = 0; i < takes; i++) {
            to[at++] = length ? (char)s[i] : '?';
        }
        s += takes;
    }
    to[at] = '\0';
}

bool pt_text_is_clean(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        size_t length = plain_character(s);
        if (length == 0) {
            return false;
        }
        s += length;
    }
    return true;
}
