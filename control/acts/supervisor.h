/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: forks, keeps the listening sockets, restarts what dies, takes new configurations,
 * answers the control socket. It reads no byte from the network and holds no secret while it
 * serves: whatever must read the configuration or a key is a child.
 */
#pragma once

/* Runs until SIGTERM or SIGINT has drained everything; returns the exit code (sysexits). */
int supervisor_run(const char *conf_file);
