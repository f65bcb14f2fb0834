/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The appliance's own settings, appliance.conf: host name, network, time, who may come in. They are rows
 * of the same table as the gateway's (conf_schema.def), and give the texts that the programs of the
 * base system read. Pure: nothing is read, written or looked up here. Whatever gets into a text was
 * held to a narrow alphabet when it was read (appliance_value.c), so that no value can add a line, a
 * section or a word of its own.
 */
#pragma once

#include "conf.h"

enum appliance_dhcp {
    APPLIANCE_DHCP_AUTO, /* both without addresses, else none; appliance_parse leaves none as auto */
    APPLIANCE_DHCP_BOTH,
    APPLIANCE_DHCP_IPV4,
    APPLIANCE_DHCP_IPV6, /* router advertisements and DHCPv6 */
    APPLIANCE_DHCP_NONE,
};

enum appliance_bond_mode {
    APPLIANCE_BOND_ACTIVE_BACKUP,
    APPLIANCE_BOND_802_3AD,
    APPLIANCE_BOND_BALANCE_XOR,
};

enum appliance_terms { APPLIANCE_TERMS_AGREED = 1 };

struct appliance_network {
    const char *interface; /* "first", a name, or a MAC address in lower case */
    unsigned vlan;         /* 0: untagged */
    struct {
        struct conf_strings members; /* empty: interface is no bond */
        enum appliance_bond_mode mode;
    } bond;
    enum appliance_dhcp dhcp;
    struct net_prefix *addresses;
    size_t addresses_len;
    union net_addr *gateways;
    size_t gateways_len;
    unsigned mtu; /* 0: the interface's own */
};

struct appliance_ntp {
    const char *server;
    bool nts;
};

struct appliance_acme { /* directory NULL: no certificate is asked for */
    const char *directory, *email;
    struct conf_strings names; /* never empty where there is a directory */
    const char *ca;            /* NULL: the system's */
    enum appliance_terms terms;
};

struct appliance {
    struct arena arena;
    const char *hostname, *time_zone;
    struct appliance_network *networks; /* at least one */
    size_t networks_len;
    union net_addr *dns;
    size_t dns_len;
    struct conf_strings search;
    struct appliance_ntp *ntp;
    size_t ntp_len;
    struct conf_strings ssh_keys;
    const char *admin_password; /* as crypt(3) has it; NULL: none */
    struct appliance_acme acme;
};

enum { APPLIANCE_TEXT_MAX = 256 << 10 }; /* bytes of the file */

/* As conf_parse. */
int appliance_parse(const char *text, const char *file, struct appliance **ret,
                    struct conf_errors *errors) ERR_CHECK;
void appliance_free(struct appliance *a);
/* What a machine has that was given nothing. */
extern const char appliance_default_text[];
/* The complete files that the man page shows; NULL past the last. */
const char *appliance_example(size_t index);
/* The man page appliance.conf(5), as mdoc. */
int appliance_write_man(struct buf *out) ERR_CHECK;
/* The file's text as appliance_parse reads it. ERR_FULL, ERR_NOMEM. */
int appliance_write(const struct appliance *a, struct buf *out) ERR_CHECK;

/* Whether one value would be taken for a key: "hostname", "ssh_keys", "network.addresses". For
 * questions on the console. why: what is allowed. */
bool appliance_value_valid(const char *key, const char *value, char *why, size_t why_room);

/* --- what the base system reads; paths are below /run --- */

struct appliance_text {
    char path[96];
    struct span text;
};

/* All that is made of settings. The strings are the arena's. */
struct appliance_texts {
    struct appliance_text *items;
    size_t len;
};

#define APPLIANCE_NETWORKD "systemd/network"
#define APPLIANCE_RESOLVED "systemd/resolved.conf.d/50-postern.conf"
#define APPLIANCE_CHRONY "postern-system/chrony/postern.sources"
/* Root's, for sshd; it is there only where a key is given. */
#define APPLIANCE_SSH_KEYS "postern-system/ssh/authorized_keys"

/* first: the name of the machine's first interface, NULL if it has none. ERR_NOMEM. */
int appliance_texts_make(const struct appliance *a, const char *first, struct arena *arena,
                         struct appliance_texts *ret) ERR_CHECK;
/* appliance_network.c: its part; at most APPLIANCE_LINKS_MAX files. */
enum {
    APPLIANCE_NETWORKS_MAX = 32,
    APPLIANCE_MEMBERS_MAX = 8,
    APPLIANCE_LINKS_MAX = APPLIANCE_NETWORKS_MAX * (2 + APPLIANCE_MEMBERS_MAX),
};
int appliance_network_make(const struct appliance *a, const char *first, struct arena *arena,
                           struct appliance_texts *out) ERR_CHECK;
/* Adds a text and its path; ERR_NOMEM. items must have room. */
int appliance_text_add(struct appliance_texts *out, struct arena *arena, const char *path,
                       const struct buf *text) ERR_CHECK;
