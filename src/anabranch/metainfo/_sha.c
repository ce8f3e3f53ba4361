/* SHA-256 of many blocks and SHA-1 of two pieces in one call, two at a time and without Python's lock.
 *
 * hashlib takes the lock between any two blocks of 16 KiB, some 60,000 times a gigabyte, and each time may wait for
 * another thread. And the processor's SHA instructions mostly wait for their own last result: of two messages side by
 * side each takes hardly longer than it does alone. sha.py calls this where it was built and the processor has those
 * instructions; hashlib does the same elsewhere.
 *
 * Source: FIPS 180-4.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define LEAF 16384 /* bytes of a block that is a leaf of a v2 torrent's trees */
#define STEP 64    /* bytes that are worked in at a time */
#define LANES 2
#define EACH for (int lane = 0; lane < LANES; lane++)

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#define SHA __attribute__((target("sha,sse4.1,ssse3")))

static const uint32_t FIRST256[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static int able(void) {
    uint32_t a = 7, b = 0, c = 0, d = 0;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3"))
        __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b >> 29 & 1;
}

/* The instructions want the state as ABEF and CDGH. */
SHA static void work256(const uint8_t *const data[LANES], Py_ssize_t steps, __m128i abef[LANES], __m128i cdgh[LANES]) {
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    for (Py_ssize_t step = 0; step < steps; step++) {
        __m128i word[LANES][4], front[LANES], rear[LANES];
        EACH {
            front[lane] = abef[lane], rear[lane] = cdgh[lane];
            for (int i = 0; i < 4; i++) {
                const uint8_t *from = data[lane] + STEP * step + 16 * i;
                word[lane][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)from), swap);
            }
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            const __m128i constants = _mm_load_si128((const __m128i *)(K + 4 * i));
#pragma GCC unroll 2
            EACH {
                __m128i *w = word[lane];
                __m128i sum = _mm_add_epi32(w[i & 3], constants);
                rear[lane] = _mm_sha256rnds2_epu32(rear[lane], front[lane], sum);
                front[lane] = _mm_sha256rnds2_epu32(front[lane], rear[lane], _mm_shuffle_epi32(sum, 0x0e));
                if (i < 12) {
                    __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
                    next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
                    w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
                }
            }
        }
        EACH {
            abef[lane] = _mm_add_epi32(abef[lane], front[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], rear[lane]);
        }
    }
}

SHA static void work1(const uint8_t *const data[LANES], Py_ssize_t steps, __m128i abcd[LANES], __m128i e[LANES]) {
    const __m128i swap = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (Py_ssize_t step = 0; step < steps; step++) {
        __m128i word[LANES][4], state[LANES], before[LANES];
        EACH {
            state[lane] = abcd[lane], before[lane] = e[lane];
            for (int i = 0; i < 4; i++) {
                const uint8_t *from = data[lane] + STEP * step + 16 * i;
                word[lane][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)from), swap);
            }
        }
#pragma GCC unroll 20
        for (int i = 0; i < 20; i++) {
#pragma GCC unroll 2
            EACH {
                __m128i *w = word[lane];
                __m128i in = i == 0 ? _mm_add_epi32(before[lane], w[0]) : _mm_sha1nexte_epu32(before[lane], w[i & 3]);
                before[lane] = state[lane];
                state[lane] = i < 5    ? _mm_sha1rnds4_epu32(state[lane], in, 0)
                              : i < 10 ? _mm_sha1rnds4_epu32(state[lane], in, 1)
                              : i < 15 ? _mm_sha1rnds4_epu32(state[lane], in, 2)
                                       : _mm_sha1rnds4_epu32(state[lane], in, 3);
                if (i < 16) {
                    __m128i next = _mm_xor_si128(_mm_sha1msg1_epu32(w[i & 3], w[(i + 1) & 3]), w[(i + 2) & 3]);
                    w[i & 3] = _mm_sha1msg2_epu32(next, w[(i + 3) & 3]);
                }
            }
        }
        EACH {
            e[lane] = _mm_sha1nexte_epu32(before[lane], e[lane]);
            abcd[lane] = _mm_add_epi32(state[lane], abcd[lane]);
        }
    }
}

static void put(uint8_t *digest, uint32_t word) {
    word = __builtin_bswap32(word);
    memcpy(digest, &word, 4);
}

/* What ends a message of this size: its rest, a one, zeros, its length in bits. Returns how many steps that are. */
static Py_ssize_t ending(const uint8_t *message, Py_ssize_t size, uint8_t end[2 * STEP]) {
    Py_ssize_t rest = size % STEP, steps = rest < STEP - 8 ? 1 : 2;
    memset(end, 0, 2 * STEP);
    memcpy(end, message + size - rest, (size_t)rest);
    end[rest] = 0x80;
    put(end + steps * STEP - 8, (uint32_t)((uint64_t)size >> 29));
    put(end + steps * STEP - 4, (uint32_t)((uint64_t)size << 3));
    return steps;
}

