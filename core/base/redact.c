/* SPDX-License-Identifier: Apache-2.0 */
/* Two automata after Aho and Corasick (CACM 18, 1975): one for forms that stand as they are, one
 * for codings that programs break into lines, which does not see CR and LF. */
#include "base/redact.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/private.h"

#define MASK "[secret]"
#define MASK_LENGTH (sizeof(MASK) - 1)
#define LINE_MIN 20     /* a line of a longer value is masked by itself from this length on */
#define HELD_FOR_EVER 3 /* bytes of a value that may be seen when nothing follows them */
#define NODES_MAX (4u * 1024 * 1024)

struct node {
    uint32_t child;   /* first */
    uint32_t sibling; /* next; 0: none */
    uint32_t fail;
    uint32_t depth;
    uint32_t match; /* length of the longest form that ends here, 0: none */
    unsigned char byte;
};

enum { PLAIN = 0, CODED = 1, ROOTS = 2 };

static struct node *nodes;
static size_t node_count, node_room;
static uint32_t first[ROOTS][256]; /* from a root by the byte; 0: stay */
static bool linked;

/* ---- memory that stays here ------------------------------------------------------- */

/* Make *memory at least need bytes; *size is a whole number of pages. */
static bool
private_grow(void **memory, size_t *size, size_t need)
{
    if (need <= *size)
        return true;
    size_t wanted = *size > 0 ? *size : 16384;
    while (wanted < need)
        wanted *= 2;
    void *grown = billet_private_take(wanted, false);
    if (grown == NULL)
        return false;
    if (*memory != NULL)
        memcpy(grown, *memory, *size);
    billet_private_give(*memory, *size);
    *memory = grown;
    *size = wanted;
    return true;
}

/* ---- the forms ------------------------------------------------------------------------ */

static uint32_t
find_child(uint32_t at, unsigned char byte)
{
    uint32_t child = nodes[at].child;
    while (child != 0 && nodes[child].byte != byte)
        child = nodes[child].sibling;
    return child;
}

/* The child of that byte, made when it is not there; 0 when memory ran out. */
static uint32_t
add_child(uint32_t at, unsigned char byte)
{
    uint32_t child = find_child(at, byte);
    if (child != 0)
        return child;
    void *memory = nodes;
    if (node_count >= NODES_MAX ||
        !private_grow(&memory, &node_room, (node_count + 1) * sizeof(*nodes))) {
        nodes = memory;
        return 0;
    }
    nodes = memory;
    child = (uint32_t)node_count++;
    nodes[child] =
        (struct node){.sibling = nodes[at].child, .depth = nodes[at].depth + 1, .byte = byte};
    nodes[at].child = child;
    return child;
}

/* A form that is being written into an automaton, byte by byte. */
struct form {
    uint32_t at;
    bool failed;
};

static void
put(struct form *form, unsigned char byte)
{
    if (form->failed)
        return;
    form->at = add_child(form->at, byte);
    form->failed = form->at == 0;
}

static bool
end_form(const struct form *form)
{
    if (form->failed)
        return false;
    if (nodes[form->at].depth >= BILLET_REDACT_MIN)
        nodes[form->at].match = nodes[form->at].depth;
    return true;
}

static bool
add_plain(const unsigned char *value, size_t length, bool carriage_returns)
{
    struct form form = {.at = PLAIN};
    for (size_t i = 0; i < length; i++) {
        if (carriage_returns && value[i] == '\n')
            put(&form, '\r');
        put(&form, value[i]);
    }
    return end_form(&form);
}

/* Lines by themselves, but those that every key of a kind has. */
static bool
add_lines(const unsigned char *value, size_t length)
{
    bool good = true;
    for (size_t start = 0; good && start < length;) {
        const unsigned char *end = memchr(value + start, '\n', length - start);
        size_t size = end != NULL ? (size_t)(end - value) - start : length - start;
        if (size >= LINE_MIN && memcmp(value + start, "-----", 5) != 0)
            good = add_plain(value + start, size, false);
        start += size + 1;
    }
    return good;
}

