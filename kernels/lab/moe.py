"""Mixtures of experts (headrace_moe.h): routing, the plan, rows brought to experts and back; cases, references, and the bounds of
kernels/moe_router and kernels/moe_permute."""

import math

import values
from dense import U, softmax
from table import Array, Case, Expect, Operator, both, out
from values import normals, single

RENORMALISED = 1
NONE = 0xFFFFFFFF


class Routed:
    """A batch whose choices are clear: no two scores of a token, no two gates of an expert are nearly equal."""

    def __init__(self, draw, tokens, experts, per_token, capacity, flags, biased):
        self.tokens, self.experts, self.per_token, self.capacity, self.flags = tokens, experts, per_token, capacity, flags
        self.bias = [single(draw.uniform(-0.2, 0.2)) for _ in range(experts)] if biased else None
        self.logits, self.p, self.lse, self.chosen, self.gates = [], [], [], [], []
        while len(self.lse) < tokens:
            self._add(normals(draw, experts, 1.5))
        self.loads = [self.chosen.count(e) for e in range(experts)]
        self.routes = list(self.chosen)
        for e in range(experts):
            own = sorted((i for i, c in enumerate(self.chosen) if c == e), key=lambda i: (-self.gates[i], i))
            for i in own[capacity:] if capacity else []:
                self.routes[i] = NONE
        self.mean = [math.fsum(self.p[e::experts]) / tokens if tokens else 0.0 for e in range(experts)]

    def _add(self, row):
        p, top = softmax(row), max(row)
        score = [a + b for a, b in zip(p, self.bias)] if self.bias else p
        best = sorted(range(self.experts), key=lambda e: -score[e])
        picked = best[: self.per_token]
        gates = softmax([row[e] for e in picked]) if self.flags & RENORMALISED else [p[e] for e in picked]
        near = any(abs(score[a] - score[b]) < 1e-5 for a, b in zip(best[: self.per_token], best[1:]))
        for e, g in zip(picked, gates):
            near = near or any(c == e and abs(g - old) < 1e-5 * g for c, old in zip(self.chosen, self.gates))
        if near and not self.per_token == 1 == len(set(gates)):
            return
        self.logits, self.p, self.lse = self.logits + row, self.p + p, self.lse + [top + math.log(math.fsum(math.exp(x - top) for x in row))]
        self.chosen, self.gates = self.chosen + picked, self.gates + gates

    def sizes(self):
        return dict(flags=self.flags, tokens=self.tokens, experts=self.experts, per_token=self.per_token)

    def report(self, balance, entropy, z):
        if not self.tokens:
            return [0.0] * 4, 0
        assigned = len(self.chosen)
        room = self.capacity or -(-assigned // self.experts)
        shares = [n / assigned for n in self.loads]
        return [balance * self.experts * math.fsum(f * p for f, p in zip(shares, self.mean)),
                entropy * math.fsum(p * math.log(p) for p in self.mean), z * math.fsum(x * x for x in self.lse) / self.tokens,
                sum(min(n, room) for n in self.loads) / (self.experts * room)], self.routes.count(NONE)


def batches(draw):
    for tokens, experts, per_token, capacity in ((1, 1, 1, 0), (7, 4, 2, 0), (60, 8, 2, 9), (33, 16, 4, 6), (5, 64, 8, 0), (0, 4, 1, 0),
                                                 (100, 5, 1, 25), (20, 33, 3, 1)):
        flags = draw.choice([0, RENORMALISED]) if per_token > 1 else 0
        yield Routed(draw, tokens, experts, per_token, capacity, flags, draw.randrange(2))


def weights(draw):
    return [draw.choice([0.0, draw.uniform(0.001, 0.1)]) for _ in range(3)]


def router_cases(draw, _):
    for b in batches(draw):
        losses, largest = weights(draw), max(map(abs, b.logits), default=0.0)
        near = (b.experts + 16) * U + 4 * U * largest
        numbers, dropped = b.report(*losses)
        fields = dict(b.sizes(), capacity=b.capacity, logits=Array("f32", b.logits), probabilities=out("f32", len(b.p)),
                      lse=out("f32", b.tokens), mean_probabilities=out("f32", b.experts), chosen=out("u32", len(b.chosen)),
                      gates=out("f32", len(b.gates)), loads=out("u32", b.experts), routes=out("u32", len(b.routes)),
                      report=out("f64", 5), balance=losses[0], entropy=losses[1], z=losses[2])
        if b.bias:
            fields["bias"] = Array("f32", b.bias)
        yield Case(f"{b.tokens} tokens, {b.per_token} of {b.experts}, capacity {b.capacity}, flags {b.flags}", fields, {
            "probabilities": Expect(b.p, bounds=[near * x for x in b.p]), "gates": Expect(b.gates, bounds=[near * x for x in b.gates]),
            "lse": Expect(b.lse, bounds=[4 * U * (largest + 8 + b.experts / 4)] * b.tokens),
            "mean_probabilities": Expect(b.mean, bounds=[(near + (256 + b.tokens / 256) * U) * x for x in b.mean]),
            "chosen": Expect(b.chosen), "loads": Expect(b.loads), "routes": Expect(b.routes),
            "report": Expect(numbers + values.decode("f64", values.encode("u64", [dropped])),
                             bounds=[*(1e-5 * abs(x) + 1e-12 for x in numbers), 0.0])})


def router_backward_cases(draw, _):
    for b in batches(draw):
        if not b.tokens:
            continue
        balance, entropy, z = weights(draw)
        p, gates, lse, mean = ([single(x) for x in data] for data in (b.p, b.gates, b.lse, b.mean))
        dg = normals(draw, len(gates))
        cost = [(balance * b.experts * n / len(gates) + entropy * (math.log(m) + 1)) / b.tokens for n, m in zip(b.loads, mean)]
        wanted, bounds = [], []
        for t in range(b.tokens):
            own, row = range(t * b.per_token, (t + 1) * b.per_token), p[t * b.experts : (t + 1) * b.experts]
            real = {i: 0.0 if b.routes[i] == NONE else dg[i] for i in own}
            through, size = math.fsum(real[i] * gates[i] for i in own), math.fsum(abs(real[i] * gates[i]) for i in own)
            average, average_size = (math.fsum(f(x * a) for x, a in zip(row, cost)) for f in (float, abs))
            from_z, renormalised = 2 * z * lse[t] / b.tokens, b.flags & RENORMALISED
            line = [x * (a - average + from_z - (0.0 if renormalised else through)) for x, a in zip(row, cost)]
            limit = [x * (average_size + abs(a) + abs(from_z) + size) for x, a in zip(row, cost)]
            for i in own:
                line[b.chosen[i]] += gates[i] * (real[i] - (through if renormalised else 0.0))
                limit[b.chosen[i]] += gates[i] * (abs(real[i]) + size)
            wanted, bounds = wanted + line, bounds + [(2 * b.experts + 2 * b.per_token + 16) * U * x for x in limit]
        arrays = {"probabilities": p, "lse": lse, "mean_probabilities": mean, "gates": gates, "gate_gradients": dg}
        fields = {name: Array("f32", data) for name, data in arrays.items()}
        fields.update({name: Array("u32", data) for name, data in (("chosen", b.chosen), ("loads", b.loads), ("routes", b.routes))})
        fields.update(b.sizes(), logit_gradients=out("f32", len(p)), balance=balance, entropy=entropy, z=z)
        yield Case(f"{b.tokens} tokens, {b.per_token} of {b.experts}", fields, {"logit_gradients": Expect(wanted, bounds=bounds)})


def planned(b_routes, experts):
    """offsets and places: by expert, then by assignment."""
    offsets, places = [0], [NONE] * len(b_routes)
    for e in range(experts):
        own = [i for i, route in enumerate(b_routes) if route == e]
        for at, i in enumerate(own):
            places[i] = offsets[-1] + at
        offsets.append(offsets[-1] + len(own))
    return offsets, places


def drawn_routes(draw):
    """tokens, experts, per_token, routes with some dropped."""
    for tokens, experts, per_token in ((1, 1, 1), (9, 3, 2), (300, 8, 2), (40, 130, 4), (0, 4, 2), (1500, 5, 3), (6, 1024, 1)):
        routes = [NONE if draw.random() < 0.1 else draw.randrange(experts) for _ in range(tokens * per_token)]
        yield tokens, experts, per_token, routes


def plan_cases(draw, _):
    for tokens, experts, per_token, routes in drawn_routes(draw):
        offsets, places = planned(routes, experts)
        yield Case(f"{tokens} tokens, {per_token} of {experts}",
                   dict(tokens=tokens, experts=experts, per_token=per_token, routes=Array("u32", routes),
                        offsets=out("u32", experts + 1), places=out("u32", len(places))),
                   {"offsets": Expect(offsets), "places": Expect(places)})


def moved(draw):
    """Batches of rows and their places: sizes, dim, places, rows in all, assignment of each place."""
    for tokens, experts, per_token, routes in drawn_routes(draw):
        dim = draw.choice([1, 3, 8, 17, 64, 130])
        dim = dim if tokens < 1000 else 5
        offsets, places = planned(routes, experts)
        count = offsets[-1] + draw.choice([0, 2])
        owner = {place: i for i, place in enumerate(places) if place != NONE}
        yield dict(tokens=tokens, per_token=per_token, rows_count=count), dim, places, count, owner


def permute_cases(draw, _):
    for sizes, dim, places, count, owner in moved(draw):
        x = [draw.randrange(2**16) for _ in range(sizes["tokens"] * dim)]
        rows = [0x5A5A] * (count * dim)
        for place, i in owner.items():
            rows[place * dim : (place + 1) * dim] = x[i // sizes["per_token"] * dim :][:dim]
        yield Case(f"{sizes}, {2 * dim} B", dict(sizes, row_bytes=2 * dim, x=Array("u16", x), places=Array("u32", places),
                                                 rows=both("u16", [0x5A5A] * (count * dim))), {"rows": Expect(rows)})


def combine_cases(draw, _):
    for sizes, dim, places, count, _ in moved(draw):
        rows, gates = normals(draw, count * dim), normals(draw, len(places)) if draw.randrange(2) else None
        wanted, bounds, k = [], [], sizes["per_token"]
        for t in range(sizes["tokens"]):
            own = [i for i in range(t * k, t * k + k) if places[i] != NONE]
            for c in range(dim):
                terms = [(gates[i] if gates else 1.0) * rows[places[i] * dim + c] for i in own]
                wanted.append(math.fsum(terms))
                bounds.append((k + 1) * U * math.fsum(map(abs, terms)))
        fields = dict(sizes, dim=dim, rows=Array("f32", rows), places=Array("u32", places), y=out("f32", len(wanted)))
        if gates:
            fields["gates"] = Array("f32", gates)
        yield Case(f"{sizes}, dim {dim}", fields, {"y": Expect(wanted, bounds=bounds)})


def combine_backward_cases(draw, _):
    for sizes, dim, places, count, owner in moved(draw):
        rows, gates, dy = normals(draw, count * dim), normals(draw, len(places)), normals(draw, sizes["tokens"] * dim)
        drows, dgates, bounds, k = [1.25] * (count * dim), [0.0] * len(places), [0.0] * len(places), sizes["per_token"]
        for place, i in owner.items():
            y, row = dy[i // k * dim :][:dim], rows[place * dim :][:dim]
            drows[place * dim : (place + 1) * dim] = [single(gates[i] * v) for v in y]
            dgates[i] = math.fsum(a * b for a, b in zip(y, row))
            bounds[i] = (dim + 1) * U * math.fsum(abs(a * b) for a, b in zip(y, row))
        yield Case(f"{sizes}, dim {dim}",
                   dict(sizes, dim=dim, rows=Array("f32", rows), places=Array("u32", places), gates=Array("f32", gates),
                        y_gradients=Array("f32", dy), row_gradients=both("f32", [1.25] * (count * dim)),
                        gate_gradients=out("f32", len(places))),
                   {"row_gradients": Expect(drows, bounds=[U * abs(v) if v != 1.25 else 0.0 for v in drows]),
                    "gate_gradients": Expect(dgates, bounds=bounds)})


OPERATORS = [
    Operator("moe_router", router_cases),
    Operator("moe_router_backward", router_backward_cases),
    Operator("moe_plan", plan_cases),
    Operator("moe_permute", permute_cases),
    Operator("moe_combine", combine_cases),
    Operator("moe_combine_backward", combine_backward_cases),
]
