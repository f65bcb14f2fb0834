/* SPDX-License-Identifier: Apache-2.0 */
/* Any text is an appliance.conf or a list of complaints. One that is written again is the same, and
 * no value adds a line, or a word where only one may stand, to a file that is made of it. */
#include "fuzz.h"

#include "appliance.h"
#include "assertion.h"
#include "ascii.h"

#include <stdlib.h>

/* As fuzz_conf.c has it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\n";
}

static char *write_text(const struct appliance *a)
{
    struct buf out;

    buf_init(&out, 0);
    ASSERT(appliance_write(a, &out) == ERR_OK && buf_append(&out, "", 1) == ERR_OK);
    return (char *)out.data;
}

static bool starts(struct span line, const char *text)
{
    return line.len >= strlen(text) && memcmp(line.ptr, text, strlen(text)) == 0;
}

/* A line of systemd's files: a section, or one of the keys that are written, with one value. */
static void networkd_line(struct span line)
{
    static const char *const lines[] = {"[Match]",
                                        "[Link]",
                                        "[Network]",
                                        "[NetDev]",
                                        "[VLAN]",
                                        "[Bond]",
                                        "[DHCPv4]",
                                        "[DHCPv6]",
                                        "[IPv6AcceptRA]",
                                        "[Resolve]",
                                        "# Made from appliance.conf."};
    static const char *const keys[] = {"Name=",
                                       "PermanentMACAddress=",
                                       "MTUBytes=",
                                       "RequiredForOnline=",
                                       "Bond=",
                                       "VLAN=",
                                       "DHCP=",
                                       "LinkLocalAddressing=",
                                       "IPv6AcceptRA=",
                                       "Address=",
                                       "Gateway=",
                                       "ClientIdentifier=",
                                       "UseHostname=",
                                       "UseTimezone=",
                                       "UseDNS=",
                                       "Kind=",
                                       "Id=",
                                       "Mode=",
                                       "MIIMonitorSec=",
                                       "TransmitHashPolicy=",
                                       "DNS=",
                                       "Domains="};
    bool known = line.len == 0;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        known = known || span_equal(line, span_str(lines[i]));
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !known; i++) {
        if (!starts(line, keys[i]))
            continue;
        known = line.len > strlen(keys[i]);
        for (size_t j = strlen(keys[i]); j < line.len; j++)
            known = known && (ascii_is_alnum(line.ptr[j]) || memchr(".:/-_+", line.ptr[j], 6));
    }
    ASSERT(known);
}

static void source_line(struct span line)
{
    ASSERT(line.len == 0 || line.ptr[0] == '#' || starts(line, "server "));
    if (line.len == 0 || line.ptr[0] == '#')
        return;
    struct span rest = span_from(line, 7);
    struct span host = span_cut(&rest, ' ');
    ASSERT(host.len > 0);
    ASSERT(span_equal(rest, SPAN_LIT("iburst")) || span_equal(rest, SPAN_LIT("iburst nts")));
}

static void key_line(struct span line)
{
    ASSERT(line.len == 0 || starts(line, "ssh-") || starts(line, "ecdsa-") || starts(line, "sk-"));
    for (size_t i = 0; i < line.len; i++)
        ASSERT(line.ptr[i] >= ' ' && line.ptr[i] <= '~');
}

static void texts_check(const struct appliance *a, const char *first, size_t keys)
{
    struct appliance_texts texts;
    struct arena arena;
    size_t key_lines = 0;

    arena_init(&arena, 0);
    ASSERT(appliance_texts_make(a, first, &arena, &texts) == ERR_OK);
    for (size_t i = 0; i < texts.len; i++) {
        struct span rest = texts.items[i].text;
        bool is_keys = strcmp(texts.items[i].path, APPLIANCE_SSH_KEYS) == 0;
        bool is_source = strcmp(texts.items[i].path, APPLIANCE_CHRONY) == 0;
        while (rest.len > 0) {
            struct span line = span_cut(&rest, '\n');
            key_lines += is_keys;
            (is_keys ? key_line : is_source ? source_line : networkd_line)(line);
        }
    }
    ASSERT(key_lines == keys);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct conf_errors errors;
    struct appliance *a, *b;

    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    int result = appliance_parse(text, "appliance.conf", &a, &errors);
    ASSERT((result == ERR_CONFIG) == (errors.count > 0));
    if (result == ERR_OK) {
        char *once = write_text(a), *twice;
        ASSERT(appliance_parse(once, "again", &b, &errors) == ERR_OK);
        twice = write_text(b);
        ASSERT(strcmp(once, twice) == 0);
        texts_check(b, "eno1", a->ssh_keys.len);
        texts_check(a, NULL, b->ssh_keys.len);
        free(once);
        free(twice);
        appliance_free(b);
        appliance_free(a);
    }
    free(text);
    return 0;
}
