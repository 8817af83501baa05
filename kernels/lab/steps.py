"""Rules of optimizers in f32, each operation rounded on its own: the formulas of kernels/sparse_update/sparse_update.hpp."""

import dataclasses
import math

import values
from values import single

RULES = {"add": 0, "sgd": 1, "adagrad": 2, "momentum": 3, "rowwise_adagrad": 4, "adam": 5, "adamw": 6, "ftrl": 7}
MAX, LARGEST, SMALLEST = single(1e30), single(3.4028234663852886e38), 2.0**-126
EPSILON = single(1e-8)


def state_words(rule, dim):
    return {"momentum": dim, "adagrad": dim, "rowwise_adagrad": 1, "adam": 2 * dim + 1, "adamw": 2 * dim + 1, "ftrl": 2 * dim}.get(rule, 0)


def limited(x, bound=MAX):
    return min(max(x, -bound), bound)


def plus(a, b):
    return single(a + b)


def times(a, b):
    return single(a * b)


def over(a, b):
    return single(a / b)


def root(x):
    return single(math.sqrt(x))


def power(beta, n):
    """beta^n in 64 bits: the factors of n's set bits, lowest first."""
    product, square = 1.0, beta
    while n:
        if n & 1:
            product = product * square
        square, n = square * square, n >> 1
    return product


@dataclasses.dataclass
class Rule:
    """Numbers of one call; all of them f32."""

    rule: str
    rate: float
    first_rate: float = 0.0
    first_columns: int = 0
    l2: float = 0.0
    clip: float = 0.0
    momentum: float = 0.0
    beta1: float = 0.0
    beta2: float = 0.0
    weight_decay: float = 0.0
    ftrl_l1: float = 0.0
    ftrl_l2: float = 0.0
    ftrl_beta: float = 0.0

    def step(self, weights, state, gradients):
        """One row: weights and state (words as floats; adam's last is a count) change in place."""
        g = [self._gradient(raw, w) for raw, w in zip(gradients, weights)]
        prepared = self._prepare(state, g, len(weights))
        step = getattr(self, f"_{self.rule}")
        for c, w in enumerate(weights):
            weights[c] = limited(step(c, w, g[c], state, prepared))

    def _gradient(self, g, w):
        if not math.isfinite(g):
            g = 0.0
        if self.clip > 0.0:
            g = limited(g, self.clip)
        if self.l2 != 0.0:
            g = plus(g, times(self.l2, w))
        return limited(g)

    def _rate(self, c):
        return self.first_rate if c < self.first_columns else self.rate

    def _prepare(self, state, g, dim):
        if self.rule == "rowwise_adagrad":
            lanes = [0.0] * 16
            for c, x in enumerate(g):
                lanes[c % 16] = plus(lanes[c % 16], times(x, x))
            for half in (8, 4, 2, 1):
                lanes = [plus(lanes[i], lanes[i + half]) for i in range(half)]
            state[0] = min(plus(state[0], over(lanes[0], single(dim))), MAX)
            return plus(root(state[0]), EPSILON)
        if self.rule in ("adam", "adamw"):
            state[2 * dim] = min(state[2 * dim] + 1, 2**32 - 1)
            shrink = math.sqrt(1.0 - power(self.beta2, state[2 * dim]))
            factor = shrink / (1.0 - power(self.beta1, state[2 * dim]))
            return dim, factor, single(EPSILON * shrink)
        return dim

    def _add(self, c, w, g, state, _):
        return plus(w, g)

    def _sgd(self, c, w, g, state, _):
        return plus(w, -times(self._rate(c), g))

    def _adagrad(self, c, w, g, state, _):
        state[c] = min(plus(state[c], times(g, g)), MAX)
        return plus(w, -over(times(self._rate(c), g), plus(root(state[c]), EPSILON)))

    def _momentum(self, c, w, g, state, _):
        state[c] = limited(plus(times(self.momentum, state[c]), g))
        return plus(w, -times(self._rate(c), state[c]))

    def _rowwise_adagrad(self, c, w, g, state, spread):
        return plus(w, -times(limited(over(self._rate(c), spread), LARGEST), g))

    def _adam(self, c, w, g, state, prepared):
        dim, factor, epsilon = prepared
        state[c] = limited(plus(times(self.beta1, state[c]), times(plus(1.0, -self.beta1), g)))
        squares = times(plus(1.0, -self.beta2), times(g, g))
        state[dim + c] = min(plus(times(self.beta2, state[dim + c]), squares), MAX)
        rate = single(limited(self._rate(c) * factor, LARGEST))
        return plus(w, -over(times(rate, state[c]), plus(root(state[dim + c]), epsilon)))

    def _adamw(self, c, w, g, state, prepared):
        decay = times(times(self._rate(c), self.weight_decay), w)
        return self._adam(c, limited(plus(w, -decay)), g, state, prepared)

    def _ftrl(self, c, w, g, state, dim):
        inverse = min(over(1.0, self._rate(c)), LARGEST)
        before = root(state[dim + c])
        state[dim + c] = min(plus(state[dim + c], times(g, g)), MAX)
        sigma = min(times(plus(root(state[dim + c]), -before), inverse), MAX)
        state[c] = limited(plus(plus(state[c], g), -times(sigma, w)))
        if abs(state[c]) <= self.ftrl_l1:
            return 0.0
        spread = plus(times(plus(self.ftrl_beta, root(state[dim + c])), inverse), self.ftrl_l2)
        return over(plus(math.copysign(self.ftrl_l1, state[c]), -state[c]), max(spread, SMALLEST))


def drawn_rule(draw, rule):
    """Numbers such as jobs have, all f32; switches on and off."""
    u = lambda low, high: single(draw.uniform(low, high))
    return Rule(rule, rate=u(0.01, 0.5), l2=draw.choice([0.0, u(0.0, 0.1)]), clip=draw.choice([0.0, u(0.5, 1.5)]),
                momentum=u(0.5, 0.95), beta1=u(0.8, 0.95), beta2=u(0.9, 0.999), weight_decay=u(0.0, 0.1),
                ftrl_l1=u(0.0, 0.3), ftrl_l2=u(0.0, 0.3), ftrl_beta=u(0.5, 1.5))


def drawn_state(draw, rule, dim):
    """A state that earlier steps could have left; the count of steps an int."""
    positive = lambda count: [single(draw.uniform(0.01, 2.0)) for _ in range(count)]
    if rule in ("adam", "adamw"):
        return values.normals(draw, dim) + positive(dim) + [draw.randrange(0, 2000)]
    if rule == "ftrl":
        return values.normals(draw, dim) + positive(dim)
    return values.normals(draw, dim) if rule == "momentum" else positive(state_words(rule, dim))


def state_bytes(rule, state, dim):
    """The words as they lie in memory."""
    if rule not in ("adam", "adamw"):
        return values.encode("f32", state)
    return values.encode("f32", state[: 2 * dim]) + values.encode("u32", state[2 * dim :])
