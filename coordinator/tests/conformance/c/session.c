/* A session of the C client (libzookeeper_mt), which asserts what it decodes. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define CHECK(condition)                                              \
    do {                                                              \
        if (!(condition)) {                                           \
            printf("line %d: %s does not hold\n", __LINE__, #condition); \
            exit(1);                                                  \
        }                                                             \
    } while (0)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int connected, events, last_type, completions;

static void await(int *counter, int least) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 30;
    pthread_mutex_lock(&lock);
    while (*counter < least)
        CHECK(pthread_cond_timedwait(&changed, &lock, &deadline) == 0);
    pthread_mutex_unlock(&lock);
}

static void count(int *counter) {
    pthread_mutex_lock(&lock);
    ++*counter;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_session(zhandle_t *handle, int type, int state, const char *path, void *context) {
    (void)handle, (void)path, (void)context;
    if (type == ZOO_SESSION_EVENT && state == ZOO_CONNECTED_STATE) count(&connected);
}

static void on_event(zhandle_t *handle, int type, int state, const char *path, void *context) {
    (void)handle, (void)state, (void)path, (void)context;
    last_type = type;
    count(&events);
}

static void on_void(int code, const void *context) {
    CHECK(code == *(const int *)context);
    count(&completions);
}

static void on_string(int code, const char *value, const void *context) {
    (void)context;
    CHECK(code == ZOK && value != NULL);
    count(&completions);
}

/* A process that makes an ephemeral node and dies with its session open: another one goes on with
 * the session by id and password. Two handles of one session at a time would take it from each
 * other. */
static void resume(const char *hosts, const char *path) {
    int ends[2];
    clientid_t id;
    struct Stat stat;
    CHECK(pipe(ends) == 0);
    if (fork() == 0) {
        zhandle_t *first = zookeeper_init(hosts, on_session, 10000, NULL, NULL, 0);
        CHECK(first != NULL);
        await(&connected, 1);
        CHECK(zoo_create(first, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0) == ZOK);
        CHECK(write(ends[1], zoo_client_id(first), sizeof id) == sizeof id);
        _exit(0);
    }
    CHECK(read(ends[0], &id, sizeof id) == sizeof id);
    zhandle_t *again = zookeeper_init(hosts, on_session, 10000, &id, NULL, 0);
    CHECK(again != NULL);
    await(&connected, 1);
    CHECK(zoo_client_id(again)->client_id == id.client_id);
    CHECK(zoo_exists(again, path, 0, &stat) == ZOK && stat.ephemeralOwner == id.client_id);
    CHECK(zoo_delete(again, path, -1) == ZOK);
    CHECK(zookeeper_close(again) == ZOK);
    connected = 0;
}

