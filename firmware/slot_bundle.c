/* SPDX-License-Identifier: Apache-2.0 */
#include "slot_bundle.h"

static const char *const endings[SLOT_BUNDLE_PARTS] = {"root", "verity", "efi"};

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool sha256_parse(struct span hex, uint8_t ret[SLOT_SHA256])
{
    if (hex.len != 2 * SLOT_SHA256)
        return false;
    for (size_t i = 0; i < SLOT_SHA256; i++) {
        int high = digit_of(hex.ptr[2 * i]), low = digit_of(hex.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool architecture_sound(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return s.len > 0;
}

/* "postern_VERSION_ARCHITECTURE.ending". The first says what the others must be. */
static bool name_parse(struct span name, enum slot_bundle_part part, struct slot_bundle_list *list)
{
    char version[SLOT_VERSION_TEXT], architecture[sizeof(list->architecture)];
    struct span rest = name, own = span_cut(&rest, '_'), v = span_cut(&rest, '_');
    size_t len = strlen(endings[part]);

    if (!span_equal(own, SPAN_LIT("postern")) || !slot_version_valid(v) || rest.len < len + 2 ||
        rest.ptr[rest.len - len - 1] != '.' ||
        memcmp(rest.ptr + rest.len - len, endings[part], len) != 0)
        return false;
    struct span a = span_make(rest.ptr, rest.len - len - 1);
    if (!architecture_sound(a) || span_to_cstr(v, version, sizeof(version)) != ERR_OK ||
        span_to_cstr(a, architecture, sizeof(architecture)) != ERR_OK)
        return false;
    if (part == 0) {
        memcpy(list->version, version, sizeof(version));
        memcpy(list->architecture, architecture, sizeof(architecture));
    }
    return strcmp(version, list->version) == 0 && strcmp(architecture, list->architecture) == 0;
}

int slot_bundle_list_parse(struct span text, struct slot_bundle_list *ret)
{
    *ret = (struct slot_bundle_list){0};
    if (text.len > SLOT_BUNDLE_LIST_MAX || text.len == 0 || text.ptr[text.len - 1] != '\n')
        return ERR_SYNTAX;
    for (int part = 0; part < SLOT_BUNDLE_PARTS; part++) {
        struct slot_bundle_file *file = &ret->files[part];
        struct span line = span_cut(&text, '\n');
        if (line.len < 2 * SLOT_SHA256 + 3 ||
            !sha256_parse(span_make(line.ptr, 2 * SLOT_SHA256), file->sha256) ||
            memcmp(line.ptr + 2 * SLOT_SHA256, "  ", 2) != 0)
            return ERR_SYNTAX;
        struct span name = span_from(line, 2 * SLOT_SHA256 + 2);
        if (!name_parse(name, (enum slot_bundle_part)part, ret) ||
            span_to_cstr(name, file->name, sizeof(file->name)) != ERR_OK)
            return ERR_SYNTAX;
    }
    return text.len == 0 ? ERR_OK : ERR_SYNTAX;
}
