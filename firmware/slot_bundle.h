/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signed list of an update's bundle (SHA256SUMS): which files follow, of which version, for which
 * architecture, with which SHA-256. images/bundle.sh says what a bundle is. Pure; whoever calls has
 * checked the signature.
 */
#pragma once

#include "slot_name.h"

#define SLOT_ARCHITECTURE "x86-64" /* as systemd calls it */

enum {
    SLOT_BUNDLE_LIST_MAX = 4096, /* bytes of the list */
    SLOT_BUNDLE_NAME = 100,
    SLOT_SHA256 = 32,
};

/* In this order in the list and in the bundle. */
enum slot_bundle_part { SLOT_BUNDLE_ROOT, SLOT_BUNDLE_VERITY, SLOT_BUNDLE_UKI, SLOT_BUNDLE_PARTS };

struct slot_bundle_file {
    char name[SLOT_BUNDLE_NAME];
    uint8_t sha256[SLOT_SHA256];
};

struct slot_bundle_list {
    char version[SLOT_VERSION_TEXT];
    char architecture[16];
    struct slot_bundle_file files[SLOT_BUNDLE_PARTS];
};

/* ERR_SYNTAX. Any architecture is read: that it is another is for the caller to say. */
int slot_bundle_list_parse(struct span text, struct slot_bundle_list *ret) ERR_CHECK;
