/* How messages and job specifications become bytes. Private to the folder.
 *
 * A frame, little-endian:
 *   0  magic "PNTL"
 *   4  uint16 version (PT_PROTOCOL_VERSION)    6  uint16 type
 *   8  uint32 bytes of payload                12  uint32 epoch
 *  16  uint64 job
 *  24  uint32 zero                            28  uint32 CRC-32C of all before it and of the payload
 *  32  payload: messages.proto
 *
 * What comes from outside is unpacked with a budget: allocations of more than a small multiple of the bytes
 * that came fail the unpacking, so that no frame makes more of itself than it cost to send.
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_CODEC_H
#define PANTILE_COORDINATOR_PROTOCOL_CODEC_H

#include "coordinator/protocol/message.h"

#include <protobuf-c/protobuf-c.h>

enum { PT_FRAME_HEADER = 32 };

/* crc32c.c: RFC 3720, appendix B.4. Starts at 0; the result of one call continues with the next. */
uint32_t pt_crc32c(uint32_t crc, const void *bytes, size_t size);
uint32_t pt_crc32c_plain(uint32_t crc, const void *bytes, size_t size); /* without the processor's help */

/* frame.c: `size` is that of the whole frame, whose payload is in place; at most PT_FRAME_HEADER + 2^32 - 1.
 */
void pt_frame_seal(uint8_t *frame, size_t size, const pt_message *message);
/* Sets type, job and epoch. PT_E_INPUT unless header, length and checksum fit the bytes. */
pt_status pt_frame_check(const uint8_t *frame, size_t size, pt_message *out);

/* wire.c: a packed message behind `before` free bytes; owned by the caller. */
pt_status pt_wire_pack(const ProtobufCMessage *message, size_t before, uint8_t **bytes, size_t *size);
/* PT_E_INPUT: no such message, fields missing or unknown, or more memory wanted than `budget` bytes. Free
 * with pt_wire_free. Byte fields may be taken from it by nulling them (they are the caller's then). */
pt_status pt_wire_unpack(const ProtobufCMessageDescriptor *schema, const uint8_t *bytes, size_t size,
                         size_t budget, ProtobufCMessage **out);
void pt_wire_free(ProtobufCMessage *message); /* NULL is fine */

/* text.c: texts on the wire are UTF-8 without control characters, so that they can be printed and logged as
 * they are. pt_text_clean copies what fits, with a '?' for each byte that is not. */
void pt_text_clean(char *to, size_t capacity, const char *from);
bool pt_text_is_clean(const char *text);

/* message.c: the rules for everything but texts, both ways. PT_E_INPUT names the field. */
pt_status pt_message_check(const pt_message *message);
bool pt_number_in(double value, double low, double high); /* false for what is not finite */

/* job_spec_check.c: the rules, both ways. PT_E_INPUT names the field. */
pt_status pt_job_spec_check(const pt_job_spec *spec);

#endif
