/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_server.h - how a stand-in for a service begins: it ends with the process that
 * started it, or after 300 s, and listens on loopback.
 */
#ifndef BILLET_TEST_FAKE_SERVER_H
#define BILLET_TEST_FAKE_SERVER_H

#include <stdio.h>

/* Say what failed, with errno, and exit. */
void die(const char *what) __attribute__((noreturn));

/* Writes its port to port_file, whole or not at all. The listening socket; *record is log_file. */
int fake_listen(const char *port_file, const char *log_file, FILE **record);
/* The next connection. */
int fake_accept(int listener);

#endif
