#include "coordinator/protocol/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum {
    KEY_FILE_MAX = 16 << 10,  /* bytes: three keys and comments */
    LIST_FILE_MAX = 16 << 20, /* some 300,000 keys */
    RAW_KEY = 32,
};

pt_status pt_key_pair_new(pt_key_pair *out)
{
    pt_key_pair keys;
    if (zmq_curve_keypair(keys.public_key.text, keys.secret) != 0) {
        return pt_error(PT_E_UNSUPPORTED, "this build of libzmq cannot make keys: it has no CURVE");
    }
    *out = keys;
    pt_key_pair_wipe(&keys);
    return pt_ok();
}

void pt_key_pair_wipe(pt_key_pair *keys)
{
    explicit_bzero(keys, sizeof *keys);
}

static pt_status failed(const char *path, const char *what)
{
    int error = errno;
    pt_code code = error == EEXIST                      ? PT_E_EXISTS
                   : error == ENOSPC || error == EDQUOT ? PT_E_NOSPACE
                                                        : PT_E_WRITE;
    return pt_error(code, "%s: cannot %s: %s%s", path, what, strerror(error),
                    error == EEXIST ? " (--overwrite replaces it)" : "");
}

static bool write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, text, size);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        text += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

/* Fills a new file and closes it; removes it again when that fails. */
static pt_status fill(int fd, const char *path, const char *shown, const char *text, mode_t mode)
{
    bool good = fchmod(fd, mode) == 0 && write_all(fd, text, strlen(text)) && fsync(fd) == 0;
    int error = errno;
    if (close(fd) != 0 && good) {
        good = false;
        error = errno;
    }
    if (!good) {
        unlink(path);
        errno = error;
        return failed(shown, "be written");
    }
    return pt_ok();
}

/* Whole or not at all, also for who is killed in the midst of it. False leaves errno. */
static bool put_in_place(const char *partial, const char *path, bool overwrite)
{
    if (overwrite) {
        return rename(partial, path) == 0;
    }
    if (link(partial, path) == 0) {
        unlink(partial);
        return true;
    }
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) {
        return false;
    }
    if (access(path, F_OK) == 0) { /* the file system has no links */
        errno = EEXIST;
        return false;
    }
    return rename(partial, path) == 0;
}

/* Never through a link that somebody else laid: the file is new, or a new one takes the place of the old. */
static pt_status save_text(const char *path, const char *text, mode_t mode, bool overwrite)
{
    char *partial = pt_asprintf("%s.XXXXXX", path);
    if (!partial) {
        return PT_NOMEM("a file's name");
    }
    int fd = mkstemp(partial);
    pt_status status = fd < 0 ? failed(path, "be made") : fill(fd, partial, path, text, mode);
    if (status.code == PT_OK && !put_in_place(partial, path, overwrite)) {
        status = failed(path, overwrite ? "be replaced" : "be made");
        unlink(partial);
    }
    pt_free(partial);
    return status;
}

void pt_keys_format(const pt_key_pair *keys, const pt_public_key *server, char out[PT_KEYS_TEXT])
{
    snprintf(out, PT_KEYS_TEXT, "# pantile key pair: keep it secret\npublic %s\nsecret %s\n%s%s%s",
             keys->public_key.text, keys->secret, server ? "server " : "", server ? server->text : "",
             server ? "\n" : "");
}

pt_status pt_keys_save(const char *path, const pt_key_pair *keys, const pt_public_key *server, bool overwrite)
{
    char text[PT_KEYS_TEXT];
    pt_keys_format(keys, server, text);
    pt_status status = save_text(path, text, 0600, overwrite);
    explicit_bzero(text, sizeof text);
    return status;
}

pt_status pt_public_key_save(const char *path, const pt_public_key *key, bool overwrite)
{
    char text[PT_KEYS_TEXT];
    snprintf(text, sizeof text, "# pantile public key\npublic %s\n", key->text);
    return save_text(path, text, 0644, overwrite);
}

