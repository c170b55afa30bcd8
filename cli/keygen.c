/* pantile keygen: a key pair for a coordinator or a worker. */
#include "cli/commands.h"

#include "cli/console.h"
#include "cli/help.h"
#include "coordinator/protocol/keys.h"

#include <stdio.h>
#include <unistd.h>

typedef struct keygen_options {
    const char *server;
    bool overwrite, help;
    pt_console_options console;
} keygen_options;

#define AT(member) offsetof(keygen_options, member)

/* clang-format off */
static const pt_option keygen_table[] = {
    {.name = "server", .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(server),
     .help = "the coordinator's public key (its .pub file), to be kept in a worker's NAME.key"},
    {.name = "overwrite", .kind = PT_OPTION_FLAG, .offset = AT(overwrite),
     .help = "replace keys that are there; who used them cannot connect any more"},
    {.name = "log", .value = "FORMAT", .kind = PT_OPTION_TEXT, .offset = AT(console.log), .words = "text json",
     .strict = true, .help = "text, or json: one JSON object a line on standard error [text]"},
    {.name = "help", .letter = 'h', .kind = PT_OPTION_FLAG, .offset = AT(help), .help = "print the help and leave"},
};
/* clang-format on */

static pt_status check_free(const char *path, bool overwrite)
{
    if (!overwrite && access(path, F_OK) == 0) {
        return pt_error(PT_E_EXISTS, "%s is there already (--overwrite replaces it)", path);
    }
    return pt_ok();
}

/* Both files or none, where none was before. */
static pt_status save(const char *secret_path, const char *public_path, const pt_key_pair *keys,
                      const pt_public_key *server, bool overwrite)
{
    PT_TRY(check_free(secret_path, overwrite));
    PT_TRY(check_free(public_path, overwrite));
    PT_TRY(pt_keys_save(secret_path, keys, server, overwrite));
    pt_status status = pt_public_key_save(public_path, &keys->public_key, overwrite);
    if (status.code != PT_OK && !overwrite) {
        unlink(secret_path);
    }
    return status;
}

static pt_status load_server(const char *path, pt_public_key *out)
{
    pt_public_key *keys = NULL;
    size_t count = 0;
    PT_TRY(pt_public_keys_load(path, &keys, &count));
    if (count == 1) {
        *out = keys[0];
    }
    pt_free(keys);
    return count == 1 ? pt_ok()
                      : pt_error(PT_E_INPUT, "%s holds %zu keys: --server wants the coordinator's alone",
                                 path, count);
}

static void tell(const char *secret_path, const char *public_path, const pt_key_pair *keys)
{
    if (pt_console_is_json()) {
        PT_INFO("keys were made", PT_S("secret", secret_path), PT_S("public", public_path),
                PT_S("key", keys->public_key.text));
        return;
    }
    pt_console_line("%s  the secret: stays on its machine, readable by you alone", secret_path);
    pt_console_line("%s  the public key: for those who let this one in", public_path);
}

static pt_status make(const char *name, const keygen_options *o)
{
    pt_public_key server;
    if (o->server) {
        PT_TRY(load_server(o->server, &server));
    }
    pt_key_pair keys;
    PT_TRY(pt_key_pair_new(&keys));
    char *secret_path = pt_asprintf("%s.key", name);
    char *public_path = pt_asprintf("%s.pub", name);
    pt_status status = secret_path && public_path
                           ? save(secret_path, public_path, &keys, o->server ? &server : NULL, o->overwrite)
                           : PT_NOMEM("the keys' names");
    if (status.code == PT_OK) {
        tell(secret_path, public_path, &keys);
    }
    pt_key_pair_wipe(&keys);
    pt_free(secret_path);
    pt_free(public_path);
    return status;
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    keygen_options options = {.server = NULL};
    pt_texts names = {0};
    pt_status status = pt_options_parse(command, argc, argv, &options, &names);
    if (status.code == PT_OK && options.help) {
        pt_help_command(stdout, command, false);
    } else if (status.code == PT_OK) {
        pt_console_setup(&options.console);
        status = names.count == 1 && names.items[0][0]
                     ? make(names.items[0], &options)
                     : pt_error(PT_E_USAGE, "give one name for the files; see pantile keygen --help");
    }
    pt_texts_fini(&names);
    return pt_finish(command, status);
}

const pt_command pt_command_keygen = {
    .name = "keygen",
    .arguments = "NAME [OPTION]...",
    .summary = "makes keys for a coordinator or a worker",
    .detail = "Makes a key pair: NAME.key, which holds the secret and stays where it is, and NAME.pub, which "
              "others may "
              "see. The coordinator is given its own .key and a list of the workers' .pub lines; a worker is "
              "given its "
              "own .key, made with --server, so that it knows the coordinator.",
    .example = "pantile keygen coordinator && pantile keygen worker1 --server coordinator.pub",
    .options = keygen_table,
    .option_count = sizeof keygen_table / sizeof *keygen_table,
    .run = run_command};
