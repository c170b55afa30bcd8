#include "coordinator/protocol/codec.h"

/* What an unpacking may still allocate, and why it could not. */
typedef struct budget {
    size_t left;
    bool exceeded, no_memory;
} budget;

static void *spend(void *user, size_t size)
{
    budget *b = user;
    if (size > b->left) {
        b->exceeded = true;
        return NULL;
    }
    b->left -= size;
    void *block = pt_alloc(size, 1);
    b->no_memory = b->no_memory || !block;
    return block;
}

static void release(void *user, void *block)
{
    (void)user;
    pt_free(block);
}

void pt_wire_free(ProtobufCMessage *message)
{
    ProtobufCAllocator allocator = {.free = release};
    protobuf_c_message_free_unpacked(message, &allocator);
}

static const ProtobufCMessage *const *messages_of(const ProtobufCMessage *message,
                                                  const ProtobufCFieldDescriptor *field, size_t *count)
{
    const char *at = (const char *)message + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        *count = *(const size_t *)(const void *)((const char *)message + field->quantifier_offset);
        return *(const ProtobufCMessage *const *const *)(const void *)at;
    }
    const ProtobufCMessage *const *one = (const ProtobufCMessage *const *)(const void *)at;
    *count = *one != NULL;
    return one;
}

/* Fields that the schema does not know, in the message or below it (the schema is two deep). */
static bool has_unknown(const ProtobufCMessage *message)
{
    if (message->n_unknown_fields > 0) {
        return true;
    }
    for (unsigned f = 0; f < message->descriptor->n_fields; f++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[f];
        if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
            continue;
        }
        size_t count;
        const ProtobufCMessage *const *inner = messages_of(message, field, &count);
        for (size_t i = 0; i < count; i++) {
            if (has_unknown(inner[i])) {
                return true;
            }
        }
    }
    return false;
}

pt_status pt_wire_pack(const ProtobufCMessage *message, size_t before, uint8_t **bytes, size_t *size)
{
    size_t packed = protobuf_c_message_get_packed_size(message);
    size_t whole;
    if (!pt_size_add(before, packed, &whole) || packed > UINT32_MAX) {
        return pt_error(PT_E_USAGE, "%zu bytes are too many for one message", packed);
    }
    uint8_t *block = pt_alloc(whole, 1);
    if (!block) {
        return PT_NOMEM("a message");
    }
    protobuf_c_message_pack(message, block + before);
    *bytes = block;
    *size = whole;
    return pt_ok();
}

pt_status pt_wire_unpack(const ProtobufCMessageDescriptor *schema, const uint8_t *bytes, size_t size,
                         size_t limit, ProtobufCMessage **out)
{
    budget b = {.left = limit};
    ProtobufCAllocator allocator = {.alloc = spend, .free = release, .allocator_data = &b};
    ProtobufCMessage *message = protobuf_c_message_unpack(schema, &allocator, size, bytes);
    if (!message) {
        if (b.no_memory) {
            return PT_NOMEM("a message");
        }
        return b.exceeded
                   ? pt_error(PT_E_INPUT, "%zu bytes that would take more than %zu to unpack", size, limit)
                   : pt_error(PT_E_INPUT, "%zu bytes that do not follow the schema", size);
    }
    if (has_unknown(message)) {
        pt_wire_free(message);
        return pt_error(PT_E_INPUT, "fields that the schema does not have");
    }
    *out = message;
    return pt_ok();
}
