/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_files.h"
#include "platform_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { ASK_TIMEOUT_MS = 5000, SENSE_MAX = 64 };

static void not_asked(struct platform_disk *disk, const char *what, int error)
{
    snprintf(disk->why, sizeof(disk->why),
             error == EACCES || error == EPERM ? "%s: only root may" : "%s: %s", what,
             strerror(error));
}

/* --- NVMe --------------------------------------------------------------------------------- */

static void nvme_ask(int fd, struct platform_disk *disk)
{
    uint8_t log[NVME_SMART_LOG_SIZE] = {0};
    struct nvme_admin_cmd command = {
        .opcode = 0x02, /* Get Log Page */
        .nsid = 0xffffffff,
        .addr = (uintptr_t)log,
        .data_len = sizeof(log),
        .cdw10 = (sizeof(log) / 4 - 1) << 16 | 0x02, /* of health */
        .timeout_ms = ASK_TIMEOUT_MS,
    };
    int result = ioctl(fd, NVME_IOCTL_ADMIN_CMD, &command);

    if (result < 0)
        not_asked(disk, "the disk gives no log", errno);
    else if (result > 0)
        snprintf(disk->why, sizeof(disk->why), "the disk refuses its log, status %x", result);
    else if (platform_nvme_decode(span_make(log, sizeof(log)), disk) != ERR_OK)
        snprintf(disk->why, sizeof(disk->why), "the disk's log can't be read");
}

/* --- ATA ---------------------------------------------------------------------------------- */

static void ata_ask(int fd, struct platform_disk *disk)
{
    /* ATA PASS-THROUGH (16): no data, and the registers come back as sense bytes; the command is
     * SMART RETURN STATUS. */
    uint8_t command[16] = {0x85, 3 << 1, 0x20, 0, 0xda, 0, 0, 0, 0, 0, 0x4f, 0, 0xc2, 0, 0xb0, 0};
    uint8_t sense[SENSE_MAX] = {0};
    sg_io_hdr_t io = {
        .interface_id = 'S',
        .dxfer_direction = SG_DXFER_NONE,
        .cmd_len = sizeof(command),
        .cmdp = command,
        .mx_sb_len = sizeof(sense),
        .sbp = sense,
        .timeout = ASK_TIMEOUT_MS,
    };

    if (ioctl(fd, SG_IO, &io) < 0)
        not_asked(disk, "the disk takes no SMART command", errno);
    else if (platform_ata_decode(span_make(sense, io.sb_len_wr), disk) != ERR_OK)
        snprintf(disk->why, sizeof(disk->why), "the disk does not know SMART");
}

/* --- all ---------------------------------------------------------------------------------- */

static void health_ask(int root, struct platform_disk *disk)
{
    char path[PLATFORM_PATH_TEXT], vendor[16];
    bool nvme = strncmp(disk->name, "nvme", 4) == 0;

    snprintf(path, sizeof(path), "sys/block/%s/device/vendor", disk->name);
    bool ata = platform_file_line(root, path, vendor, sizeof(vendor)) && strcmp(vendor, "ATA") == 0;
    if (!nvme && !ata) {
        snprintf(disk->why, sizeof(disk->why), "only NVMe and ATA disks are");
        return;
    }
    snprintf(path, sizeof(path), "dev/%s", disk->name);
    int fd = openat(root, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        not_asked(disk, "can't be opened", errno);
        return;
    }
    if (nvme)
        nvme_ask(fd, disk);
    else
        ata_ask(fd, disk);
    close(fd);
}

static bool flag_read(int root, const char *disk, const char *file)
{
    char path[PLATFORM_PATH_TEXT];
    uint64_t value;

    snprintf(path, sizeof(path), "sys/block/%s/%s", disk, file);
    return platform_file_number(root, path, &value) && value != 0;
}

/* Loop devices, memory disks, device mapper and the like are made of other things. */
static bool is_disk(int root, const char *name)
{
    char path[PLATFORM_PATH_TEXT];

    snprintf(path, sizeof(path), "sys/block/%s/device", name);
    return platform_file_exists(root, path) &&
           strlen(name) < sizeof(((struct platform_disk *)0)->name);
}

static void disk_read(int root, const char *name, struct platform_disk *disk)
{
    char path[PLATFORM_PATH_TEXT];
    uint64_t sectors = 0;

    *disk = (struct platform_disk){0};
    snprintf(disk->name, sizeof(disk->name), "%s", name);
    snprintf(path, sizeof(path), "sys/block/%s/device/model", name);
    (void)platform_file_line(root, path, disk->model, sizeof(disk->model));
    snprintf(path, sizeof(path), "sys/block/%s/size", name);
    (void)platform_file_number(root, path, &sectors);
    disk->size_mb = sectors / 2048; /* of 512 bytes, whatever the disk's own are */
    disk->rotational = flag_read(root, name, "queue/rotational");
    disk->removable = flag_read(root, name, "removable");
}

void platform_probe_disks(int root, struct platform *ret)
{
    struct platform_host *h = &ret->host;
    DIR *folder = platform_folder_open(root, "sys/block");
    const char *name;

    while (folder && h->disks_len < PLATFORM_DISKS_MAX && (name = platform_folder_next(folder))) {
        struct platform_disk *disk = &h->disks[h->disks_len];
        if (!is_disk(root, name))
            continue;
        disk_read(root, name, disk);
        if (disk->size_mb == 0)
            continue; /* a drive without a medium */
        health_ask(root, disk);
        h->disks_len++;
    }
    if (folder)
        closedir(folder);
}
