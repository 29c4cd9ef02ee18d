/* Attention over [keys, persistent keys], a head of a sequence at a time and a block of its queries after the other, with
   its gradient: rotations, products and softmax while everything is in the cache. attention.py has the calls;
   titans_ts/core/attention.py says in torch what it is (attend_plain). The rotated query meets the keys, the plain one
   the persistent keys. Blocks of keys that a block of queries does not see are left out. */

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
    real *weights;    /* (groups, heads, queries, ld); NULL: not kept, the backward finds them again */
    Heads by_q, by_k, by_v;
    real *by_own_keys, *by_own_values; /* (groups, heads, persistent, width): to be summed up */
} Attention;

enum { QUERIES = 64, KEYS = 64, MOST = 32 }; /* of a block; ranges of keys */

/* The keys that a block of queries sees, in ranges; the last one is that of the persistent keys. */
typedef struct {
    long count, start[MOST], stop[MOST];
} Ranges;

typedef struct {
    const Attention *x;
    long keys, ld;                       /* keys filled up, and all of a row of weights */
    int causal;                          /* there is one block of queries, and query t sees no key after t */
    uint8_t *open;                       /* (queries, ld): 1 where a key is seen, else 0 */
    real *turned_q, *turned_k;           /* (a block, width), (keys, width) */
    real *keys_right, *values_right;     /* (width, keys): transposes */
    real *own_right;                     /* (width, filled persistent): that of persistent keys or values */
    real *rows, *scores, *by, *by_turned; /* for a moment; (a block, ld) twice; (keys, width) */
    real *shown; /* (a block, ld): `open` of the block from query `shown_query` on */
    long shown_query;
} Head;

