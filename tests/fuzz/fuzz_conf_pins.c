/* SPDX-License-Identifier: Apache-2.0 */
/* Any text is a pin file or a list of complaints; a pin file that is written again is the same one.
 */
#include "fuzz.h"

#include "assertion.h"
#include "conf.h"

#include <stdlib.h>

/* As fuzz_conf.c has it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\n";
}

static void again(const struct conf_pins *pins, struct arena *arena)
{
    struct conf_errors errors = {0};
    struct conf_pins read;
    struct buf out;

    buf_init(&out, CONF_PINS_MAX);
    ASSERT(conf_pins_write(pins, &out) == ERR_OK && buf_append(&out, "", 1) == ERR_OK);
    ASSERT(conf_pins_parse((const char *)buf_span(&out).ptr, "again", arena, &read, &errors) ==
           ERR_OK);
    ASSERT(strcmp(read.partner, pins->partner) == 0);
    ASSERT(strcmp(read.current.name, pins->current.name) == 0);
    ASSERT(memcmp(&read.current.spki, &pins->current.spki, sizeof(read.current.spki)) == 0);
    ASSERT((read.next.name != NULL) == (pins->next.name != NULL));
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct conf_errors errors = {0};
    struct conf_pins pins;
    struct arena arena;

    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    arena_init(&arena, 0);
    int result = conf_pins_parse(text, "pins.conf", &arena, &pins, &errors);
    ASSERT((result == ERR_CONFIG) == (errors.count > 0));
    if (result == ERR_OK)
        again(&pins, &arena);
    arena_free(&arena);
    free(text);
    return 0;
}
