/* Preloaded into a process, this makes fsync and fdatasync as slow as a memory card's.
   KANMON_FSYNC_DELAY_US says by how many microseconds; each call really syncs, too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void wait_a_while(void) {
  const char *text = getenv("KANMON_FSYNC_DELAY_US");
  long us = text ? atol(text) : 0;
  struct timespec left = {us / 1000000, us % 1000000 * 1000};
  int error = errno;
  while (us > 0 && nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
  errno = error;
}

int fsync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  int result = real(fd);
  wait_a_while();
  return result;
}

int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  int result = real(fd);
  wait_a_while();
  return result;
}
