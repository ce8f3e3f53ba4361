/* SHA-256 of many blocks of 16 KiB at once, without Python's lock: the leaves of BEP 52's trees.
 *
 * hashlib takes the lock between any two blocks, some 60,000 times a gigabyte, and each time may wait for another thread:
 * two threads are then no faster than one. Besides, blocks that do not depend on each other can go side by side: 16 in
 * the 512-bit registers of AVX-512, where there are any. leaves.py calls this where it was built and the processor is able
 * to run it, and hashlib does the same elsewhere.
 *
 * Source: FIPS 180-4.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>

#define BLOCK 16384 /* bytes of a leaf */
#define DIGEST 32   /* bytes */
#define LANES 16

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define BUILT 1
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw")))
#define SINGLE __attribute__((target("sha,sse4.1,ssse3")))

static const uint32_t FIRST[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static const uint32_t K[64] __attribute__((aligned(64))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static int able_wide, able_single; /* what this processor can do */

/* Sixteen leaves side by side: word i of all of them is one register. */

#define XOR3(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0x96)
#define CHOOSE(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xca)
#define MAJORITY(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xe8)
#define ADD _mm512_add_epi32
#define TURN _mm512_ror_epi32

WIDE static void wide_round(__m512i state[8], __m512i word[16]) {
    __m512i a = state[0], b = state[1], c = state[2], d = state[3];
    __m512i e = state[4], f = state[5], g = state[6], h = state[7];
#pragma GCC unroll 64
    for (int t = 0; t < 64; t++) {
        if (t >= 16) {
            __m512i before = word[(t + 1) & 15], last = word[(t + 14) & 15];
            __m512i small0 = XOR3(TURN(before, 7), TURN(before, 18), _mm512_srli_epi32(before, 3));
            __m512i small1 = XOR3(TURN(last, 17), TURN(last, 19), _mm512_srli_epi32(last, 10));
            word[t & 15] = ADD(ADD(word[t & 15], small0), ADD(word[(t + 9) & 15], small1));
        }
        __m512i large1 = XOR3(TURN(e, 6), TURN(e, 11), TURN(e, 25));
        __m512i large0 = XOR3(TURN(a, 2), TURN(a, 13), TURN(a, 22));
        __m512i one = ADD(ADD(h, ADD(word[t & 15], _mm512_set1_epi32((int)K[t]))), ADD(large1, CHOOSE(e, f, g)));
        h = g, g = f, f = e, e = ADD(d, one), d = c, c = b, b = a;
        a = ADD(one, ADD(large0, MAJORITY(b, c, d)));
    }
    state[0] = ADD(state[0], a), state[1] = ADD(state[1], b), state[2] = ADD(state[2], c), state[3] = ADD(state[3], d);
    state[4] = ADD(state[4], e), state[5] = ADD(state[5], f), state[6] = ADD(state[6], g), state[7] = ADD(state[7], h);
}

/* Rows of 16 words, one a lane, become columns. */
WIDE static void transpose(__m512i row[16]) {
    __m512i pair[16];
    for (int i = 0; i < 16; i += 2) {
        pair[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        pair[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        row[i] = _mm512_unpacklo_epi64(pair[i], pair[i + 2]);
        row[i + 1] = _mm512_unpackhi_epi64(pair[i], pair[i + 2]);
        row[i + 2] = _mm512_unpacklo_epi64(pair[i + 1], pair[i + 3]);
        row[i + 3] = _mm512_unpackhi_epi64(pair[i + 1], pair[i + 3]);
    }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; j++) {
            pair[i + j] = _mm512_shuffle_i32x4(row[i + j], row[i + j + 4], 0x88);
            pair[i + j + 4] = _mm512_shuffle_i32x4(row[i + j], row[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        row[j] = _mm512_shuffle_i32x4(pair[j], pair[j + 8], 0x88);
        row[j + 8] = _mm512_shuffle_i32x4(pair[j], pair[j + 8], 0xdd);
    }
}

WIDE static void hash_wide(const uint8_t *const lane[LANES], uint8_t *digests) {
    const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    __m512i state[8], word[16];
    for (int i = 0; i < 8; i++) state[i] = _mm512_set1_epi32((int)FIRST[i]);
    for (int at = 0; at < BLOCK; at += 64) {
        for (int i = 0; i < LANES; i++)
            word[i] = _mm512_shuffle_epi8(_mm512_loadu_si512((const void *)(lane[i] + at)), swap);
        transpose(word);
        wide_round(state, word);
    }
    for (int i = 0; i < 16; i++) word[i] = _mm512_setzero_si512();
    word[0] = _mm512_set1_epi32((int)0x80000000);
    word[15] = _mm512_set1_epi32(8 * BLOCK);
    wide_round(state, word);
    uint32_t out[8][LANES] __attribute__((aligned(64)));
    for (int i = 0; i < 8; i++) _mm512_store_si512((void *)out[i], state[i]);
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < 8; j++) {
            uint32_t big = __builtin_bswap32(out[j][i]);
            __builtin_memcpy(digests + i * DIGEST + j * 4, &big, 4);
        }
}

/* One leaf, by the processor's own SHA instructions. They want the state as ABEF and CDGH. */

SINGLE static void single_round(__m128i *abef, __m128i *cdgh, __m128i word[4]) {
    __m128i state0 = *abef, state1 = *cdgh;
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        __m128i sum = _mm_add_epi32(word[i & 3], _mm_load_si128((const __m128i *)(K + 4 * i)));
        state1 = _mm_sha256rnds2_epu32(state1, state0, sum);
        state0 = _mm_sha256rnds2_epu32(state0, state1, _mm_shuffle_epi32(sum, 0x0e));
        if (i < 12) {
            __m128i last = word[(i + 3) & 3];
            __m128i begun = _mm_sha256msg1_epu32(word[i & 3], word[(i + 1) & 3]);
            begun = _mm_add_epi32(begun, _mm_alignr_epi8(last, word[(i + 2) & 3], 4));
            word[i & 3] = _mm_sha256msg2_epu32(begun, last);
        }
    }
    *abef = _mm_add_epi32(*abef, state0);
    *cdgh = _mm_add_epi32(*cdgh, state1);
}

SINGLE static void hash_single(const uint8_t *data, uint8_t *digest) {
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i abef = _mm_set_epi32((int)FIRST[0], (int)FIRST[1], (int)FIRST[4], (int)FIRST[5]);
    __m128i cdgh = _mm_set_epi32((int)FIRST[2], (int)FIRST[3], (int)FIRST[6], (int)FIRST[7]);
    __m128i word[4];
    for (int at = 0; at < BLOCK; at += 64) {
        for (int i = 0; i < 4; i++)
            word[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + at + 16 * i)), swap);
        single_round(&abef, &cdgh, word);
    }
    word[0] = _mm_set_epi32(0, 0, 0, (int)0x80000000);
    word[1] = word[2] = _mm_setzero_si128();
    word[3] = _mm_set_epi32(8 * BLOCK, 0, 0, 0);
    single_round(&abef, &cdgh, word);
    uint32_t front[4], rear[4];
    _mm_storeu_si128((__m128i *)front, abef);
    _mm_storeu_si128((__m128i *)rear, cdgh);
    const uint32_t state[8] = {front[3], front[2], rear[3], rear[2], front[1], front[0], rear[1], rear[0]};
    for (int i = 0; i < 8; i++) {
        uint32_t big = __builtin_bswap32(state[i]);
        __builtin_memcpy(digest + 4 * i, &big, 4);
    }
}

static void hash_all(const uint8_t *data, Py_ssize_t leaves, uint8_t *digests) {
    const uint8_t *lane[LANES];
    uint8_t out[LANES * DIGEST];
    while (leaves > 0) {
        if (able_wide && (leaves >= LANES || !able_single)) {
            Py_ssize_t count = leaves < LANES ? leaves : LANES;
            for (Py_ssize_t i = 0; i < LANES; i++) lane[i] = data + (i < count ? i : count - 1) * BLOCK;
            hash_wide(lane, out);
            __builtin_memcpy(digests, out, (size_t)count * DIGEST);
            data += count * BLOCK, digests += count * DIGEST, leaves -= count;
        } else {
            hash_single(data, digests);
            data += BLOCK, digests += DIGEST, leaves -= 1;
        }
    }
}

static void look(void) {
    __builtin_cpu_init();
    able_wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    uint32_t a = 7, b = 0, c = 0, d = 0;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    able_single = (b >> 29 & 1) && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
}

#else
#define BUILT 0
static int able_wide, able_single;
static void hash_all(const uint8_t *data, Py_ssize_t leaves, uint8_t *digests) {}
static void look(void) {}
#endif

static PyObject *digests_of(PyObject *module, PyObject *data) {
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *digests = NULL;
    if (view.len % BLOCK)
        PyErr_Format(PyExc_ValueError, "%zd bytes are not whole blocks of %d", view.len, BLOCK);
    else if (!able_wide && !able_single)
        PyErr_SetString(PyExc_NotImplementedError, "this processor has no instructions for it");
    else
        digests = PyBytes_FromStringAndSize(NULL, view.len / BLOCK * DIGEST);
    if (digests != NULL) {
        uint8_t *out = (uint8_t *)PyBytes_AsString(digests);
        Py_BEGIN_ALLOW_THREADS
        hash_all(view.buf, view.len / BLOCK, out);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&view);
    return digests;
}

static PyObject *use(PyObject *module, PyObject *args) {
    int wide, single;
    if (!PyArg_ParseTuple(args, "pp", &wide, &single)) return NULL;
    look();
    able_wide = able_wide && wide;
    able_single = able_single && single;
    return Py_BuildValue("(OO)", able_wide ? Py_True : Py_False, able_single ? Py_True : Py_False);
}

static PyMethodDef functions[] = {
    {"digests_of", digests_of, METH_O, "The SHA-256 of each whole block of 16 KiB, joined. Lets other threads run."},
    {"use", use, METH_VARARGS, "Allow (wide, single) kernels, for tests. Answers which there are and are allowed."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_leaves", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__leaves(void) {
    look();
    return PyModule_Create(&definition);
}
