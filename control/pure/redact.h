/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes secrets out of a text that goes to somebody who helps: private keys in PEM, values of settings
 * that are named as secrets are, hashes of passwords as crypt(3) and SCRAM write them, recovery keys of
 * an encrypted volume. What is taken out leaves a mark. Too much rather than too little. Pure: a text
 * in, a text out.
 */
#pragma once

#include "buf.h"

/* Appends text without its secrets. ERR_FULL, ERR_NOMEM. */
int redact(struct span text, struct buf *out) ERR_CHECK;
