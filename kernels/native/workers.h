/* Worker threads for loops: one loop at a time, cut into a range for each worker, and whoever is done takes chunks from
 * the ranges of the others. The caller works too, and never waits for a worker that has not begun. A loop that finds the
 * workers taken by another thread's loop runs in its caller alone, and so does a short one that finds them asleep, unless
 * the last one was a moment ago: then more may follow. */
#ifndef KERNELS_WORKERS_H
#define KERNELS_WORKERS_H

#include <stdint.h>

typedef void (*workers_body)(const void *task, intptr_t first, intptr_t last);

#if defined(_WIN32) || defined(__STDC_NO_ATOMICS__)

#define WORKERS_MOST 1
static void workers_run(workers_body body, const void *task, intptr_t n, intptr_t chunk, int threads, int wake) {
    (void)chunk;
    (void)threads;
    (void)wake;
    body(task, 0, n);
}

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define WORKERS_MOST 256
/* A worker that finds nothing to do looks again for this long before it sleeps: waking one takes 10 us of the caller's
 * time, and 50 us pass until it works. */
#define WORKERS_SPIN_NS 50000
/* Two cache lines: processors fetch them in pairs. */
#define WORKERS_LINE 128

#if defined(__x86_64__) || defined(__i386__)
#define workers_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define workers_pause() __asm__ volatile("yield")
#else
#define workers_pause() ((void)0)
#endif

typedef struct {
    _Alignas(WORKERS_LINE) _Atomic intptr_t next;
    intptr_t end;
} workers_range;

/* The state word of a loop: its number, whether it may be joined, how many have joined it, how many are inside. */
#define WORKERS_INSIDE ((uint64_t)1)
#define WORKERS_JOINED ((uint64_t)1 << 12)
#define WORKERS_OPEN ((uint64_t)1 << 24)
#define WORKERS_NUMBER ((uint64_t)1 << 32)
#define workers_inside(state) ((int)((state) & 0xfff))
#define workers_joined(state) ((int)(((state) >> 12) & 0xfff))
#define workers_number(state) ((state) >> 32)

static struct {
    _Alignas(WORKERS_LINE) _Atomic uint64_t state;
    _Alignas(WORKERS_LINE) atomic_flag taken;
    workers_body body;
    const void *task;
    intptr_t chunk;
    _Atomic int shares;
    int started;
    int refused;
    _Atomic int sleeping;
    _Atomic int64_t last;
    /* The processor that they are kept off, as it was the caller's; -1 for none. */
    int kept_off;
    pthread_t threads[WORKERS_MOST];
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    workers_range ranges[WORKERS_MOST];
} workers = {
    .taken = ATOMIC_FLAG_INIT,
    .kept_off = -1,
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
};

static void workers_drain(workers_range *range) {
    intptr_t chunk = workers.chunk;
    intptr_t first;
    while ((first = atomic_fetch_add(&range->next, chunk)) < range->end)
        workers.body(workers.task, first, first + chunk < range->end ? first + chunk : range->end);
}

static void workers_work(int own) {
    int shares = workers.shares;
    for (int k = 0; k < shares; k++)
        workers_drain(&workers.ranges[(own + k) % shares]);
}

/* Joins the loop that is open, unless it has all the workers it wants; returns its share, or 0. */
static int workers_join(uint64_t *state) {
    while ((*state & WORKERS_OPEN) && workers_joined(*state) + 1 < workers.shares)
        if (atomic_compare_exchange_weak(&workers.state, state, *state + WORKERS_JOINED + WORKERS_INSIDE))
            return workers_joined(*state) + 1;
    return 0;
}

static int64_t workers_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Waits for a loop after the last one seen, looking for it for so long before it sleeps. */
static uint64_t workers_wait(uint64_t seen, int64_t spin) {
    uint64_t state;
    int64_t until = workers_clock() + spin;
    do {
        for (int k = 0; k < 64; k++) {
            state = atomic_load(&workers.state);
            if (workers_number(state) != seen)
                return state;
            workers_pause();
        }
    } while (workers_clock() < until);
    pthread_mutex_lock(&workers.mutex);
    atomic_fetch_add(&workers.sleeping, 1);
    while (workers_number(state = atomic_load(&workers.state)) == seen)
        pthread_cond_wait(&workers.wake, &workers.mutex);
    atomic_fetch_sub(&workers.sleeping, 1);
    pthread_mutex_unlock(&workers.mutex);
    return state;
}

static void *workers_main(void *argument) {
    uint64_t seen = (uint64_t)(uintptr_t)argument;
    int share = 1;
    for (;;) {
        /* Who was not needed sleeps at once. */
        uint64_t state = workers_wait(seen, share ? WORKERS_SPIN_NS : 0);
        share = workers_join(&state);
        if (share) {
            workers_work(share);
            atomic_fetch_sub(&workers.state, WORKERS_INSIDE);
        }
        seen = workers_number(state);
    }
    return NULL;
}

