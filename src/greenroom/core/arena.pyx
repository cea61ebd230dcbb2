# cython: language_level=3
"""A slab for the 16 KB data-stack chunks of greenlets.                          layer: core

Each greenlet that runs Python code has a chunk of 16 KB for its frames. CPython takes it from its
arena allocator, by default one mmap(2) and, at the end, one munmap(2) each: 8 us, nearly all the
cost of a greenlet. The arena allocator is public API (PyObject_SetArenaAllocator): chunks of exactly
this size come from slabs here, everything else goes to the allocator that was there before.

- A slab is reserved address space; a page of it is real only once touched, and a shallow task touches
  one. So huge pages are refused (MADV_NOHUGEPAGE): with them a parked task would cost 16 KB.
- A chunk given back goes on a stack of free ones. Beyond KEEP_WARM of them its pages go back to the
  kernel too (MADV_DONTNEED); the address space stays.
- A free chunk's link is stored beside the slabs, not in the chunk, so that a cold one stays cold.
"""

from greenroom import _config

cdef extern from *:
    """
    #include <pthread.h>
    #include <sched.h>
    #include <sys/mman.h>
    #include <stdint.h>
    #include <stdlib.h>

    #define CHUNK ((size_t)16 * 1024)
    #define SLAB_CHUNKS 4096u           /* 64 MiB of address space a slab */
    #define MAX_SLABS 1024u             /* 64 GiB: 4 million greenlets */
    #define KEEP_WARM 2048u             /* free chunks that keep their pages: 8 MiB or so */

    typedef struct { char *base; uint32_t *next; } Slab;

    /* SAFETY: every function below holds `greenroom_busy` while it touches these. The GIL is not
     * enough: the arena allocator is the process's, and a subinterpreter may have a GIL of its own.
     * It is held for some instructions, so it spins; a fork in between leaves it held, so the child
     * opens it. */
    static char greenroom_busy;
    static PyObjectArenaAllocator greenroom_before;
    static Slab greenroom_slabs[MAX_SLABS];
    static uint32_t greenroom_slab_count, greenroom_fresh, greenroom_free_count, greenroom_in_use;
    static uint32_t greenroom_free_head = UINT32_MAX;

    static void greenroom_enter(void)
    {
        while (__atomic_test_and_set(&greenroom_busy, __ATOMIC_ACQUIRE))
            sched_yield();
    }

    static void greenroom_leave(void)
    {
        __atomic_clear(&greenroom_busy, __ATOMIC_RELEASE);
    }

    /* Take a free chunk, or one of a new slab; NULL if there is no room for a slab. */
    static void *greenroom_take_chunk(void)
    {
        uint32_t index;
        Slab *slab;
        if (greenroom_free_head != UINT32_MAX) {
            index = greenroom_free_head;
            slab = &greenroom_slabs[index / SLAB_CHUNKS];
            greenroom_free_head = slab->next[index % SLAB_CHUNKS];
            greenroom_free_count--;
            greenroom_in_use++;
            return slab->base + CHUNK * (index % SLAB_CHUNKS);
        }
        if (greenroom_fresh == greenroom_slab_count * SLAB_CHUNKS) {
            char *base;
            uint32_t *next;
            if (greenroom_slab_count == MAX_SLABS)
                return NULL;
            base = mmap(NULL, CHUNK * SLAB_CHUNKS, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (base == MAP_FAILED)
                return NULL;
            next = malloc(SLAB_CHUNKS * sizeof(uint32_t));
            if (next == NULL) {
                munmap(base, CHUNK * SLAB_CHUNKS);
                return NULL;
            }
            madvise(base, CHUNK * SLAB_CHUNKS, MADV_NOHUGEPAGE);
            greenroom_slabs[greenroom_slab_count].base = base;
            greenroom_slabs[greenroom_slab_count].next = next;
            greenroom_slab_count++;
        }
        index = greenroom_fresh++;
        greenroom_in_use++;
        return greenroom_slabs[index / SLAB_CHUNKS].base + CHUNK * (index % SLAB_CHUNKS);
    }

    /* Put a chunk back; 0 if it is not from a slab. */
    static int greenroom_put_chunk(char *chunk)
    {
        uint32_t i;
        for (i = 0; i < greenroom_slab_count; i++) {
            Slab *slab = &greenroom_slabs[i];
            if (chunk >= slab->base && chunk < slab->base + CHUNK * SLAB_CHUNKS) {
                uint32_t place = (uint32_t)((chunk - slab->base) / CHUNK);
                if (++greenroom_free_count > KEEP_WARM)
                    madvise(chunk, CHUNK, MADV_DONTNEED);
                slab->next[place] = greenroom_free_head;
                greenroom_free_head = i * SLAB_CHUNKS + place;
                greenroom_in_use--;
                return 1;
            }
        }
        return 0;
    }

    static void *greenroom_arena_alloc(void *ctx, size_t size)
    {
        void *chunk = NULL;
        if (size == CHUNK) {
            greenroom_enter();
            chunk = greenroom_take_chunk();
            greenroom_leave();
        }
        if (chunk == NULL)
            chunk = greenroom_before.alloc(greenroom_before.ctx, size);
        return chunk;
    }

    static void greenroom_arena_free(void *ctx, void *chunk, size_t size)
    {
        int ours = 0;
        if (size == CHUNK) {
            greenroom_enter();
            ours = greenroom_put_chunk(chunk);
            greenroom_leave();
        }
        if (!ours)
            greenroom_before.free(greenroom_before.ctx, chunk, size);
    }

    static void greenroom_arena_install(void)
    {
        static char installed;  /* twice would make it its own predecessor */
        PyObjectArenaAllocator ours = {NULL, greenroom_arena_alloc, greenroom_arena_free};
        if (__atomic_test_and_set(&installed, __ATOMIC_ACQ_REL))
            return;
        pthread_atfork(NULL, NULL, greenroom_leave);
        PyObject_GetArenaAllocator(&greenroom_before);
        PyObject_SetArenaAllocator(&ours);
    }
    """
    void greenroom_arena_install()
    unsigned int greenroom_slab_count, greenroom_free_count, greenroom_in_use

cdef bint installed = False


def install() -> bool:
    """Put the slab in front of the arena allocator, once a process. Returns True if it is there."""
    global installed
    if not installed and _config.ARENA:
        greenroom_arena_install()
        installed = True
    return installed


def statistics() -> dict[str, int]:
    """Return how many slabs there are, and how many chunks are in use and free."""
    return {
        "slabs": greenroom_slab_count,
        "in_use": greenroom_in_use,
        "free": greenroom_free_count,
    }
