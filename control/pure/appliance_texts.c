/* SPDX-License-Identifier: Apache-2.0 */
/* The base system's files but for its networks'. */
#include "appliance.h"

#include <stdio.h>

/* Public servers of NTS, of operators that have nothing to do with each other. */
static const struct appliance_ntp public_ntp[] = {
    {"time.cloudflare.com", true},
    {"ptbtime1.ptb.de", true},
    {"nts.netnod.se", true},
    {"ntppool1.time.nl", true},
};

int appliance_text_add(struct appliance_texts *out, struct arena *arena, const char *path,
                       const struct buf *text)
{
    struct span s = buf_span(text);
    char *copy = arena_strdup(arena, s);

    if (!copy)
        return ERR_NOMEM;
    struct appliance_text *item = &out->items[out->len++];
    snprintf(item->path, sizeof(item->path), "%s", path);
    item->text = span_make(copy, s.len);
    return ERR_OK;
}

static int resolved_write(const struct appliance *a, struct buf *out)
{
    char text[NET_ADDR_TEXT];
    int err = buf_printf(out, "# Made from appliance.conf.\n[Resolve]\n");

    for (size_t i = 0; i < a->dns_len && !err; i++)
        err = buf_printf(out, "DNS=%s\n", net_addr_ip_text(&a->dns[i], text));
    for (size_t i = 0; i < a->search.len && !err; i++)
        err = buf_printf(out, "Domains=%s\n", a->search.items[i]);
    return err;
}

static int chrony_write(const struct appliance *a, struct buf *out)
{
    const struct appliance_ntp *ntp = a->ntp_len > 0 ? a->ntp : public_ntp;
    size_t len = a->ntp_len > 0 ? a->ntp_len : sizeof(public_ntp) / sizeof(public_ntp[0]);
    int err = buf_printf(out, "# Made from appliance.conf.\n");

    for (size_t i = 0; i < len && !err; i++)
        err = buf_printf(out, "server %s iburst%s\n", ntp[i].server, ntp[i].nts ? " nts" : "");
    return err;
}

static int keys_write(const struct appliance *a, struct buf *out)
{
    int err = ERR_OK;

    for (size_t i = 0; i < a->ssh_keys.len && !err; i++)
        err = buf_printf(out, "%s\n", a->ssh_keys.items[i]);
    return err;
}

static int text_make(const struct appliance *a, const char *path,
                     int (*write)(const struct appliance *a, struct buf *out), struct arena *arena,
                     struct appliance_texts *out)
{
    struct buf text;

    buf_init(&text, 0);
    int err = write(a, &text);
    if (!err)
        err = appliance_text_add(out, arena, path, &text);
    buf_release(&text);
    return err;
}

int appliance_texts_make(const struct appliance *a, const char *first, struct arena *arena,
                         struct appliance_texts *ret)
{
    enum { OTHERS = 3 };
    int err;

    ret->len = 0;
    ret->items = arena_alloc(arena, (2 * APPLIANCE_LINKS_MAX + OTHERS) * sizeof(*ret->items));
    if (!ret->items)
        return ERR_NOMEM;
    err = appliance_network_make(a, first, arena, ret);
    if (!err && a->dns_len + a->search.len > 0)
        err = text_make(a, APPLIANCE_RESOLVED, resolved_write, arena, ret);
    if (!err)
        err = text_make(a, APPLIANCE_CHRONY, chrony_write, arena, ret);
    if (!err && a->ssh_keys.len > 0)
        err = text_make(a, APPLIANCE_SSH_KEYS, keys_write, arena, ret);
    return err;
}
