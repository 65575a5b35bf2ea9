/* Memory of large outputs: blocks that their arrays give back when they are collected, kept for the next output up to a
 * limit. A fresh page costs several times what computing its contents does. NumPy calls these functions through its
 * allocator hook (NEP 49), so the arrays own their data like any other. */
#ifndef KERNELS_OUTPUTS_H
#define KERNELS_OUTPUTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Where the system has huge pages for those who ask, one page fault serves 2 MB. */
#define OUTPUTS_HUGE ((size_t)1 << 21)

/* Outputs of fewer bytes are NumPy's business. */
#define OUTPUTS_FROM ((size_t)1 << 18)
/* Blocks held at most: each search looks at all of them. */
#define OUTPUTS_MOST 64
#define OUTPUTS_PAGE ((size_t)1 << 16)

#if defined(_WIN32)

#define outputs_map(bytes) malloc(bytes)
#define outputs_unmap(memory, bytes) ((void)(bytes), free(memory))
#define outputs_lock() ((void)0)
#define outputs_unlock() ((void)0)

#else

#include <pthread.h>
#include <sys/mman.h>

static pthread_mutex_t outputs_mutex = PTHREAD_MUTEX_INITIALIZER;

static void outputs_lock(void) { pthread_mutex_lock(&outputs_mutex); }
static void outputs_unlock(void) { pthread_mutex_unlock(&outputs_mutex); }

/* The lock is free in a forked child, whoever held it in the parent. */
__attribute__((constructor)) static void outputs_watch_forks(void) {
    pthread_atfork(outputs_lock, outputs_unlock, outputs_unlock);
}

static void *outputs_map(size_t bytes) {
    size_t slack = bytes >= OUTPUTS_HUGE ? OUTPUTS_HUGE : 0;
    char *memory = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (slack) {
        size_t before = -(uintptr_t)memory & (OUTPUTS_HUGE - 1);
        if (before)
            munmap(memory, before);
        munmap(memory + before + bytes, slack - before);
        memory += before;
#ifdef MADV_HUGEPAGE
        madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    }
    return memory;
}

#define outputs_unmap(memory, bytes) munmap(memory, bytes)

#endif

/* Stands before the data; the newest block is first in the list. */
typedef struct outputs_block {
    size_t bytes;
    struct outputs_block *older;
} outputs_block;

/* From header to data, which begin at a cache line in the middle of a page. Most large arrays begin 16 bytes into one, and
 * a load waits for stores a little behind it whose addresses end in the same 12 bits. */
#define OUTPUTS_HEADER (2048 + 64)
#define outputs_data(block) ((void *)((char *)(block) + OUTPUTS_HEADER))
#define outputs_of(data) ((outputs_block *)((char *)(data) - OUTPUTS_HEADER))

static struct {
    outputs_block *newest;
    int count;
    size_t held;
    size_t limit;
} outputs;

/* Whether this thread's last allocation was of pages that the system has yet to make. */
static _Thread_local int outputs_fresh;

/* Takes the newest block that fits without wasting more than a quarter. */
static outputs_block *outputs_take(size_t bytes) {
    outputs_block **link = &outputs.newest;
    outputs_block *found;
    outputs_lock();
    while ((found = *link) && (found->bytes < bytes || found->bytes > bytes + bytes / 4))
        link = &found->older;
    if (found) {
        *link = found->older;
        outputs.held -= found->bytes;
        outputs.count--;
    }
    outputs_unlock();
    return found;
}

/* Gives blocks back to the system, oldest first, until no more than this many bytes are held, in OUTPUTS_MOST blocks. */
static void outputs_shrink(size_t most) {
    outputs_block *dropped = NULL;
    outputs_lock();
    while (outputs.held > most || outputs.count > OUTPUTS_MOST) {
        outputs_block **link = &outputs.newest;
        while ((*link)->older)
            link = &(*link)->older;
        outputs.held -= (*link)->bytes;
        outputs.count--;
        (*link)->older = dropped;
        dropped = *link;
        *link = NULL;
    }
    outputs_unlock();
    while (dropped) {
        outputs_block *older = dropped->older;
        outputs_unmap(dropped, dropped->bytes);
        dropped = older;
    }
}

/* Whole pages, and whole huge pages where that adds no more than a quarter. */
static size_t outputs_rounded(size_t bytes) {
    size_t huge = (bytes + OUTPUTS_HUGE - 1) & ~(OUTPUTS_HUGE - 1);
    return huge - bytes <= bytes / 4 ? huge : (bytes + OUTPUTS_PAGE - 1) & ~(OUTPUTS_PAGE - 1);
}

static void *outputs_allocate(void *context, size_t size) {
    size_t bytes = outputs_rounded(size + OUTPUTS_HEADER);
    outputs_block *block;
    (void)context;
    if (bytes < size)
        return NULL;
    block = outputs_take(bytes);
    outputs_fresh = !block;
    if (!block) {
        block = outputs_map(bytes);
        if (!block) {
            /* What is held may be what is lacking. */
            outputs_shrink(0);
            block = outputs_map(bytes);
        }
        if (!block)
            return NULL;
        block->bytes = bytes;
    }
    return outputs_data(block);
}

static void outputs_free(void *context, void *data, size_t size) {
    outputs_block *block;
    size_t limit;
    (void)context;
    (void)size;
    if (!data)
        return;
    block = outputs_of(data);
    outputs_lock();
    limit = outputs.limit;
    /* Smaller ones come from arrays that were resized. */
    if (block->bytes >= OUTPUTS_FROM && block->bytes <= limit) {
        block->older = outputs.newest;
        outputs.newest = block;
        outputs.held += block->bytes;
        outputs.count++;
        block = NULL;
    }
    outputs_unlock();
    if (block)
        outputs_unmap(block, block->bytes);
    else
        outputs_shrink(limit);
}

static void *outputs_allocate_zeros(void *context, size_t count, size_t size) {
    void *data = size && count > SIZE_MAX / size ? NULL : outputs_allocate(context, count * size);
    return data ? memset(data, 0, count * size) : NULL;
}

static void *outputs_reallocate(void *context, void *data, size_t size) {
    void *moved = outputs_allocate(context, size);
    if (moved && data) {
        size_t room = outputs_of(data)->bytes - OUTPUTS_HEADER;
        memcpy(moved, data, room < size ? room : size);
        outputs_free(context, data, 0);
    }
    return moved;
}

static PyDataMem_Handler outputs_handler = {
    "kernels_outputs",
    1,
    {NULL, outputs_allocate, outputs_allocate_zeros, outputs_reallocate, outputs_free},
};

#endif
