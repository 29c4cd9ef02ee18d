/* Attention over [keys, persistent keys] for few queries, a head of a sequence at a time, with its gradient: rotations,
   products and softmax while everything is in the cache. attention.py has the calls; titans_ts/core/attention.py says in
   torch what it is (attend_plain). The rotated query meets the keys, the plain one the persistent keys. */

#include "products.h"

/* (groups, heads, tokens, width) with any strides but the last, which is 1. */
typedef struct {
    real *data;
    int64_t group, head, token;
} Heads;

/* Rows of weights are `ld` apart: those of the keys, filled up to vectors, then those of the persistent keys. */
typedef struct {
    int64_t groups, heads, queries, keys, width, persistent, first, runs;
    int64_t mask_group; /* distance of two masks, 0 where all have the same */
    const uint8_t *mask; /* (queries, keys) of a group: 1 where the key is seen */
    const real *cosine, *sine; /* (positions, width / 2) */
    const real *own_keys, *own_values; /* the persistent ones, (heads, persistent, width) */
    Heads q, k, v, y; /* in the backward y is the gradient */
    real *weights;    /* (groups, heads, queries, ld) */
    Heads by_q, by_k, by_v;
    real *by_own_keys, *by_own_values; /* (groups, heads, persistent, width): to be summed up */
} Attention;

enum { FILL = LANES - 1 };

INLINE long filled(long count) { return (count + FILL) / LANES * LANES; }

typedef struct {
    const Attention *x;
    long keys, ld;                  /* keys filled up, and all of a row of weights */
    int causal;                     /* query t sees no key after t */
    real *open;                     /* (queries, ld): 1 where a key is seen, else 0 */
    real *turned_q, *turned_k;      /* (queries, width), (keys, width) */
    real *right, *own;              /* (width, keys), (width, filled persistent): transposes */
    real *rows, *scores;            /* (keys or queries, width), (queries, ld) */
} Head;

static real *take(real **free, long numbers) {
    real *here = *free;
    *free += filled(numbers);
    return here;
}

static real *lay(Head *w, const Attention *x, real *free) {
    long keys = filled(x->keys), own = filled(x->persistent), most = keys > x->queries ? keys : x->queries;
    *w = (Head){.x = x, .keys = keys, .ld = keys + own};
    w->open = take(&free, x->queries * w->ld);
    w->turned_q = take(&free, x->queries * x->width), w->turned_k = take(&free, keys * x->width);
    w->right = take(&free, x->width * keys), w->own = take(&free, x->width * own);
    w->rows = take(&free, (most > own ? most : own) * x->width), w->scores = take(&free, x->queries * w->ld);
    return free;
}

int64_t lanes(void) { return LANES; }

int64_t attention_scratch(const Attention *x) {
    Head w;
    return (int64_t)(lay(&w, x, (real *)BYTES) - (real *)BYTES);
}

static real *row_of(const Heads *x, long g, long h, long t) {
    return x->data + g * x->group + h * x->head + t * x->token;
}

/* to = from turned by an angle whose cosine and sine are given, or turned back. */
INLINE void turn(long half, const real *from, const real *cosine, const real *sine, const int back, real *to) {
    for (long j = 0; j < half; j += LANES) {
        long left = half - j;
        vec a = get(from + j, left), b = get(from + half + j, left);
        vec c = get(cosine + j, left), s = get(sine + j, left);
        if (back) s = -s;
        put(to + j, left, a * c - b * s);
        put(to + half + j, left, a * s + b * c);
    }
}

static void turn_rows(const Attention *x, const Heads *from, long g, long h, long count, long first, long run, real *to) {
    long half = x->width / 2;
    for (long t = 0; t < count; t++) {
        long angle = (first + t % run) * half;
        turn(half, row_of(from, g, h, t), x->cosine + angle, x->sine + angle, 0, to + t * x->width);
    }
}