static bool
add_hex(const unsigned char *value, size_t length, const char *digits)
{
    struct form form = {.at = CODED};
    for (size_t i = 0; i < length; i++) {
        put(&form, (unsigned char)digits[value[i] >> 4]);
        put(&form, (unsigned char)digits[value[i] & 15]);
    }
    return end_form(&form);
}

/* The characters that the value alone decides when it stands at offset bytes of a group of three.
 */
static bool
add_base64(const unsigned char *value, size_t length, size_t offset, const char *last)
{
    static const char common[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    struct form form = {.at = CODED};
    size_t skip = (6 - offset * 8 % 6) % 6; /* bits until the first whole character */
    for (size_t bit = skip; bit + 6 <= length * 8; bit += 6) {
        size_t byte = bit / 8;
        unsigned pair = (unsigned)value[byte] << 8 | (byte + 1 < length ? value[byte + 1] : 0u);
        unsigned six = pair >> (10 - bit % 8) & 63;
        put(&form, (unsigned char)(six < 62 ? common[six] : last[six - 62]));
    }
    return end_form(&form);
}

static bool
is_unreserved(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != 0 && strchr("-._~", byte) != NULL);
}

static bool
add_url(const unsigned char *value, size_t length, const char *digits, bool plus)
{
    struct form form = {.at = PLAIN};
    for (size_t i = 0; i < length; i++) {
        if (is_unreserved(value[i])) {
            put(&form, value[i]);
        } else if (plus && value[i] == ' ') {
            put(&form, '+');
        } else {
            put(&form, '%');
            put(&form, (unsigned char)digits[value[i] >> 4]);
            put(&form, (unsigned char)digits[value[i] & 15]);
        }
    }
    return end_form(&form);
}

static void
put_unicode(struct form *form, unsigned unit, const char *digits)
{
    put(form, '\\');
    put(form, 'u');
    for (int shift = 12; shift >= 0; shift -= 4)
        put(form, (unsigned char)digits[unit >> shift & 15]);
}

/* One character of UTF-8 (2 to 4 bytes) as \u escapes; how many bytes it took. */
static size_t
put_escaped(struct form *form, const unsigned char *at, size_t left, const char *digits)
{
    size_t size = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : at[0] >= 0xc2 ? 2 : 1;
    if (size == 1 || size > left) {
        put(form, at[0]);
        return 1;
    }
    unsigned point = at[0] & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        point = point << 6 | (at[i] & 0x3fu);
    if (point >= 0x10000) {
        put_unicode(form, 0xd800 + ((point - 0x10000) >> 10), digits);
        put_unicode(form, 0xdc00 + ((point - 0x10000) & 0x3ff), digits);
    } else {
        put_unicode(form, point, digits);
    }
    return size;
}

static bool
add_json(const unsigned char *value, size_t length, const char *digits, bool ascii, bool slash)
{
    static const char named[] = "\b\f\n\r\t\"\\";
    static const char letters[] = "bfnrt\"\\";
    struct form form = {.at = PLAIN};
    for (size_t i = 0; i < length;) {
        const char *found = value[i] != 0 ? strchr(named, value[i]) : NULL;
        if (found != NULL) {
            put(&form, '\\');
            put(&form, (unsigned char)letters[found - named]);
            i++;
        } else if (slash && value[i] == '/') {
            put(&form, '\\');
            put(&form, value[i++]);
        } else if (value[i] < 0x20) {
            put_unicode(&form, value[i++], digits);
        } else if (ascii && value[i] >= 0x80) {
            i += put_escaped(&form, value + i, length - i, digits);
        } else {
            put(&form, value[i++]);
        }
    }
    return end_form(&form);
}

static bool
add_forms(const unsigned char *value, size_t length)
{
    static const char lower[] = "0123456789abcdef";
    static const char upper[] = "0123456789ABCDEF";
    bool good = add_plain(value, length, false) && add_plain(value, length, true) &&
                add_lines(value, length) && add_hex(value, length, lower) &&
                add_hex(value, length, upper);
    for (size_t offset = 0; good && offset < 3; offset++)
        good = add_base64(value, length, offset, "+/") && add_base64(value, length, offset, "-_");
    for (int i = 0; good && i < 2; i++)
        good = add_url(value, length, lower, i == 1) && add_url(value, length, upper, i == 1) &&
               add_json(value, length, lower, i == 1, false) &&
               add_json(value, length, upper, i == 1, false) &&
               add_json(value, length, lower, i == 1, true);
    return good;
}