int main(int argc, char **argv) {
    char root[64], path[128], made[128], data[64];
    struct Stat stat;
    struct String_vector children;
    int length;
    CHECK(argc == 2);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    snprintf(root, sizeof root, "/c-%lx-%d", (long)time(NULL), getpid());
    snprintf(path, sizeof path, "%s-mine", root);
    resume(argv[1], path);
    zhandle_t *zk = zookeeper_init(argv[1], on_session, 10000, NULL, NULL, 0);
    CHECK(zk != NULL);
    await(&connected, 1);

    CHECK(zoo_create2(zk, root, "x", 1, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made, &stat) == ZOK);
    CHECK(strcmp(made, root) == 0 && stat.dataLength == 1 && stat.czxid > 0);
    CHECK(zoo_set2(zk, root, "yz", 2, 0, &stat) == ZOK && stat.version == 1);
    CHECK(zoo_set(zk, root, "no", 2, 0) == ZBADVERSION);
    length = sizeof data;
    CHECK(zoo_get(zk, root, 0, data, &length, &stat) == ZOK);
    CHECK(length == 2 && memcmp(data, "yz", 2) == 0);
    snprintf(path, sizeof path, "%s/null", root);
    CHECK(zoo_create(zk, path, NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0) == ZOK);
    length = sizeof data;
    CHECK(zoo_get(zk, path, 0, data, &length, &stat) == ZOK && length == -1);
    CHECK(stat.ephemeralOwner == zoo_client_id(zk)->client_id);
    CHECK(zoo_delete(zk, path, -1) == ZOK && zoo_delete(zk, path, -1) == ZNONODE);
    snprintf(path, sizeof path, "%s/ttl", root);
    CHECK(zoo_create_ttl(zk, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, 60000,
                         NULL, 0) == ZOK);
    CHECK(zoo_delete(zk, path, -1) == ZOK);

    /* Watches: on a node not yet there, then on its data; and the same on children. */
    snprintf(path, sizeof path, "%s/w", root);
    CHECK(zoo_wexists(zk, path, on_event, NULL, &stat) == ZNONODE);
    CHECK(zoo_create(zk, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZOK);
    await(&events, 1);
    CHECK(last_type == ZOO_CREATED_EVENT);
    length = sizeof data;
    CHECK(zoo_wget(zk, path, on_event, NULL, data, &length, &stat) == ZOK);
    CHECK(zoo_set(zk, path, "1", 1, -1) == ZOK);
    await(&events, 2);
    CHECK(last_type == ZOO_CHANGED_EVENT);
    CHECK(zoo_wget_children2(zk, root, on_event, NULL, &children, &stat) == ZOK);
    CHECK(children.count == 1 && strcmp(children.data[0], "w") == 0);
    deallocate_String_vector(&children);
    CHECK(zoo_delete(zk, path, -1) == ZOK);
    await(&events, 3);
    CHECK(last_type == ZOO_CHILD_EVENT);
    length = sizeof data;
    CHECK(zoo_wget(zk, root, on_event, NULL, data, &length, &stat) == ZOK);
    CHECK(zoo_remove_watches(zk, root, ZWATCHTYPE_DATA, on_event, NULL, 0) == ZOK);
    CHECK(zoo_remove_watches(zk, root, ZWATCHTYPE_DATA, on_event, NULL, 0) == ZNOWATCHER);

    /* Multi: each result is decoded by the type that was asked. */
    zoo_op_t operations[4];
    zoo_op_result_t results[4];
    snprintf(path, sizeof path, "%s/m", root);
    zoo_create_op_init(&operations[0], path, "0", 1, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made);
    zoo_set_op_init(&operations[1], path, "1", 1, 0, &stat);
    zoo_check_op_init(&operations[2], path, 1);
    zoo_delete_op_init(&operations[3], path, 1);
    CHECK(zoo_multi(zk, 4, operations, results) == ZOK);
    CHECK(strcmp(made, path) == 0 && stat.version == 1);
    zoo_create_op_init(&operations[0], path, "0", 1, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made);
    zoo_create_op_init(&operations[1], root, "0", 1, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made);
    zoo_delete_op_init(&operations[2], path, -1);
    CHECK(zoo_multi(zk, 3, operations, results) == ZNODEEXISTS);
    CHECK(results[0].err == ZOK && results[1].err == ZNODEEXISTS);
    CHECK(results[2].err == ZRUNTIMEINCONSISTENCY);
    CHECK(zoo_exists(zk, path, 0, &stat) == ZNONODE);

    /* Credentials of the connection, and an ACL that asks for them. */
    static const int ok = ZOK;
    CHECK(zoo_add_auth(zk, "digest", "user:secret", 11, on_void, &ok) == ZOK);
    await(&completions, 1);
    snprintf(path, sizeof path, "%s/acl", root);
    CHECK(zoo_create(zk, path, "", 0, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0) == ZOK);
    struct ACL_vector acl;
    CHECK(zoo_get_acl(zk, path, &acl, &stat) == ZOK);
    CHECK(acl.count == 1 && strcmp(acl.data[0].id.scheme, "digest") == 0);
    deallocate_ACL_vector(&acl);
    CHECK(zoo_delete(zk, path, -1) == ZOK);
    CHECK(zoo_async(zk, root, on_string, NULL) == ZOK);
    await(&completions, 2);

    CHECK(zoo_delete(zk, root, -1) == ZOK);
    zookeeper_close(zk);
    puts("done");
    return 0;
}