static void turn_back(const Attention *x, const real *from, long count, long first, long run, const Heads *to, long g, long h) {
    long half = x->width / 2;
    for (long t = 0; t < count; t++) {
        long angle = (first + t % run) * half;
        turn(half, from + t * x->width, x->cosine + angle, x->sine + angle, 1, row_of(to, g, h, t));
    }
}

/* What a group's queries see. */
static void open_keys(Head *w, long g) {
    const Attention *x = w->x;
    const uint8_t *mask = x->mask + g * x->mask_group;
    w->causal = x->keys == x->queries;
    for (long t = 0; t < x->queries; t++) {
        real *open = w->open + t * w->ld;
        for (long j = 0; j < x->keys; j++) open[j] = mask[t * x->keys + j];
        for (long j = x->keys; j < w->ld; j++) open[j] = j >= w->keys && j < w->keys + x->persistent;
        for (long j = t + 1; w->causal && j < x->keys; j++) w->causal = !mask[t * x->keys + j];
    }
}

/* The transpose of some rows, filled up with 0 to whole vectors. */
static void transposed(long count, long width, const real *rows, long stride, real *filled_rows, real *to) {
    long all = filled(count);
    for (long t = 0; t < count; t++) memcpy(filled_rows + t * width, rows + t * stride, width * sizeof(real));
    memset(filled_rows + count * width, 0, (all - count) * width * sizeof(real));
    transpose(all, width, filled_rows, to);
}

/* The weights of a row from its scores. `score - score`: the exponential makes a number of what is none. */
static void softmax_row(long ld, const real *open, real scale, real *row) {
    const real far = sizeof(real) == 8 ? 1e300 : 1e30f;
    vec most = (vec){0} - far, sum = {0};
    for (long j = 0; j < ld; j += LANES) {
        vec score = at(row + j) * scale + (at(open + j) - 1) * far;
        most = larger(score, most), *(vec *)(row + j) = score;
    }
    real top = most[0];
    for (int i = 1; i < LANES; i++) top = most[i] > top ? most[i] : top;
    for (long j = 0; j < ld; j += LANES) {
        vec score = at(row + j), share = (exponential(score - top) + (score - score)) * at(open + j);
        sum += share, *(vec *)(row + j) = share;
    }
    real by = 1 / total(sum);
    for (long j = 0; j < ld; j += LANES) *(vec *)(row + j) = at(row + j) * by;
}

static void head_forward(Head *w, long g, long h, real *weights) {
    const Attention *x = w->x;
    long width = x->width, own = w->ld - w->keys, queries = x->queries;
    const real *own_keys = x->own_keys + h * x->persistent * width, *own_values = x->own_values + h * x->persistent * width;
    const real scale = 1 / __builtin_sqrt(width);
    real *y = row_of(&x->y, g, h, 0);
    turn_rows(x, &x->q, g, h, queries, x->first, queries, w->turned_q);
    turn_rows(x, &x->k, g, h, x->keys, 0, x->keys / x->runs, w->turned_k);
    transposed(x->keys, width, w->turned_k, width, w->rows, w->right);
    transposed(x->persistent, width, own_keys, width, w->rows, w->own);
    multiply(WHOLE, queries, w->keys, width, w->turned_q, width, 1, w->right, w->keys, weights, w->ld, 0);
    multiply(WHOLE, queries, own, width, row_of(&x->q, g, h, 0), x->q.token, 1, w->own, own, weights + w->keys, w->ld, 0);
    for (long t = 0; t < queries; t++) softmax_row(w->ld, w->open + t * w->ld, scale, weights + t * w->ld);
    multiply(w->causal ? BELOW : WHOLE, queries, width, x->keys, weights, w->ld, 1, row_of(&x->v, g, h, 0), x->v.token, y,
             x->y.token, 0);
    multiply(WHOLE, queries, width, x->persistent, weights + w->keys, w->ld, 1, own_values, width, y, x->y.token, 1);
}

