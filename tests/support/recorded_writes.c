/* Records what a process writes to the files whose paths begin with $RECORD_PREFIX, into the file $RECORD_LOG. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE, SYNC, UNLINK };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_file = -1;

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

typedef ssize_t (*write_t)(int, const void *, size_t);
typedef ssize_t (*pwrite_t)(int, const void *, size_t, off64_t);
typedef int (*truncate_t)(int, off64_t);
typedef int (*sync_t)(int);
typedef int (*unlink_t)(const char *);

static void put(const void *data, size_t size) {
    if (REAL("write", write_t)(log_file, data, size) != (ssize_t)size) abort();
}

static void record(uint32_t what, const char *path, int64_t offset, const void *data, int64_t size) {
    const char *prefix = getenv("RECORD_PREFIX");
    if (!prefix || strncmp(path, prefix, strlen(prefix))) return;
    pthread_mutex_lock(&lock);
    if (log_file < 0) log_file = open(getenv("RECORD_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct { uint32_t what, path_size; int64_t offset, size; } head = {what, strlen(path), offset, size};
    put(&head, sizeof head);
    put(path, head.path_size);
    if (data) put(data, size);
    pthread_mutex_unlock(&lock);
}

static void record_file(uint32_t what, int file, int64_t offset, const void *data, int64_t size) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0 || file == log_file) return;
    path[length] = 0;
    record(what, path, offset, data, size);
}

ssize_t write(int file, const void *data, size_t size) {
    int64_t offset = lseek64(file, 0, SEEK_CUR);
    ssize_t done = REAL("write", write_t)(file, data, size);
    if (done > 0 && offset >= 0) record_file(WRITE, file, offset, data, done);
    return done;
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) {
    ssize_t done = REAL("pwrite64", pwrite_t)(file, data, size, offset);
    if (done > 0) record_file(WRITE, file, offset, data, done);
    return done;
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset) { return pwrite64(file, data, size, offset); }

int ftruncate64(int file, off64_t size) {
    int result = REAL("ftruncate64", truncate_t)(file, size);
    if (!result) record_file(TRUNCATE, file, size, NULL, 0);
    return result;
}

int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

int fsync(int file) {
    int result = REAL("fsync", sync_t)(file);
    if (!result) record_file(SYNC, file, 0, NULL, 0);
    return result;
}

int fdatasync(int file) {
    int result = REAL("fdatasync", sync_t)(file);
    if (!result) record_file(SYNC, file, 0, NULL, 0);
    return result;
}

int unlink(const char *path) {
    int result = REAL("unlink", unlink_t)(path);
    if (!result) record(UNLINK, path, 0, NULL, 0);
    return result;
}
