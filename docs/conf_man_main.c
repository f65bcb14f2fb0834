/* SPDX-License-Identifier: Apache-2.0 */
/* Prints postern.conf(5), or with an argument appliance.conf(5), which are made from the table of
 * settings, at build time. */
#include "appliance.h"
#include "buf.h"
#include "conf.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct buf out;
    int result;

    buf_init(&out, 0);
    result = argc > 1 ? appliance_write_man(&out) : conf_write_man(&out);
    if (result == ERR_OK && fwrite(buf_span(&out).ptr, 1, buf_len(&out), stdout) != buf_len(&out))
        result = ERR_IO;
    buf_release(&out);
    if (result == ERR_OK && fflush(stdout) != 0)
        result = ERR_IO;
    if (result != ERR_OK)
        fprintf(stderr, "conf_man: %s\n", err_text(result));
    return result == ERR_OK ? 0 : 1;
}
