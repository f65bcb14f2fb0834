# SPDX-License-Identifier: Apache-2.0
"""Kernels that are too old, played by a seccomp filter: a preexec_fn for subprocess."""
import ctypes
import errno
import struct

# The numbers are the same on each architecture.
IO_URING_SETUP, IO_URING_REGISTER = 425, 427
LINUX_5_15_REGISTER_CODES = 20  # it has those below
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LD_WORD, JUMP_EQ, JUMP_GE, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
NUMBER, SECOND_ARGUMENT = 0, 24  # places in struct seccomp_data
ALLOW, ERRNO = 0x7fff0000, 0x00050000


def filter_set(program):
    """program: rows of code, jump if true, jump if false, value."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) != 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def linux_5_15():
    """io_uring without rings of provided buffers and all that came later."""
    filter_set([(LD_WORD, 0, 0, NUMBER),
                (JUMP_EQ, 0, 3, IO_URING_REGISTER),
                (LD_WORD, 0, 0, SECOND_ARGUMENT),
                (AND, 0, 0, 0x7fffffff),  # the highest bit only says how the ring is named
                (JUMP_GE, 1, 0, LINUX_5_15_REGISTER_CODES),
                (RETURN, 0, 0, ALLOW),
                (RETURN, 0, 0, ERRNO | errno.EINVAL)])


def no_ring(error):
    """No io_uring: ENOSYS as before 5.1, EPERM where it is switched off."""
    return lambda: filter_set([(LD_WORD, 0, 0, NUMBER),
                               (JUMP_EQ, 1, 0, IO_URING_SETUP),
                               (RETURN, 0, 0, ALLOW),
                               (RETURN, 0, 0, ERRNO | error)])
