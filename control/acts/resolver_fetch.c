/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_fetch.h"

#include "assertion.h"
#include "buf.h"
#include "clock.h"
#include "dns_answer.h"
#include "sts_policy.h"
#include "tls_openssl.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

enum what { POLICY, REPORT, MAIL };

struct fetch {
    enum what what;
    LIST_ENTRY(fetch) in_list;
    struct resolver_fetches *all;
    CURL *easy;
    struct curl_slist *resolve, *list; /* list: header fields, or recipients */
    char host[sizeof("mta-sts.") + DNS_NAME_MAX];
    uint16_t port;
    struct buf upload; /* of a mail: what is not taken yet */
    struct buf body;
    bool oversize;
    resolver_fetch_done *done;
    void *user;
};
LIST_HEAD(fetch_list, fetch);

struct resolver_fetches {
    CURLM *multi;
    X509_STORE *authorities;
    uint16_t port;
    unsigned timeout_s;
    unsigned len;
    struct fetch_list fetches;
    bool timer;
    uint64_t timer_ms; /* when libcurl wants a turn, where timer */
    unsigned fds_len;
    struct pollfd fds[RESOLVER_FETCH_FDS];
};

/* --- what libcurl tells us ---------------------------------------------------------------- */

static int timer_wanted(CURLM *multi, long after_ms, void *user)
{
    struct resolver_fetches *f = user;

    f->timer = after_ms >= 0;
    f->timer_ms = clock_ms() + (f->timer ? (uint64_t)after_ms : 0);
    return 0;
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *user, void *of_socket)
{
    struct resolver_fetches *f = user;
    unsigned i = 0;

    while (i < f->fds_len && f->fds[i].fd != fd)
        i++;
    if (what == CURL_POLL_REMOVE) {
        if (i < f->fds_len)
            f->fds[i] = f->fds[--f->fds_len];
        return 0;
    }
    if (i == RESOLVER_FETCH_FDS)
        return -1;
    if (i == f->fds_len)
        f->fds_len++;
    f->fds[i] = (struct pollfd){
        fd, (short)((what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0)), 0};
    return 0;
}

static size_t body_wanted(char *data, size_t size, size_t count, void *user)
{
    struct fetch *fetch = user;

    if (fetch->what != POLICY || buf_append(&fetch->body, data, size * count) == 0)
        return size * count;
    fetch->oversize = true;
    return 0; /* which ends it */
}

static size_t mail_wanted(char *out, size_t size, size_t count, void *user)
{
    struct fetch *fetch = user;
    struct span left = buf_span(&fetch->upload);
    size_t len = size * count < left.len ? size * count : left.len;

    if (len > 0)
        memcpy(out, left.ptr, len);
    buf_consume(&fetch->upload, len);
    return len;
}

/* libcurl would take a certificate's common name where it has no alternative names; RFC 8461
 * section 3.3 does not. Its authorities are read once, not with each connection. */
static CURLcode ssl_wanted(CURL *easy, void *ssl_ctx, void *user)
{
    const struct fetch *fetch = user;
    SSL_CTX *ctx = ssl_ctx;
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_CTX_set1_cert_store(ctx, fetch->all->authorities);
    return X509_VERIFY_PARAM_set1_host(param, fetch->host, 0) == 1 ? CURLE_OK
                                                                   : CURLE_SSL_CERTPROBLEM;
}

/* --- one fetch ---------------------------------------------------------------------------- */

