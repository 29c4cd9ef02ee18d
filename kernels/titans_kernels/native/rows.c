/* What stands around the memory op in a block, one pass over the numbers each: the causal convolution with its l2norm,
   RMSNorm and gates by SiLU. rows.py has the calls; titans_ts/core/operators.py says in torch what each one is. Rows of tokens (B, T, width) lie without gaps unless a stride is named.

   Every function does the items first to last of a call, as `Part_of` in memory.c: several threads may share them.
   Sums over rows are kept by item, so that they are the same whoever does what. */

#include "products.h"

INLINE vec sigmoid(vec x) { return 1 / (1 + exponential(-x)); }

/* ---- causal convolution and l2norm ---- */

/* out = the convolution of line, its first `normed` channels to length 1 by heads of `width`; scale is 1 / length. */
typedef struct {
    int64_t batch, tokens, channels, taps, width, normed;
    double shortest; /* what a vector is divided by at least */
    const real *line, *cache, *weight; /* cache (B, taps - 1, channels), weight (taps, channels), the last for itself */
    real *out, *scale;                 /* scale (B, T, normed / width) */
    const real *by[3];                 /* gradients of the parts of out, each a third (or all) of the channels */
    int64_t parts, together;                     /* together: sequences of an item */
    real *by_line, *by_cache, *by_weight;        /* by_weight (items, taps, channels) */
} Line;

INLINE long least(long a, long b) { return a < b ? a : b; }

INLINE const real *token_of(const Line *x, long b, long t) {
    if (t < 0) return x->cache + (b * (x->taps - 1) + x->taps - 1 + t) * x->channels;
    return x->line + (b * x->tokens + t) * x->channels;
}

INLINE void convolve_row(const Line *x, const int taps, long b, long t, real *out) {
    const real *from[taps];
    for (int i = 0; i < taps; i++) from[i] = token_of(x, b, t - (taps - 1) + i);
    for (long j = 0; j < x->channels; j += LANES) {
        long left = x->channels - j;
        vec sum = {0};
#pragma GCC unroll 4
        for (int i = 0; i < taps; i++) sum += get(from[i] + j, left) * get(x->weight + i * x->channels + j, left);
        put(out + j, left, sum);
    }
}

static void unit_rows(const Line *x, real *out, real *scale) {
    for (long h = 0; h * x->width < x->normed; h++, out += x->width) {
        real length = __builtin_sqrt(dot(x->width, out, out)), by = 1 / (length > x->shortest ? length : x->shortest);
        scale[h] = by;
        for (long j = 0; j < x->width; j += LANES) put(out + j, x->width - j, get(out + j, x->width - j) * by);
    }
}

void convolve(const void *none, const Line *x, real *scratch, int64_t first, int64_t last) {
    (void)none, (void)scratch;
    long heads = x->normed / x->width;
    for (long b = first * x->together; b < least(last * x->together, x->batch); b++)
        for (long t = 0; t < x->tokens; t++) {
            long token = b * x->tokens + t;
            real *out = x->out + token * x->channels;
            if (x->taps == 4)
                convolve_row(x, 4, b, t, out);
            else
                convolve_row(x, x->taps, b, t, out);
            unit_rows(x, out, x->scale + token * heads);
        }
}

/* The gradient by the convolution's output at a token. */
static void through_length(const Line *x, long token, real *to) {
    long part = x->channels / x->parts, heads = x->normed / x->width;
    for (long p = 0; p < x->parts; p++) memcpy(to + p * part, x->by[p] + token * part, part * sizeof(real));
    const real *unit = x->out + token * x->channels, *scale = x->scale + token * heads;
    for (long h = 0; h < heads; h++, unit += x->width, to += x->width) {
        real along = scale[h] >= 1 / x->shortest ? 0 : dot(x->width, to, unit);
        for (long j = 0; j < x->width; j += LANES) {
            long left = x->width - j;
            put(to + j, left, (get(to + j, left) - get(unit + j, left) * along) * scale[h]);
        }
    }
}

