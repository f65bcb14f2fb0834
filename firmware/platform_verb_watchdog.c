/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_notice.h"
#include "platform_verb.h"
#include "watchdog.h"
#include "watchdog_check.h"
#include "watchdog_device.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { DRY_RUN, DEVICE, TIMEOUT, INTERVAL, CHECK_TIMEOUT, PATIENCE, NOTICE, CHECK };

static const struct arg_row rows[] = {
    [DRY_RUN] = {"--dry-run", ARG_FLAG, NULL, 0, 0, 0, "run the check, leave the device alone"},
    [DEVICE] = {"--device", ARG_TEXT, "FILE", 0, 0, 0, "the watchdog, /dev/watchdog"},
    [TIMEOUT] = {"--timeout", ARG_NUMBER, "S", 4, 3600, 60,
                 "unfed, it resets the machine after so many seconds"},
    [INTERVAL] = {"--interval", ARG_NUMBER, "S", 1, 3600, 10, "seconds between checks"},
    [CHECK_TIMEOUT] = {"--check-timeout", ARG_NUMBER, "S", 1, 3600, 10,
                       "a check that takes longer is a bad one"},
    [PATIENCE] = {"--patience", ARG_NUMBER, "S", 2, 86400, 60,
                  "it is fed for so long after the last good check"},
    [NOTICE] = {"--notice", ARG_TEXT, "FILE", 0, 0, 0, "one line for the administrator"},
    [CHECK] = {"--check", ARG_REST, "COMMAND...", 0, 0, 0, "well is what exits with status 0"},
};

struct feeding {
    bool dry, stop;
    const char *device_path, *notice;
    uint32_t timeout_s;
    char **command;
    struct watchdog watchdog;
    struct watchdog_device device;
    struct watchdog_check check;
    int signals, status;
};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* To standard error; into the file for the administrator; what comes before a reset also into the
 * kernel's log, which is on the console, and kept where the firmware keeps it. */
