/* The chunk form of both memories and its outer gradient, a memory (one sequence, one head) at a time, so that its
   states stay in the cache. The equations are those of kernels/MATH.md, sections 1 to 3; torch_path and the two cell.py
   have the same in torch. Built once per number type: REAL is float or double. See library.py for the caller.

   Tokens of a chunk are rows, filled up to a multiple of LANES with masked ones, which leave everything as it is. */

#include <stdlib.h>
#if defined(__SSE__)
#include <immintrin.h>
#endif

#include "products.h"

enum { DEPTH = 8 };

/* A tensor as (batch, token, head, layer or entry) with its strides in numbers; a state's are (batch, head, row, -). */
typedef struct {
    real *data;
    int64_t stride[4];
} Tensor;

typedef struct {
    int64_t batch, tokens, heads, depth, chunk, position;
    int64_t segment; /* chunks between two saved states */
    int64_t residual, every_token, width[DEPTH + 1];
} Job;

/* What comes in and goes out; `by_` are gradients. mask and starts may have no data: no mask, nothing saved; in the
   backward y and new_ are gradients, and one without data is 0; by_momentum and by_anchor may have none: not asked for.
   The data of starts are pointers, one a segment, to the states of all memories at its start; none for the first
   segment, which starts from weights and momentum. */
typedef struct {
    Tensor q, k, v, alpha, eta, theta, mask, y, starts, weights[DEPTH], momentum[DEPTH], anchor[DEPTH];
    Tensor new_weights[DEPTH], new_momentum[DEPTH], new_anchor[DEPTH];
    Tensor by_q, by_k, by_v, by_alpha, by_eta, by_theta;
    Tensor by_weights[DEPTH], by_momentum[DEPTH], by_anchor[DEPTH];
} Call;

typedef struct {
    long start, count;
    int opens;
} Chunk;

/* The coefficients of one layer: rows t = 0 .. n - 1 are after token t; `decay` is the product of the momentum gates
   from token i to t, `share` how much of token i's step is in the weights. */
typedef struct {
    double *forget, *eta, *theta, *real_token;    /* (n): 1 - alpha and so on; real_token is 0 for a masked one */
    double *kept, *carried, *kept_momentum;       /* (n): of the first weights and momentum */
    double *share, *decay;                        /* (n, ld) */
    real *keep, *carry, *write, *last, *momentum; /* as `Rows` and `End` in gates.py; last = write of the last row */
    real *by_keep, *by_carry, *by_write, *by_last, *by_momentum;
    real end[3], by_end[3]; /* keep, carry, keep_momentum at the chunk's end */
} Gates;

typedef struct {
    long in, out;
    Gates gates;
    real *a, *delta, *z, *scores, *slope, *bend, *back, *read_slope;
    real *by_a, *by_delta;
    real *weights, *momentum, *anchor, *anchor_turned; /* at the chunk's start */
    real *into_weights, *into_momentum, *into_anchor;
    real *own_weights, *own_momentum;  /* room for states that are kept nowhere else */
    int no_momentum, no_into, wanted;  /* momentum is 0; nothing comes from later chunks; into_momentum is asked for */
} Layer;

typedef struct {
    real *value, *scale;
} Normed;

typedef struct {
    const Job *job;
    long n, ld, depth; /* tokens of the chunk with filling, most of them, layers */
    Layer layer[DEPTH];
    real *q, *k, *v, *y, *grad, *into_q, *into_k, *into_v, *states;
    Normed keys, reads;
    real *products, *key_weights, *key_momentum, *system, *by_side; /* of the token anchor */
    real *one, *two, *three, *four, *five, *six, *turned;           /* for a moment */
} Work;

/* ---- memory of one thread ---- */

static double *take_double(real **free, long numbers) {
    return (double *)take(free, numbers * (long)(sizeof(double) / sizeof(real)));
}

static void lay_gates(Gates *g, long n, real **free) {
    double **vectors[] = {&g->forget, &g->eta, &g->theta, &g->real_token, &g->kept, &g->carried, &g->kept_momentum};
    real **numbers[] = {&g->keep,    &g->carry,    &g->last,    &g->momentum,
                        &g->by_keep, &g->by_carry, &g->by_last, &g->by_momentum};
    for (int i = 0; i < 7; i++) *vectors[i] = take_double(free, n);
    for (int i = 0; i < 8; i++) *numbers[i] = take(free, n);
    g->share = take_double(free, n * n), g->decay = take_double(free, n * n);
    g->write = take(free, n * n), g->by_write = take(free, n * n);
}

static long state_size(const Job *job) {
    long size = 0;
    for (int l = 0; l < job->depth; l++) size += 2 * job->width[l] * job->width[l + 1];
    return size;
}

/* Lays the work out from `free` on; with free = NULL only the end counts. */
static real *lay(Work *w, const Job *job, real *free) {
    long n = filled(job->chunk), widest = 0, largest = n * n;
    long keys = job->width[0], values = job->width[job->depth];
    *w = (Work){.job = job, .ld = n, .depth = job->depth};
    for (int l = 0; l <= job->depth; l++) widest = job->width[l] > widest ? job->width[l] : widest;
    real **of_keys[] = {&w->q, &w->k, &w->into_q, &w->into_k};
    real **of_values[] = {&w->v, &w->y, &w->grad, &w->into_v, &w->keys.value, &w->reads.value};
    for (int i = 0; i < 4; i++) *of_keys[i] = take(&free, n * keys);
    for (int i = 0; i < 6; i++) *of_values[i] = take(&free, n * values);
    w->keys.scale = take(&free, n), w->reads.scale = take(&free, n);
    for (int l = 0; l < job->depth; l++) {
        Layer *layer = &w->layer[l];
        long in = layer->in = job->width[l], out = layer->out = job->width[l + 1];
        largest = in * out > largest ? in * out : largest;
        real **inputs[] = {&layer->a, &layer->z, &layer->by_a, &layer->slope, &layer->bend, &layer->back, &layer->read_slope};
        real **states[] = {&layer->own_weights,  &layer->own_momentum,  &layer->anchor,     &layer->anchor_turned,
                           &layer->into_weights, &layer->into_momentum, &layer->into_anchor};
        for (int i = 0; i < (l ? 7 : 3); i++) *inputs[i] = take(&free, n * in);
        for (int i = 0; i < 7; i++) *states[i] = take(&free, in * out);
        layer->delta = take(&free, n * out), layer->by_delta = take(&free, n * out);
        layer->scores = take(&free, n * n);
        lay_gates(&layer->gates, n, &free);
    }
    real **moments[] = {&w->one, &w->two, &w->three, &w->four, &w->five, &w->six};
    for (int i = 0; i < 6; i++) *moments[i] = take(&free, n * (widest > n ? widest : n));
    w->turned = take(&free, largest > n * widest ? largest : n * widest);
    if (job->every_token) {
        w->products = take(&free, n * n), w->system = take(&free, n * n);
        w->key_weights = take(&free, n * values), w->key_momentum = take(&free, n * values);
        w->by_side = take(&free, n * values);
    }
    if (job->segment > 1) w->states = take(&free, job->segment * state_size(job));
    return free;
}

