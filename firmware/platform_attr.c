/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_attr.h"

bool platform_attr_walk(struct span attributes, void (*each)(void *user, const struct nlattr *attr),
                        void *user)
{
    const struct nlattr *attr = (const void *)attributes.ptr;
    size_t left = attributes.len;

    while (left >= sizeof(*attr) && mnl_attr_ok(attr, (int)left)) {
        size_t step = MNL_ALIGN(attr->nla_len);
        each(user, attr);
        left -= step < left ? step : left;
        attr = (const struct nlattr *)((const char *)attr + step);
    }
    return left == 0;
}

bool platform_attr_nested(const struct nlattr *nest,
                          void (*each)(void *user, const struct nlattr *attr), void *user)
{
    return platform_attr_walk(span_make(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest)),
                              each, user);
}

void platform_attr_text(const struct nlattr *attr, char *out, size_t room)
{
    const char *text = mnl_attr_get_payload(attr);
    size_t len = strnlen(text, mnl_attr_get_payload_len(attr));

    if (len > room - 1)
        len = room - 1;
    for (size_t i = 0; i < len; i++)
        out[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
    out[len] = '\0';
}

bool platform_attr_u32(const struct nlattr *attr, uint32_t *ret)
{
    if (mnl_attr_get_payload_len(attr) != sizeof(*ret))
        return false;
    memcpy(ret, mnl_attr_get_payload(attr), sizeof(*ret));
    return true;
}
