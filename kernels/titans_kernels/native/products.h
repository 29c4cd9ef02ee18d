/* Matrix products and rows of numbers, in vectors of the width that the compiler's target has.

   Matrices lie row by row; ld is the distance of two rows. The left factor may have any two strides, so that its
   transpose needs no copy; the right one must have contiguous rows. Portable: GNU C vectors, no intrinsics. */

#include <stdint.h>
#include <string.h>

#ifndef MOST_BYTES
#define MOST_BYTES 64
#endif
#if defined(__AVX512F__) && MOST_BYTES >= 64
#define BYTES 64
#elif defined(__AVX__) && MOST_BYTES >= 32
#define BYTES 32
#else
#define BYTES 16
#endif

#ifndef REAL
#define REAL float
#endif
typedef REAL real;
typedef real vec __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

enum { LANES = BYTES / sizeof(real), ROWS = 4, COLUMNS = BYTES == 64 ? 4 : 2, DEEP = 128 };

#define INLINE static inline __attribute__((always_inline))

/* Which entries of a product are needed. BELOW: the left factor is lower triangular. ABOVE: it is the transpose of a
   lower triangular one. RESULT: only the lower triangle of the result is wanted; of the rest some is left alone. */
typedef enum { WHOLE, BELOW, ABOVE, RESULT } Part;

INLINE vec at(const real *x) { return *(const vec *)x; }

/* `count` filled up to whole vectors. */
INLINE long filled(long count) { return (count + LANES - 1) / LANES * LANES; }

/* The next so many numbers of the work space. */
INLINE real *take(real **free, long numbers) {
    real *here = *free;
    *free += filled(numbers);
    return here;
}

/* The first vector of the `left` numbers from x on, filled up with 0. */
INLINE vec get(const real *x, long left) {
    if (left >= LANES) return at(x);
    vec some = {0};
    real *to = (real *)&some;
#pragma GCC unroll 4
    for (int part = LANES / 2; part; part /= 2)
        if (left & part) memcpy(to, x, part * sizeof(real)), to += part, x += part;
    return some;
}

INLINE void put(real *x, long left, vec from) {
    const real *some = (const real *)&from;
    if (left >= LANES)
        *(vec *)x = from;
    else
#pragma GCC unroll 4
        for (int part = LANES / 2; part; part /= 2)
            if (left & part) memcpy(x, some, part * sizeof(real)), some += part, x += part;
}

/* What a product is added to: nothing, or keep first + share second (second may be NULL), laid out as the result. */
typedef struct {
    const real *first, *second;
    real keep, share;
} Blend;

INLINE vec blended(const Blend *to, long i) {
    vec x = at(to->first + i) * to->keep;
    if (to->second) x += at(to->second + i) * to->share;
    return x;
}

/* rows x columns vectors of the result, `c` beyond its first entry by `here`. */
INLINE void tile(const int rows, const int columns, long k, const real *a, long ra, long ca, const real *b, long ldb,
                 real *c, long here, long ldc, const Blend *to) {
    vec sum[4 * ROWS][COLUMNS];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) sum[i][j] = to ? blended(to, here + i * ldc + j * LANES) : (vec){0};
    for (long p = 0; p < k; p++) {
        vec row[COLUMNS];
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) row[j] = at(b + p * ldb + j * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            real x = a[i * ra + p * ca];
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) sum[i][j] += row[j] * x;
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) *(vec *)(c + here + i * ldc + j * LANES) = sum[i][j];
}

INLINE void row_tiles(const int rows, int columns, long k, const real *a, long ra, long ca, const real *b, long ldb,
                      real *c, long here, long ldc, const Blend *to) {
    if (COLUMNS == 4 && columns == 4) tile(rows, 4, k, a, ra, ca, b, ldb, c, here, ldc, to);
    if (COLUMNS == 4 && columns == 3) tile(rows, 3, k, a, ra, ca, b, ldb, c, here, ldc, to);
    if (columns == 2) tile(rows, 2, k, a, ra, ca, b, ldb, c, here, ldc, to);
    if (columns == 1) tile(rows, 1, k, a, ra, ca, b, ldb, c, here, ldc, to);
}