SHA static void two_sha256(const uint8_t *const data[LANES], Py_ssize_t size, uint8_t *const digest[LANES]) {
    __m128i abef[LANES], cdgh[LANES];
    uint8_t end[LANES][2 * STEP];
    const uint8_t *ends[LANES] = {end[0], end[1]};
    Py_ssize_t more = 0;
    EACH {
        abef[lane] = _mm_set_epi32((int)FIRST256[0], (int)FIRST256[1], (int)FIRST256[4], (int)FIRST256[5]);
        cdgh[lane] = _mm_set_epi32((int)FIRST256[2], (int)FIRST256[3], (int)FIRST256[6], (int)FIRST256[7]);
        more = ending(data[lane], size, end[lane]);
    }
    work256(data, size / STEP, abef, cdgh);
    work256(ends, more, abef, cdgh);
    EACH {
        uint32_t front[4], rear[4];
        _mm_storeu_si128((__m128i *)front, abef[lane]);
        _mm_storeu_si128((__m128i *)rear, cdgh[lane]);
        const uint32_t words[8] = {front[3], front[2], rear[3], rear[2], front[1], front[0], rear[1], rear[0]};
        for (int i = 0; i < 8; i++) put(digest[lane] + 4 * i, words[i]);
    }
}

SHA static void two_sha1(const uint8_t *const data[LANES], Py_ssize_t size, uint8_t *const digest[LANES]) {
    __m128i abcd[LANES], e[LANES];
    uint8_t end[LANES][2 * STEP];
    const uint8_t *ends[LANES] = {end[0], end[1]};
    Py_ssize_t more = 0;
    EACH {
        abcd[lane] = _mm_set_epi32(0x67452301, (int)0xefcdab89, (int)0x98badcfe, 0x10325476);
        e[lane] = _mm_set_epi32((int)0xc3d2e1f0, 0, 0, 0);
        more = ending(data[lane], size, end[lane]);
    }
    work1(data, size / STEP, abcd, e);
    work1(ends, more, abcd, e);
    EACH {
        uint32_t words[4];
        _mm_storeu_si128((__m128i *)words, abcd[lane]);
        for (int i = 0; i < 4; i++) put(digest[lane] + 4 * i, words[3 - i]);
        put(digest[lane] + 16, (uint32_t)_mm_extract_epi32(e[lane], 3));
    }
}

#else
static int able(void) { return 0; }
static void two_sha256(const uint8_t *const data[LANES], Py_ssize_t size, uint8_t *const digest[LANES]) {}
static void two_sha1(const uint8_t *const data[LANES], Py_ssize_t size, uint8_t *const digest[LANES]) {}
#endif

static PyObject *leaves(PyObject *module, PyObject *data) {
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    Py_ssize_t count = view.len / LEAF;
    PyObject *digests = NULL;
    if (view.len % LEAF)
        PyErr_Format(PyExc_ValueError, "%zd bytes are not whole blocks of %d", view.len, LEAF);
    else
        digests = PyBytes_FromStringAndSize(NULL, 32 * count);
    if (digests != NULL) {
        uint8_t *out = (uint8_t *)PyBytes_AsString(digests), scrap[32];
        const uint8_t *in = view.buf;
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < count; i += LANES) {
            int alone = i + 1 == count;
            const uint8_t *const two[LANES] = {in + i * LEAF, in + (alone ? i : i + 1) * LEAF};
            uint8_t *const to[LANES] = {out + 32 * i, alone ? scrap : out + 32 * (i + 1)};
            two_sha256(two, LEAF, to);
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&view);
    return digests;
}

static PyObject *sha1_pair(PyObject *module, PyObject *args) {
    Py_buffer first, second;
    if (!PyArg_ParseTuple(args, "y*y*", &first, &second)) return NULL;
    PyObject *digests = NULL;
    if (first.len != second.len)
        PyErr_Format(PyExc_ValueError, "%zd and %zd bytes are no pair", first.len, second.len);
    else
        digests = PyBytes_FromStringAndSize(NULL, 40);
    if (digests != NULL) {
        uint8_t *out = (uint8_t *)PyBytes_AsString(digests);
        const uint8_t *const two[LANES] = {first.buf, second.buf};
        uint8_t *const to[LANES] = {out, out + 20};
        Py_BEGIN_ALLOW_THREADS
        two_sha1(two, first.len, to);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&first);
    PyBuffer_Release(&second);
    return digests;
}

static PyMethodDef functions[] = {
    {"leaves", leaves, METH_O, "The SHA-256 of each block of 16 KiB, joined. Raises ValueError: not whole blocks."},
    {"sha1_pair", sha1_pair, METH_VARARGS, "The SHA-1 of both, joined. Raises ValueError: not of one length."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_sha", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__sha(void) {
    if (!able()) {
        PyErr_SetString(PyExc_ImportError, "this processor has no SHA instructions");
        return NULL;
    }
    return PyModule_Create(&definition);
}