bool
billet_redact_add(const void *value, size_t length)
{
    const unsigned char *bytes = value;
    while (length > 0 && (bytes[length - 1] == '\n' || bytes[length - 1] == '\r'))
        length--;
    if (length < BILLET_REDACT_MIN)
        return false;
    if (nodes == NULL) {
        void *memory = NULL;
        if (!private_grow(&memory, &node_room, ROOTS * sizeof(*nodes)))
            return false;
        nodes = memory;
        memset(nodes, 0, ROOTS * sizeof(*nodes));
        node_count = ROOTS;
    }
    linked = false;
    return add_forms(bytes, length);
}

bool
billet_redact_any(void)
{
    return nodes != NULL;
}

void
billet_redact_clear(void)
{
    billet_private_give(nodes, node_room);
    nodes = NULL;
    node_count = node_room = 0;
    memset(first, 0, sizeof(first));
    linked = false;
}

/* ---- matching --------------------------------------------------------------------------- */

static uint32_t
next_state(uint32_t state, uint32_t root, unsigned char byte)
{
    while (state != root) {
        uint32_t child = find_child(state, byte);
        if (child != 0)
            return child;
        state = nodes[state].fail;
    }
    return first[root][byte] != 0 ? first[root][byte] : root;
}

/* Fail links, level by level: the queue is a list through the nodes in order of depth. */
static bool
link_automata(void)
{
    size_t size = 0;
    void *memory = NULL;
    if (linked)
        return true;
    if (!private_grow(&memory, &size, node_count * sizeof(uint32_t)))
        return false;
    uint32_t *queue = memory;
    memset(first, 0, sizeof(first));
    for (uint32_t root = 0; root < ROOTS; root++) {
        size_t head = 0, tail = 0;
        for (uint32_t at = nodes[root].child; at != 0; at = nodes[at].sibling) {
            first[root][nodes[at].byte] = at;
            nodes[at].fail = root;
            queue[tail++] = at;
        }
        while (head < tail) {
            uint32_t at = queue[head++];
            if (nodes[at].match == 0)
                nodes[at].match = nodes[nodes[at].fail].match;
            for (uint32_t child = nodes[at].child; child != 0; child = nodes[child].sibling) {
                nodes[child].fail = next_state(nodes[at].fail, root, nodes[child].byte);
                queue[tail++] = child;
            }
        }
    }
    billet_private_give(memory, size);
    linked = true;
    return true;
}

/* A cell of what is held: the byte, and whether a match covers it. */
#define COVERED 0x100u

static uint16_t *
cells(const struct billet_redact_stream *stream)
{
    return (uint16_t *)(void *)stream->held;
}

/* The last count bytes that were held; coded: CR and LF between them come on top. */
static void
cover(struct billet_redact_stream *stream, size_t count, bool coded)
{
    uint16_t *held = cells(stream);
    for (size_t at = stream->held_count; at > 0 && count > 0; at--) {
        unsigned char byte = (unsigned char)held[at - 1];
        held[at - 1] |= COVERED;
        if (!coded || (byte != '\n' && byte != '\r'))
            count--;
    }
}

/* Give out the first count held bytes; a covered run as one mask. */
static size_t
give(struct billet_redact_stream *stream, size_t count, char *to)
{
    uint16_t *held = cells(stream);
    size_t put_count = 0;
    for (size_t i = 0; i < count; i++) {
        bool covered = (held[i] & COVERED) != 0;
        if (covered && !stream->masking) {
            memcpy(to + put_count, MASK, MASK_LENGTH);
            put_count += MASK_LENGTH;
        } else if (!covered) {
            to[put_count++] = (char)(held[i] & 0xff);
        }
        stream->masking = covered;
    }
    stream->held_count -= count;
    memmove(held, held + count, stream->held_count * sizeof(*held));
    return put_count;
}

/* How many of the last held bytes a match may still take in. */
static size_t
open_bytes(const struct billet_redact_stream *stream)
{
    size_t plain = nodes[stream->plain_state].depth;
    size_t open = plain > stream->coded_span ? plain : stream->coded_span;
    return open < stream->held_count ? open : stream->held_count; /* some are out already */
}

