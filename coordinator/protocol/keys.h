/* CURVE key pairs and the files they live in.
 *
 * Two kinds of file, text, one "name value" pair a line, '#' comments:
 *   NAME.key  "public", "secret" (Z85, 40 characters each) and, in a worker's file, "server": the
 * coordinator's public key. Mode 0600, or reading is refused. NAME.pub  "public" alone; several such lines
 * make an allow-list.
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_KEYS_H
#define PANTILE_COORDINATOR_PROTOCOL_KEYS_H

#include "tiling/base/base.h"

#include <stddef.h>

enum {
    PT_KEY_TEXT = 41,  /* Z85 with its end */
    PT_KEYS_TEXT = 512 /* a file of keys as it is written here, with its end */
};

typedef struct pt_public_key {
    char text[PT_KEY_TEXT];
} pt_public_key;

typedef struct pt_key_pair {
    pt_public_key public_key;
    char secret[PT_KEY_TEXT];
} pt_key_pair;

pt_status pt_key_pair_new(pt_key_pair *out);
void pt_key_pair_wipe(pt_key_pair *keys);

/* `server` may be NULL. PT_E_EXISTS unless `overwrite`; made with mode 0600 before a byte is written. */
pt_status pt_keys_save(const char *path, const pt_key_pair *keys, const pt_public_key *server,
                       bool overwrite);
pt_status pt_public_key_save(const char *path, const pt_public_key *key, bool overwrite);
/* PT_E_INPUT names the file and line, also when others may read it. *has_server may be NULL with `server`. */
pt_status pt_keys_load(const char *path, pt_key_pair *keys, pt_public_key *server, bool *has_server);
/* The same text from an open descriptor, which it closes: how a parent hands keys to a child. */
pt_status pt_keys_load_fd(int fd, pt_key_pair *keys, pt_public_key *server, bool *has_server);
/* A pipe that holds the text, to be inherited; the caller closes it once the child has started. */
pt_status pt_keys_to_fd(const pt_key_pair *keys, const pt_public_key *server, int *out);
/* That text and its end. `server` may be NULL. */
void pt_keys_format(const pt_key_pair *keys, const pt_public_key *server, char out[PT_KEYS_TEXT]);
/* One or more public keys; *keys is owned by the caller. */
pt_status pt_public_keys_load(const char *path, pt_public_key **keys, size_t *count);

#endif