static void fetch_free(struct fetch *fetch)
{
    if (fetch->easy) {
        (void)curl_multi_remove_handle(fetch->all->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    curl_slist_free_all(fetch->resolve);
    curl_slist_free_all(fetch->list);
    buf_release(&fetch->body);
    buf_release(&fetch->upload);
    LIST_REMOVE(fetch, in_list);
    fetch->all->len--;
    free(fetch);
}

/* "+HOST:PORT:ADDRESS,..."; with the plus libcurl forgets it after a minute. */
static int addresses_set(struct fetch *fetch, const union net_addr *addrs, unsigned len)
{
    char ip[NET_ADDR_TEXT];
    struct buf text;
    int err;

    buf_init(&text, 0);
    err = buf_printf(&text, "+%s:%u:", fetch->host, (unsigned)fetch->port);
    for (unsigned i = 0; i < len && i < RESOLVER_FETCH_ADDRS && !err; i++)
        err = buf_printf(&text, net_addr_is_v6(&addrs[i]) ? "%s[%s]" : "%s%s", i > 0 ? "," : "",
                         net_addr_ip_text(&addrs[i], ip));
    if (!err)
        err = buf_append(&text, "", 1);
    if (!err)
        fetch->resolve = curl_slist_append(NULL, (const char *)buf_span(&text).ptr);
    buf_release(&text);
    return err || !fetch->resolve ? ERR_NOMEM : 0;
}

#define SET(option, value) (void)(bad |= curl_easy_setopt(fetch->easy, option, value) != CURLE_OK)

static int common_set(struct fetch *fetch, const char *url)
{
    const struct resolver_fetches *f = fetch->all;
    bool bad = false;

    SET(CURLOPT_URL, url);
    SET(CURLOPT_PRIVATE, fetch);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, ""); /* none, whatever the environment says */
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_TIMEOUT, (long)f->timeout_s);
    SET(CURLOPT_CONNECTTIMEOUT, (long)f->timeout_s);
    SET(CURLOPT_WRITEFUNCTION, body_wanted);
    SET(CURLOPT_WRITEDATA, fetch);
    return bad ? ERR_NOMEM : 0;
}

static int https_set(struct fetch *fetch)
{
    bool bad = false;

    SET(CURLOPT_RESOLVE, fetch->resolve);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_USERAGENT, "postern");
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    SET(CURLOPT_CAINFO, NULL); /* ours are set by ssl_wanted */
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_SSL_CTX_FUNCTION, ssl_wanted);
    SET(CURLOPT_SSL_CTX_DATA, fetch);
    return bad ? ERR_NOMEM : 0;
}

static int policy_set(struct fetch *fetch)
{
    char url[sizeof(fetch->host) + 64];

    snprintf(url, sizeof(url), "https://%s:%u/.well-known/mta-sts.txt", fetch->host,
             (unsigned)fetch->port);
    int err = common_set(fetch, url);
    return err ? err : https_set(fetch);
}

static int list_add(struct fetch *fetch, const char *text)
{
    struct curl_slist *list = curl_slist_append(fetch->list, text);

    if (!list)
        return ERR_NOMEM;
    fetch->list = list;
    return 0;
}

static int post_set(struct fetch *fetch, const struct resolver_post *post)
{
    char type[128];
    bool bad = false;

    snprintf(type, sizeof(type), "Content-Type: %s", post->type);
    int err = list_add(fetch, type);
    if (!err)
        err = list_add(fetch, "Expect:"); /* nobody is asked first whether it may come */
    if (!err)
        err = common_set(fetch, post->url);
    if (!err)
        err = https_set(fetch);
    if (err)
        return err;
    SET(CURLOPT_HTTPHEADER, fetch->list);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body.len);
    SET(CURLOPT_COPYPOSTFIELDS, (const char *)post->body.ptr);
    return bad ? ERR_NOMEM : 0;
}

static int mail_set(struct fetch *fetch, const struct resolver_submission *m)
{
    char url[512], ip[NET_ADDR_TEXT], from[300], to[600];
    bool v6 = net_addr_is_v6(&m->server);
    bool bad = false;

    snprintf(url, sizeof(url), "smtp://%s%s%s:%u/%s", v6 ? "[" : "",
             net_addr_ip_text(&m->server, ip), v6 ? "]" : "", (unsigned)net_addr_port(&m->server),
             m->helo);
    snprintf(from, sizeof(from), "<%s>", m->from);
    snprintf(to, sizeof(to), "<%s>", m->to);
    int err = buf_append_span(&fetch->upload, m->mail);
    if (!err)
        err = list_add(fetch, to);
    if (!err)
        err = common_set(fetch, url);
    if (err)
        return err;
    SET(CURLOPT_PROTOCOLS_STR, "smtp");
    SET(CURLOPT_USE_SSL, (long)CURLUSESSL_TRY);
    SET(CURLOPT_SSL_VERIFYPEER, 0L);
    SET(CURLOPT_SSL_VERIFYHOST, 0L);
    SET(CURLOPT_MAIL_FROM, from);
    SET(CURLOPT_MAIL_RCPT, fetch->list);
    SET(CURLOPT_READFUNCTION, mail_wanted);
    SET(CURLOPT_READDATA, fetch);
    SET(CURLOPT_UPLOAD, 1L);
    return bad ? ERR_NOMEM : 0;
}