/* Adds what a token's gradient gives to the taps, and finishes the gradient of the token `taps - 1` before it. */
INLINE void adjoint_row(const Line *x, const int taps, long b, long t, const real *ring, real *by_weight) {
    long back = taps - 1, done = t - back, width = x->channels;
    const real *by[taps], *from[taps];
    real *to = done < 0 ? x->by_cache + (b * back + t) * width : x->by_line + (b * x->tokens + done) * width;
    for (int i = 0; i < taps; i++) {
        long later = done + i;
        by[i] = later < 0 || later >= x->tokens ? 0 : ring + later % taps * width;
        from[i] = t < x->tokens ? token_of(x, b, t - back + i) : 0;
    }
    for (long j = 0; j < width; j += LANES) {
        long left = width - j;
        vec sum = {0};
#pragma GCC unroll 4
        for (int i = 0; i < taps; i++)
            if (by[i]) sum += get(x->weight + (back - i) * width + j, left) * get(by[i] + j, left);
        put(to + j, left, sum);
        if (t >= x->tokens) continue;
        vec grad = get(by[back] + j, left);
#pragma GCC unroll 4
        for (int i = 0; i < taps; i++) {
            real *sums = by_weight + i * width + j;
            put(sums, left, get(sums, left) + grad * get(from[i] + j, left));
        }
    }
}

/* The scratch, (taps, channels), has the gradients of the last tokens. */
void convolve_backward(const void *none, const Line *x, real *ring, int64_t first, int64_t last) {
    (void)none;
    for (long item = first; item < last; item++) {
        real *by_weight = x->by_weight + item * x->taps * x->channels;
        memset(by_weight, 0, x->taps * x->channels * sizeof(real));
        for (long b = item * x->together; b < least((item + 1) * x->together, x->batch); b++)
            for (long t = 0; t < x->tokens + x->taps - 1; t++) {
                if (t < x->tokens) through_length(x, b * x->tokens + t, ring + t % x->taps * x->channels);
                if (x->taps == 4)
                    adjoint_row(x, 4, b, t, ring, by_weight);
                else
                    adjoint_row(x, x->taps, b, t, ring, by_weight);
            }
    }
}

/* ---- RMSNorm and gates ---- */

/* out = a / rms(a) * weight, or a where there is no weight; with b: that times silu of the same of b. */
typedef struct {
    const real *data, *weight;
    real *scale, *by, *by_weight; /* scale: 1 / rms of every row; by_weight (items, width) */
    int64_t stride, by_stride; /* distance of two rows of data and of by */
    double eps;
} Side;

typedef struct {
    int64_t rows, width, together; /* together: rows of an item */
    Side a, b;
    real *out;
    const real *grad;
} Gated;

static real rms_scale(const Side *x, long width, const real *row) {
    return 1 / __builtin_sqrt(dot(width, row, row) / width + x->eps);
}

INLINE vec normed(const Side *x, const real *row, real scale, long j, long left) {
    vec value = get(row + j, left);
    if (x->weight) value *= scale * get(x->weight + j, left);
    return value;
}

INLINE void gated_vector(const Gated *g, const real *a, const real *b, real scale_a, real scale_b, real *out, long j,
                         long left) {
    vec value = normed(&g->a, a, scale_a, j, left);
    if (b) {
        vec gate = normed(&g->b, b, scale_b, j, left);
        value *= gate * sigmoid(gate);
    }
    put(out + j, left, value);
}

void gated(const void *none, const Gated *g, real *scratch, int64_t first, int64_t last) {
    (void)none, (void)scratch;
    for (long r = first * g->together; r < least(last * g->together, g->rows); r++) {
        const real *a = g->a.data + r * g->a.stride, *b = g->b.data ? g->b.data + r * g->b.stride : 0;
        real scale_a = 1, scale_b = 1, *out = g->out + r * g->width;
        if (g->a.weight) g->a.scale[r] = scale_a = rms_scale(&g->a, g->width, a);
        if (g->b.weight) g->b.scale[r] = scale_b = rms_scale(&g->b, g->width, b);
        long j = 0;
        for (; j + LANES <= g->width; j += LANES) gated_vector(g, a, b, scale_a, scale_b, out, j, LANES);
        if (j < g->width) gated_vector(g, a, b, scale_a, scale_b, out, j, g->width - j);
    }
}

