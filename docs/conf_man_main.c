/* SPDX-License-Identifier: Apache-2.0 */
/* Prints postern.conf(5), which is made from the table of settings, at build time. */
#include "buf.h"
#include "conf.h"

#include <stdio.h>

int main(void)
{
    struct buf out;
    int result;

    buf_init(&out, 0);
    result = conf_write_man(&out);
    if (result == ERR_OK && fwrite(buf_span(&out).ptr, 1, buf_len(&out), stdout) != buf_len(&out))
        result = ERR_IO;
    buf_release(&out);
    if (result == ERR_OK && fflush(stdout) != 0)
        result = ERR_IO;
    if (result != ERR_OK)
        fprintf(stderr, "conf_man: %s\n", err_text(result));
    return result == ERR_OK ? 0 : 1;
}
