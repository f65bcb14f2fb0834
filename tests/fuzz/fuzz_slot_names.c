/* SPDX-License-Identifier: Apache-2.0 */
/* What names an appliance's slots: labels, kernels, a bundle's list, a partition table, versions.
 */
#include "fuzz.h"

#include "assertion.h"
#include "slot_bundle.h"
#include "slot_gpt.h"

static void versions(struct span text)
{
    char a[SLOT_VERSION_TEXT], b[SLOT_VERSION_TEXT];
    struct span rest = text, first = span_cut(&rest, '\n');

    if (!slot_version_valid(first) || !slot_version_valid(rest) ||
        span_to_cstr(first, a, sizeof(a)) != ERR_OK || span_to_cstr(rest, b, sizeof(b)) != ERR_OK)
        return;
    int there = slot_version_compare(a, b), back = slot_version_compare(b, a);
    ASSERT((there > 0) == (back < 0) && (there < 0) == (back > 0));
    ASSERT(slot_version_compare(a, a) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct slot_gpt gpt;
    char version[SLOT_VERSION_TEXT];
    struct slot_bundle_list list;
    struct span text = span_make(data, len);
    enum slot_part part;
    struct slot_uki uki;

    versions(text);
    if (slot_label_parse(text, &part, version) == ERR_OK && part != SLOT_PART_EMPTY)
        ASSERT(slot_version_valid(span_str(version)));
    if (slot_uki_parse(text, &uki) == ERR_OK)
        ASSERT(slot_version_valid(span_str(uki.version)) && uki.left <= SLOT_TRIES_MAX);
    if (slot_bundle_list_parse(text, &list) == ERR_OK)
        ASSERT(slot_version_valid(span_str(list.version)) && !strchr(list.files[0].name, '/'));
    if (slot_gpt_parse(text, &gpt) == ERR_OK)
        ASSERT(gpt.len <= SLOT_GPT_PARTITIONS_MAX);
    return 0;
}
