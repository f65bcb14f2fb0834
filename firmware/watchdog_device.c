/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int watchdog_device_open(const char *path, uint32_t timeout_s, struct watchdog_device *ret)
{
    struct watchdog_info info = {0};
    int seconds = (int)timeout_s;

    *ret = (struct watchdog_device){.fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY)};
    if (ret->fd < 0)
        return ERR_SYSTEM;
    /* What is no watchdog says so here, and was not started. */
    if (ioctl(ret->fd, WDIOC_GETSUPPORT, &info) != 0) {
        int error = errno;
        close(ret->fd);
        ret->fd = -1;
        errno = error;
        return ERR_SYSTEM;
    }
    snprintf(ret->identity, sizeof(ret->identity), "%.*s", (int)sizeof(info.identity),
             (const char *)info.identity);
    ret->stops = info.options & WDIOF_MAGICCLOSE;
    /* A device with a timeout of its own refuses; the one that it has is what counts. */
    if (ioctl(ret->fd, WDIOC_SETTIMEOUT, &seconds) != 0 &&
        ioctl(ret->fd, WDIOC_GETTIMEOUT, &seconds) != 0)
        seconds = (int)timeout_s;
    ret->timeout_s = seconds > 0 ? (uint32_t)seconds : timeout_s;
    return ERR_OK;
}

int watchdog_device_feed(struct watchdog_device *device)
{
    int zero = 0;

    return ioctl(device->fd, WDIOC_KEEPALIVE, &zero) == 0 ? ERR_OK : ERR_SYSTEM;
}

void watchdog_device_close(struct watchdog_device *device)
{
    if (device->fd < 0)
        return;
    if (device->stops && write(device->fd, "V", 1) != 1)
        device->stops = false;
    close(device->fd);
    device->fd = -1;
}
