/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_thread.h"

#include "assertion.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    NICE = 10, /* a tenth of a core that the loop would take whole, all of one that it leaves */
    STACK = 512 * 1024, /* OpenSSL takes some tens of KiB */
    CACHE_LINE = 64,
};

/* One writer, one reader: each moves its own end only. */
struct ring {
    _Alignas(CACHE_LINE) atomic_uint head; /* the reader's: the next one to take */
    _Alignas(CACHE_LINE) atomic_uint tail; /* the writer's: the next free place */
    _Alignas(CACHE_LINE) uint32_t mask;
    struct tls_job **jobs;
};

struct tls_thread {
    struct ring in[TLS_TURN_COUNT], out;
    sem_t waiting; /* one for each job that is in */
    sem_t started;
    atomic_bool stopping;
    atomic_bool signalled; /* the loop was told and has not looked yet */
    int fd;
    bool runs;
    pthread_t thread;
};

/* ---- rings ---- */

static bool ring_init(struct ring *r, uint32_t room)
{
    uint32_t len = 1;

    while (len < room)
        len *= 2;
    r->mask = len - 1;
    r->jobs = calloc(len, sizeof(struct tls_job *));
    return r->jobs != NULL;
}

static void ring_put(struct ring *r, struct tls_job *job)
{
    unsigned tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    ASSERT(tail - atomic_load_explicit(&r->head, memory_order_acquire) <= r->mask);
    r->jobs[tail & r->mask] = job;
    /* In order with the flag that says who sleeps. */
    atomic_store(&r->tail, tail + 1);
}

static struct tls_job *ring_take(struct ring *r)
{
    unsigned head = atomic_load_explicit(&r->head, memory_order_relaxed);

    if (head == atomic_load(&r->tail))
        return NULL;
    struct tls_job *job = r->jobs[head & r->mask];
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return job;
}

/* ---- the thread ---- */

static struct tls_job *job_next(struct tls_thread *t)
{
    struct tls_job *job = NULL;

    for (unsigned i = 0; !job && i < TLS_TURN_COUNT; i++)
        job = ring_take(&t->in[i]);
    return job;
}

/* What a wake-up of the loop costs is shared by several answers, where there is a crowd anyway. */
static bool answers_due(struct tls_thread *t, unsigned untold)
{
    int jobs = 0;

    (void)sem_getvalue(&t->waiting, &jobs);
    return untold == TLS_THREAD_ANSWERS || jobs == 0;
}

static void *run(void *user)
{
    struct tls_thread *t = user;
    static const uint64_t one = 1;
    unsigned untold = 0;

    /* Refused where an administrator has set it lower yet. The loop goes on all the same. */
    pthread_setname_np(pthread_self(), "handshakes");
    (void)!setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    sem_post(&t->started);
    for (;;) {
        while (sem_wait(&t->waiting) != 0)
            ;
        if (atomic_load(&t->stopping))
            return NULL;
        struct tls_job *job = job_next(t);
        ASSERT(job);
        tls_job_run(job);
        ring_put(&t->out, job);
        if (!answers_due(t, ++untold))
            continue;
        untold = 0;
        if (!atomic_exchange(&t->signalled, true))
            ASSERT(write(t->fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    }
}

static int thread_start(struct tls_thread *t)
{
    pthread_attr_t attr;
    sigset_t all, before;

    if (pthread_attr_init(&attr) != 0)
        return ERR_NOMEM;
    sigfillset(&all);
    bool ok = pthread_attr_setstacksize(&attr, STACK) == 0 &&
              pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    if (ok) { /* signals are the loop's */
        t->runs = pthread_create(&t->thread, &attr, run, t) == 0;
        ok = pthread_sigmask(SIG_SETMASK, &before, NULL) == 0 && t->runs;
    }
    pthread_attr_destroy(&attr);
    while (t->runs && sem_wait(&t->started) != 0)
        ;
    return ok ? ERR_OK : ERR_SYSTEM;
}

int tls_thread_new(uint32_t room, struct tls_thread **ret)
{
    struct tls_thread *t = aligned_alloc(CACHE_LINE, sizeof(*t));
    bool ok = t != NULL;

    *ret = NULL;
    if (!t)
        return ERR_NOMEM;
    *t = (struct tls_thread){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    sem_init(&t->waiting, 0, 0);
    sem_init(&t->started, 0, 0);
    for (unsigned i = 0; i < TLS_TURN_COUNT; i++)
        ok = ring_init(&t->in[i], room) && ok;
    ok = ring_init(&t->out, room) && ok;
    int err = !ok ? ERR_NOMEM : t->fd < 0 ? ERR_SYSTEM : thread_start(t);
    if (err)
        tls_thread_free(t);
    else
        *ret = t;
    return err;
}

void tls_thread_free(struct tls_thread *t)
{
    if (!t)
        return;
    if (t->runs) {
        atomic_store(&t->stopping, true);
        sem_post(&t->waiting);
        pthread_join(t->thread, NULL);
    }
    for (unsigned i = 0; i < TLS_TURN_COUNT; i++)
        free(t->in[i].jobs);
    free(t->out.jobs);
    sem_destroy(&t->waiting);
    sem_destroy(&t->started);
    if (t->fd >= 0)
        close(t->fd);
    free(t);
}

/* ---- the loop's side ---- */

void tls_thread_push(struct tls_thread *t, struct tls_job *job, enum tls_turn turn)
{
    ring_put(&t->in[turn], job);
    sem_post(&t->waiting); /* a system call only where the thread sleeps */
}

int tls_thread_fd(const struct tls_thread *t)
{
    return t->fd;
}

void tls_thread_heard(struct tls_thread *t)
{
    uint64_t count;

    (void)!read(t->fd, &count, sizeof(count)); /* nothing there: told twice */
    atomic_exchange(&t->signalled, false);
}

struct tls_job *tls_thread_pop(struct tls_thread *t)
{
    return ring_take(&t->out);
}