static void tell(const struct feeding *f, enum notice_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void tell(const struct feeding *f, enum notice_level level, const char *format, ...)
{
    char text[300], line[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    verb_complain("watchdog: %s%s", f->dry ? "(dry run) " : "", text);
    if (f->dry)
        return;
    if (platform_notice(f->notice, level, text) != ERR_OK)
        verb_complain("%s: %s", f->notice, strerror(errno));
    if (level != NOTICE_ERROR)
        return;
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
    int n = snprintf(line, sizeof(line), "<2>postern-watchdog: %s\n", text);
    if (fd >= 0 && write(fd, line, (size_t)n) < n)
        verb_complain("/dev/kmsg: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void state_tell(const struct feeding *f)
{
    static const enum notice_level levels[] = {
        [WATCHDOG_WAITING] = NOTICE_OK,
        [WATCHDOG_HEALTHY] = NOTICE_OK,
        [WATCHDOG_SICK] = NOTICE_WARNING,
        [WATCHDOG_LOST] = NOTICE_ERROR,
    };
    enum watchdog_state state = f->watchdog.state;

    if (state == WATCHDOG_LOST)
        tell(f, levels[state], "%s within %u seconds", watchdog_state_text(state),
             f->device.timeout_s);
    else
        tell(f, levels[state], "%s", watchdog_state_text(state));
}

/* --- acts --------------------------------------------------------------------------------- */

static const char *open_trouble(int error)
{
    switch (error) {
    case EBUSY:
        return "another program feeds it; systemd does where RuntimeWatchdogSec= is set";
    case ENOTTY:
        return "it is no watchdog";
    case ENOENT:
    case ENXIO:
    case ENODEV:
        return "there is none, or its driver is not loaded";
    default:
        return strerror(error);
    }
}

static void arm(struct feeding *f)
{
    f->device.timeout_s = f->timeout_s;
    if (f->dry)
        return;
    if (watchdog_device_open(f->device_path, f->timeout_s, &f->device) != ERR_OK) {
        tell(f, NOTICE_WARNING, "%s: %s", f->device_path, open_trouble(errno));
        f->status = EX_UNAVAILABLE;
        f->stop = true;
        return;
    }
    /* Four feedings in a timeout: three may be late. */
    f->watchdog.settings.feed_ms = f->device.timeout_s * 1000 / 4;
    verb_complain("watchdog: %s, resets the machine after %u seconds unfed%s", f->device.identity,
                  f->device.timeout_s, f->device.stops ? "" : ", and can't be stopped");
}

static void feed(struct feeding *f)
{
    if (f->dry || f->stop || watchdog_device_feed(&f->device) == ERR_OK)
        return;
    tell(f, NOTICE_ERROR, "%s can't be fed: %s", f->device_path, strerror(errno));
}

static void step(struct feeding *f, enum watchdog_event event)
{
    unsigned acts = watchdog_step(&f->watchdog, event, now_ms());

    if (acts & WATCHDOG_ARM)
        arm(f);
    if (acts & WATCHDOG_FEED)
        feed(f);
    if ((acts & WATCHDOG_TELL) && !f->stop)
        state_tell(f);
    if (acts & WATCHDOG_KILL) {
        verb_complain("watchdog: the check took too long, and is killed");
        watchdog_check_kill(&f->check);
    }
    if ((acts & WATCHDOG_CHECK) && !f->stop &&
        watchdog_check_start(f->command, &f->check) != ERR_OK) {
        verb_complain("watchdog: %s: %s", f->command[0], strerror(errno));
        step(f, WATCHDOG_BAD);
    }
}

/* --- the loop ----------------------------------------------------------------------------- */

static int wait_ms(const struct feeding *f)
{
    uint64_t now = now_ms(), next = watchdog_next(&f->watchdog);
    uint64_t wait = next > now ? next - now : 0;

    return wait > 3600 * 1000 ? 3600 * 1000 : (int)wait;
}

static void run(struct feeding *f)
{
    step(f, WATCHDOG_TICK);
    while (!f->stop) {
        struct pollfd fds[] = {{.fd = f->signals, .events = POLLIN},
                               {.fd = f->check.pid > 0 ? f->check.pidfd : -1, .events = POLLIN}};
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), wait_ms(f)) < 0 && errno != EINTR) {
            tell(f, NOTICE_ERROR, "poll: %s", strerror(errno));
            f->status = EX_OSERR;
            return;
        }
        if (fds[0].revents) {
            f->stop = true;
        } else if (fds[1].revents) {
            bool well = watchdog_check_end(&f->check);
            step(f, well ? WATCHDOG_GOOD : WATCHDOG_BAD);
        } else {
            step(f, WATCHDOG_TICK);
        }
    }
}

/* An orderly stop is somebody's will, whatever the gateway's health. */
static void end(struct feeding *f)
{
    bool armed = f->device.fd >= 0;

    if (f->check.pid > 0) {
        watchdog_check_kill(&f->check);
        (void)watchdog_check_end(&f->check);
    }
    watchdog_device_close(&f->device);
    if (f->status == EX_OK && armed && !f->device.stops)
        tell(f, NOTICE_ERROR,
             "stopped, but this watchdog can't be: the machine resets within %u seconds unless "
             "something feeds it",
             f->device.timeout_s);
    else if (f->status == EX_OK)
        tell(f, NOTICE_OK, "stopped: nothing resets the machine where it hangs");
    if (f->signals >= 0)
        close(f->signals);
}

static int signals_take(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static bool settings_good(const struct arg_value *values)
{
    if (!values[CHECK].given || !values[CHECK].words[0]) {
        verb_complain("--check COMMAND... is needed: what says that the gateway is well");
        return false;
    }
    /* One bad check alone must never reset a machine. */
    if (values[PATIENCE].number < values[INTERVAL].number + values[CHECK_TIMEOUT].number) {
        verb_complain("--patience must be at least --interval and --check-timeout together, %llu",
                      (unsigned long long)(values[INTERVAL].number + values[CHECK_TIMEOUT].number));
        return false;
    }
    return true;
}

static int watchdog_main(const struct arg_value *values)
{
    struct feeding f = {
        .dry = values[DRY_RUN].given,
        .device_path = values[DEVICE].given ? values[DEVICE].text : "/dev/watchdog",
        .notice = values[NOTICE].text,
        .timeout_s = (uint32_t)values[TIMEOUT].number,
        .command = values[CHECK].words,
        .device = {.fd = -1},
        .check = {.pidfd = -1},
        .status = EX_OK,
    };
    const struct watchdog_settings settings = {
        .interval_ms = (uint32_t)values[INTERVAL].number * 1000,
        .check_timeout_ms = (uint32_t)values[CHECK_TIMEOUT].number * 1000,
        .patience_ms = (uint32_t)values[PATIENCE].number * 1000,
        .feed_ms = (uint32_t)values[TIMEOUT].number * 1000 / 4,
    };

    if (!settings_good(values))
        return EX_USAGE;
    if (!f.dry && access(f.device_path, W_OK) != 0) {
        tell(&f, NOTICE_WARNING, "%s: %s", f.device_path, open_trouble(errno));
        return EX_UNAVAILABLE;
    }
    f.signals = signals_take();
    if (f.signals < 0) {
        verb_complain("watchdog: %s", strerror(errno));
        return EX_OSERR;
    }
    /* Where memory is short it must still feed; that it may not lock its own is no failure. */
    (void)mlockall(MCL_CURRENT | MCL_FUTURE);
    watchdog_init(&f.watchdog, &settings, now_ms());
    state_tell(&f);
    run(&f);
    end(&f);
    return f.status;
}

const struct verb verb_watchdog = {
    .name = "watchdog",
    .summary = "feed the hardware's watchdog while the gateway is well",
    .text =
        "Runs a check again and again. With the first good one it starts the hardware's\n"
        "watchdog, which resets a machine that does not feed it; it feeds it until the check has\n"
        "not been good for --patience seconds. A machine that hangs, or whose gateway is lost,\n"
        "comes up anew; one whose gateway never came up is left alone. A stop by SIGTERM stops\n"
        "the watchdog as well.\n"
        "\n"
        "  postern-platform watchdog --check posternctl status\n"
        "  postern-platform watchdog --timeout 30 --patience 120 --check posternctl status\n"
        "  postern-platform watchdog --dry-run --check posternctl status\n"
        "\n"
        "postern-platform probe shows which watchdogs there are.\n",
    .rows = rows,
    .rows_len = sizeof(rows) / sizeof(rows[0]),
    .main = watchdog_main,
};
