/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes are the counts of a day, or none: what is read is written again, and reads the same. */
#include "fuzz.h"

#include "assertion.h"
#include "tlsrpt_day.h"

static void sum_check(void *user, const struct tlsrpt_day_sum *sum)
{
    const struct tlsrpt_sender sender = {"us", "a@b.example", "c.example"};
    struct buf out;

    buf_init(&out, 0);
    ASSERT(sum->domain[0]);
    ASSERT(tlsrpt_day_report(user, sum->domain, &sender, &out) == ERR_OK);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tlsrpt_day *day, *again;
    struct buf one, two;

    ASSERT(tlsrpt_day_new(1459468800, &day) == ERR_OK);
    ASSERT(tlsrpt_day_new(1459468800, &again) == ERR_OK);
    buf_init(&one, 0);
    buf_init(&two, 0);
    if (tlsrpt_day_read(day, span_make(data, size)) == ERR_OK) {
        tlsrpt_day_each(day, sum_check, day);
        ASSERT(tlsrpt_day_write(day, &one) == ERR_OK);
        ASSERT(tlsrpt_day_read(again, buf_span(&one)) == ERR_OK);
        ASSERT(tlsrpt_day_write(again, &two) == ERR_OK);
        ASSERT(span_equal(buf_span(&one), buf_span(&two)));
    } else {
        ASSERT(tlsrpt_day_domains(day) == 0 && tlsrpt_day_dropped(day) == 0);
    }
    buf_release(&one);
    buf_release(&two);
    tlsrpt_day_free(day);
    tlsrpt_day_free(again);
    return 0;
}
