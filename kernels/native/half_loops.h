/* The loops around the vectors of one half type, whose names HALF(name) gives. The last numbers go through a vector that is
 * filled up with zeros. */
static void HALF(load)(const uint16_t *x, float *out, intptr_t n, const void *params) {
    half_codes codes;
    half_words words;
    intptr_t i = 0;
    (void)params;
    for (; i + HALF_COUNT <= n; i += HALF_COUNT) {
        memcpy(&codes, x + i, sizeof codes);
        words = HALF(widened)(codes);
        memcpy(out + i, &words, sizeof words);
    }
    if (i < n) {
        codes = (half_codes){};
        memcpy(&codes, x + i, (n - i) * sizeof *x);
        words = HALF(widened)(codes);
        memcpy(out + i, &words, (n - i) * sizeof *out);
    }
}

static void HALF(save)(const float *x, uint16_t *out, intptr_t n, const void *params) {
    half_codes codes;
    half_words words;
    intptr_t i = 0;
    (void)params;
    for (; i + HALF_COUNT <= n; i += HALF_COUNT) {
        memcpy(&words, x + i, sizeof words);
        codes = HALF(narrowed)(words);
        memcpy(out + i, &codes, sizeof codes);
    }
    if (i < n) {
        words = (half_words){};
        memcpy(&words, x + i, (n - i) * sizeof *x);
        codes = HALF(narrowed)(words);
        memcpy(out + i, &codes, (n - i) * sizeof *out);
    }
}

/* Where a tie is no farther away than the error. */
HALF_INLINE half_words HALF(tested)(half_words words, const half_test *test) {
    half_words size = words & HALF_MAGNITUDE;
    half_reals error = (half_reals)size * test->relative + test->least;
    half_words low = (half_words)((half_reals)size - error);
    half_words high = (half_words)((half_reals)size + error);
    low &= (half_reals)low > 0.0f;
    return HALF(differ)(low, high);
}

/* Save HALF_WORD numbers; the doubts among them. */
HALF_INLINE uint64_t HALF(save_word)(const float *x, uint16_t *out, const half_test *test, int near) {
    uint64_t doubts = 0;
    for (int i = 0; i < HALF_WORD; i += HALF_COUNT) {
        half_words words, found;
        half_codes codes;
        memcpy(&words, x + i, sizeof words);
        codes = HALF(narrowed)(words);
        memcpy(out + i, &codes, sizeof codes);
        if (near)
            found = HALF(place)(words, test->steps) <= (uint32_t)(2 * test->steps);
        else
            found = HALF(tested)(words, test);
        doubts |= half_bits(found) << i;
    }
    return doubts;
}

HALF_INLINE void HALF(save_all)(const float *x, uint16_t *out, intptr_t n, half_test *given, int near) {
    float padded[HALF_WORD] = {0};
    uint16_t rest[HALF_WORD];
    const half_test test = *given;
    intptr_t i = 0;
    for (; i + HALF_WORD <= n; i += HALF_WORD)
        given->doubts[i / HALF_WORD] = HALF(save_word)(x + i, out + i, &test, near);
    if (i < n) {
        memcpy(padded, x + i, (n - i) * sizeof *x);
        /* Nothing is asked of what the numbers were filled up with. */
        given->doubts[i / HALF_WORD] =
            HALF(save_word)(padded, rest, &test, near) & (((uint64_t)1 << (n - i)) - 1);
        memcpy(out + i, rest, (n - i) * sizeof *out);
    }
}

static void HALF(save_tested)(const float *x, uint16_t *out, intptr_t n, half_test *test) {
    HALF(save_all)(x, out, n, test, 0);
}

static void HALF(save_near)(const float *x, uint16_t *out, intptr_t n, half_test *test) {
    HALF(save_all)(x, out, n, test, 1);
}

/* A word of products of g with the factors of x's codes, of which the table has one for each. */
HALF_INLINE void HALF(product_word)(const uint16_t *x, const uint16_t *g, uint16_t *out, const float *factors) {
    float factor[HALF_WORD];
    for (int i = 0; i < HALF_WORD; i++)
        factor[i] = factors[x[i]];
    for (int i = 0; i < HALF_WORD; i += HALF_COUNT) {
        half_codes codes;
        half_reals reals;
        memcpy(&codes, g + i, sizeof codes);
        memcpy(&reals, factor + i, sizeof reals);
        reals *= (half_reals)HALF(widened)(codes);
        codes = HALF(narrowed)((half_words)reals);
        memcpy(out + i, &codes, sizeof codes);
    }
}

/* params are the addresses of g and of the factors. */
static void HALF(look_up_product)(const uint16_t *x, uint16_t *out, intptr_t n, const void *const *params) {
    const uint16_t *g = params[0];
    const float *factors = params[1];
    half_words_apart apart;
    for (intptr_t i = 0; i < n; i += HALF_WORD) {
        for (int line = 0; line < HALF_WORD; line += LOOK_UP_LINE) {
            __builtin_prefetch(x + i + LOOK_UP_AHEAD + line);
            __builtin_prefetch(g + i + LOOK_UP_AHEAD + line);
        }
        HALF(product_word)(half_word(x + i, n - i, apart.x), half_word(g + i, n - i, apart.g),
                           half_room(out + i, n - i, apart.out), factors);
        half_rest(out + i, n - i, apart.out);
    }
}
