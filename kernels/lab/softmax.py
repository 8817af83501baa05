"""Softmax losses (headrace_dense.h): cases, references, and the bounds of kernels/softmax_loss."""

import math

from dense import U
from table import Array, Case, Expect, Operator, both, out
from values import normals, single


def drawn_weights(draw, n):
    return [draw.choice([0.0, 1.0, single(draw.uniform(0.1, 3))]) for _ in range(n)] if draw.randrange(2) else None


def sampled_cases(draw, _):
    for n, candidates in ((0, 3), (1, 1), (5, 2), (4, 31), (3, 33), (7, 100), (2, 1024), (2, 1025), (3, 3000)):
        spread = draw.choice([1.0, 10.0, 100.0])
        rows = draw.choice([0, 1, n])
        scores, log_q = normals(draw, n * candidates, spread), [single(-12 * draw.random()) for _ in range(rows * candidates)]
        weights = drawn_weights(draw, n)
        positives = [draw.randrange(candidates) for _ in range(n)] if draw.randrange(2) else None
        losses, gradients, loss_bounds, bounds = [], [], [], []
        for t in range(n):
            own = positives[t] if positives else 0
            weight = weights[t] if weights else 1.0
            s = [scores[t * candidates + c] - (log_q[(t if rows > 1 else 0) * candidates + c] if rows else 0.0) for c in range(candidates)]
            top = max(s)
            e = [math.exp(v - top) for v in s]
            others = math.fsum(v for c, v in enumerate(e) if c != own)
            total = others + e[own]
            loss = weight * (math.log1p(others) if top == s[own] else top - s[own] + math.log(total))
            d, steps = max(map(abs, s)), 2 * candidates + 24
            allowed = min(1.0, loss / weight) * (12 * d + steps) * U if weight else 0.0
            losses.append(loss)
            loss_bounds.append(weight * allowed + 2 * U * loss + 2.0**-120)
            p = [weight * (-others if c == own else v) / total for c, v in enumerate(e)]
            gradients += p
            bounds += [(8 * d + steps) * U * abs(v) + 2.0**-120 for v in p]
        fields = dict(positions=n, candidates=candidates, log_q_rows=rows, scores=Array("f32", scores), losses=out("f32", n),
                      score_gradients=out("f32", n * candidates), loss=out("f64", 1))
        if rows:
            fields["log_q"] = Array("f32", log_q)
        if weights:
            fields["weights"] = Array("f32", weights)
        if positives:
            fields["positives"] = Array("u32", positives)
        yield Case(f"{n} of {candidates}, {rows} rows of log q", fields, {
            "losses": Expect(losses, bounds=loss_bounds), "score_gradients": Expect(gradients, bounds=bounds),
            "loss": Expect([math.fsum(losses)], bounds=[math.fsum(loss_bounds) + 2.0**-100])})


class Vocabulary:
    """One batch, its logits in 64 bits and what they may be off by."""

    def __init__(self, draw, n, items, dim):
        self.n, self.items, self.dim = n, items, dim
        self.x, self.vectors = normals(draw, n * dim), normals(draw, items * dim)
        self.weights = drawn_weights(draw, n)
        self.labels = [draw.randrange(items) for _ in range(n)]
        self.fields = dict(positions=n, items=items, dim=dim, x=Array("f32", self.x), vectors=Array("f32", self.vectors),
                           labels=Array("u32", self.labels))
        if self.weights:
            self.fields["weights"] = Array("f32", self.weights)
        self.logits, self.off, self.top, self.lse = [], [], [], []
        for t in range(n):
            terms = [[a * b for a, b in zip(self.x_of(t), self.vector(v))] for v in range(items)]
            row = [math.fsum(term) for term in terms]
            self.logits.append(row)
            self.off.append((dim + 2) * U * max(math.fsum(map(abs, term)) for term in terms))
            self.top.append(max(map(abs, row)))
            self.lse.append(max(row) + math.log(math.fsum(math.exp(v - max(row)) for v in row)))

    def x_of(self, t):
        return self.x[t * self.dim : (t + 1) * self.dim]

    def vector(self, v):
        return self.vectors[v * self.dim : (v + 1) * self.dim]

    def weight(self, t):
        return self.weights[t] if self.weights else 1.0


VOCABULARIES = [(0, 3, 2), (1, 1, 1), (3, 64, 16), (2, 65, 5), (65, 70, 3), (5, 600, 8)]  # positions, items, dim


def vocab_cases(draw, _):
    for shape in VOCABULARIES:
        v = Vocabulary(draw, *shape)
        bounds = [2 * off + (9 * top + v.items + 64) * U for off, top in zip(v.off, v.top)]
        losses = [v.weight(t) * (v.lse[t] - v.logits[t][v.labels[t]]) if v.weight(t) else 0.0 for t in range(v.n)]
        allowed = [v.weight(t) * bound for t, bound in enumerate(bounds)]
        v.fields.update(losses=out("f32", v.n), lse=out("f32", v.n), loss=out("f64", 1))
        yield Case(f"{shape}", v.fields, {
            "lse": Expect(v.lse, bounds=bounds), "losses": Expect(losses, bounds=[a + 2.0**-100 for a in allowed]),
            "loss": Expect([math.fsum(losses)], bounds=[math.fsum(allowed) + 2.0**-100])})


def vocab_backward_cases(draw, _):
    for shape in VOCABULARIES:
        v = Vocabulary(draw, *shape)
        before, steps = normals(draw, v.items * v.dim), (3 * v.n + 8) * U
        dx, x_bounds = [0.0] * len(v.x), [2.0**-100] * len(v.x)
        dv, v_bounds = list(before), [steps * abs(b) for b in before]
        lse = [single(value) for value in v.lse]
        for t in range(v.n):
            share = 3 * v.off[t] + (17 * v.top[t] + v.items + 80) * U
            for i in range(v.items):
                p = v.weight(t) * math.exp(v.logits[t][i] - lse[t])
                full = p - v.weight(t) if i == v.labels[t] else p
                for k in range(v.dim):
                    a, b, e, w = t * v.dim + k, i * v.dim + k, v.vectors[i * v.dim + k], v.x[t * v.dim + k]
                    dx[a], dv[b] = dx[a] + full * e, dv[b] + full * w
                    x_bounds[a] += (share * p + (3 * v.items + 8) * U * abs(full)) * abs(e)
                    v_bounds[b] += (share * p + steps * abs(full)) * abs(w)
        v.fields.update(lse=Array("f32", lse), x_gradients=out("f32", len(v.x)), vector_gradients=both("f32", before))
        yield Case(f"{shape}", v.fields, {"x_gradients": Expect(dx, bounds=x_bounds), "vector_gradients": Expect(dv, bounds=v_bounds)})


OPERATORS = [
    Operator("sampled_softmax", sampled_cases),
    Operator("vocab_softmax", vocab_cases),
    Operator("vocab_softmax_backward", vocab_backward_cases),
]