/* ---- the sequence in chunks ---- */

static long chunks(const Job *job) {
    long head = job->position ? job->chunk - job->position : 0;
    if (head >= job->tokens) return 1;
    return (head > 0) + (job->tokens - head + job->chunk - 1) / job->chunk;
}

static Chunk chunk_at(const Job *job, long i) {
    long head = job->position ? job->chunk - job->position : 0;
    if (head && i == 0) return (Chunk){0, head < job->tokens ? head : job->tokens, 0};
    long start = head + (i - (head > 0)) * job->chunk, left = job->tokens - start;
    return (Chunk){start, left < job->chunk ? left : job->chunk, 1};
}

static real *place(const Tensor *x, long b, long t, long h) {
    return x->data + b * x->stride[0] + t * x->stride[1] + h * x->stride[2];
}

INLINE void copy_row(long width, const real *from, real *to) {
    long j = 0;
    for (; j + LANES <= width; j += LANES) *(vec *)(to + j) = at(from + j);
    for (; j < width; j++) to[j] = from[j];
}

static void get_rows(const Tensor *x, long b, long h, Chunk c, long n, long width, real *to) {
    long count = x->data ? c.count : 0;
    for (long t = 0; t < count; t++) copy_row(width, place(x, b, c.start + t, h), to + t * width);
    memset(to + count * width, 0, (n - count) * width * sizeof(real));
}

static void put_rows(const Tensor *x, long b, long h, Chunk c, long width, const real *from) {
    for (long t = 0; t < c.count; t++) copy_row(width, from + t * width, place(x, b, c.start + t, h));
}

static real *state_of(const Tensor *x, long b, long h) { return x->data + b * x->stride[0] + h * x->stride[1]; }

static int is_zero(long numbers, const real *x) {
    long i = 0;
    for (; i + LANES <= numbers; i += LANES) {
        vec some = at(x + i);
        if (total(some * some) != 0) return 0;
    }
    for (; i < numbers; i++)
        if (x[i] != 0) return 0;
    return 1;
}

static void add_state(const Tensor *x, long b, long h, const Layer *layer, real *to) {
    if (!x->data) return;
    const real *from = state_of(x, b, h);
    for (long i = 0; i < layer->in * layer->out; i++) to[i] += from[i];
}

/* ---- gates ---- */

static int is_real(const Call *call, long b, long t) {
    const uint8_t *mask = (const uint8_t *)call->mask.data;
    return !mask || mask[b * call->mask.stride[0] + t * call->mask.stride[1]];
}

static void read_gates(Gates *g, const Call *call, long b, long h, int l, Chunk c, long n) {
    for (long t = 0; t < n; t++) {
        int real_token = t < c.count && is_real(call, b, c.start + t);
        g->real_token[t] = real_token;
        g->forget[t] = g->eta[t] = 1, g->theta[t] = 0;
        if (!real_token) continue;
        g->forget[t] = 1 - (double)place(&call->alpha, b, c.start + t, h)[l * call->alpha.stride[3]];
        g->eta[t] = place(&call->eta, b, c.start + t, h)[l * call->eta.stride[3]];
        g->theta[t] = place(&call->theta, b, c.start + t, h)[l * call->theta.stride[3]];
    }
}

/* Doubles of the gates, WIDE at a time; a `thin` is as many of type real. */
typedef double wide __attribute__((vector_size(BYTES), aligned(sizeof(double)), may_alias));
enum { WIDE = BYTES / sizeof(double) };
typedef real thin __attribute__((vector_size(WIDE * sizeof(real)), aligned(sizeof(real)), may_alias));

INLINE wide doubles(const double *x) { return *(const wide *)x; }

INLINE wide widened(const real *x) { return __builtin_convertvector(*(const thin *)x, wide); }

INLINE double sum_of_doubles(wide x) {
    double sum = 0;
    for (int i = 0; i < WIDE / 2; i++) sum += x[i] + x[i + WIDE / 2];
    return sum;
}

/* The coefficients, by rows: share[t] = forget[t] share[t - 1] + decay[t], decay[t] = eta[t] decay[t - 1]. The last
   vector of a row has 0 beyond its end. */
static void coefficients(Gates *g, long n, long ld) {
    double kept = 1, carried = 0, momentum = 1;
    for (long t = 0; t < n; t++) {
        double *share = g->share + t * ld, *decay = g->decay + t * ld, forget = g->forget[t], eta = g->eta[t];
        const double *old_share = share - ld, *old_decay = decay - ld, is_real = g->real_token[t];
        if (t % WIDE == 0) *(wide *)(share + t) = *(wide *)(decay + t) = (wide){0};
        for (long i = 0; i < t; i += WIDE) {
            wide decayed = eta * doubles(old_decay + i);
            *(wide *)(decay + i) = decayed;
            *(wide *)(share + i) = forget * doubles(old_share + i) + is_real * decayed;
        }
        decay[t] = 1, share[t] = is_real;
        momentum *= eta, kept *= forget, carried = forget * carried + is_real * momentum;
        g->kept[t] = kept, g->carried[t] = carried, g->kept_momentum[t] = momentum;
        g->keep[t] = kept, g->carry[t] = carried;
        real *write = g->write + t * ld;
        for (long i = 0; i <= t; i += WIDE)
            *(thin *)(write + i) = __builtin_convertvector(-doubles(share + i) * doubles(g->theta + i), thin);
        for (long i = t + 1; i < n; i++) write[i] = 0; /* whatever theta is there */
    }
    const double *decay = g->decay + (n - 1) * ld;
    for (long i = 0; i < n; i++) g->momentum[i] = -decay[i] * g->theta[i];
    memcpy(g->last, g->write + (n - 1) * ld, n * sizeof(real));
    g->end[0] = kept, g->end[1] = carried, g->end[2] = momentum;
}