/* Takes the gradient by a normed row to that by the row, `by` times weight in place; adds to the weight's sums. */
INLINE void take_in(const Side *x, const real *row, real *by, real scale, long j, long left, vec grad, vec *along,
                    real *sums) {
    if (x->weight) {
        vec value = get(row + j, left);
        put(sums + j, left, get(sums + j, left) + grad * value * scale);
        grad *= get(x->weight + j, left);
        *along += grad * value;
    }
    put(by + j, left, grad);
}

static void finish_row(const Side *x, long width, const real *row, real *by, real scale, vec along) {
    if (!x->weight) return;
    real share = total(along) * scale * scale * scale / width;
    for (long j = 0; j < width; j += LANES) {
        long left = width - j;
        put(by + j, left, get(by + j, left) * scale - get(row + j, left) * share);
    }
}

INLINE void vector_backward(const Gated *g, const real *rows[3], real *by[2], const real scale[2], real *sums[2],
                            vec along[2], long j, long left) {
    const real *a = rows[0], *b = rows[1];
    vec grad = get(rows[2] + j, left);
    if (b) {
        vec value = normed(&g->a, a, scale[0], j, left), gate = normed(&g->b, b, scale[1], j, left);
        vec open = sigmoid(gate), through = gate * open;
        vec by_gate = grad * value * (open + through * (1 - open));
        take_in(&g->b, b, by[1], scale[1], j, left, by_gate, &along[1], sums[1]);
        grad *= through;
    }
    take_in(&g->a, a, by[0], scale[0], j, left, grad, &along[0], sums[0]);
}

static void row_backward(const Gated *g, long r, real *sums[2]) {
    const real *a = g->a.data + r * g->a.stride, *b = g->b.data ? g->b.data + r * g->b.stride : 0;
    const real *rows[] = {a, b, g->grad + r * g->width};
    const real scale[] = {g->a.weight ? g->a.scale[r] : 1, g->b.weight ? g->b.scale[r] : 1};
    real *by[] = {g->a.by + r * g->a.by_stride, b ? g->b.by + r * g->b.by_stride : 0};
    vec along[2] = {0};
    long j = 0;
    for (; j + LANES <= g->width; j += LANES) vector_backward(g, rows, by, scale, sums, along, j, LANES);
    if (j < g->width) vector_backward(g, rows, by, scale, sums, along, j, g->width - j);
    finish_row(&g->a, g->width, a, by[0], scale[0], along[0]);
    if (b) finish_row(&g->b, g->width, b, by[1], scale[1], along[1]);
}

void gated_backward(const void *none, const Gated *g, real *scratch, int64_t first, int64_t last) {
    (void)none, (void)scratch;
    for (long item = first; item < last; item++) {
        real *sums[] = {g->a.by_weight + item * g->width, g->b.by_weight + item * g->width};
        if (g->a.weight) memset(sums[0], 0, g->width * sizeof(real));
        if (g->b.weight) memset(sums[1], 0, g->width * sizeof(real));
        for (long r = item * g->together; r < least((item + 1) * g->together, g->rows); r++)
            row_backward(g, r, sums);
    }
}

/* ---- turned rows ---- */

typedef struct {
    int64_t rows, columns;
    const real *from;
    real *to;
} Turned;

/* to (columns, rows) = from (rows, columns); an item is a vector's width of columns. */
void turn_over(const void *none, const Turned *x, real *scratch, int64_t first, int64_t last) {
    (void)none, (void)scratch;
    long from = first * LANES, count = least(last * LANES, x->columns) - from;
    transpose_strided(x->rows, count, x->from + from, x->columns, x->to + from * x->rows, x->rows);
}
