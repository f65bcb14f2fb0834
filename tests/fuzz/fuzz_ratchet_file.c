/* SPDX-License-Identifier: Apache-2.0 */
/* Any lines are entries that are written as they were read, within the bounds of a book, or none.
 */
#include "fuzz.h"

#include "assertion.h"
#include "ratchet_file.h"

static void changed(void *user, const struct ratchet_entry *e, bool gone)
{
    unsigned *count = user;

    ASSERT(ratchet_name_valid(ratchet_destination(e)) && ratchet_name_valid(ratchet_host(e)));
    *count += gone ? 0 : 1;
}

static void weakest(void *user, const char *destination, const struct ratchet_memory *memory)
{
    ASSERT(ratchet_name_valid(destination));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ratchet_book_events events = {changed, weakest};
    static const uint64_t key[2] = {1, 2};
    struct ratchet_book *book, *again;
    unsigned count = 0, count_again = 0;
    char why[128] = "";
    struct buf file;

    if (ratchet_book_new(64, key, &events, &count, &book) != ERR_OK)
        return 0;
    int err = ratchet_file_lines(span_make(data, size), book, why, sizeof(why));
    ASSERT(err == ERR_OK || (err == ERR_SYNTAX && why[0] != '\0'));
    ASSERT(ratchet_book_len(book) <= 64 && ratchet_book_dropped(book) <= ratchet_book_len(book));
    buf_init(&file, 0);
    if (ratchet_file_write(book, &file) == ERR_OK &&
        ratchet_book_new(64, key, &events, &count_again, &again) == ERR_OK) {
        ASSERT(ratchet_file_parse(buf_span(&file), again, why, sizeof(why)) == ERR_OK);
        ASSERT(ratchet_book_len(again) == ratchet_book_len(book));
        ratchet_book_free(again);
    }
    ASSERT(ratchet_file_parse(span_make(data, size), book, why, sizeof(why)) != ERR_OK || size > 0);
    buf_release(&file);
    ratchet_book_free(book);
    return 0;
}
