/* Drives N sessions x M outstanding requests through ZooKeeper's C client library.
 *
 * driver HOSTS WORKLOAD BYTES SESSIONS OUTSTANDING WARM_MS WINDOW_MS TAG
 *
 * The library runs two threads a session; its completion thread answers each reply with the next
 * request. Prints `begin` and `end` at the edges of the window, for the caller to read the
 * servers' CPU time at, then one line: ops elapsed_ns client_cpu_us p50 p99 p99.9 max (ns).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define KEYS 1024
#define SUB 64
#define BUCKETS (35 * SUB)

struct session {
    zhandle_t *handle;
    int index;
    uint64_t made, random, turn;
    uint64_t buckets[BUCKETS], ops, max_ns;
};

struct request {
    struct session *session;
    uint64_t sent_ns;
};

static const char *workload, *tag;
static int bytes;
static char *data;
static atomic_int measuring, stopping, outstanding_now, connected;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned bucket(uint64_t ns) {
    if (ns < SUB) return (unsigned)ns;
    unsigned octave = 63 - (unsigned)__builtin_clzll(ns) - 6;
    unsigned index = (octave + 1) * SUB + (unsigned)(ns >> octave) - SUB;
    return index < BUCKETS ? index : BUCKETS - 1;
}

static uint64_t edge(unsigned index) {
    if (index < SUB) return index;
    return (((uint64_t)(index % SUB + SUB) + 1) << (index / SUB - 1)) - 1;
}

static void submit(struct request *request);

static void replied(int code, struct request *request) {
    struct session *session = request->session;
    if (code != ZOK && !atomic_load(&stopping)) {
        fprintf(stderr, "request failed: %s\n", zerror(code));
        exit(1);
    }
    if (atomic_load_explicit(&measuring, memory_order_relaxed)) {
        uint64_t ns = now_ns() - request->sent_ns;
        session->buckets[bucket(ns)]++;
        session->ops++;
        if (ns > session->max_ns) session->max_ns = ns;
    }
    if (atomic_load_explicit(&stopping, memory_order_relaxed)) {
        atomic_fetch_sub(&outstanding_now, 1);
        return;
    }
    submit(request);
}

static void on_string(int code, const char *value, const void *request) {
    (void)value;
    replied(code, (struct request *)request);
}
static void on_stat(int code, const struct Stat *stat, const void *request) {
    (void)stat;
    replied(code, (struct request *)request);
}
static void on_data(int code, const char *value, int length, const struct Stat *stat, const void *request) {
    (void)value, (void)length, (void)stat;
    replied(code, (struct request *)request);
}

static void submit(struct request *request) {
    struct session *session = request->session;
    char path[96];
    int code;
    request->sent_ns = now_ns();
    if (!strcmp(workload, "create")) {
        snprintf(path, sizeof path, "/bench/%s/s%04d/n%09llu", tag, session->index,
                 (unsigned long long)session->made++);
        code = zoo_acreate(session->handle, path, data, bytes, &ZOO_OPEN_ACL_UNSAFE, 0, on_string, request);
    } else {
        session->random ^= session->random << 13;
        session->random ^= session->random >> 7;
        session->random ^= session->random << 17;
        snprintf(path, sizeof path, "/bench/keys-%04d/k%04u", bytes, (unsigned)((session->random >> 20) % KEYS));
        session->turn++;
        int write = !strcmp(workload, "set") || (!strcmp(workload, "mixed") && session->turn % 10 == 0);
        if (write)
            code = zoo_aset(session->handle, path, data, bytes, -1, on_stat, request);
        else if (!strcmp(workload, "exists"))
            code = zoo_aexists(session->handle, path, 0, on_stat, request);
        else
            code = zoo_aget(session->handle, path, 0, on_data, request);
    }
    if (code != ZOK) {
        fprintf(stderr, "submit failed: %s\n", zerror(code));
        exit(1);
    }
}

static void on_session(zhandle_t *handle, int type, int state, const char *path, void *context) {
    (void)handle, (void)path, (void)context;
    if (type == ZOO_SESSION_EVENT && state == ZOO_CONNECTED_STATE) atomic_fetch_add(&connected, 1);
}

static uint64_t cpu_us(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(int argc, char **argv) {
    if (argc != 9) return 2;
    workload = argv[2];
    bytes = atoi(argv[3]);
    int count = atoi(argv[4]), outstanding = atoi(argv[5]);
    int warm_ms = atoi(argv[6]), window_ms = atoi(argv[7]);
    tag = argv[8];
    data = malloc((size_t)bytes + 1);
    memset(data, 'x', (size_t)bytes);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zoo_deterministic_conn_order(1);

    /* Each session starts at its own server: the list is rotated, the order kept. */
    char *hosts[16];
    int servers = 0;
    for (char *host = strtok(argv[1], ","); host && servers < 16; host = strtok(NULL, ","))
        hosts[servers++] = host;
    struct session *sessions = calloc((size_t)count, sizeof *sessions);
    for (int i = 0; i < count; i++) {
        char list[512] = "";
        for (int s = 0; s < servers; s++) {
            if (s) strcat(list, ",");
            strcat(list, hosts[(i + s) % servers]);
        }
        sessions[i].index = i;
        sessions[i].random = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1);
        sessions[i].handle = zookeeper_init(list, on_session, 30000, NULL, NULL, 0);
        if (!sessions[i].handle) return 1;
    }
    for (int waited = 0; atomic_load(&connected) < count; waited++) {
        if (waited > 20000) {
            fprintf(stderr, "%d of %d sessions connected\n", atomic_load(&connected), count);
            return 1;
        }
        usleep(1000);
    }
    struct request *requests = calloc((size_t)(count * outstanding), sizeof *requests);
    atomic_store(&outstanding_now, count * outstanding);
    for (int i = 0; i < count * outstanding; i++) {
        requests[i].session = &sessions[i % count];
        submit(&requests[i]);
    }
    usleep((useconds_t)warm_ms * 1000);
    puts("begin");
    fflush(stdout);
    uint64_t cpu = cpu_us(), begin = now_ns();
    atomic_store(&measuring, 1);
    usleep((useconds_t)window_ms * 1000);
    atomic_store(&measuring, 0);
    uint64_t elapsed = now_ns() - begin;
    cpu = cpu_us() - cpu;
    puts("end");
    fflush(stdout);
    atomic_store(&stopping, 1);
    for (int waited = 0; atomic_load(&outstanding_now) > 0 && waited < 10000; waited++) usleep(1000);

    static uint64_t all[BUCKETS];
    uint64_t ops = 0, max_ns = 0;
    for (int i = 0; i < count; i++) {
        ops += sessions[i].ops;
        if (sessions[i].max_ns > max_ns) max_ns = sessions[i].max_ns;
        for (int b = 0; b < BUCKETS; b++) all[b] += sessions[i].buckets[b];
    }
    double shares[3] = {0.5, 0.99, 0.999};
    uint64_t quantiles[3] = {0, 0, 0};
    for (int q = 0; q < 3; q++) {
        uint64_t seen = 0;
        for (unsigned b = 0; b < BUCKETS; b++) {
            seen += all[b];
            if ((double)seen >= shares[q] * (double)ops) {
                quantiles[q] = edge(b);
                break;
            }
        }
    }
    printf("%llu %llu %llu %llu %llu %llu %llu\n", (unsigned long long)ops, (unsigned long long)elapsed,
           (unsigned long long)cpu, (unsigned long long)quantiles[0], (unsigned long long)quantiles[1],
           (unsigned long long)quantiles[2], (unsigned long long)max_ns);
    fflush(stdout);
    for (int i = 0; i < count; i++) zookeeper_close(sessions[i].handle);
    return 0;
}
