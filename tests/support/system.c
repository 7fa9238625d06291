/* Replaces parts of the system in a test's process: LD_PRELOAD. The file named by
 * CACHE_ASIDE_TEST_SYSTEM contains three numbers:
 *
 * - how many threads may exist besides the main one; -1: any number;
 * - the id of a thread that may start threads at any time;
 * - how many milliseconds the lookup of a name takes that ends with `slow.test`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int alive;
static const char *file;

__attribute__((constructor)) static void start(void) {
    file = getenv("CACHE_ASIDE_TEST_SYSTEM");
    /* Servers that the test starts have a system without faults. */
    unsetenv("LD_PRELOAD");
}

static void read_faults(long *threads, long *exempt, long *lookup) {
    *threads = -1, *exempt = 0, *lookup = 0;
    FILE *f = file ? fopen(file, "re") : NULL;
    if (!f) return;
    if (fscanf(f, "%ld %ld %ld", threads, exempt, lookup) != 3) abort();
    fclose(f);
}

struct task {
    void *(*run)(void *);
    void *argument;
};

static void *run(void *started) {
    struct task task = *(struct task *)started;
    free(started);
    void *result = task.run(task.argument);
    atomic_fetch_sub(&alive, 1);
    return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *argument) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real) real = dlsym(RTLD_NEXT, "pthread_create");
    long threads, exempt, lookup;
    read_faults(&threads, &exempt, &lookup);
    if (atomic_fetch_add(&alive, 1) >= threads && threads >= 0 && gettid() != exempt) {
        atomic_fetch_sub(&alive, 1);
        return EAGAIN;
    }
    struct task *task = malloc(sizeof *task);
    task->run = f, task->argument = argument;
    int failed = real(thread, attr, run, task);
    if (failed) atomic_fetch_sub(&alive, 1);
    return failed;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real) real = dlsym(RTLD_NEXT, "getaddrinfo");
    static const char slow[] = "slow.test";
    size_t length = name ? strlen(name) : 0, end = sizeof slow - 1;
    if (length < end || strcmp(name + length - end, slow)) return real(name, service, hints, found);
    long threads, exempt, lookup;
    read_faults(&threads, &exempt, &lookup);
    usleep(lookup * 1000);
    return real("127.0.0.1", service, hints, found);
}
