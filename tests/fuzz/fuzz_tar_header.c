/* SPDX-License-Identifier: Apache-2.0 */
/* A member's header: no name that goes anywhere, a size in bounds; what is written is read again.
 */
#include "fuzz.h"

#include "assertion.h"
#include "tar_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t block[TAR_BLOCK] = {0}, again[TAR_BLOCK];
    struct tar_header header, back;

    memcpy(block, data, len < TAR_BLOCK ? len : TAR_BLOCK);
    if (tar_header_read(block, &header) != ERR_OK)
        return 0;
    ASSERT(header.name[0] != '\0' && header.name[0] != '.' && !strchr(header.name, '/'));
    ASSERT(header.size <= TAR_SIZE_MAX);
    ASSERT(tar_header_write(&header, again) == ERR_OK);
    ASSERT(tar_header_read(again, &back) == ERR_OK);
    ASSERT(strcmp(header.name, back.name) == 0 && header.size == back.size);
    return 0;
}