/* From the gradients by the weights to those by the scores before they are scaled, in place. */
static void through_softmax(const Head *w, const real *weights, real *by) {
    const real scale = 1 / __builtin_sqrt(w->x->width);
    for (long t = 0; t < w->x->queries; t++, weights += w->ld, by += w->ld) {
        real along = dot(w->ld, weights, by);
        for (long j = 0; j < w->ld; j += LANES) *(vec *)(by + j) = at(weights + j) * (at(by + j) - along) * scale;
    }
}

static void head_backward(Head *w, long g, long h, const real *weights) {
    const Attention *x = w->x;
    long width = x->width, own = w->ld - w->keys, queries = x->queries, ld = w->ld, from = h * x->persistent * width;
    long to = (g * x->heads + h) * x->persistent * width;
    const real *grad = row_of(&x->y, g, h, 0), *q = row_of(&x->q, g, h, 0);
    Part below = w->causal ? BELOW : WHOLE, above = w->causal ? ABOVE : WHOLE;
    turn_rows(x, &x->q, g, h, queries, x->first, queries, w->turned_q);
    turn_rows(x, &x->k, g, h, x->keys, 0, x->keys / x->runs, w->turned_k);
    transposed(x->keys, width, row_of(&x->v, g, h, 0), x->v.token, w->rows, w->right);
    transposed(x->persistent, width, x->own_values + from, width, w->rows, w->own);
    real *by = w->scores;
    multiply(WHOLE, queries, w->keys, width, grad, x->y.token, 1, w->right, w->keys, by, ld, 0);
    multiply(WHOLE, queries, own, width, grad, x->y.token, 1, w->own, own, by + w->keys, ld, 0);
    through_softmax(w, weights, by);
    multiply(below, queries, width, x->keys, by, ld, 1, w->turned_k, width, w->rows, width, 0);
    turn_back(x, w->rows, queries, x->first, queries, &x->by_q, g, h);
    multiply(WHOLE, queries, width, x->persistent, by + w->keys, ld, 1, x->own_keys + from, width, row_of(&x->by_q, g, h, 0),
             x->by_q.token, 1);
    multiply(above, x->keys, width, queries, by, 1, ld, w->turned_q, width, w->rows, width, 0);
    turn_back(x, w->rows, x->keys, 0, x->keys / x->runs, &x->by_k, g, h);
    multiply(above, x->keys, width, queries, weights, 1, ld, grad, x->y.token, row_of(&x->by_v, g, h, 0), x->by_v.token, 0);
    multiply(WHOLE, x->persistent, width, queries, by + w->keys, 1, ld, q, x->q.token, x->by_own_keys + to, width, 0);
    multiply(WHOLE, x->persistent, width, queries, weights + w->keys, 1, ld, grad, x->y.token, x->by_own_values + to, width,
             0);
}

/* Groups first to last, as `Part_of` in memory.c; weights that are not to be kept lie in the scratch. */
void attend(const void *none, const Attention *x, real *scratch, int64_t first, int64_t last) {
    (void)none;
    Head w;
    lay(&w, x, scratch);
    for (long g = first; g < last; g++) {
        if (g == first || x->mask_group) open_keys(&w, g);
        for (long h = 0; h < x->heads; h++)
            head_forward(&w, g, h, x->weights ? x->weights + (g * x->heads + h) * x->queries * w.ld : w.scores);
    }
}

void attend_backward(const void *none, const Attention *x, real *scratch, int64_t first, int64_t last) {
    (void)none;
    Head w;
    lay(&w, x, scratch);
    for (long g = first; g < last; g++) {
        if (g == first || x->mask_group) open_keys(&w, g);
        for (long h = 0; h < x->heads; h++)
            head_backward(&w, g, h, x->weights + (g * x->heads + h) * x->queries * w.ld);
    }
}