/* By the gates of token t from the gradients by its row and those after it; sums are by_forget and by_eta. */
INLINE void row_backward(const Gates *g, long t, long ld, double *by[3], double forget, double eta, double sums[2]) {
    const double *share = g->share + t * ld, *old_share = share - ld, *old_decay = g->decay + (t - 1) * ld;
    const real *write = g->by_write + t * ld;
    double *by_share = by[0], *by_decay = by[1], *by_theta = by[2], is_real = g->real_token[t];
    wide by_forget = {0}, by_eta = {0};
    for (long i = 0; i <= t; i += WIDE) {
        wide by_write = widened(write + i);
        wide shared = forget * doubles(by_share + i) - by_write * doubles(g->theta + i);
        wide decayed = eta * doubles(by_decay + i) + is_real * shared;
        *(wide *)(by_theta + i) -= by_write * doubles(share + i);
        *(wide *)(by_share + i) = shared, *(wide *)(by_decay + i) = decayed;
        if (i < t) by_forget += shared * doubles(old_share + i), by_eta += decayed * doubles(old_decay + i);
    }
    sums[0] = sum_of_doubles(by_forget), sums[1] = sum_of_doubles(by_eta);
}

/* From the gradients by the coefficients to those by alpha, eta and theta of layer l, backwards along the rows. */
static void gates_backward(Gates *g, const Call *call, long b, long h, int l, Chunk c, long n, long ld, double *by[3]) {
    double kept = g->by_end[0], carried = g->by_end[1], momentum = g->by_end[2], forget = 1, eta = 1;
    const double *last_decay = g->decay + (n - 1) * ld;
    for (long i = 0; i < n; i++) {
        g->by_write[(n - 1) * ld + i] += g->by_last[i];
        by[0][i] = 0, by[1][i] = -g->by_momentum[i] * g->theta[i];
        by[2][i] = -g->by_momentum[i] * last_decay[i];
    }
    for (long t = n - 1; t >= 0; t--) {
        double sums[2];
        row_backward(g, t, ld, by, forget, eta, sums);
        kept = forget * kept + g->by_keep[t];
        carried = forget * carried + g->by_carry[t];
        momentum = eta * momentum + g->real_token[t] * carried;
        sums[0] += carried * (t ? g->carried[t - 1] : 0) + kept * (t ? g->kept[t - 1] : 1);
        sums[1] += momentum * (t ? g->kept_momentum[t - 1] : 1);
        forget = g->forget[t], eta = g->eta[t];
        if (t >= c.count) continue;
        int found = g->real_token[t] != 0;
        place(&call->by_alpha, b, c.start + t, h)[l * call->by_alpha.stride[3]] = found ? -sums[0] : 0;
        place(&call->by_eta, b, c.start + t, h)[l * call->by_eta.stride[3]] = found ? sums[1] : 0;
    }
    for (long t = 0; t < c.count; t++)
        place(&call->by_theta, b, c.start + t, h)[l * call->by_theta.stride[3]] = g->real_token[t] != 0 ? by[2][t] : 0;
}

/* ---- rows ---- */

/* to = or += a, row t times weight[t]. */
INLINE void scale_rows(long n, long width, const real *weight, const real *a, real *to, const int add) {
    for (long t = 0; t < n; t++, a += width, to += width)
        for (long j = 0; j < width; j += LANES) {
            long left = width - j;
            vec scaled = get(a + j, left) * weight[t];
            if (add) scaled += get(to + j, left);
            put(to + j, left, scaled);
        }
}

static void dot_rows(long n, long width, const real *a, const real *b, real *to) {
    for (long t = 0; t < n; t++) to[t] = dot(width, a + t * width, b + t * width);
}

/* tanh-GELU of h: its value, slope and curvature (bend may be NULL); network.py has the formulas. */
static void curve(long numbers, const real *h, real *value, real *slope, real *bend) {
    const real c = 0.79788456080286535588, d = 0.044715;
    for (long i = 0; i < numbers; i += LANES) {
        vec x = at(h + i), square = x * x, steep = 2 * c + 6 * c * d * square, lift = x * steep;
        vec gate = 1 / (1 + exponential(-x * (2 * c + 2 * c * d * square))), bell = gate - gate * gate;
        *(vec *)(value + i) = x * gate;
        *(vec *)(slope + i) = gate + bell * lift;
        if (bend) *(vec *)(bend + i) = bell * (steep * (4 + lift * (1 - 2 * gate)) - 4 * c);
    }
}

/* LN without affine, eps 1. */
static void normalise(long n, long width, const real *h, Normed to) {
    for (long t = 0; t < n; t++) {
        const real *row = h + t * width;
        real *value = to.value + t * width, mean = sum_of(width, row) / width;
        for (long j = 0; j < width; j += LANES) put(value + j, width - j, get(row + j, width - j) - mean);
        real scale = to.scale[t] = 1 / __builtin_sqrt(dot(width, value, value) / width + 1);
        for (long j = 0; j < width; j += LANES) put(value + j, width - j, get(value + j, width - j) * scale);
    }
}

/* LN's backward. */
static void through_norm(long n, long width, const real *grad, Normed normed, real *to) {
    for (long t = 0; t < n; t++) {
        const real *g = grad + t * width, *value = normed.value + t * width;
        real mean = sum_of(width, g) / width, along = dot(width, g, value) / width, scale = normed.scale[t];
        for (long j = 0; j < width; j += LANES) {
            long left = width - j;
            put(to + t * width + j, left, scale * (get(g + j, left) - mean - get(value + j, left) * along));
        }
    }
}

/* Of whole vectors, as all rows of a chunk together are. */
static void multiply_into(long numbers, const real *a, const real *b, real *to) {
    for (long i = 0; i < numbers; i += LANES) *(vec *)(to + i) = at(a + i) * at(b + i);
}

/* to (n, in) = or += rows (n, out) state^T. What is smaller is turned: the state into `turned`, or the rows and the
   result; ONCE, for a state that others will want turned, the state. */
typedef enum { NEVER, ONCE, READY } Turn; /* whether it is turned for others, and lies in `turned` already */

static void multiply_turned(Work *w, const Layer *x, const real *rows, const real *state, real *turned, Turn use,
                            real *to, int add) {
    long n = w->n, in = x->in, out = x->out;
    if (use != NEVER || n * (in + out) >= in * out) {
        if (use != READY) transpose(in, out, state, turned);
        multiply(WHOLE, n, in, out, rows, out, 1, turned, in, to, in, add);
        return;
    }
    transpose(n, out, rows, w->five);
    multiply(WHOLE, in, n, out, state, out, 1, w->five, n, w->six, n, 0);
    transpose(in, n, w->six, add ? w->five : to);
    for (long i = 0; add && i < n * in; i += LANES) *(vec *)(to + i) += at(w->five + i);
}

/* ---- a chunk forwards ---- */

/* The gradient of the loss by M(k): 2 (k + LN - v). */
static void residual_error(const Work *w, long numbers, real *to) {
    const real *k = w->k, *value = w->keys.value, *v = w->v;
    for (long i = 0; i < numbers; i += LANES) *(vec *)(to + i) = 2 * (at(k + i) + at(value + i) - at(v + i));
}

