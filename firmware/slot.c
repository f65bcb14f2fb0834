/* SPDX-License-Identifier: Apache-2.0 */
#include "slot.h"

#include "ascii.h"
#include "slot_efi.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define TYPE_ROOT "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
#define TYPE_VERITY "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"

enum { PATH = 1024, OS_RELEASE_MAX = 16384 };

static bool path_make(char out[PATH], const char *root, const char *folder, const char *name)
{
    int n = snprintf(out, PATH, "%s%s%s%s", root, folder, name[0] ? "/" : "", name);

    return n > 0 && n < PATH;
}

/* At most room bytes; -1 where it can't be read. */
static ssize_t file_read(const char *path, void *out, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = fd >= 0 ? 1 : -1;

    while (n > 0 && len < room) {
        n = read(fd, (char *)out + len, room - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    return n < 0 ? -1 : (ssize_t)len;
}

/* --- which version runs --- */

/* The value of a line KEY=value or KEY="value". */
static struct span os_release_value(struct span text, struct span key)
{
    while (text.len > 0) {
        struct span value = span_cut(&text, '\n'), name = span_cut(&value, '=');
        if (!span_equal(name, key))
            continue;
        value = span_trim(value);
        if (value.len >= 2 && (value.ptr[0] == '"' || value.ptr[0] == '\'') &&
            value.ptr[value.len - 1] == value.ptr[0])
            value = span_make(value.ptr + 1, value.len - 2);
        return value;
    }
    return span_make(NULL, 0);
}

static int running_read(const char *root, struct slots *ret)
{
    static char text[OS_RELEASE_MAX];
    char path[PATH];
    ssize_t n =
        path_make(path, root, "/usr/lib", "os-release") ? file_read(path, text, sizeof(text)) : -1;

    if (n <= 0)
        return ERR_NOTFOUND;
    struct span all = span_make(text, (size_t)n);
    struct span version = os_release_value(all, SPAN_LIT("IMAGE_VERSION"));
    if (!span_equal(os_release_value(all, SPAN_LIT("IMAGE_ID")), SPAN_LIT("postern")) ||
        !slot_version_valid(version))
        return ERR_NOTFOUND;
    return span_to_cstr(version, ret->running, sizeof(ret->running));
}

/* --- the disk --- */

static bool gpt_read(const char *root, const char *disk, struct slot_gpt *ret)
{
    static uint8_t bytes[SLOT_GPT_BYTES];
    char path[PATH];
    ssize_t n = path_make(path, root, "/dev", disk) ? file_read(path, bytes, sizeof(bytes)) : -1;

    return n == SLOT_GPT_BYTES && slot_gpt_parse(span_make(bytes, (size_t)n), ret) == ERR_OK;
}

/* Whether the machine was booted from it: the boot loader says which EFI partition it is from;
 * where it does not, a disk that has the running version is taken for it. */
static bool disk_is_ours(const struct slot_gpt *gpt, const char *esp_guid, const char *running)
{
    for (size_t i = 0; i < gpt->len; i++) {
        const struct slot_partition *p = &gpt->partitions[i];
        enum slot_part part;
        char version[SLOT_VERSION_TEXT];
        if (esp_guid[0]) {
            if (strcmp(p->guid, esp_guid) == 0)
                return true;
            continue;
        }
        if (slot_label_parse(span_str(p->label), &part, version) == ERR_OK &&
            part == SLOT_PART_ROOT && strcmp(version, running) == 0)
            return true;
    }
    return false;
}

static bool is_whole_disk(const char *root, const char *name)
{
    char folder[PATH], path[PATH];

    if (name[0] == '.' || strncmp(name, "loop", 4) == 0 || strncmp(name, "ram", 3) == 0 ||
        strncmp(name, "dm-", 3) == 0 || strncmp(name, "zram", 4) == 0 ||
        !path_make(folder, root, "/sys/class/block", name))
        return false;
    return path_make(path, folder, "/partition", "") && access(path, F_OK) != 0;
}

static bool disk_find(const char *root, struct slots *s, struct slot_gpt *ret)
{
    char path[PATH], esp_guid[SLOT_EFI_TEXT];
    struct dirent *entry;

    if (slot_efi_read(root, SLOT_EFI_LOADER, "LoaderDevicePartUUID", esp_guid) != ERR_OK)
        esp_guid[0] = '\0';
    ascii_lower_all(esp_guid);
    DIR *dir = path_make(path, root, "/sys/class/block", "") ? opendir(path) : NULL;
    if (!dir)
        return false;
    while (!s->disk[0] && (entry = readdir(dir)))
        if (strlen(entry->d_name) < sizeof(s->disk) && is_whole_disk(root, entry->d_name) &&
            gpt_read(root, entry->d_name, ret) && disk_is_ours(ret, esp_guid, s->running))
            snprintf(s->disk, sizeof(s->disk), "%.63s", entry->d_name);
    closedir(dir);
    return s->disk[0] != '\0';
}

/* --- putting the parts together --- */

/* The one of that version, made where there is none; NULL where there is no room. */
static struct slot *slot_of(struct slots *s, const char *version)
{
    for (size_t i = 0; i < s->len; i++)
        if (s->slots[i].version[0] && strcmp(s->slots[i].version, version) == 0)
            return &s->slots[i];
    if (s->len == SLOTS_MAX)
        return NULL;
    struct slot *slot = &s->slots[s->len++];
    snprintf(slot->version, sizeof(slot->version), "%s", version);
    return slot;
}

/* Empty partitions have no version to pair them by: the first of each kind is one slot, and so on.
 */
static void empty_add(struct slots *s, bool verity, uint64_t bytes)
{
    for (size_t i = 0; i < s->len; i++) {
        struct slot *slot = &s->slots[i];
        uint64_t *place = verity ? &slot->verity_bytes : &slot->root_bytes;
        if (slot->version[0] == '\0' && *place == 0) {
            *place = bytes;
            return;
        }
    }
    if (s->len == SLOTS_MAX)
        return;
    struct slot *slot = &s->slots[s->len++];
    *(verity ? &slot->verity_bytes : &slot->root_bytes) = bytes;
}

static void partition_add(struct slots *s, const struct slot_partition *p)
{
    bool verity = strcmp(p->type, TYPE_VERITY) == 0;
    char version[SLOT_VERSION_TEXT];
    enum slot_part part;

    if (!verity && strcmp(p->type, TYPE_ROOT) != 0)
        return;
    if (slot_label_parse(span_str(p->label), &part, version) != ERR_OK || part == SLOT_PART_EMPTY) {
        /* What has our type and no name of ours is what an update was written to when it was cut
         * off: systemd-sysupdate takes it for empty, too. */
        empty_add(s, verity, p->bytes);
        return;
    }
    struct slot *slot = slot_of(s, version);
    if (slot && verity == (part == SLOT_PART_VERITY))
        *(verity ? &slot->verity_bytes : &slot->root_bytes) = p->bytes;
}

static void uki_add(struct slots *s, const char *file)
{
    struct slot_uki uki;

    if (slot_uki_parse(span_str(file), &uki) != ERR_OK)
        return;
    struct slot *slot = slot_of(s, uki.version);
    /* Two of one version: blessed counts, for the boot loader puts it first. */
    if (!slot || (slot->has_uki && !slot->uki.counted))
        return;
    slot->has_uki = true;
    slot->uki = uki;
    snprintf(slot->uki_file, sizeof(slot->uki_file), "%s", file);
}

static void esp_read(const char *root, struct slots *s)
{
    static const char *const places[] = {"/efi", "/boot", "/boot/efi"};
    char path[PATH];
    struct dirent *entry;
    DIR *dir = NULL;

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !dir; i++) {
        dir = path_make(path, root, places[i], "EFI/Linux") ? opendir(path) : NULL;
        if (dir)
            snprintf(s->esp, sizeof(s->esp), "%s", places[i]);
    }
    while (dir && (entry = readdir(dir)))
        uki_add(s, entry->d_name);
    if (dir)
        closedir(dir);
}

static enum slot_state state_of(const struct slot *slot)
{
    if (slot->version[0] == '\0')
        return SLOT_EMPTY;
    if (slot->root_bytes == 0 || slot->verity_bytes == 0 || !slot->has_uki)
        return SLOT_INCOMPLETE;
    if (!slot->uki.counted)
        return SLOT_GOOD;
    return slot->uki.left == 0 ? SLOT_BAD : SLOT_TRIAL;
}

static int slot_order(const void *pa, const void *pb)
{
    const struct slot *a = pa, *b = pb;

    if (a->state == SLOT_EMPTY || b->state == SLOT_EMPTY)
        return (a->state == SLOT_EMPTY) - (b->state == SLOT_EMPTY);
    return slot_version_compare(b->version, a->version);
}

static struct slot *slot_of_entry(struct slots *s, const char *entry)
{
    for (size_t i = 0; i < s->len; i++)
        if (s->slots[i].has_uki && strcasecmp(s->slots[i].uki_file, entry) == 0)
            return &s->slots[i];
    return NULL;
}

/* As systemd-boot chooses: what was chosen for one start, or by an administrator; else the newest
 * that is not bad; else the newest. It looks at UKIs alone, whatever became of their partitions. */
static void next_find(struct slots *s)
{
    struct slot *next = slot_of_entry(s, s->once);

    if (!next)
        next = slot_of_entry(s, s->chosen);
    for (int bad = 0; bad <= 1 && !next; bad++)
        for (size_t i = 0; i < s->len && !next; i++) {
            struct slot *slot = &s->slots[i];
            bool spent = slot->uki.counted && slot->uki.left == 0;
            if (slot->has_uki && spent == (bad == 1))
                next = slot;
        }
    if (next)
        next->next = true;
}

int slots_read(const char *root, struct slots *ret)
{
    static struct slot_gpt gpt;
    char count_path[SLOT_EFI_TEXT];

    *ret = (struct slots){.efi = slot_efi_present(root)};
    int err = running_read(root, ret);
    if (err)
        return err;
    if (disk_find(root, ret, &gpt))
        for (size_t i = 0; i < gpt.len; i++)
            partition_add(ret, &gpt.partitions[i]);
    esp_read(root, ret);
    for (size_t i = 0; i < ret->len; i++) {
        struct slot *slot = &ret->slots[i];
        slot->state = state_of(slot);
        slot->runs = slot->version[0] && strcmp(slot->version, ret->running) == 0;
    }
    qsort(ret->slots, ret->len, sizeof(ret->slots[0]), slot_order);
    if (slot_efi_read(root, SLOT_EFI_LOADER, "LoaderEntryDefault", ret->chosen) != ERR_OK)
        ret->chosen[0] = '\0';
    if (slot_efi_read(root, SLOT_EFI_LOADER, "LoaderEntryOneShot", ret->once) != ERR_OK)
        ret->once[0] = '\0';
    next_find(ret);
    /* The boot loader says that it counted this start; a blessing since then took the counters out
     * of the name. */
    const struct slot *running = slots_running(ret);
    ret->trial =
        slot_efi_read(root, SLOT_EFI_LOADER, "LoaderBootCountPath", count_path) == ERR_OK &&
        (!running || !running->has_uki || running->uki.counted);
    return ERR_OK;
}

const struct slot *slots_running(const struct slots *s)
{
    for (size_t i = 0; i < s->len; i++)
        if (s->slots[i].runs)
            return &s->slots[i];
    return NULL;
}

const struct slot *slots_other(const struct slots *s)
{
    for (size_t i = 0; i < s->len; i++)
        if (!s->slots[i].runs && s->slots[i].state != SLOT_EMPTY)
            return &s->slots[i];
    return NULL;
}

bool slots_room(const struct slots *s, uint64_t *ret_root_bytes, uint64_t *ret_verity_bytes)
{
    *ret_root_bytes = *ret_verity_bytes = 0;
    for (size_t i = 0; i < s->len; i++) {
        const struct slot *slot = &s->slots[i];
        if (slot->runs)
            continue;
        if (slot->root_bytes > *ret_root_bytes)
            *ret_root_bytes = slot->root_bytes;
        if (slot->verity_bytes > *ret_verity_bytes)
            *ret_verity_bytes = slot->verity_bytes;
    }
    return *ret_root_bytes > 0 && *ret_verity_bytes > 0;
}

const char *slot_state_text(enum slot_state state)
{
    switch (state) {
    case SLOT_EMPTY:
        return "empty";
    case SLOT_INCOMPLETE:
        return "incomplete";
    case SLOT_BAD:
        return "bad";
    case SLOT_TRIAL:
        return "trial";
    case SLOT_GOOD:
        return "good";
    }
    return "?";
}
