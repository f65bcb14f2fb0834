/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variables of the UEFI firmware, as efivarfs shows them below /sys/firmware/efi/efivars: those by
 * which the boot loader says what it did and is told what to do (systemd's Boot Loader Interface),
 * and those of systemd itself. All of those used here hold text.
 *
 * root: "" for the machine, else a folder that stands for it.
 */
#pragma once

#include "errcode.h"

#include <stdbool.h>
#include <stddef.h>

enum slot_efi_vendor {
    SLOT_EFI_LOADER,  /* LoaderBootCountPath, LoaderEntryDefault, ... */
    SLOT_EFI_SYSTEMD, /* FactoryReset */
};

enum { SLOT_EFI_TEXT = 256 };

/* Whether there is such a firmware at all. */
bool slot_efi_present(const char *root);
/* Any character that is no printable ASCII is '?'. ERR_NOTFOUND, ERR_SYNTAX (no text, or too long),
 * ERR_IO. */
int slot_efi_read(const char *root, enum slot_efi_vendor vendor, const char *name,
                  char ret[SLOT_EFI_TEXT]) ERR_CHECK;
/* Kept over restarts; an empty text removes it, and it is no error where there was none. ERR_IO:
 * errno says why. */
int slot_efi_write(const char *root, enum slot_efi_vendor vendor, const char *name,
                   const char *text) ERR_CHECK;