static void key_side(Work *w, int keep) {
    long n = w->n, depth = w->depth;
    for (int l = 0; l < depth; l++) {
        Layer *x = &w->layer[l];
        real *h = l + 1 < depth ? w->one : x->delta;
        multiply(WHOLE, n, x->out, x->in, l ? x->a : w->k, x->in, 1, x->anchor, x->out, h, x->out, 0);
        if (l + 1 < depth) curve(n * x->out, h, x[1].a, x[1].slope, keep ? x[1].bend : 0);
    }
    Layer *x = &w->layer[depth - 1];
    if (w->job->residual) {
        normalise(n, x->out, x->delta, w->keys);
        residual_error(w, n * x->out, w->one);
        through_norm(n, x->out, w->one, w->keys, x->delta);
    } else
        for (long i = 0; i < n * x->out; i++) x->delta[i] = 2 * (x->delta[i] - w->v[i]);
    for (; x > w->layer; x--) {
        multiply_turned(w, x, x->delta, x->anchor, x->anchor_turned, keep ? ONCE : NEVER, x->back, 0);
        multiply_into(n * x->in, x->back, x->slope, x[-1].delta);
    }
}

/* Errors at the weights before every token, the linear memory's: a triangular system, row by row. */
static void solve(Work *w) {
    Layer *x = w->layer;
    long n = w->n, ld = w->ld, width = x->out;
    const Gates *g = &x->gates;
    multiply(WHOLE, n, width, x->in, w->k, x->in, 1, x->weights, width, w->key_weights, width, 0);
    multiply(WHOLE, n, width, x->in, w->k, x->in, 1, x->momentum, width, w->key_momentum, width, 0);
    transpose(n, x->in, w->k, w->turned);
    multiply(RESULT, n, n, x->in, w->k, x->in, 1, w->turned, n, w->products, ld, 0);
    for (long t = 0; t < n; t++) {
        real keep = t ? g->keep[t - 1] : 1, carry = t ? g->carry[t - 1] : 0, *error = x->delta + t * width;
        real *row = w->system + t * ld;
        for (long j = 0; j < width; j++) {
            long i = t * width + j;
            error[j] = 2 * (keep * w->key_weights[i] + carry * w->key_momentum[i] - w->v[i]);
        }
        for (long i = 0; i < n; i++) row[i] = i < t ? 2 * w->products[t * ld + i] * g->write[(t - 1) * ld + i] : 0;
        multiply(WHOLE, 1, width, t, row, 0, 1, x->delta, width, error, width, 1);
    }
}

/* Every token's read with the weights after it, in w->y; the last layer's output before the norm is not kept. */
static void read(Work *w) {
    long n = w->n, ld = w->ld, depth = w->depth;
    for (int l = 0; l < depth; l++) {
        Layer *x = &w->layer[l];
        const real *z = l ? x->z : w->q, *a = l ? x->a : w->k;
        real *out = l + 1 < depth ? w->one : w->y;
        transpose(n, x->in, a, w->turned);
        multiply(RESULT, n, n, x->in, z, x->in, 1, w->turned, n, x->scores, ld, 0);
        if (x->in < x->out) {
            scale_rows(n, x->in, x->gates.keep, z, w->two, 0);
            multiply(WHOLE, n, x->out, x->in, w->two, x->in, 1, x->weights, x->out, out, x->out, 0);
            if (!x->no_momentum) {
                scale_rows(n, x->in, x->gates.carry, z, w->two, 0);
                multiply(WHOLE, n, x->out, x->in, w->two, x->in, 1, x->momentum, x->out, out, x->out, 1);
            }
        } else {
            multiply(WHOLE, n, x->out, x->in, z, x->in, 1, x->weights, x->out, w->two, x->out, 0);
            scale_rows(n, x->out, x->gates.keep, w->two, out, 0);
            if (!x->no_momentum) {
                multiply(WHOLE, n, x->out, x->in, z, x->in, 1, x->momentum, x->out, w->two, x->out, 0);
                scale_rows(n, x->out, x->gates.carry, w->two, out, 1);
            }
        }
        for (long t = 0; t < n; t++) multiply_into(n, x->scores + t * ld, x->gates.write + t * ld, w->two + t * ld);
        multiply(BELOW, n, x->out, n, w->two, ld, 1, x->delta, x->out, out, x->out, 1);
        if (l + 1 < depth) curve(n * x->out, out, x[1].z, x[1].read_slope, 0);
    }
    if (!w->job->residual) return;
    long numbers = n * w->layer[depth - 1].out;
    normalise(n, w->layer[depth - 1].out, w->y, w->reads);
    for (long i = 0; i < numbers; i++) w->y[i] = w->q[i] + w->reads.value[i];
}

/* to = (weight a)^T b + old, the weights on the narrower side; no old has no `first`. */
static void outer_onto(Work *w, const Layer *x, const real *a, const real *b, const real *weight, real *to, Blend old) {
    int narrow = x->in < x->out;
    scale_rows(w->n, narrow ? x->in : x->out, weight, narrow ? a : b, w->two, 0);
    const real *left = narrow ? w->two : a, *right = narrow ? b : w->two;
    multiply_onto(WHOLE, x->in, x->out, w->n, left, 1, x->in, right, x->out, to, x->out, old.first ? &old : 0);
}

/* Weights and momentum of the chunk's end into `weights` and `momentum`, which may be the old ones. */
static void write(Work *w, int l, real *weights, real *momentum) {
    Layer *x = &w->layer[l];
    const Gates *g = &x->gates;
    const real *a = l ? x->a : w->k, *old = x->no_momentum ? 0 : x->momentum;
    outer_onto(w, x, a, x->delta, g->last, weights, (Blend){x->weights, old, g->end[0], g->end[1]});
    outer_onto(w, x, a, x->delta, g->momentum, momentum, (Blend){old, 0, g->end[2], 0});
}

INLINE void fetch(const Tensor *x, long b, long h, Chunk c, long width, const int to_write) {
    enum { LINE = 64 / sizeof(real) };
    for (long t = c.start; x->data && t < c.start + c.count; t++)
        for (long j = 0; j < width; j += LINE) {
            if (to_write) /* clang takes a number alone as the second argument */
                __builtin_prefetch(place(x, b, t, h) + j, 1);
            else
                __builtin_prefetch(place(x, b, t, h) + j, 0);
        }
}

/* Asks for the rows of chunk i, or of the next memory's first one there: they lie apart, so that nothing else does. Inline: gcc
   drops calls of what only fetches. */
