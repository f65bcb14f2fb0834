/* SPDX-License-Identifier: Apache-2.0 */
/* Any text is a configuration or a list of complaints, and nothing else. */
#include "fuzz.h"

#include "assertion.h"
#include "conf.h"

#include <stdlib.h>

/* libconfig 1.5 leaks a string that stands before a syntax error; the process that reads a
 * configuration does so a few times in its life. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct conf_errors errors;
    struct conf *conf;

    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    int result = conf_parse(text, "postern.conf", &conf, &errors);
    ASSERT((result == ERR_OK) == (conf != NULL));
    ASSERT((result == ERR_CONFIG) == (errors.count > 0));
    ASSERT(errors.len < sizeof(errors.text));
    conf_free(conf);
    free(text);
    return 0;
}
