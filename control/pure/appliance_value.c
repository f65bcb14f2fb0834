/* SPDX-License-Identifier: Apache-2.0 */
/* Values of appliance.conf. Each gets into files that other programs parse: what could end a line
 * or a word there is in none of them. */
#include "conf_priv.h"

#include "ascii.h"
#include "base64.h"

#include <stdio.h>

enum { MAC_TEXT = 17, INTERFACE_NAME_MAX = 15 };

static int keep(struct conf_reader *r, struct span s, void *out)
{
    const char **text = out;

    *text = arena_strdup(r->arena, s);
    return *text ? ERR_OK : ERR_NOMEM;
}

static bool is_mac(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (i % 3 == 2 ? s.ptr[i] != ':' : ascii_hex_value(s.ptr[i]) < 0)
            return false;
    }
    /* The second bit of the first byte's low half: a group's, which no interface has. */
    return s.len == MAC_TEXT && (ascii_hex_value(s.ptr[1]) & 1) == 0;
}

/* As the kernel takes one, less what patterns and option parsers make something else of. */
static bool is_interface_name(struct span s)
{
    if (s.len == 0 || s.len > INTERFACE_NAME_MAX || !ascii_is_alnum(s.ptr[0]))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (!ascii_is_alnum(c) && c != '-' && c != '_' && c != '.')
            return false;
    }
    return !span_equal(s, SPAN_LIT("lo")) && !span_equal(s, SPAN_LIT("all")) &&
           !span_equal(s, SPAN_LIT("default"));
}

int appliance_convert_interface(struct conf_reader *r, struct span s, void *out)
{
    char mac[MAC_TEXT + 1];

    if (is_mac(s) && span_to_cstr(s, mac, sizeof(mac)) == ERR_OK) {
        ascii_lower_all(mac);
        return keep(r, span_str(mac), out);
    }
    return is_interface_name(s) ? keep(r, s, out) : ERR_SYNTAX;
}

int appliance_convert_member(struct conf_reader *r, struct span s, void *out)
{
    return span_equal(s, SPAN_LIT("first")) ? ERR_SYNTAX : appliance_convert_interface(r, s, out);
}

/* A path below the folder of zones, and nothing above it. */
int appliance_convert_time_zone(struct conf_reader *r, struct span s, void *out)
{
    uint8_t before = '/';

    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool start = before == '/';
        if (start ? !ascii_is_alpha(c) : !ascii_is_alnum(c) && !strchr("/_+-", c))
            return ERR_SYNTAX;
        before = c;
    }
    return before == '/' ? ERR_SYNTAX : keep(r, s, out);
}

/* crypt(5): "$y$" is yescrypt, "$6$" SHA-512; weaker ones are not taken. */
int appliance_convert_crypt(struct conf_reader *r, struct span s, void *out)
{
    size_t fields = 0;

    if (s.len < 20 || s.ptr[0] != '$' || (s.ptr[1] != 'y' && s.ptr[1] != '6') || s.ptr[2] != '$')
        return ERR_SYNTAX;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        fields += c == '$';
        if (!ascii_is_alnum(c) && c != '.' && c != '/' && c != '$' && c != '=')
            return ERR_SYNTAX;
    }
    return fields >= 3 && fields <= 4 && s.ptr[s.len - 1] != '$' ? keep(r, s, out) : ERR_SYNTAX;
}

int appliance_convert_url(struct conf_reader *r, struct span s, void *out)
{
    const struct span https = SPAN_LIT("https://");

    if (!span_starts_nocase(s, https) || s.len == https.len || !ascii_is_alnum(s.ptr[https.len]))
        return ERR_SYNTAX;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_alnum(s.ptr[i]) && !memchr("-._~:/?&=%+", s.ptr[i], 11))
            return ERR_SYNTAX;
    }
    return keep(r, s, out);
}

/* The network's length has to be said: a guess would be wrong in silence. */
int appliance_convert_address(struct conf_reader *r, struct span s, void *out)
{
    struct net_prefix *prefix = out;

    if (s.len == 0 || s.ptr[0] == '[' || !memchr(s.ptr, '/', s.len) ||
        net_prefix_parse(s, prefix) != ERR_OK)
        return ERR_SYNTAX;
    return prefix->bits > 0 ? ERR_OK : ERR_SYNTAX;
}

/* RFC 4253 section 6.6: strings with their length before them. */
static bool ssh_string(struct span *at, struct span *ret)
{
    if (at->len < 4)
        return false;
    size_t len = (size_t)at->ptr[0] << 24 | (size_t)at->ptr[1] << 16 | (size_t)at->ptr[2] << 8 |
                 (size_t)at->ptr[3];
    if (len > at->len - 4)
        return false;
    *ret = span_make(at->ptr + 4, len);
    *at = span_from(*at, 4 + len);
    return true;
}

static bool ssh_type_known(struct span type)
{
    static const char *const types[] = {"ssh-ed25519",
                                        "ssh-rsa",
                                        "ecdsa-sha2-nistp256",
                                        "ecdsa-sha2-nistp384",
                                        "ecdsa-sha2-nistp521",
                                        "sk-ssh-ed25519@openssh.com",
                                        "sk-ecdsa-sha2-nistp256@openssh.com"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (span_equal(type, span_str(types[i])))
            return true;
    }
    return false;
}

/* The blob says its own type, and of an RSA key how long it is. */
static bool ssh_blob_valid(struct span type, struct span base64)
{
    enum { BLOB_MAX = 4096, RSA_LEAST = 2048 / 8 };
    uint8_t blob[BLOB_MAX];
    size_t len;
    struct span inner, exponent, modulus;

    if (base64_decode(base64, blob, sizeof(blob), &len) != ERR_OK)
        return false;
    struct span rest = span_make(blob, len);
    if (!ssh_string(&rest, &inner) || !span_equal(inner, type) || rest.len == 0)
        return false;
    if (!span_equal(type, SPAN_LIT("ssh-rsa")))
        return ssh_string(&rest, &inner) && inner.len > 0;
    return ssh_string(&rest, &exponent) && ssh_string(&rest, &modulus) && rest.len == 0 &&
           modulus.len >= RSA_LEAST + 1;
}

/* "type base64 [comment]", written again with single spaces. No options: whoever has the key may do
 * what root may. */
int appliance_convert_ssh_key(struct conf_reader *r, struct span s, void *out)
{
    struct span rest = span_trim(s), type = span_cut(&rest, ' ');
    struct span base64;
    char line[8192];

    rest = span_trim_start(rest);
    base64 = span_cut(&rest, ' ');
    rest = span_trim(rest);
    if (!ssh_type_known(type) || !ssh_blob_valid(type, base64) || rest.len > 255)
        return ERR_SYNTAX;
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] < ' ' || rest.ptr[i] > '~')
            return ERR_SYNTAX;
    }
    int n = snprintf(line, sizeof(line), "%.*s %.*s%s%.*s", (int)type.len, type.ptr,
                     (int)base64.len, base64.ptr, rest.len > 0 ? " " : "", (int)rest.len,
                     rest.len > 0 ? (const char *)rest.ptr : "");
    if (n < 0 || (size_t)n >= sizeof(line))
        return ERR_SYNTAX;
    return keep(r, span_make(line, (size_t)n), out);
}