INLINE void fetch_chunk(const Work *w, const Call *call, long memory, long i, int backward) {
    const Job *job = w->job;
    long count = chunks(job), keys = job->width[0], values = job->width[w->depth];
    if (i < 0 || i >= count) memory++, i = backward ? count - 1 : 0;
    if (memory >= job->batch * job->heads) return;
    long b = memory / job->heads, h = memory % job->heads;
    Chunk c = chunk_at(job, i);
    fetch(&call->k, b, h, c, keys, 0), fetch(&call->v, b, h, c, values, 0), fetch(&call->q, b, h, c, keys, 0);
    if (backward) fetch(&call->y, b, h, c, values, 0);
}

static void begin(Work *w, const Call *call, long b, long h, Chunk c) {
    long keys = w->job->width[0], values = w->job->width[w->depth];
    w->n = filled(c.count);
    get_rows(&call->k, b, h, c, w->n, keys, w->k);
    get_rows(&call->v, b, h, c, w->n, values, w->v);
    get_rows(&call->q, b, h, c, w->n, keys, w->q);
    for (int l = 0; l < w->depth; l++) {
        read_gates(&w->layer[l].gates, call, b, h, l, c, w->n);
        coefficients(&w->layer[l].gates, w->n, w->ld);
    }
}

static void errors(Work *w, int keep) {
    if (w->job->every_token)
        solve(w);
    else
        key_side(w, keep);
}

/* ---- a chunk backwards ---- */

/* Gradients by the before-coefficients, k and v of the token anchor's system. */
static void solve_backward(Work *w) {
    Layer *x = w->layer;
    long n = w->n, ld = w->ld, in = x->in, width = x->out;
    Gates *g = &x->gates;
    real *by_side = w->by_side, *by_system = w->one;
    for (long t = n - 1; t >= 0; t--) {
        real *row = by_side + t * width;
        memcpy(row, x->by_delta + t * width, width * sizeof(real));
        multiply(WHOLE, 1, width, n - 1 - t, w->system + (t + 1) * ld + t, 0, ld, row + width, width, row, width, 1);
    }
    for (long i = 0; i < n * width; i++) by_side[i] *= 2;
    transpose(n, width, x->delta, w->turned);
    multiply(RESULT, n, n, width, by_side, width, 1, w->turned, n, by_system, ld, 0);
    for (long t = 0; t < n; t++) {
        real *row = by_system + t * ld, *write = g->by_write + (t - 1) * ld;
        for (long i = 0; i < n; i++) {
            if (i < t) write[i] += row[i] * w->products[t * ld + i], row[i] *= g->write[(t - 1) * ld + i];
            else row[i] = 0;
        }
        if (!t) continue;
        g->by_keep[t - 1] += dot(width, by_side + t * width, w->key_weights + t * width);
        g->by_carry[t - 1] += dot(width, by_side + t * width, w->key_momentum + t * width);
    }
    multiply(BELOW, n, in, n, by_system, ld, 1, w->k, in, x->by_a, in, 1);
    multiply(ABOVE, n, in, n, by_system, 1, ld, w->k, in, x->by_a, in, 1);
    const real *sources[] = {x->weights, x->momentum};
    real *targets[] = {x->into_weights, x->into_momentum};
    for (int s = 0; s < 2; s++) {
        const real *rows = s ? g->carry : g->keep;
        for (long j = 0; j < width; j++) w->three[j] = s ? 0 : by_side[j];
        scale_rows(n - 1, width, rows, by_side + width, w->three + width, 0);
        multiply_turned(w, x, w->three, sources[s], w->turned, NEVER, x->by_a, 1);
        multiply(WHOLE, in, width, n, w->k, 1, in, w->three, width, targets[s], width, 1);
    }
    memcpy(w->into_k, x->by_a, n * in * sizeof(real));
    for (long i = 0; i < n * width; i++) w->into_v[i] = -by_side[i];
}

/* The write backwards: into_weights and into_momentum are at the chunk's end, adds to by_a and by_delta. */
static void write_backward(Work *w, Layer *x, const real *a) {
    long n = w->n, in = x->in, out = x->out;
    Gates *g = &x->gates;
    const real *into[] = {x->into_weights, x->into_momentum}, *weights[] = {g->last, g->momentum};
    real *found[] = {g->by_last, g->by_momentum};
    for (int s = 0; s < 2; s++) {
        if (x->no_into) {
            memset(found[s], 0, n * sizeof(real));
        } else if (in < out) {
            multiply_turned(w, x, x->delta, into[s], w->turned, NEVER, w->two, 0);
            scale_rows(n, in, weights[s], w->two, x->by_a, 1);
            dot_rows(n, in, w->two, a, found[s]);
            scale_rows(n, in, weights[s], a, w->two, 0);
            multiply(WHOLE, n, out, in, w->two, in, 1, into[s], out, x->by_delta, out, 1);
        } else {
            multiply(WHOLE, n, out, in, a, in, 1, into[s], out, w->two, out, 0);
            scale_rows(n, out, weights[s], w->two, x->by_delta, 1);
            dot_rows(n, out, w->two, x->delta, found[s]);
            scale_rows(n, out, weights[s], x->delta, w->two, 0);
            multiply_turned(w, x, w->two, into[s], w->turned, NEVER, x->by_a, 1);
        }
    }
}

/* into_weights and into_momentum from the chunk's end to its start, without what the anchor adds. */
static void states_backward(Work *w, Layer *x, const real *z, const real *grad) {
    Gates *g = &x->gates;
    real *weights = x->into_weights, *momentum = x->into_momentum;
    long size = x->no_into ? 0 : x->in * x->out;
    vec sum[3] = {0};
    long i = 0;
    for (; i + LANES <= size; i += LANES) {
        vec by = at(weights + i), old = at(x->momentum + i);
        sum[0] += by * at(x->weights + i), sum[1] += by * old, sum[2] += at(momentum + i) * old;
    }
    for (int s = 0; s < 3; s++) g->by_end[s] = total(sum[s]);
    for (; i < size; i++) {
        g->by_end[0] += weights[i] * x->weights[i], g->by_end[1] += weights[i] * x->momentum[i];
        g->by_end[2] += momentum[i] * x->momentum[i];
    }
    const real *old_weights = x->no_into ? 0 : weights, *old_momentum = x->no_into ? 0 : momentum;
    if (x->wanted)
        outer_onto(w, x, z, grad, g->carry, momentum, (Blend){old_momentum, old_weights, g->end[2], g->end[1]});
    outer_onto(w, x, z, grad, g->keep, weights, (Blend){old_weights, 0, g->end[0], 0});
}