/* The same for columns that fill no vector. */
static void narrow(long rows, long columns, long k, const real *a, long ra, long ca, const real *b, long ldb, real *c,
                   long here, long ldc, const Blend *to) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) {
            long at = here + i * ldc + j;
            real sum = to ? to->keep * to->first[at] + (to->second ? to->share * to->second[at] : 0) : 0;
            for (long p = 0; p < k; p++) sum += a[i * ra + p * ca] * b[p * ldb + j];
            c[at] = sum;
        }
}

/* Rows of the next tile of `left`: as many sums in flight as there are registers for, 16 of 32 or 8 of 16. */
INLINE long rows_of_tile(long whole, long rest, long left) {
    if (left < ROWS) return left;
    if (rest || whole > 2 || whole == 0 || left < 2 * ROWS || (whole == 2 && COLUMNS == 2)) return ROWS;
    return whole == 2 || left < 4 * ROWS || COLUMNS == 2 ? 2 * ROWS : 4 * ROWS;
}

/* c (m, n) = a (m, k) b (k, n) + `to`, a[i][p] at a + i ra + p ca. */
static void multiply_onto(Part part, long m, long n, long k, const real *a, long ra, long ca, const real *b, long ldb,
                          real *c, long ldc, const Blend *to) {
    const Blend more = {.first = c, .keep = 1};
    for (long j = 0; j < n; j += COLUMNS * LANES) {
        long whole = (n - j) / LANES, rest = n - j - whole * LANES;
        if (whole >= COLUMNS) whole = COLUMNS, rest = 0;
        for (long first = 0; first < k; first += DEEP) {
            const Blend *old = first ? &more : to;
            for (long i = 0, rows; i < m; i += rows) {
                rows = rows_of_tile(whole, rest, m - i);
                long low = first, high = first + DEEP < k ? first + DEEP : k;
                if (part == RESULT && j >= i + rows) continue;
                if (part == BELOW && high > i + rows) high = i + rows;
                if (part == ABOVE && low < i) low = i;
                long deep = high > low ? high - low : 0, here = i * ldc + j;
                const real *x = a + i * ra + low * ca, *y = b + low * ldb + j;
                if (rows == 4 * ROWS)
                    tile(4 * ROWS, 1, deep, x, ra, ca, y, ldb, c, here, ldc, old);
                else if (rows == 2 * ROWS && whole == 2)
                    tile(2 * ROWS, 2, deep, x, ra, ca, y, ldb, c, here, ldc, old);
                else if (rows == 2 * ROWS)
                    tile(2 * ROWS, 1, deep, x, ra, ca, y, ldb, c, here, ldc, old);
                else if (rows == ROWS)
                    row_tiles(ROWS, whole, deep, x, ra, ca, y, ldb, c, here, ldc, old);
                else
                    for (long r = 0; r < rows; r++)
                        row_tiles(1, whole, deep, x + r * ra, ra, ca, y, ldb, c, here + r * ldc, ldc, old);
                if (rest) narrow(rows, rest, deep, x, ra, ca, y + whole * LANES, ldb, c, here + whole * LANES, ldc, old);
            }
        }
    }
}

/* c = or += a b. */
static void multiply(Part part, long m, long n, long k, const real *a, long ra, long ca, const real *b, long ldb,
                     real *c, long ldc, int add) {
    const Blend old = {.first = c, .keep = 1};
    multiply_onto(part, m, n, k, a, ra, ca, b, ldb, c, ldc, add ? &old : 0);
}

typedef __typeof__(__builtin_choose_expr(sizeof(real) == 8, (int64_t)0, (int32_t)0)) whole;
typedef whole bits __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

#if !defined(__clang__)
/* A square of LANES x LANES by exchanging ever larger blocks of two rows; ld: distance of the rows of `to`. */
INLINE void transpose_square(const real *from, long columns, real *to, long ld) {
    vec row[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) row[i] = at(from + i * columns);
#pragma GCC unroll 4
    for (int s = 1; s < LANES; s *= 2) {
        bits low, high;
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++) low[j] = j & s ? LANES + j - s : j, high[j] = j & s ? LANES + j : j + s;
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            if (i & s) continue;
            vec above = row[i], below = row[i + s];
            row[i] = __builtin_shuffle(above, below, low), row[i + s] = __builtin_shuffle(above, below, high);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) *(vec *)(to + i * ld) = row[i];
}
#else
#define transpose_square(from, columns, to, ld) transpose_rest(LANES, LANES, from, columns, to, ld)
#endif