/* Reads up to the end, at most `most` bytes, and closes. */
static pt_status read_text(int fd, const char *path, size_t most, char **out)
{
    pt_status status = pt_ok();
    size_t size = 0;
    char *text = pt_alloc(most + 1, 1);
    if (!text) {
        close(fd);
        return PT_NOMEM("a file of keys");
    }
    for (ssize_t got = 1; got != 0 && size <= most;) {
        got = read(fd, text + size, most + 1 - size);
        if (got < 0 && errno != EINTR) {
            status = pt_error(PT_E_INPUT, "%s cannot be read: %s", path, strerror(errno));
            break;
        }
        size += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    if (status.code == PT_OK && size > most) {
        status = pt_error(PT_E_INPUT, "%s is no file of keys: it has more than %zu bytes", path, most);
    }
    if (status.code != PT_OK) {
        explicit_bzero(text, most + 1);
        pt_free(text);
        return status;
    }
    text[size] = '\0';
    if (strlen(text) != size) {
        explicit_bzero(text, size);
        pt_free(text);
        return pt_error(PT_E_INPUT, "%s is no file of keys: it holds bytes that are no text", path);
    }
    *out = text;
    return status;
}

static pt_status open_file(const char *path, bool secret, int *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) {
        pt_status status = pt_error(PT_E_INPUT, "%s cannot be opened: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return status;
    }
    if (!S_ISREG(about.st_mode) || (secret && (about.st_mode & 077))) {
        close(fd);
        return S_ISREG(about.st_mode)
                   ? pt_error(PT_E_INPUT, "%s holds a secret that others may read: chmod 600 %s", path, path)
                   : pt_error(PT_E_INPUT, "%s is no regular file", path);
    }
    *out = fd;
    return pt_ok();
}

static bool is_key(const char *text)
{
    uint8_t raw[RAW_KEY];
    bool good = strlen(text) == PT_KEY_TEXT - 1 && zmq_z85_decode(raw, text) != NULL;
    char again[PT_KEY_TEXT];
    /* Some texts stand for the same bytes; only the one that those bytes are written as is taken. */
    good = good && zmq_z85_encode(again, raw, sizeof raw) && strcmp(again, text) == 0;
    explicit_bzero(raw, sizeof raw);
    explicit_bzero(again, sizeof again);
    return good;
}

/* The next "name value" of a text, cut in place; comments and empty lines are skipped. *name is NULL at the
 * end. */
static pt_status next_pair(char **rest, const char *path, int *line, char **name, char **value)
{
    *name = NULL;
    while (*rest && **rest) {
        char *at = *rest;
        char *end = strchr(at, '\n');
        *rest = end ? end + 1 : NULL;
        if (end) {
            *end = '\0';
        }
        ++*line;
        char *words = NULL;
        char *first = strtok_r(at, " \t\r", &words);
        if (!first || first[0] == '#') {
            continue;
        }
        char *second = strtok_r(NULL, " \t\r", &words);
        if (!second || strtok_r(NULL, " \t\r", &words)) {
            return pt_error(PT_E_INPUT, "%s:%d: expected a name and a key", path, *line);
        }
        if (!is_key(second)) {
            return pt_error(PT_E_INPUT, "%s:%d: this is no key: 40 characters of Z85 are one", path, *line);
        }
        *name = first;
        *value = second;
        return pt_ok();
    }
    return pt_ok();
}

typedef struct key_file {
    char public_key[PT_KEY_TEXT], secret[PT_KEY_TEXT], server[PT_KEY_TEXT];
} key_file;

static pt_status parse_pair(char *text, const char *path, key_file *out)
{
    static const char *const names[] = {"public", "secret", "server"};
    char *places[] = {out->public_key, out->secret, out->server};
    int line = 0;
    for (char *name, *value;;) {
        PT_TRY(next_pair(&text, path, &line, &name, &value));
        if (!name) {
            break;
        }
        size_t i = 0;
        while (i < 3 && strcmp(name, names[i]) != 0) {
            i++;
        }
        if (i == 3 || places[i][0]) {
            return pt_error(PT_E_INPUT, "%s:%d: %s", path, line,
                            i == 3 ? "expected public, secret or server" : "this key is given twice");
        }
        memcpy(places[i], value, PT_KEY_TEXT);
    }
    char derived[PT_KEY_TEXT];
    if (!out->public_key[0] || !out->secret[0]) {
        return pt_error(PT_E_INPUT, "%s lacks the %s key: pantile keygen makes a complete file", path,
                        out->secret[0] ? "public" : "secret");
    }
    if (zmq_curve_public(derived, out->secret) != 0 || strcmp(derived, out->public_key) != 0) {
        return pt_error(PT_E_INPUT, "%s: the public key does not belong to the secret one", path);
    }
    return pt_ok();
}

static pt_status load(int fd, const char *path, pt_key_pair *keys, pt_public_key *server, bool *has_server)
{
    char *text = NULL;
    PT_TRY(read_text(fd, path, KEY_FILE_MAX, &text));
    key_file file = {0};
    pt_status status = parse_pair(text, path, &file);
    explicit_bzero(text, KEY_FILE_MAX + 1); /* all: parsing has cut it into many texts */
    pt_free(text);
    if (status.code == PT_OK && server && !has_server && !file.server[0]) {
        status = pt_error(PT_E_INPUT,
                          "%s lacks the server's key: pantile keygen --server COORDINATOR.pub puts it there",
                          path);
    }
    if (status.code == PT_OK) {
        memcpy(keys->public_key.text, file.public_key, PT_KEY_TEXT);
        memcpy(keys->secret, file.secret, PT_KEY_TEXT);
        if (server) {
            memcpy(server->text, file.server, PT_KEY_TEXT);
        }
        if (has_server) {
            *has_server = file.server[0] != '\0';
        }
    }
    explicit_bzero(&file, sizeof file);
    return status;
}

pt_status pt_keys_load(const char *path, pt_key_pair *keys, pt_public_key *server, bool *has_server)
{
    int fd = -1;
    PT_TRY(open_file(path, true, &fd));
    return load(fd, path, keys, server, has_server);
}

pt_status pt_keys_load_fd(int fd, pt_key_pair *keys, pt_public_key *server, bool *has_server)
{
    return load(fd, "the inherited keys", keys, server, has_server);
}

pt_status pt_keys_to_fd(const pt_key_pair *keys, const pt_public_key *server, int *out)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return pt_error(PT_E_NOMEM, "cannot make a pipe for keys: %s", strerror(errno));
    }
    char text[PT_KEYS_TEXT];
    pt_keys_format(keys, server, text);
    /* Far less than a pipe holds, so this does not block. */
    bool good = write_all(ends[1], text, strlen(text));
    int error = errno;
    explicit_bzero(text, sizeof text);
    close(ends[1]);
    if (!good) {
        close(ends[0]);
        return pt_error(PT_E_INTERNAL, "cannot write keys to a pipe: %s", strerror(error));
    }
    *out = ends[0];
    return pt_ok();
}

