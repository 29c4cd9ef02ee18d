/* A new library's first run, which trial.c starts in a process of its own: two small memories, the linear one against
   the definition, the gradient of both against differences. A compiler's mistake, or an instruction that this
   processor lacks, is found there before anyone else uses the library. */

enum { T_COUNT = 7, T_WIDTH = 19, T_HIDDEN = 35, T_TOKENS = T_COUNT * T_WIDTH, T_STATE = T_WIDTH * T_HIDDEN };
enum { T_GATES = 3 * T_TOKENS, T_WEIGHTS = T_GATES + 3 * 2 * T_COUNT, T_INPUTS = T_WEIGHTS + 2 * T_STATE };

/* The inputs of a call are q, k, v, the gates and the weights, one after the other; the same for their gradients. */
typedef struct {
    Job job;
    real *scratch, y[T_TOKENS], ends[3 * 2 * T_STATE], kept[4][4 * T_STATE], *starts[4];
} Trial;

static Tensor trial_tensor(real *data, long row) { return (Tensor){data, {0, row, 0, 1}}; }

static Call trial_call(Trial *trial, real *in, real *by) {
    long depth = trial->job.depth;
    Call call = {0};
    Tensor *tokens[] = {&call.q, &call.k, &call.v}, *gates[] = {&call.alpha, &call.eta, &call.theta};
    Tensor *by_tokens[] = {&call.by_q, &call.by_k, &call.by_v};
    Tensor *by_gates[] = {&call.by_alpha, &call.by_eta, &call.by_theta};
    for (int i = 0; i < 3; i++) {
        *tokens[i] = trial_tensor(in + i * T_TOKENS, T_WIDTH);
        *gates[i] = trial_tensor(in + T_GATES + i * 2 * T_COUNT, depth);
        if (by) *by_tokens[i] = trial_tensor(by + i * T_TOKENS, T_WIDTH);
        if (by) *by_gates[i] = trial_tensor(by + T_GATES + i * 2 * T_COUNT, depth);
    }
    call.y = trial_tensor(trial->y, T_WIDTH), call.starts = trial_tensor((real *)trial->starts, 0);
    for (int i = 0; i < 4; i++) trial->starts[i] = trial->kept[i];
    for (int l = 0; l < depth; l++) {
        real *ends = trial->ends + 3 * l * T_STATE;
        call.weights[l] = trial_tensor(in + T_WEIGHTS + l * T_STATE, 0);
        Tensor three[] = {trial_tensor(ends, 0), trial_tensor(ends + T_STATE, 0), trial_tensor(ends + 2 * T_STATE, 0)};
        if (!by) call.new_weights[l] = three[0], call.new_momentum[l] = three[1], call.new_anchor[l] = three[2];
        if (!by) continue;
        call.by_weights[l] = trial_tensor(by + T_WEIGHTS + l * T_STATE, 0);
        call.by_momentum[l] = three[1], call.by_anchor[l] = three[2];
    }
    return call;
}

static void trial_fill(real *to, long numbers, real mean, real size, uint32_t seed) {
    for (long i = 0; i < numbers; i++) {
        seed = seed * 1664525u + 1013904223u;
        to[i] = mean + size * ((real)(seed >> 8) / (1 << 24) - (real)0.5);
    }
}

/* What the linear memory reads by the definition, kernels/MATH.md, section 1. */
static void trial_definition(const Trial *trial, const real *in, real *y) {
    static real state[3][T_WIDTH * T_WIDTH];
    real *weights = state[0], *momentum = state[1], *anchor = state[2], error[T_WIDTH];
    memset(state, 0, sizeof(state)), memset(y, 0, T_TOKENS * sizeof(real));
    memcpy(weights, in + T_WEIGHTS, sizeof(state[0]));
    for (long t = 0; t < T_COUNT; t++) {
        const real *q = in + t * T_WIDTH, *k = q + T_TOKENS, *v = k + T_TOKENS, *gate = in + T_GATES + t;
        if (t % trial->job.chunk == 0) memcpy(anchor, weights, sizeof(state[0]));
        for (long j = 0; j < T_WIDTH; j++) {
            error[j] = -v[j];
            for (long i = 0; i < T_WIDTH; i++) error[j] += k[i] * anchor[i * T_WIDTH + j];
        }
        for (long i = 0; i < T_WIDTH * T_WIDTH; i++) {
            long row = i / T_WIDTH, column = i % T_WIDTH;
            momentum[i] = gate[2 * T_COUNT] * momentum[i] - gate[4 * T_COUNT] * 2 * k[row] * error[column];
            weights[i] = (1 - gate[0]) * weights[i] + momentum[i];
            y[t * T_WIDTH + column] += q[row] * weights[i];
        }
    }
}

static real trial_loss(Trial *trial, real *in, const real *weight) {
    Call call = trial_call(trial, in, 0);
    forward(&trial->job, &call, trial->scratch, 0, 1);
    return dot(T_TOKENS, trial->y, weight);
}

/* 0 if all is right. */
static int trial_memory(Trial *trial) {
    static real in[T_INPUTS], moved[T_INPUTS], by[T_INPUTS], weight[T_TOKENS], expected[T_TOKENS];
    const real gates[] = {(real)0.1, (real)0.6, (real)0.05}, step = (real)0.005;
    int wrong = 0, linear = trial->job.depth == 1;
    trial->scratch = calloc(scratch_numbers(&trial->job), sizeof(real));
    if (!trial->scratch) return 1;
    trial_fill(in, T_INPUTS, 0, 1, 1), trial_fill(moved, T_INPUTS, 0, step, 2), trial_fill(weight, T_TOKENS, 0, 1, 3);
    for (int i = 0; i < 3; i++) trial_fill(in + T_GATES + i * 2 * T_COUNT, 2 * T_COUNT, gates[i], gates[i], 4 + i);
    for (int i = 0; i < 3; i++)
        for (int t = 0; t < 2 * T_COUNT; t++) moved[T_GATES + i * 2 * T_COUNT + t] *= (real)0.1;
    trial_loss(trial, in, weight), trial_definition(trial, in, expected);
    for (long i = 0; linear && i < T_TOKENS; i++) wrong |= !(__builtin_fabs(trial->y[i] - expected[i]) < 1e-3);
    memcpy(trial->y, weight, sizeof(weight)), memset(by, 0, sizeof(by));
    Call call = trial_call(trial, in, by);
    backward(&trial->job, &call, trial->scratch, 0, 1);
    real slope = dot(T_INPUTS, by, moved);
    for (long i = 0; i < T_INPUTS; i++) in[i] += moved[i];
    real change = trial_loss(trial, in, weight);
    for (long i = 0; i < T_INPUTS; i++) in[i] -= 2 * moved[i];
    change = (change - trial_loss(trial, in, weight)) / 2;
    wrong |= !(__builtin_fabs(change - slope) < 0.01 * __builtin_fabs(slope));
    free(trial->scratch);
    return wrong;
}

int trial(void) {
    static Trial linear = {.job = {1, T_COUNT, 1, 1, 3, 0, 1, 0, 0, {T_WIDTH, T_WIDTH}}};
    static Trial deep = {.job = {1, T_COUNT, 1, 2, 3, 0, 1, 1, 0, {T_WIDTH, T_HIDDEN, T_WIDTH}}};
    return trial_memory(&linear) | trial_memory(&deep) << 1;
}