/* A layer's read and write backwards; `grad` is the gradient by the read's output, that by z goes to `into_z`. */
static void layer_backward(Work *w, int l, const real *grad, real *into_z) {
    Layer *x = &w->layer[l];
    Gates *g = &x->gates;
    long n = w->n, ld = w->ld, in = x->in, out = x->out;
    const real *z = l ? x->z : w->q, *a = l ? x->a : w->k;
    transpose(n, out, x->delta, w->turned);
    multiply(RESULT, n, n, out, grad, out, 1, w->turned, n, g->by_write, ld, 0);
    for (long t = 0; t < n; t++) {
        real *by_score = g->by_write + t * ld, *write = g->write + t * ld, *scores = x->scores + t * ld;
        for (long i = 0; i < n; i += LANES) {
            vec by = at(by_score + i), score = at(scores + i), share = at(write + i);
            *(vec *)(w->three + t * ld + i) = by * share, *(vec *)(w->two + t * ld + i) = score * share;
            *(vec *)(by_score + i) = by * score;
        }
    }
    multiply(ABOVE, n, in, n, w->three, 1, ld, z, in, x->by_a, in, 0);
    multiply(ABOVE, n, out, n, w->two, 1, ld, grad, out, x->by_delta, out, 0);
    multiply(BELOW, n, in, n, w->three, ld, 1, a, in, into_z, in, 0);
    const real *states[] = {x->weights, x->momentum}, *rows[] = {g->keep, g->carry};
    real *found[] = {g->by_keep, g->by_carry};
    for (int s = 0; s < 2; s++) {
        if (s && x->no_momentum) {
            memset(found[s], 0, n * sizeof(real));
            continue;
        }
        int is_anchor = states[s] == x->anchor;
        Turn use = !is_anchor ? NEVER : l ? READY : ONCE;
        multiply_turned(w, x, grad, states[s], is_anchor ? x->anchor_turned : w->turned, use, w->two, 0);
        dot_rows(n, in, w->two, z, found[s]);
        scale_rows(n, in, rows[s], w->two, into_z, 1);
    }
    write_backward(w, x, a);
    states_backward(w, x, z, grad);
}

/* From the gradient by the last error to those by the last output (in place), k and v; network._OutputError. */
static void error_backward(Work *w, real *grad) {
    long n = w->n, width = w->layer[w->depth - 1].out;
    const real *error = w->layer[w->depth - 1].delta;
    if (!w->job->residual) {
        for (long i = 0; i < n * width; i += LANES) {
            vec by = 2 * at(grad + i);
            *(vec *)(grad + i) = by, *(vec *)(w->into_v + i) = -by;
        }
        return;
    }
    through_norm(n, width, grad, w->keys, w->into_k);
    residual_error(w, n * width, w->two);
    for (long t = 0; t < n; t++) {
        real *by = grad + t * width, *k = w->into_k + t * width, *residual = w->two + t * width, scale = w->keys.scale[t];
        const real *value = w->keys.value + t * width;
        real along = dot(width, residual, value) / width, across = dot(width, by, value) / width;
        w->three[t] = -dot(width, by, error + t * width) / width * scale;
        for (long j = 0; j < width; j += LANES) {
            long left = width - j;
            vec into = 2 * get(k + j, left);
            put(w->into_v + t * width + j, left, -into), put(k + j, left, into);
            put(residual + j, left, into - (get(by + j, left) * along + get(residual + j, left) * across) * scale);
        }
    }
    through_norm(n, width, w->two, w->keys, grad);
    scale_rows(n, width, w->three, w->keys.value, grad, 1);
}

/* The key side backwards from by_a and by_delta; what reaches the anchor is added to `into_anchor`. */
static void key_side_backward(Work *w) {
    long n = w->n, depth = w->depth;
    for (int l = 1; l < depth; l++) {
        Layer *x = &w->layer[l];
        real *by_back = x[-1].by_delta, *bend = x->bend, *back = x->back, *slope = x->slope;
        for (long i = 0; i < n * x->in; i += LANES) {
            vec by = at(by_back + i);
            *(vec *)(bend + i) *= at(back + i) * by, *(vec *)(by_back + i) = by * at(slope + i);
        }
        multiply(WHOLE, n, x->out, x->in, by_back, x->in, 1, x->anchor, x->out, x->by_delta, x->out, 1);
        multiply(WHOLE, x->in, x->out, n, by_back, 1, x->in, x->delta, x->out, x->into_anchor, x->out, 1);
    }
    real *outer = w->layer[depth - 1].by_delta;
    error_backward(w, outer);
    for (int l = depth - 1; l >= 0; l--) {
        Layer *x = &w->layer[l];
        multiply(WHOLE, x->in, x->out, n, l ? x->a : w->k, 1, x->in, outer, x->out, x->into_anchor, x->out, 1);
        multiply_turned(w, x, outer, x->anchor, x->anchor_turned, l || x->anchor == x->weights ? READY : ONCE, x->by_a, 1);
        outer = x->bend;
        const real *by_a = x->by_a, *slope = x->slope;
        for (long i = 0; l && i < n * x->in; i += LANES) *(vec *)(outer + i) += at(by_a + i) * at(slope + i);
    }
    real *by_k = w->layer[0].by_a, *into = w->into_k;
    if (w->job->residual)
        for (long i = 0; i < n * w->layer[0].in; i += LANES) *(vec *)(into + i) += at(by_k + i);
    else
        memcpy(into, by_k, n * w->layer[0].in * sizeof(real));
}

static void chunk_backward(Work *w) {
    long n = w->n, depth = w->depth, width = w->layer[depth - 1].out;
    real *outer = w->grad;
    if (w->job->residual) through_norm(n, width, w->grad, w->reads, outer = w->four);
    for (int l = depth - 1; l >= 0; l--) {
        Layer *x = &w->layer[l];
        real *into_z = l ? w->one : w->into_q;
        layer_backward(w, l, outer, into_z);
        if (l) multiply_into(n * x->in, into_z, x->read_slope, outer = w->four);
    }
    real *into_q = w->into_q, *grad = w->grad;
    for (long i = 0; w->job->residual && i < n * width; i += LANES) *(vec *)(into_q + i) += at(grad + i);
    if (w->job->every_token)
        solve_backward(w);
    else
        key_side_backward(w);
}

/* ---- a memory ---- */

typedef struct {
    real *weights[DEPTH], *momentum[DEPTH];
} States;

static States laid_out(const Work *w, real *from) {
    States to = {0};
    for (int l = 0; l < w->depth; l++) {
        long size = w->layer[l].in * w->layer[l].out;
        to.weights[l] = from, to.momentum[l] = from + size, from += 2 * size;
    }
    return to;
}

/* Those of a call; a momentum without data is 0. */
static States given(const Work *w, const Tensor *weights, const Tensor *momentum, long b, long h) {
    States to = {0};
    for (int l = 0; l < w->depth; l++) {
        const Layer *x = &w->layer[l];
        to.weights[l] = state_of(&weights[l], b, h);
        to.momentum[l] = momentum[l].data ? state_of(&momentum[l], b, h) : x->own_momentum;
        if (!momentum[l].data) memset(x->own_momentum, 0, x->in * x->out * sizeof(real));
    }
    return to;
}