static int fetch_new(struct resolver_fetches *f, enum what what, resolver_fetch_done *done,
                     void *user, struct fetch **ret)
{
    struct fetch *fetch;

    *ret = NULL;
    if (f->len >= RESOLVER_FETCHES_MAX)
        return ERR_LIMIT;
    fetch = calloc(1, sizeof(*fetch));
    if (!fetch)
        return ERR_NOMEM;
    fetch->what = what;
    fetch->all = f;
    fetch->done = done;
    fetch->user = user;
    fetch->port = f->port;
    buf_init(&fetch->body, STS_POLICY_MAX);
    buf_init(&fetch->upload, 0);
    LIST_INSERT_HEAD(&f->fetches, fetch, in_list);
    f->len++;
    fetch->easy = curl_easy_init();
    if (!fetch->easy) {
        fetch_free(fetch);
        return ERR_NOMEM;
    }
    *ret = fetch;
    return 0;
}

/* All is set, or err says what is not. */
static int fetch_run(struct fetch *fetch, int err)
{
    if (!err && curl_multi_add_handle(fetch->all->multi, fetch->easy) != CURLM_OK)
        err = ERR_NOMEM;
    if (err)
        fetch_free(fetch);
    return err;
}

int resolver_fetch_start(struct resolver_fetches *f, const char *domain,
                         const union net_addr *addrs, unsigned addrs_len, resolver_fetch_done *done,
                         void *user)
{
    struct fetch *fetch;
    int err = fetch_new(f, POLICY, done, user, &fetch);

    if (err)
        return err;
    snprintf(fetch->host, sizeof(fetch->host), "mta-sts.%s", domain);
    err = addresses_set(fetch, addrs, addrs_len);
    return fetch_run(fetch, err ? err : policy_set(fetch));
}

int resolver_fetch_post(struct resolver_fetches *f, const struct resolver_post *post,
                        resolver_fetch_done *done, void *user)
{
    struct fetch *fetch;
    int err = fetch_new(f, REPORT, done, user, &fetch);

    if (err)
        return err;
    snprintf(fetch->host, sizeof(fetch->host), "%s", post->host);
    fetch->port = post->port;
    err = addresses_set(fetch, post->addrs, post->addrs_len);
    return fetch_run(fetch, err ? err : post_set(fetch, post));
}

int resolver_fetch_submit(struct resolver_fetches *f, const struct resolver_submission *submission,
                          resolver_fetch_done *done, void *user)
{
    struct fetch *fetch;
    int err = fetch_new(f, MAIL, done, user, &fetch);

    return err ? err : fetch_run(fetch, mail_set(fetch, submission));
}

static bool is_plain_text(const char *type)
{
    struct span s = span_str(type ? type : "");

    return span_starts_nocase(s, SPAN_LIT("text/plain")) &&
           (s.len == 10 || s.ptr[10] == ';' || s.ptr[10] == ' ');
}

/* Nothing in it is the server's own text. False where all is well. */
static bool fault_text(const struct fetch *fetch, CURLcode code, bool *ret_rejected, char *why,
                       size_t room)
{
    long status = 0, verify = X509_V_OK;
    const char *type = NULL;

    curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(fetch->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
    curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_TYPE, &type);
    *ret_rejected =
        code == CURLE_PEER_FAILED_VERIFICATION || (code != CURLE_OK && verify != X509_V_OK);
    if (fetch->oversize)
        snprintf(why, room, "the file is larger than 64 KiB");
    else if (code != CURLE_OK && verify != X509_V_OK && fetch->what != MAIL)
        snprintf(why, room, "the server's certificate: %s", X509_verify_cert_error_string(verify));
    else if (code != CURLE_OK)
        snprintf(why, room, "%s", curl_easy_strerror(code));
    else if (fetch->what == MAIL)
        return false;
    else if (fetch->what == REPORT && status >= 200 && status <= 299)
        return false;
    else if (status != 200)
        snprintf(why, room, "the server answered %ld", status);
    else if (!is_plain_text(type))
        snprintf(why, room, "the file's type is not text/plain");
    else
        return false;
    return true;
}