static void
take(struct billet_redact_stream *stream, unsigned char byte)
{
    cells(stream)[stream->held_count++] = byte;
    stream->plain_state = next_state(stream->plain_state, PLAIN, byte);
    if (nodes[stream->plain_state].match > 0)
        cover(stream, nodes[stream->plain_state].match, false);
    if (byte == '\n' || byte == '\r') {
        stream->coded_span += stream->coded_state != CODED;
        return;
    }
    uint32_t before = stream->coded_state;
    stream->coded_state = next_state(before, CODED, byte);
    uint32_t depth = nodes[stream->coded_state].depth;
    if (depth == nodes[before].depth + 1) {
        stream->coded_span++;
    } else {
        /* Shorter than it was: count anew, from the end. */
        size_t left = depth;
        size_t at = stream->held_count;
        for (; at > 0 && left > 0; at--) {
            unsigned char held = (unsigned char)cells(stream)[at - 1];
            left -= held != '\n' && held != '\r';
        }
        stream->coded_span = stream->held_count - at;
    }
    if (nodes[stream->coded_state].match > 0)
        cover(stream, nodes[stream->coded_state].match, true);
}

size_t
billet_redact_stream_room(const struct billet_redact_stream *stream, size_t length)
{
    return stream->held_count + length + MASK_LENGTH;
}

size_t
billet_redact_stream_feed(struct billet_redact_stream *stream, const char *bytes, size_t length,
                          char *to, bool *good)
{
    *good = true;
    if (nodes == NULL) {
        memcpy(to, bytes, length);
        return length;
    }
    void *memory = stream->held;
    size_t need = (stream->held_count + length) * sizeof(uint16_t);
    *good = link_automata() && private_grow(&memory, &stream->held_size, need);
    stream->held = memory;
    if (!*good)
        return 0;
    if (stream->coded_state == 0)
        stream->coded_state = CODED;
    for (size_t i = 0; i < length; i++)
        take(stream, (unsigned char)bytes[i]);
    return give(stream, stream->held_count - open_bytes(stream), to);
}

size_t
billet_redact_stream_idle(struct billet_redact_stream *stream, char *to)
{
    if (stream->held_count == 0 || nodes[stream->plain_state].depth > HELD_FOR_EVER ||
        nodes[stream->coded_state].depth > HELD_FOR_EVER)
        return 0;
    return give(stream, stream->held_count, to);
}

size_t
billet_redact_stream_end(struct billet_redact_stream *stream, char *to)
{
    size_t count = stream->held_count > 0 ? give(stream, stream->held_count, to) : 0;
    stream->plain_state = PLAIN;
    stream->coded_state = CODED;
    stream->coded_span = 0;
    return count;
}

void
billet_redact_stream_free(struct billet_redact_stream *stream)
{
    billet_private_give(stream->held, stream->held_size);
    *stream = (struct billet_redact_stream)BILLET_REDACT_STREAM_INIT;
}

size_t
billet_redact_bytes(char *bytes, size_t length)
{
    struct billet_redact_stream stream = BILLET_REDACT_STREAM_INIT;
    bool good;
    if (nodes == NULL || length < BILLET_REDACT_MIN)
        return length;
    /* What comes out is never longer than what went in: a covered run has as many bytes as its
     * mask at least. */
    size_t put_count = billet_redact_stream_feed(&stream, bytes, length, bytes, &good);
    if (!good) {
        memset(bytes, '*', length);
    } else {
        if (nodes[stream.plain_state].depth >= BILLET_REDACT_MIN)
            cover(&stream, nodes[stream.plain_state].depth, false);
        if (nodes[stream.coded_state].depth >= BILLET_REDACT_MIN)
            cover(&stream, nodes[stream.coded_state].depth, true);
        length = put_count + billet_redact_stream_end(&stream, bytes + put_count);
    }
    billet_redact_stream_free(&stream);
    return length;
}

void
billet_redact_text(char *text)
{
    if (nodes != NULL)
        text[billet_redact_bytes(text, strlen(text))] = '\0';
}