/* The states at the start of chunk i > 0, which begins a segment. */
static States saved(const Work *w, const Call *call, long memory, long i) {
    real *start = ((real **)call->starts.data)[i / w->job->segment - 1];
    return laid_out(w, start + memory * state_size(w->job));
}

/* Sets the layers' states; an opened chunk's anchor is its weights. `first`: they are those of the call. */
static void stand_at(Work *w, const States *states, real *anchors[DEPTH], int opens, int first) {
    for (int l = 0; l < w->depth; l++) {
        Layer *x = &w->layer[l];
        x->weights = states->weights[l], x->momentum = states->momentum[l];
        x->no_momentum = first && is_zero(x->in * x->out, x->momentum);
        x->anchor = opens ? x->weights : anchors[l];
    }
}

static void write_all(Work *w, const States *to) {
    for (int l = 0; l < w->depth; l++) write(w, l, to->weights[l], to->momentum[l]);
}

static void memory_forward(Work *w, const Call *call, long memory) {
    const Job *job = w->job;
    long b = memory / job->heads, h = memory % job->heads, count = chunks(job);
    real *anchors[DEPTH];
    States own = {0}, now = given(w, call->weights, call->momentum, b, h);
    for (int l = 0; l < w->depth; l++) {
        anchors[l] = state_of(&call->anchor[l], b, h);
        own.weights[l] = w->layer[l].own_weights, own.momentum[l] = w->layer[l].own_momentum;
    }
    for (long i = 0; i < count; i++) {
        Chunk c = chunk_at(job, i);
        int ends = i == count - 1, keeps = !ends && call->starts.data && (i + 1) % job->segment == 0;
        stand_at(w, &now, anchors, c.opens, i == 0);
        begin(w, call, b, h, c);
        fetch_chunk(w, call, memory, i + 1, 0);
        errors(w, 0);
        read(w);
        put_rows(&call->y, b, h, c, job->width[w->depth], w->y);
        for (int l = 0; ends && c.count < job->chunk && l < w->depth; l++) {
            Layer *x = &w->layer[l];
            memcpy(state_of(&call->new_anchor[l], b, h), x->weights, x->in * x->out * sizeof(real));
        }
        now = ends ? given(w, call->new_weights, call->new_momentum, b, h) : keeps ? saved(w, call, memory, i + 1) : own;
        write_all(w, &now);
    }
}

/* Where the states at the start of chunk i are, or come with `run_again`. */
static States start_of(const Work *w, const Call *call, long memory, long i) {
    const Job *job = w->job;
    if (i == 0) return given(w, call->weights, call->momentum, memory / job->heads, memory % job->heads);
    if (i % job->segment == 0) return saved(w, call, memory, i);
    return laid_out(w, w->states + i % job->segment * state_size(job));
}

/* The states at the chunks' starts of a segment, from that of its first. */
static void run_again(Work *w, const Call *call, long memory, long first, long last, real *anchors[DEPTH]) {
    const Job *job = w->job;
    for (long i = first; i < last; i++) {
        Chunk c = chunk_at(job, i);
        States now = start_of(w, call, memory, i), next = start_of(w, call, memory, i + 1);
        stand_at(w, &now, anchors, c.opens, i == 0);
        begin(w, call, memory / job->heads, memory % job->heads, c);
        errors(w, 0);
        write_all(w, &next);
    }
}

/* The gradient by a state at the end, into where that by the state at the start is to lie (`own`: nowhere). */
static real *into_state(const Tensor *by, const Tensor *end, long b, long h, const Layer *x, real *own) {
    real *into = by->data ? state_of(by, b, h) : own;
    long size = x->in * x->out * sizeof(real);
    if (end->data)
        memcpy(into, state_of(end, b, h), size);
    else
        memset(into, 0, size);
    return into;
}

static void begin_backward(Work *w, const Call *call, long b, long h, real *anchors[DEPTH], real *by_anchors[DEPTH]) {
    const Tensor none = {0};
    for (int l = 0; l < w->depth; l++) {
        Layer *x = &w->layer[l];
        anchors[l] = state_of(&call->anchor[l], b, h);
        by_anchors[l] = into_state(&call->by_anchor[l], &none, b, h, x, x->into_anchor);
        x->into_weights = into_state(&call->by_weights[l], &call->new_weights[l], b, h, x, x->into_weights);
        x->into_momentum = into_state(&call->by_momentum[l], &call->new_momentum[l], b, h, x, x->into_momentum);
    }
}

static void memory_backward(Work *w, const Call *call, long memory) {
    const Job *job = w->job;
    long b = memory / job->heads, h = memory % job->heads, count = chunks(job), values = job->width[w->depth];
    real *anchors[DEPTH], *by_anchors[DEPTH];
    begin_backward(w, call, b, h, anchors, by_anchors);
    for (long i = count - 1; i >= 0; i--) {
        Chunk c = chunk_at(job, i);
        int ends = i == count - 1;
        if (job->segment > 1 && (ends || (i + 1) % job->segment == 0))
            run_again(w, call, memory, i / job->segment * job->segment, i, anchors);
        States now = start_of(w, call, memory, i);
        stand_at(w, &now, anchors, c.opens, i == 0);
        begin(w, call, b, h, c);
        get_rows(&call->y, b, h, c, w->n, values, w->grad);
        fetch_chunk(w, call, memory, i - 1, 1);
        fetch(&call->by_q, b, h, c, job->width[0], 1), fetch(&call->by_k, b, h, c, job->width[0], 1);
        fetch(&call->by_v, b, h, c, values, 1);
        errors(w, 1);
        read(w);
        for (int l = 0; l < w->depth; l++) {
            Layer *x = &w->layer[l];
            x->into_anchor = c.opens ? x->into_weights : by_anchors[l];
            x->no_into = ends && !call->new_weights[l].data && !call->new_momentum[l].data;
            x->wanted = i > 0 || call->by_momentum[l].data;
        }
        chunk_backward(w);
        put_rows(&call->by_q, b, h, c, job->width[0], w->into_q);
        put_rows(&call->by_k, b, h, c, job->width[0], w->into_k);
        put_rows(&call->by_v, b, h, c, values, w->into_v);
        for (int l = 0; l < w->depth; l++) {
            double *rows[] = {(double *)w->one, (double *)w->two, (double *)w->three};
            gates_backward(&w->layer[l].gates, call, b, h, l, c, w->n, w->ld, rows);
            if (ends && c.opens) add_state(&call->new_anchor[l], b, h, &w->layer[l], w->layer[l].into_weights);
        }
    }
}

/* ---- one token ---- */

