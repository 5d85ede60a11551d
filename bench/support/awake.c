/*
 * Loaded into wrk before the C library: a load that has nothing to do looks again instead of sleeping. A load that
 * sleeps has to be woken up, which the kernel counts as the time of whoever answers: several microseconds a request,
 * the more often the slower the contender. Whoever else wants its core, as the stores do, has it at once (SCHED_IDLE).
 */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((constructor)) static void yield_to_all (void) {
  const struct sched_param none = { 0 };
  sched_setscheduler(0, SCHED_IDLE, &none);
}

static long long monotonic_ms (void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int epoll_wait (int fd, struct epoll_event *events, int max, int timeout_ms) {
  const long long end = monotonic_ms() + timeout_ms;
  for (;;) {
    const int found = (int) syscall(SYS_epoll_pwait, fd, events, max, 0, NULL, 8);
    if (found != 0) return found;
    if (timeout_ms >= 0 && monotonic_ms() >= end) return 0;
  }
}