/* Has this many workers, or as many as the system gives. Signals stay with the threads of the interpreter, but for those
 * of a worker's own faults. */
static void workers_start(int wanted) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    sigset_t all, before;
    uint64_t seen = workers_number(atomic_load(&workers.state));
    if (workers.started >= wanted || workers.refused)
        return;
    sigfillset(&all);
    for (int k = 0; k < 4; k++)
        sigdelset(&all, faults[k]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (workers.started < wanted && !workers.refused) {
        pthread_t thread;
        workers.refused = pthread_create(&thread, NULL, workers_main, (void *)(uintptr_t)seen) != 0;
        if (!workers.refused) {
            pthread_detach(thread);
            workers.threads[workers.started++] = thread;
            workers.kept_off = -1;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* How many of the workers wanted would have to be woken. */
static int workers_lacking(int wanted) {
    int awake = workers.started - atomic_load(&workers.sleeping);
    return wanted > awake ? wanted - awake : 0;
}

/* Linux wakes a worker where it ran last, which may be the caller's processor: there it would wait for the caller's time
 * slice to end, 10 ms and more, while another processor is idle. */
#if defined(__linux__)
static void workers_keep_off_callers_processor(void) {
    cpu_set_t others;
    int here = sched_getcpu();
    if (here < 0 || here == workers.kept_off || sched_getaffinity(0, sizeof others, &others))
        return;
    CPU_CLR(here, &others);
    if (!CPU_COUNT(&others))
        return;
    for (int k = 0; k < workers.started; k++)
        pthread_setaffinity_np(workers.threads[k], sizeof others, &others);
    workers.kept_off = here;
}
#else
static void workers_keep_off_callers_processor(void) {}
#endif

static void workers_open(int wanted) {
    uint64_t number = workers_number(atomic_load(&workers.state)) + 1;
    int lacking;
    atomic_store(&workers.state, number * WORKERS_NUMBER | WORKERS_OPEN);
    lacking = workers_lacking(wanted);
    if (lacking) {
        workers_keep_off_callers_processor();
        pthread_mutex_lock(&workers.mutex);
        pthread_mutex_unlock(&workers.mutex);
        while (lacking--)
            pthread_cond_signal(&workers.wake);
    }
}

static void workers_close(void) {
    int looks = 0;
    atomic_fetch_and(&workers.state, ~WORKERS_OPEN);
    while (workers_inside(atomic_load(&workers.state)))
        if (++looks % 1024)
            workers_pause();
        else
            sched_yield();
}

/* Whether enough workers are awake, or it is likely that waking them pays for loops to come. */
static int workers_pay(int wanted) {
    if (!workers_lacking(wanted))
        return 1;
    return workers_clock() - atomic_load(&workers.last) < WORKERS_SPIN_NS;
}

static void workers_share(workers_body body, const void *task, intptr_t n, intptr_t chunk, int threads) {
    intptr_t chunks = (n + chunk - 1) / chunk;
    workers_start(threads - 1);
    workers.body = body;
    workers.task = task;
    workers.chunk = chunk;
    workers.shares = threads;
    for (int k = 0; k < threads; k++) {
        intptr_t end = chunks * (k + 1) / threads * chunk;
        atomic_store_explicit(&workers.ranges[k].next, chunks * k / threads * chunk, memory_order_relaxed);
        workers.ranges[k].end = end < n ? end : n;
    }
    workers_open(threads - 1);
    workers_work(0);
    workers_close();
}

/* Runs body over [0, n) with at most this many threads, the caller among them; ranges begin at multiples of chunk. A
 * loop that is not worth waking the workers for says so by wake = 0. */
static void workers_run(workers_body body, const void *task, intptr_t n, intptr_t chunk, int threads, int wake) {
    intptr_t chunks = (n + chunk - 1) / chunk;
    int most = chunks < WORKERS_MOST ? (int)chunks : WORKERS_MOST;
    threads = threads < most ? threads : most;
    if (threads < 2 || atomic_flag_test_and_set(&workers.taken)) {
        body(task, 0, n);
        return;
    }
    if (wake || workers_pay(threads - 1))
        workers_share(body, task, n, chunk, threads);
    else
        body(task, 0, n);
    atomic_store(&workers.last, workers_clock());
    atomic_flag_clear(&workers.taken);
}

/* A forked child has none of the threads, whatever they were doing. */
static void workers_forget(void) {
    atomic_store(&workers.state, 0);
    atomic_store(&workers.sleeping, 0);
    atomic_flag_clear(&workers.taken);
    workers.started = 0;
    workers.refused = 0;
    workers.kept_off = -1;
    pthread_mutex_init(&workers.mutex, NULL);
    pthread_cond_init(&workers.wake, NULL);
}

__attribute__((constructor)) static void workers_watch_forks(void) { pthread_atfork(NULL, NULL, workers_forget); }

#endif
#endif
