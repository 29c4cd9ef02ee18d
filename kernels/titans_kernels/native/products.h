/* Matrix products and rows of numbers, in vectors of the width that the compiler's target has.

   Matrices lie row by row; ld is the distance of two rows. The left factor may have any two strides, so that its
   transpose needs no copy; the right one must have contiguous rows. Portable: GNU C vectors, no intrinsics. */

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
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

INLINE void tile(const int rows, const int columns, long k, const real *a, long ra, long ca, const real *b, long ldb,
                 real *c, long ldc, int add) {
    vec sum[ROWS][COLUMNS];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) sum[i][j] = add ? at(c + i * ldc + j * LANES) : (vec){0};
    for (long p = 0; p < k; p++) {
        vec row[COLUMNS];
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) row[j] = at(b + p * ldb + j * LANES);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            real x = a[i * ra + p * ca];
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) sum[i][j] += row[j] * x;
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) *(vec *)(c + i * ldc + j * LANES) = sum[i][j];
}

INLINE void row_tiles(const int rows, int columns, long k, const real *a, long ra, long ca, const real *b, long ldb,
                      real *c, long ldc, int add) {
    if (columns == 4) tile(rows, 4, k, a, ra, ca, b, ldb, c, ldc, add);
    if (columns == 3) tile(rows, 3, k, a, ra, ca, b, ldb, c, ldc, add);
    if (columns == 2) tile(rows, 2, k, a, ra, ca, b, ldb, c, ldc, add);
    if (columns == 1) tile(rows, 1, k, a, ra, ca, b, ldb, c, ldc, add);
}

static void narrow(long rows, long n, long k, const real *a, long ra, long ca, const real *b, long ldb, real *c,
                   long ldc, int add) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < n; j++) {
            real sum = add ? c[i * ldc + j] : 0;
            for (long p = 0; p < k; p++) sum += a[i * ra + p * ca] * b[p * ldb + j];
            c[i * ldc + j] = sum;
        }
}

/* c (m, n) = or += a (m, k) b (k, n), a[i][p] at a + i ra + p ca. */
static void multiply(Part part, long m, long n, long k, const real *a, long ra, long ca, const real *b, long ldb,
                     real *c, long ldc, int add) {
    for (long j = 0; j < n; j += COLUMNS * LANES) {
        long whole = (n - j) / LANES, rest = n - j - whole * LANES;
        if (whole >= COLUMNS) whole = COLUMNS, rest = 0;
        for (long first = 0; first < k; first += DEEP) {
            int more = add || first;
            for (long i = 0; i < m; i += ROWS) {
                long rows = m - i < ROWS ? m - i : ROWS, low = first, high = first + DEEP < k ? first + DEEP : k;
                if (part == RESULT && j >= i + rows) continue;
                if (part == BELOW && high > i + rows) high = i + rows;
                if (part == ABOVE && low < i) low = i;
                long deep = high > low ? high - low : 0;
                const real *x = a + i * ra + low * ca, *y = b + low * ldb + j;
                real *z = c + i * ldc + j;
                if (rows == ROWS)
                    row_tiles(ROWS, whole, deep, x, ra, ca, y, ldb, z, ldc, more);
                else
                    for (long r = 0; r < rows; r++)
                        row_tiles(1, whole, deep, x + r * ra, ra, ca, y, ldb, z + r * ldc, ldc, more);
                if (rest) narrow(rows, rest, deep, x, ra, ca, y + whole * LANES, ldb, z + whole * LANES, ldc, more);
            }
        }
    }
}

#define SQUARE 16

/* to (columns, rows) = from (rows, columns), both without gaps. */
static void transpose(long rows, long columns, const real *restrict from, real *restrict to) {
    for (long i = 0; i < rows; i += SQUARE)
        for (long j = 0; j < columns; j += SQUARE) {
            long below = rows - i < SQUARE ? rows - i : SQUARE, right = columns - j < SQUARE ? columns - j : SQUARE;
            for (long q = 0; q < right; q++)
                for (long p = 0; p < below; p++) to[(j + q) * rows + i + p] = from[(i + p) * columns + j + q];
        }
}

INLINE real total(vec x) {
    real sum = 0;
    for (int i = 0; i < LANES; i++) sum += x[i];
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

typedef __typeof__(__builtin_choose_expr(sizeof(real) == 8, (int64_t)0, (int32_t)0)) whole;
typedef whole bits __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

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
    vec r = (x - n * high) - n * low, sum = (vec){0} + 1;
#pragma GCC unroll 16
    for (int i = wide ? 13 : 7; i > 0; i--) sum = 1 + sum * r * (real)(1.0 / i);
    return (vec)((bits)sum + (power << (wide ? 52 : 23)));
}
