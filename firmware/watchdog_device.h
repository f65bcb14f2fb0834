/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hardware's watchdog (/dev/watchdog). To open it starts it: from then on the machine resets
 * unless it is fed. A stop needs the letter V before the close, and a kernel that allows it.
 */
#pragma once

#include "errcode.h"

#include <stdbool.h>
#include <stdint.h>

struct watchdog_device {
    int fd; /* -1: not open */
    char identity[40];
    uint32_t timeout_s; /* that the device has now */
    bool stops;         /* a close with V stops it */
};

/* Opens it and sets its timeout; it may take another one. ERR_SYSTEM with errno. */
int watchdog_device_open(const char *path, uint32_t timeout_s, struct watchdog_device *ret) ERR_CHECK;
int watchdog_device_feed(struct watchdog_device *device) ERR_CHECK;
/* Stops it where that can be. */
void watchdog_device_close(struct watchdog_device *device);