/* Its place is free before done is called, which may start the next. */
static void fetch_end(struct fetch *fetch, CURLcode code)
{
    resolver_fetch_done *done = fetch->done;
    struct buf body = fetch->body;
    void *user = fetch->user;
    char why[RESOLVER_FETCH_WHY];
    bool rejected, bad = fault_text(fetch, code, &rejected, why, sizeof(why));

    buf_init(&fetch->body, 0);
    fetch_free(fetch);
    done(user, bad ? span_make(NULL, 0) : buf_span(&body), rejected, bad ? why : NULL);
    buf_release(&body);
}

/* --- the loop's ---------------------------------------------------------------------------- */

unsigned resolver_fetches_fds(const struct resolver_fetches *f, struct pollfd *fds, int *ret_ms)
{
    uint64_t now = clock_ms();

    *ret_ms = !f->timer ? -1 : f->timer_ms > now ? (int)(f->timer_ms - now) : 0;
    memcpy(fds, f->fds, f->fds_len * sizeof(fds[0]));
    return f->fds_len;
}

static void ended_take(struct resolver_fetches *f)
{
    struct CURLMsg *message;
    char *fetch;
    int left;

    while ((message = curl_multi_info_read(f->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch) == CURLE_OK)
            fetch_end((struct fetch *)(void *)fetch, code);
    }
}

void resolver_fetches_turn(struct resolver_fetches *f, const struct pollfd *fds, unsigned len)
{
    int running;

    for (unsigned i = 0; i < len; i++) {
        int events = (fds[i].revents & (POLLIN | POLLHUP) ? CURL_CSELECT_IN : 0) |
                     (fds[i].revents & POLLOUT ? CURL_CSELECT_OUT : 0) |
                     (fds[i].revents & (POLLERR | POLLNVAL) ? CURL_CSELECT_ERR : 0);
        if (events)
            (void)curl_multi_socket_action(f->multi, fds[i].fd, events, &running);
    }
    if (f->timer && f->timer_ms <= clock_ms()) {
        f->timer = false;
        (void)curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    ended_take(f);
}

static X509_STORE *authorities_load(const char *ca)
{
    X509_STORE *store = X509_STORE_new();
    bool good = store && (ca[0] ? X509_STORE_load_file(store, ca) == 1
                                : X509_STORE_set_default_paths(store) == 1);

    if (good)
        return store;
    X509_STORE_free(store);
    return NULL;
}

int resolver_fetches_new(const char *ca, uint16_t port, unsigned timeout_s,
                         struct resolver_fetches **ret, char *why, size_t why_room)
{
    struct resolver_fetches *f = calloc(1, sizeof(*f));

    *ret = NULL;
    if (f && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        f->multi = curl_multi_init();
    if (!f || !f->multi) {
        free(f);
        snprintf(why, why_room, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    LIST_INIT(&f->fetches);
    f->port = port;
    f->timeout_s = timeout_s;
    f->authorities = authorities_load(ca);
    if (!f->authorities) {
        snprintf(why, why_room, "resolver.sts_ca: \"%s\": no certificates to be had", ca);
        resolver_fetches_free(f);
        return ERR_CONFIG;
    }
    (void)curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    (void)curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    (void)curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    (void)curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    *ret = f;
    return 0;
}

void resolver_fetches_free(struct resolver_fetches *f)
{
    if (!f)
        return;
    while (!LIST_EMPTY(&f->fetches))
        fetch_free(LIST_FIRST(&f->fetches));
    curl_multi_cleanup(f->multi);
    X509_STORE_free(f->authorities);
    free(f);
}