static void transpose_rest(long below, long right, const real *from, long stride, real *to, long ld) {
    for (long q = 0; q < right; q++)
        for (long p = 0; p < below; p++) to[q * ld + p] = from[p * stride + q];
}

/* to (columns, rows), rows ld apart, = from (rows, columns), rows `stride` apart. */
static void transpose_strided(long rows, long columns, const real *from, long stride, real *to, long ld) {
    for (long j = 0; j < columns; j += LANES)
        for (long i = 0; i < rows; i += LANES) {
            long below = rows - i < LANES ? rows - i : LANES, right = columns - j < LANES ? columns - j : LANES;
            const real *corner = from + i * stride + j;
            if (below == LANES && right == LANES)
                transpose_square(corner, stride, to + j * ld + i, ld);
            else
                transpose_rest(below, right, corner, stride, to + j * ld + i, ld);
        }
}

/* to (columns, rows) = from (rows, columns), both without gaps. */
static void transpose(long rows, long columns, const real *from, real *to) {
    transpose_strided(rows, columns, from, columns, to, rows);
}

/* Sums of halves of halves: one after the other the additions would wait for each other. */
typedef real half __attribute__((vector_size(BYTES / 2), may_alias));
typedef real quarter __attribute__((vector_size(LANES == 2 ? BYTES / 2 : BYTES / 4), may_alias));

INLINE real total(vec x) {
    if (LANES == 2) return x[0] + x[1];
    half two = ((half *)&x)[0] + ((half *)&x)[1];
    quarter four = ((quarter *)&two)[0] + ((quarter *)&two)[1];
    real sum = 0;
    for (int i = 0; i < LANES / 4; i++) sum += four[i];
    return sum;
}

static real dot(long n, const real *a, const real *b) {
    vec one = {0}, two = {0};
    long i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) one += at(a + i) * at(b + i), two += at(a + i + LANES) * at(b + i + LANES);
    real sum = 0;
    for (; i < n; i++) sum += a[i] * b[i];
    return sum + total(one + two);
}

static real sum_of(long n, const real *a) {
    vec part = {0};
    long i = 0;
    for (; i + LANES <= n; i += LANES) part += at(a + i);
    real sum = 0;
    for (; i < n; i++) sum += a[i];
    return sum + total(part);
}

INLINE vec larger(vec a, vec b) {
    bits m = (bits)(a > b);
    return (vec)(((bits)a & m) | ((bits)b & ~m));
}

/* e^x by e^x = 2^n e^r, |r| <= ln(2) / 2, and Taylor's series of e^r. */
INLINE vec exponential(vec x) {
    const int wide = sizeof(real) == 8;
    const real most = wide ? 708 : 87, shift = wide ? 6755399441055744.0 : 12582912.0f;
    const real high = wide ? 0x1.62e42feep-1 : 0x1.62ep-1, low = wide ? 0x1.a39ef35793c76p-33 : 0x1.0bfbe8p-15;
    x = larger(x, (vec){0} - most);
    x = -larger(-x, (vec){0} - most);
    vec n = x * (real)1.4426950408889634074 + shift;
    bits power = (bits)n;
    n -= shift;
    const real parts[] = {1,           1,            1. / 2,        1. / 6,          1. / 24,         1. / 120,        1. / 720,
                          1. / 5040,   1. / 40320,   1. / 362880,   1. / 3628800,    1. / 39916800,   1. / 479001600,
                          1. / 6227020800};
    const int last = wide ? 13 : 7;
    vec r = (x - n * high) - n * low, sum = (vec){0} + parts[last];
#pragma GCC unroll 16
    for (int i = last - 1; i >= 0; i--) sum = sum * r + parts[i];
    return (vec)((bits)sum + (power << (wide ? 52 : 23)));
}