/* A single token by the definition; all tensors without gaps, gates (memory, layer). */
typedef struct {
    const real *q, *k, *v, *alpha, *eta, *theta;
    real *y;
    const real *weights[DEPTH], *momentum[DEPTH], *anchor[DEPTH];
    real *new_weights[DEPTH], *new_momentum[DEPTH]; /* may be the old ones */
} Token;

/* momentum = eta momentum + a^T error, weights = keep weights + momentum, h = z weights: one pass over every weight. */
static void step_and_read(const Layer *x, const real *a, const real *error, const real *z, const real gates[3],
                          const real *weights, const real *momentum, real *new_weights, real *new_momentum, real *h) {
    memset(h, 0, x->out * sizeof(real));
    for (long i = 0; i < x->in; i++) {
        const real *w = weights + i * x->out, *s = momentum + i * x->out, size = gates[2] * a[i], by = z[i];
        real *to_w = new_weights + i * x->out, *to_s = new_momentum + i * x->out;
        long j = 0;
        for (; j + LANES <= x->out; j += LANES) {
            vec surprise = gates[1] * at(s + j) + size * at(error + j), moved = gates[0] * at(w + j) + surprise;
            *(vec *)(to_s + j) = surprise, *(vec *)(to_w + j) = moved;
            *(vec *)(h + j) += by * moved;
        }
        for (; j < x->out; j++) {
            real surprise = gates[1] * s[j] + size * error[j], moved = gates[0] * w[j] + surprise;
            to_s[j] = surprise, to_w[j] = moved, h[j] += by * moved;
        }
    }
}

static void token_errors(Work *w, const Token *token, long memory) {
    const Job *job = w->job;
    for (int l = 0; l < w->depth; l++) {
        Layer *x = &w->layer[l];
        const real *anchor = token->anchor[l] + memory * x->in * x->out;
        real *h = l + 1 < w->depth ? w->one : x->delta;
        multiply(WHOLE, 1, x->out, x->in, l ? x->a : w->k, x->in, 1, anchor, x->out, h, x->out, 0);
        if (l + 1 < w->depth) curve(filled(x->out), h, x[1].a, x[1].slope, 0);
    }
    Layer *x = &w->layer[w->depth - 1];
    if (job->residual) {
        normalise(1, x->out, x->delta, w->keys);
        residual_error(w, x->out, w->one);
        through_norm(1, x->out, w->one, w->keys, x->delta);
    } else
        for (long i = 0; i < x->out; i++) x->delta[i] = 2 * (x->delta[i] - w->v[i]);
    for (; x > w->layer; x--) {
        const real *anchor = token->anchor[x - w->layer] + memory * x->in * x->out;
        for (long i = 0; i < x->in; i++) x[-1].delta[i] = dot(x->out, anchor + i * x->out, x->delta) * x->slope[i];
    }
}

static void memory_token(Work *w, const Token *token, long memory) {
    const Job *job = w->job;
    long keys = job->width[0], values = job->width[w->depth];
    memcpy(w->k, token->k + memory * keys, keys * sizeof(real));
    memcpy(w->v, token->v + memory * values, values * sizeof(real));
    token_errors(w, token, memory);
    const real *z = token->q + memory * keys;
    real *y = token->y + memory * values;
    for (int l = 0; l < w->depth; l++) {
        Layer *x = &w->layer[l];
        long from = memory * x->in * x->out, gate = memory * w->depth + l;
        const real gates[] = {1 - token->alpha[gate], token->eta[gate], -token->theta[gate]};
        real *h = l + 1 < w->depth ? w->one : w->y;
        step_and_read(x, l ? x->a : w->k, x->delta, z, gates, token->weights[l] + from, token->momentum[l] + from,
                      token->new_weights[l] + from, token->new_momentum[l] + from, h);
        if (l + 1 < w->depth) curve(filled(x->out), h, x[1].z, x[1].read_slope, 0), z = x[1].z;
    }
    if (job->residual) normalise(1, values, w->y, w->reads);
    for (long i = 0; i < values; i++) y[i] = job->residual ? token->q[memory * keys + i] + w->reads.value[i] : w->y[i];
}

/* ---- what library.py calls: `scratch` holds scratch_numbers zeros or what an earlier call left there ---- */

int64_t scratch_numbers(const Job *job) {
    Work w;
    return (int64_t)(lay(&w, job, (real *)BYTES) - (real *)BYTES);
}

/* Numbers below 1e-38 count as 0: an old state that has decayed there makes products ten times slower. */
#if defined(__SSE__)
#define FLUSHED(...)                    \
    unsigned mode = _mm_getcsr();       \
    _mm_setcsr(mode | 0x8040);          \
    __VA_ARGS__;                        \
    _mm_setcsr(mode)
#else
#define FLUSHED(...) __VA_ARGS__
#endif

void forward(const Job *job, const Call *call, real *scratch, int64_t first, int64_t last) {
    Work w;
    lay(&w, job, scratch);
    Work clean = w;
    FLUSHED(for (int64_t i = first; i < last; i++) w = clean, memory_forward(&w, call, i));
}

void backward(const Job *job, const Call *call, real *scratch, int64_t first, int64_t last) {
    Work w;
    lay(&w, job, scratch);
    Work clean = w;
    FLUSHED(for (int64_t i = first; i < last; i++) w = clean, memory_backward(&w, call, i));
}

void token(const Job *job, const Token *token, real *scratch, int64_t first, int64_t last) {
    Work w;
    lay(&w, job, scratch);
    FLUSHED(for (int64_t i = first; i < last; i++) memory_token(&w, token, i));
}

/* ---- several threads ---- */

typedef void Part_of(const Job *job, const void *call, real *scratch, int64_t first, int64_t last);

typedef struct {
    Part_of *op;
    const Job *job;
    const void *call;
    real *scratch;
    int64_t row, memories, threads, next;
} Team;

/* One thread's part: the next memory that nobody has, until there is none. */
static void take_part(void *data) {
    Team *team = data;
    int64_t me = __atomic_fetch_add(&team->threads, 1, __ATOMIC_RELAXED), i;
    while ((i = __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED)) < team->memories)
        team->op(team->job, team->call, team->scratch + me * team->row, i, i + 1);
}

/* op on all memories by the threads of `parallel`, GOMP_parallel of the OpenMP that torch runs on: threads of our own
   would share the cores with torch's, which wait in a loop. A row of scratch for every thread. */
void shared(void (*parallel)(void (*)(void *), void *, unsigned, unsigned), Part_of *op, const Job *job,
            const void *call, real *scratch, int64_t row, int64_t memories, int64_t threads) {
    Team team = {op, job, call, scratch, row, memories, 0, 0};
    parallel(take_part, &team, (unsigned)threads, 0);
}

#include "trial.h"