typedef struct key_list {
    pt_public_key *items;
    size_t count, capacity;
} key_list;

static pt_status parse_list(char *text, const char *path, key_list *list)
{
    int line = 0;
    for (char *name, *value;;) {
        PT_TRY(next_pair(&text, path, &line, &name, &value));
        if (!name) {
            break;
        }
        if (strcmp(name, "public") != 0) {
            return pt_error(PT_E_INPUT, "%s:%d: a list of public keys has no line '%.20s'", path, line, name);
        }
        PT_TRY(pt_grow(&list->items, &list->capacity, list->count + 1, sizeof *list->items));
        memcpy(list->items[list->count++].text, value, PT_KEY_TEXT);
    }
    return list->count > 0 ? pt_ok() : pt_error(PT_E_INPUT, "%s holds no public key", path);
}

pt_status pt_public_keys_load(const char *path, pt_public_key **keys, size_t *count)
{
    int fd = -1;
    char *text = NULL;
    struct stat about = {0};
    PT_TRY(open_file(path, false, &fd));
    bool small = fstat(fd, &about) == 0 && about.st_size < LIST_FILE_MAX;
    PT_TRY(read_text(fd, path, small ? (size_t)about.st_size : LIST_FILE_MAX, &text));
    key_list list = {0};
    pt_status status = parse_list(text, path, &list);
    pt_free(text);
    if (status.code != PT_OK) {
        pt_free(list.items);
        return status;
    }
    *keys = list.items;
    *count = list.count;
    return status;
}