static real *lay(Head *w, const Attention *x, real *free) {
    long keys = filled(x->keys), own = filled(x->persistent), most = keys > QUERIES ? keys : QUERIES;
    *w = (Head){.x = x, .keys = keys, .ld = keys + own};
    w->open = (uint8_t *)take(&free, x->queries * w->ld / sizeof(real) + 1);
    w->turned_q = take(&free, QUERIES * x->width), w->turned_k = take(&free, keys * x->width);
    w->keys_right = take(&free, x->width * keys), w->values_right = take(&free, x->width * keys);
    w->own_right = take(&free, x->width * own), w->rows = take(&free, (most > own ? most : own) * x->width);
    w->scores = take(&free, QUERIES * w->ld), w->by = take(&free, QUERIES * w->ld);
    w->by_turned = take(&free, keys * x->width), w->shown = take(&free, QUERIES * w->ld);
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

/* Rows `stride` apart at positions first, first + 1, ..., which begin again after every `run` of them. */
INLINE void turn_rows(const Attention *x, const real *from, long stride, long count, long first, long run, const int back,
                      real *to, long to_stride) {
    long half = x->width / 2;
    for (long t = 0; t < count; t++) {
        long angle = (first + t % run) * half;
        turn(half, from + t * stride, x->cosine + angle, x->sine + angle, back, to + t * to_stride);
    }
}

/* What a group's queries see. */
static void open_keys(Head *w, long g) {
    const Attention *x = w->x;
    const uint8_t *mask = x->mask + g * x->mask_group;
    w->causal = x->keys == x->queries && x->queries <= QUERIES, w->shown_query = -1;
    for (long t = 0; t < x->queries; t++) {
        uint8_t *open = w->open + t * w->ld;
        memcpy(open, mask + t * x->keys, x->keys);
        for (long j = x->keys; j < w->ld; j++) open[j] = j >= w->keys && j < w->keys + x->persistent;
        for (long j = t + 1; w->causal && j < x->keys; j++) w->causal = !open[j];
    }
}

/* `open` as numbers; a flat loop is what compilers turn into vectors. */
static void show(Head *w, long query, long count) {
    const uint8_t *open = w->open + query * w->ld;
    real *restrict shown = w->shown;
    long numbers = count * w->ld;
    if (w->shown_query == query) return;
    for (long i = 0; i < numbers; i++) shown[i] = open[i];
    w->shown_query = query;
}

static int is_seen(const Head *w, long query, long count, long key, long stop) {
    for (long t = query; t < query + count; t++)
        if (memchr(w->open + t * w->ld + key, 1, stop - key)) return 1;
    return 0;
}

static void seen_by(const Head *w, long query, long count, Ranges *seen) {
    long last = 0; /* end of the last range */
    seen->count = 0;
    for (long key = 0; key < w->keys; key += KEYS) {
        long stop = key + KEYS < w->keys ? key + KEYS : w->keys;
        if (!is_seen(w, query, count, key, stop)) continue;
        if (seen->count && (last == key || seen->count == MOST - 1))
            seen->stop[seen->count - 1] = stop;
        else
            seen->start[seen->count] = key, seen->stop[seen->count++] = stop;
        last = stop;
    }
    seen->start[seen->count] = w->keys, seen->stop[seen->count++] = w->ld;
}

/* The transpose of some rows, filled up with 0 to whole vectors. */
static void transposed(long count, long width, const real *rows, long stride, real *filled_rows, real *to) {
    long all = filled(count);
    for (long t = 0; t < count; t++) memcpy(filled_rows + t * width, rows + t * stride, width * sizeof(real));
    memset(filled_rows + count * width, 0, (all - count) * width * sizeof(real));
    transpose(all, width, filled_rows, to);
}

/* The weights of a row from its scores. `score - score`: the exponential makes a number of what is none. */
static void softmax_row(const Ranges *seen, const real *open, real scale, real *row) {
    const real far = sizeof(real) == 8 ? 1e300 : 1e30f;
    vec most = (vec){0} - far, sum = {0};
    for (long r = 0; r < seen->count; r++)
        for (long j = seen->start[r]; j < seen->stop[r]; j += LANES) {
            vec score = at(row + j) * scale + (at(open + j) - 1) * far;
            most = larger(score, most), *(vec *)(row + j) = score;
        }
    real top = most[0];
    for (int i = 1; i < LANES; i++) top = most[i] > top ? most[i] : top;
    for (long r = 0; r < seen->count; r++)
        for (long j = seen->start[r]; j < seen->stop[r]; j += LANES) {
            vec score = at(row + j), share = (exponential(score - top) + (score - score)) * at(open + j);
            sum += share, *(vec *)(row + j) = share;
        }
    real by = 1 / total(sum);
    for (long r = 0; r < seen->count; r++)
        for (long j = seen->start[r]; j < seen->stop[r]; j += LANES) *(vec *)(row + j) = at(row + j) * by;
}

/* A block of queries of a head. */
typedef struct {
    long g, h, query, count;
    Ranges seen;
    real *weights;
} Block;

/* Products of rows of the block with all the keys that it sees, and of others with the persistent ones. */
static void with_keys(const Head *w, const Block *b, const real *rows, long stride, const real *right, const real *others,
                      long others_stride, real *to) {
    long own = w->ld - w->keys;
    for (long r = 0; r < b->seen.count - 1; r++) {
        long key = b->seen.start[r], many = b->seen.stop[r] - key;
        multiply(WHOLE, b->count, many, w->x->width, rows, stride, 1, right + key, w->keys, to + key, w->ld, 0);
    }
    multiply(WHOLE, b->count, own, w->x->width, others, others_stride, 1, w->own_right, own, to + w->keys, w->ld, 0);
}

/* to = weights (the block's rows, ld apart) times the rows of the keys that it sees. */
static void over_keys(const Head *w, const Block *b, const real *weights, const real *rows, long stride, real *to,
                      long to_stride) {
    Part part = w->causal ? BELOW : WHOLE;
    if (b->seen.count == 1)
        for (long t = 0; t < b->count; t++) memset(to + t * to_stride, 0, w->x->width * sizeof(real));
    for (long r = 0; r < b->seen.count - 1; r++) {
        long key = b->seen.start[r], stop = b->seen.stop[r] < w->x->keys ? b->seen.stop[r] : w->x->keys;
        multiply(part, b->count, w->x->width, stop - key, weights + key, w->ld, 1, rows + key * stride, stride, to, to_stride,
                 r > 0);
    }
}

/* Adds weights^T (the block's rows, ld apart) times rows of the block to those of the keys that it sees. */
static void onto_keys(const Head *w, const Block *b, const real *weights, const real *rows, long stride, real *to,
                      long to_stride) {
    Part part = w->causal ? ABOVE : WHOLE;
    for (long r = 0; r < b->seen.count - 1; r++) {
        long key = b->seen.start[r], stop = b->seen.stop[r] < w->x->keys ? b->seen.stop[r] : w->x->keys;
        multiply(part, stop - key, w->x->width, b->count, weights + key, 1, w->ld, rows, stride, to + key * to_stride,
                 to_stride, 1);
    }
}

/* The block's queries turned, and where they are to be found the weights. */
static Block begin_block(Head *w, long g, long h, long query, int known) {
    const Attention *x = w->x;
    Block b = {.g = g, .h = h, .query = query, .count = x->queries - query < QUERIES ? x->queries - query : QUERIES};
    const real *q = row_of(&x->q, g, h, query), scale = 1 / __builtin_sqrt(x->width);
    seen_by(w, query, b.count, &b.seen);
    b.weights = x->weights ? x->weights + ((g * x->heads + h) * x->queries + query) * w->ld : w->scores;
    turn_rows(x, q, x->q.token, b.count, x->first + query, b.count, 0, w->turned_q, x->width);
    if (known) return b;
    show(w, query, b.count);
    transposed(x->persistent, x->width, x->own_keys + h * x->persistent * x->width, x->width, w->rows, w->own_right);
    with_keys(w, &b, w->turned_q, x->width, w->keys_right, q, x->q.token, b.weights);
    for (long t = 0; t < b.count; t++)
        softmax_row(&b.seen, w->shown + t * w->ld, scale, b.weights + t * w->ld);
    return b;
}

static void begin_head(Head *w, long g, long h, int known) {
    const Attention *x = w->x;
    turn_rows(x, row_of(&x->k, g, h, 0), x->k.token, x->keys, 0, x->keys / x->runs, 0, w->turned_k, x->width);
    if (!known) transposed(x->keys, x->width, w->turned_k, x->width, w->rows, w->keys_right);
}

static void head_forward(Head *w, long g, long h) {
    const Attention *x = w->x;
    long width = x->width;
    begin_head(w, g, h, 0);
    for (long query = 0; query < x->queries; query += QUERIES) {
        Block b = begin_block(w, g, h, query, 0);
        real *y = row_of(&x->y, g, h, query);
        over_keys(w, &b, b.weights, row_of(&x->v, g, h, 0), x->v.token, y, x->y.token);
        multiply(WHOLE, b.count, width, x->persistent, b.weights + w->keys, w->ld, 1,
                 x->own_values + h * x->persistent * width, width, y, x->y.token, 1);
    }
}

/* From the gradients by the weights to those by the scores before they are scaled, in place. */
static void through_softmax(const Head *w, const Block *b, real *by) {
    const real scale = 1 / __builtin_sqrt(w->x->width), *weights = b->weights;
    for (long t = 0; t < b->count; t++, weights += w->ld, by += w->ld) {
        real along = 0;
        for (long r = 0; r < b->seen.count; r++)
            along += dot(b->seen.stop[r] - b->seen.start[r], weights + b->seen.start[r], by + b->seen.start[r]);
        for (long r = 0; r < b->seen.count; r++)
            for (long j = b->seen.start[r]; j < b->seen.stop[r]; j += LANES)
                *(vec *)(by + j) = at(weights + j) * (at(by + j) - along) * scale;
    }
}

static void block_backward(Head *w, const Block *b) {
    const Attention *x = w->x;
    long width = x->width, g = b->g, h = b->h, ld = w->ld, from = h * x->persistent * width;
    long to = (g * x->heads + h) * x->persistent * width;
    const real *grad = row_of(&x->y, g, h, b->query), *q = row_of(&x->q, g, h, b->query);
    real *by = w->by, *by_q = row_of(&x->by_q, g, h, b->query);
    transposed(x->persistent, width, x->own_values + from, width, w->rows, w->own_right);
    with_keys(w, b, grad, x->y.token, w->values_right, grad, x->y.token, by);
    through_softmax(w, b, by);
    over_keys(w, b, by, w->turned_k, width, w->rows, width);
    turn_rows(x, w->rows, width, b->count, x->first + b->query, b->count, 1, by_q, x->by_q.token);
    multiply(WHOLE, b->count, width, x->persistent, by + w->keys, ld, 1, x->own_keys + from, width, by_q, x->by_q.token, 1);
    onto_keys(w, b, by, w->turned_q, width, w->by_turned, width);
    onto_keys(w, b, b->weights, grad, x->y.token, row_of(&x->by_v, g, h, 0), x->by_v.token);
    multiply(WHOLE, x->persistent, width, b->count, by + w->keys, 1, ld, q, x->q.token, x->by_own_keys + to, width,
             b->query > 0);
    multiply(WHOLE, x->persistent, width, b->count, b->weights + w->keys, 1, ld, grad, x->y.token, x->by_own_values + to,
             width, b->query > 0);
}

static void head_backward(Head *w, long g, long h) {
    const Attention *x = w->x;
    int known = x->weights != 0;
    begin_head(w, g, h, known);
    transposed(x->keys, x->width, row_of(&x->v, g, h, 0), x->v.token, w->rows, w->values_right);
    memset(w->by_turned, 0, x->keys * x->width * sizeof(real));
    for (long t = 0; t < x->keys; t++) memset(row_of(&x->by_v, g, h, t), 0, x->width * sizeof(real));
    for (long query = 0; query < x->queries; query += QUERIES) {
        Block b = begin_block(w, g, h, query, known);
        block_backward(w, &b);
    }
    turn_rows(x, w->by_turned, x->width, x->keys, 0, x->keys / x->runs, 1, row_of(&x->by_k, g, h, 0), x->by_k.token);
}

/* Heads of sequences, first to last, as `Part_of` in memory.c. */
INLINE void run_heads(const Attention *x, real *scratch, long first, long last, void head(Head *, long, long)) {
    Head w;
    lay(&w, x, scratch);
    for (long i = first; i < last; i++) {
        long g = i / x->heads;
        if (i == first || (x->mask_group && i % x->heads == 0)) open_keys(&w, g);
        head(&w, g, i % x->heads);
    }
}

void attend(const void *none, const Attention *x, real *scratch, int64_t first, int64_t last) {
    (void)none;
    run_heads(x, scratch, first, last, head_forward);
}

void attend_backward(const void *none, const Attention *x, real *scratch, int64_t first, int64_t last) {
    (void)none;
    run_heads(x, scratch, first, last, head_backward);
}
