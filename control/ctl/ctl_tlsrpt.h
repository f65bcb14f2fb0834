/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl tlsrpt read: what TLS reports (RFC 8460) that others sent say, summed up for each policy
 * domain, sender and kind of policy. And tlsrpt show: what ours will say. Files are reports, in gzip or not, and whole mails with one.
 */
#pragma once

#include <jansson.h>

/* files: names, NULL behind the last; "-" is stdin. A report that came twice counts once. Files that
 * can't be read are in "errors", and the exit code, one of sysexits, is that of the last of them. NULL: no
 * memory. */
json_t *ctl_tlsrpt_read(char *const *files, int *ret_exit);
void ctl_print_tlsrpt_read(const json_t *data);
/* Of the gateway's answer: sums of a day; or a domain's report, which is a text in it: as RFC 8460
 * section 4.4 has it. NULL: it is none. */
json_t *ctl_tlsrpt_report(const json_t *data);
void ctl_print_tlsrpt_show(const json_t *data);
