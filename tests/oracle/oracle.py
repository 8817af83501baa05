#!/usr/bin/python3
"""Trains each preset once more, in PyTorch, and compares: every step's loss, and every table at the end.

    oracle.py --run ORACLE_RUN [--seed SEED] [--double] [MODEL ...]

ORACLE_RUN (oracle_run.cpp) trains a model with Headrace's own trainer and shards and leaves its samples, first and
last rows and losses in a folder. Here the model file is read again, by this file's own idea of docs/model-file.md, and
trained from the same rows on the same samples: float32, autograd, torch.optim. Nothing of Headrace computes here.
--double computes in double instead: says which side is off when they differ.

Ends with 0: all agree; 1: some don't, or a run failed; 77: there is no PyTorch, so nothing was compared.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib

try:
    import numpy
    import torch
    import torch.nn.functional as functional
except ImportError as missing:
    print(f"oracle: skipped, {missing}; ./dev setup peers installs Debian's python3-torch")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
# Models and what is smaller than in the preset, to keep relus few: compare() says why.
MODELS = {
    "lr": {},
    "fm": {},
    "deepfm": {"embedding.dim": 4, "deep1.units": 16, "deep2.units": 8},
    "dlrm": {"embedding.dim": 4, "bottom1.units": 8, "bottom2.units": 4, "top1.units": 12, "top2.units": 8},
    "dcnv2": {"embedding.dim": 4, "cross1.rank": 4, "cross2.rank": 4, "deep1.units": 16, "deep2.units": 8},
    "mmoe_esmm": {"embedding.dim": 4, "experts.units": 16, "click_tower.units": 4, "conversion_tower.units": 4},
    "din": {"embedding.dim": 4, "embedding.features": ["id5", "seen"], "others.dim": 3,
            "others.features": ["all", "-id5"], "history.feature": "seen", "interest.units": 6, "deep1.units": 8,
            "deep2.units": 6},
    "sasrec": {"embedding.dim": 8, "qkv1.units": 24, "attention1.heads": 2, "wide1.units": 6, "narrow1.units": 8,
               "qkv2.units": 24, "attention2.window": 3, "wide2.units": 6, "narrow2.units": 8, "next.negatives": 12,
               **{f"{name}.rate": 0.0 for name in ("block0", "attended1", "wide_kept1", "narrow_kept1", "attended2",
                                                   "wide_kept2", "narrow_kept2")},
               "wide1.activation": "tanh", "wide2.activation": "gelu"},
    "hstu": {"embedding.dim": 8, "qkv1.units": 24, "gate1.units": 8, "mixed1.units": 8, "qkv2.units": 24,
             "gate2.units": 8, "mixed2.units": 8, "next.negatives": 12, "attention2.causal": False,
             **{f"{name}.rate": 0.0 for name in ("block0", "kept1", "kept2", "norm1b", "norm2b")},
             # The first of a list sees itself alone, with a weight that crosses 0: a norm of that turns over within 1e-3
             # of it, and runs part there (PyTorch's own in float and double, too). sasrec has norms to compare.
             "norm1b.op": "dropout", "norm2b.op": "dropout"},
    str(HERE / "every_op.toml"): {},
}
SEED = 16  # of seeds 1 to 22 the one whose closest relus are the farthest from 0: 1e-5 and more

# Of a step's loss, and of a table's values as a vector (L2): what issue 4 asks for. A table counts as at least as large
# as one step of its optimizer makes it: a bias, one value, may end at 0 by steps there and back, and what rounding left
# of it is then relative to nothing.
TOLERANCE = 1e-4
EPSILON = 1e-8  # of both optimizers (kernels/sparse_update/sparse_update.hpp)
LOSSES = ("bce", "esmm", "next_item")
ACTIVATIONS = {
    "none": lambda z: z,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "gelu": lambda z: functional.gelu(z, approximate="tanh"),
    "tanh": torch.tanh,
}


class run_folder:
    """What oracle_run left."""

    def __init__(self, path, overrides):
        self.path = pathlib.Path(path)
        self.facts = json.loads((self.path / "run.json").read_text())
        self.layers = tomllib.loads(self.facts["model"])["layers"]
        for key, value in overrides.items():
            layer, attribute = key.split(".")
            self.layers[layer][attribute] = value
        self.features = [feature for feature in self.facts["features"] if not feature["list"]]
        self.lists = [feature for feature in self.facts["features"] if feature["list"]]
        shape = (self.facts["steps"], self.facts["samples"])
        self.keys = self.array(self.facts["keys"]).reshape(*shape, -1)
        self.values = self.array(self.facts["values"]).reshape(*shape, -1)
        self.labels = self.array(self.facts["labels"]).reshape(*shape, -1)
        self.losses = self.facts["losses"]
        lengths = self.array(self.facts["lengths"]).astype(int)
        lists = numpy.split(self.array(self.facts["list_keys"]), numpy.cumsum(lengths)[:-1])
        self.list_keys = [lists[at:at + shape[1]] for at in range(0, len(lists), shape[1])]  # of each step and sample
        self.tables = self.facts["tables"]

    def array(self, file):
        return numpy.fromfile(self.path / file, dtype="<u8" if file.endswith("u64") else "<f4")

    def rows(self, table, which):
        return self.array(self.tables[table][which]).reshape(-1, self.tables[table]["dim"])


class table:
    """The rows of a table as parameters: its first-order columns apart, because they learn at a rate of their own, and the
    rows of each expert, because one without a token stands still: PyTorch passes over what has no gradient."""

    def __init__(self, run, name, dtype, experts=1):
        self.facts = run.tables[name]
        self.keys = run.array(self.facts["keys"])
        rows = torch.from_numpy(run.rows(name, "initial").copy()).to(dtype)
        first = self.facts["first_columns"]
        self.first = rows[:, :first].clone().requires_grad_()
        self.experts = [part.clone().requires_grad_() for part in rows[:, first:].chunk(experts)]
        self.vectors = self.experts[0]  # all of them but where there are experts

    def whole(self):
        return torch.cat([self.first, torch.cat(self.experts)], dim=1)

    def places(self, keys):
        at = numpy.searchsorted(self.keys, keys)
        if not numpy.array_equal(self.keys[at], keys):
            sys.exit("oracle: a batch has keys that the run left out")
        return torch.from_numpy(at)

    def optimizers(self):
        made = []
        for parts, prefix in (([self.first], "first_"), (self.experts, "")):
            if parts[0].numel() == 0:
                continue
            if self.facts["optimizer"] == "adagrad":
                made.append(torch.optim.Adagrad(parts, lr=self.facts[prefix + "rate"], eps=EPSILON,
                                                initial_accumulator_value=self.facts[prefix + "accumulator"]))
            else:
                made.append(torch.optim.Adam(parts, lr=self.facts[prefix + "rate"], betas=(0.9, 0.999), eps=EPSILON))
        return made


class model:
    """A model file, interpreted. A value of a layer is [samples, fields, dim]; of a lookup, what it looks up."""

    def __init__(self, run, dtype):
        self.run = run
        self.dtype = dtype
        experts = {f"{name}_{which}": layer["experts"] for name, layer in run.layers.items()
                   if layer["op"] == "routed_experts" for which in ("first", "second", "third")}
        self.tables = {name: table(run, name, dtype, experts.get(name, 1)) for name in run.tables}
        self.optimizers = [one for each in self.tables.values() for one in each.optimizers()]
        self.closest = math.inf
        self.loss_layers = [name for name, layer in run.layers.items() if layer["op"] in LOSSES]

    def step(self, number):
        """The loss before it learns, without what routers learn from beside it."""
        self.number = number
        self.keys = self.run.keys[number]
        self.list_keys = self.run.list_keys[number]
        self.list_of = numpy.repeat(numpy.arange(len(self.list_keys)), [len(one) for one in self.list_keys])
        self.values = torch.from_numpy(self.run.values[number]).to(self.dtype)
        self.labels = torch.from_numpy(self.run.labels[number]).to(self.dtype)
        self.known = {}
        self.beside = 0.0
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss = sum(self.value(name) for name in self.loss_layers)
        (loss + self.beside).backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.item()

    def value(self, name):
        if name not in self.known:
            layer = self.run.layers[name]
            inputs = [self.value(one) for one in layer.get("inputs", [])]
            self.known[name] = getattr(self, layer["op"])(name, layer, *inputs)
        return self.known[name]

    def parameter(self, name, layer, which):
        return self.tables[layer.get(which + "_table", f"{name}_{which}")].whole()

    def chosen(self, layer, fallback):
        """Positions of the features of a layer, ascending."""
        wanted = layer.get("features", [fallback])
        return [at for at, feature in enumerate(self.run.features)
                if ("all" in wanted or feature["name"] in wanted
                    or ("numbers" if feature["number"] else "ids") in wanted) and "-" + feature["name"] not in wanted]

    # ---- the operators ----

    def rows(self, name, layer):
        columns = self.chosen(layer, "all")
        rows = self.tables[layer.get("table", name)]
        at = rows.places(self.keys[:, columns])
        return rows.first[at], rows.vectors[at], self.values[:, columns].unsqueeze(2), rows

    def fields(self, name, layer, looked_up):
        _, vectors, factors, _ = looked_up
        return vectors * factors

    def factorization(self, name, layer, looked_up):
        first, vectors, factors, _ = looked_up
        linear = (first * factors).sum(dim=(1, 2))
        products = vectors * factors
        pairs = products.sum(dim=1).square().sum(dim=1) - products.square().sum(dim=(1, 2))
        return (self.parameter(name, layer, "bias")[0, 0] + linear + pairs / 2).reshape(-1, 1, 1)

    def numbers(self, name, layer):
        return self.values[:, self.chosen(layer, "numbers")].unsqueeze(1)

    def concat(self, name, layer, *inputs):
        if len({one.shape[2] for one in inputs}) == 1:
            return torch.cat(inputs, dim=1)
        return torch.cat([one.flatten(1) for one in inputs], dim=1).unsqueeze(1)

    def sum(self, name, layer, *inputs):
        return sum(one.reshape(inputs[0].shape) for one in inputs)

    def linear(self, name, layer, x):
        z = x.flatten(1) @ self.parameter(name, layer, "weights") + self.parameter(name, layer, "bias")
        if layer.get("activation") == "relu":
            size = z.detach().abs()
            self.closest = min(self.closest, (size.min() / size.mean()).item())
        return ACTIVATIONS[layer.get("activation", "none")](z).unsqueeze(1)

    def pairwise(self, name, layer, x):
        products = sum(x[:, i] * x[:, j] for i in range(x.shape[1]) for j in range(i))
        if layer.get("sum", "all") == "all":
            products = products.sum(dim=1, keepdim=True)
        return products.unsqueeze(1)

    def dot(self, name, layer, x):
        i, j = torch.tril_indices(x.shape[1], x.shape[1], offset=-1)
        return torch.bmm(x, x.transpose(1, 2))[:, i, j].unsqueeze(1)

    def cross(self, name, layer, x0, x):
        weights = self.parameter(name, layer, "weights")
        if layer.get("rank", 0) > 0:
            weights = weights @ self.parameter(name, layer, "up").T
        u = x.flatten(1) @ weights + self.parameter(name, layer, "bias")
        return (x0.flatten(1) * u + x.flatten(1)).reshape(x.shape)

    def mixture(self, name, layer, gate, experts):
        gates = torch.softmax(gate.flatten(1), dim=1)
        vectors = experts.reshape(*gates.shape, -1)
        return (gates.unsqueeze(2) * vectors).sum(dim=1, keepdim=True)

    def routed_experts(self, name, layer, x):
        rows, experts, k = x.flatten(1), layer["experts"], layer["k"]
        logits = rows @ self.parameter(name, layer, "router")
        chosen = torch.argsort(logits.detach(), dim=1, descending=True, stable=True)[:, :k]
        gates = logits.gather(1, chosen).softmax(dim=1)
        first, second, third = (self.tables[f"{name}_{which}"].experts for which in ("first", "second", "third"))
        room = math.ceil(layer["capacity_factor"] * (len(rows) * k / experts))
        y = torch.zeros_like(rows)
        for e in range(experts):
            row, slot = (chosen == e).nonzero(as_tuple=True)
            best = torch.argsort(gates.detach()[row, slot], descending=True, stable=True)[:room]
            if len(best) > 0:
                row, slot = row[best], slot[best]
                out = (functional.silu(rows[row] @ first[e]) * (rows[row] @ third[e])) @ second[e]
                y = y.index_add(0, row, gates[row, slot].unsqueeze(1) * out)
        shares = torch.bincount(chosen.flatten(), minlength=experts) / chosen.numel()
        mean = logits.softmax(dim=1).mean(dim=0)
        self.beside = self.beside + len(rows) * (
            layer["balance"] * experts * (shares * mean).sum() + layer["entropy"] * (mean * mean.log()).sum()
            + layer["z"] * logits.logsumexp(dim=1).square().mean())
        return y.reshape(x.shape)

    def label(self, layer, attribute, fallback):
        wanted = layer.get(attribute, fallback)
        at = self.run.facts["label_names"].index(wanted) if isinstance(wanted, str) else wanted - 1
        return self.labels[:, at]

    # ---- over a list: [tokens, 1, dim], list after list ----

    def each_list(self):
        """The tokens of each sample."""
        return [numpy.flatnonzero(self.list_of == sample) for sample in range(len(self.list_keys))]

    def tokens(self, name, layer, looked_up):
        rows = looked_up[3]
        return rows.vectors[rows.places(numpy.concatenate(self.list_keys))].unsqueeze(1)

    def positions(self, name, layer, x):
        places = numpy.concatenate([numpy.arange(len(one))[::-1] for one in self.list_keys]).copy()
        return x + self.parameter(name, layer, "weights")[places].unsqueeze(1)

    def dropout(self, name, layer, x):
        assert layer["rate"] == 0.0, "what is dropped is Headrace's to draw"
        return x

    def product(self, name, layer, x, y):
        return x * y

    def layer_norm(self, name, layer, x):
        gain, bias = (self.parameter(name, layer, which)[0] for which in ("gain", "bias"))
        return functional.layer_norm(x, (x.shape[2],), 1 + gain, bias, eps=1e-5)

    def scores(self, layer, x):
        """For each list its tokens, and for each of its heads the scores, the mask and the values."""
        heads = layer.get("heads", 1)
        parts = x.flatten(1).reshape(x.shape[0], 3, heads, -1)
        for of in self.each_list():
            queries, keys, values = (parts[of, which].transpose(0, 1) for which in range(3))
            i, j = torch.meshgrid(torch.arange(len(of)), torch.arange(len(of)), indexing="ij")
            seen = j <= i if layer.get("causal", True) else torch.ones_like(i, dtype=torch.bool)
            if layer.get("window", 0) > 0:
                seen = seen & ((i - j).abs() < layer["window"])
            yield of, queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[2]), seen, values, j - i

    def attention(self, name, layer, x):
        whole = [(scores.masked_fill(~seen, -math.inf).softmax(dim=2) @ values).transpose(0, 1).flatten(1)
                 for of, scores, seen, values, _ in self.scores(layer, x) if len(of) > 0]
        return torch.cat(whole).unsqueeze(1)

    @staticmethod
    def attended(parts, causal):
        """Of one sequence: [n, 3, heads, dim], queries, keys and values, to [n, heads * dim]."""
        queries, keys, values = (parts[:, which].transpose(0, 1) for which in range(3))
        scores = queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[2])
        if causal:
            scores = scores.masked_fill(torch.ones(scores.shape[1:], dtype=torch.bool).triu(1), -math.inf)
        return (scores.softmax(dim=2) @ values).transpose(0, 1).flatten(1)

    def block_attention(self, name, layer, x):
        parts, causal = x.flatten(1).reshape(x.shape[0], 3, layer.get("heads", 1), -1), layer.get("causal", True)
        whole = []
        for of in self.each_list():
            blocks = [parts[of[begin:begin + layer["block"]]] for begin in range(0, len(of), layer["block"])]
            if blocks:
                far = self.attended(torch.stack([block.mean(dim=0) for block in blocks]), causal)
                read = torch.cat([torch.zeros_like(far[:1]), far[:-1]]) if causal else far
                whole += [self.attended(block, causal) + more for block, more in zip(blocks, read)]
        return torch.cat(whole).unsqueeze(1)

    def pool(self, name, layer, x):
        whole = [x.flatten(1)[of].mean(dim=0) if len(of) > 0 else x.new_zeros(x.shape[1] * x.shape[2])
                 for of in self.each_list()]
        return torch.stack(whole).unsqueeze(1)

    def hstu(self, name, layer, x):
        table = self.parameter(name, layer, "distances")
        whole = []
        for of, scores, seen, values, distances in self.scores(layer, x):
            if len(of) > 0:
                weights = functional.silu(scores + table[:, distances + table.shape[1] // 2]) * seen / len(of)
                whole.append((weights @ values).transpose(0, 1).flatten(1))
        return torch.cat(whole).unsqueeze(1)

    def target_attention(self, name, layer, history, target):
        e, t = history.flatten(1), target.flatten(1)[self.list_of]
        z = torch.cat([e, t, e - t, e * t], dim=1) @ self.parameter(name, layer, "first_weights")
        z = torch.sigmoid(z + self.parameter(name, layer, "first_bias"))
        weights = z @ self.parameter(name, layer, "second_weights")[0] + self.parameter(name, layer, "second_bias")[0, 0]
        interest = torch.zeros_like(target.flatten(1))
        return interest.index_add(0, torch.from_numpy(self.list_of), weights.unsqueeze(1) * e).unsqueeze(1)

    def next_item(self, name, layer, states, looked_up):
        rows, states = looked_up[3], states.flatten(1)
        keys = numpy.unique(numpy.concatenate(self.list_keys))
        drawn = [keys[counter_draw(0x6E657874, mix64(self.number + 1), j) % len(keys)]
                 for j in range(layer["negatives"])]
        negatives = rows.vectors[rows.places(numpy.array(drawn))]
        loss = 0.0
        for of, own in zip(self.each_list(), self.list_keys):
            if len(own) < 2:
                continue
            against = (states[of[:-1]] @ negatives.T).masked_fill(torch.tensor([key in own for key in drawn]), -math.inf)
            right = (states[of[:-1]] * rows.vectors[rows.places(own[1:])]).sum(dim=1, keepdim=True)
            loss = loss - torch.cat([right, against], dim=1).log_softmax(dim=1)[:, 0].sum()
        return loss

    def bce(self, name, layer, logit):
        label = self.label(layer, "label", 1)
        return layer.get("weight", 1.0) * functional.binary_cross_entropy_with_logits(
            logit.flatten(), label, reduction="sum")

    def esmm(self, name, layer, ctr_logit, cvr_logit):
        p_ctr = torch.sigmoid(ctr_logit.flatten())
        p_ctcvr = p_ctr * torch.sigmoid(cvr_logit.flatten())
        losses = [functional.binary_cross_entropy(p, self.label(layer, which, fallback), reduction="sum")
                  for p, which, fallback in ((p_ctr, "label", 1), (p_ctcvr, "conversion_label", 2))]
        return layer.get("weight", 1.0) * losses[0] + layer.get("conversion_weight", 1.0) * losses[1]


def mix64(x):
    """base/random.hpp: what is drawn has no say of its own in what the loss is, so it is drawn the same here."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def counter_draw(seed, key, i):
    return mix64((mix64(seed ^ mix64(key)) + i * 0x9E3779B97F4A7C15) % 2**64)


def deviation(ours, theirs, step=0.0):
    """Relative to theirs, or to `step` in each value where that is more; infinite where something is not finite."""
    ours, theirs = numpy.asarray(ours, dtype=float), numpy.asarray(theirs, dtype=float)
    size = max(numpy.linalg.norm(theirs), step * math.sqrt(theirs.size))
    found = numpy.linalg.norm(ours - theirs) / size if size > 0 else math.inf
    return found if math.isfinite(found) else math.inf


def said_columns(run, name):
    """The columns of a table that have a say in the loss. A bias of keys adds the same to all scores of a query, and
    softmax takes it off again: its gradient is what rounding left, and Adam makes steps of that."""
    said = numpy.ones(run.tables[name]["dim"], dtype=bool)
    for layer in run.layers.values():
        if layer["op"] in ("attention", "block_attention") and name == layer["inputs"][0] + "_bias":
            said[said.size // 3:2 * said.size // 3] = False
    return said


def compare(run, dtype):
    """(what, deviation, moved) of each thing compared, moved: how far it went from its start, None for losses; and how
    close a relu's input came to 0.

    Rounding differs from ours, and from machine to machine: tables by about 1e-6 at the end. A relu whose input is as
    close to 0 as that may be open here and shut there; one sample more or less is much for a unit, and Adam, which
    steps by ratios of gradients, makes it larger: such a run deviates by percents, and no side is wrong. So networks
    are small and the seed is one where none comes close."""
    torch_model = model(run, dtype)
    losses = [torch_model.step(number) for number in range(run.facts["steps"])]
    found = [(f"loss of step {number + 1}", deviation([ours], [theirs]), None)
             for number, (ours, theirs) in enumerate(zip(run.losses, losses, strict=True))]
    for name, rows in torch_model.tables.items():
        said = said_columns(run, name)
        last = rows.whole().detach().numpy()[:, said]
        step = rows.facts["rate"]
        found.append((f"table {name}", deviation(run.rows(name, "final")[:, said], last, step),
                      deviation(run.rows(name, "initial")[:, said], last, step)))
    return found, torch_model.closest


def check(name, program, seed, dtype):
    """Whether the model agrees; says how far it is from not doing so."""
    label = pathlib.Path(name).stem
    overrides = MODELS.get(name, {})
    words = [f"layers.{key}={json.dumps(value)}" for key, value in overrides.items()]
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run([program, name, folder, str(seed), *words]).returncode != 0:
            print(f"oracle: {label}: FAILED, no run to compare with")
            return False
        run = run_folder(folder, overrides)
        found, closest = compare(run, dtype)
    wrong = [f"{what} deviates by {by:.3g}, allowed {TOLERANCE:g}" for what, by, _ in found if by > TOLERANCE]
    # A table that hardly moves agrees whatever its gradients; one that moves by this much shows if they are 10 % off.
    wrong += [f"{what} moved by {moved:.3g}: too little to tell" for what, _, moved in found
              if moved is not None and moved < 10 * TOLERANCE]
    loss = max((by, what) for what, by, _ in found if what.startswith("loss"))
    rows = max((by, what) for what, by, _ in found if what.startswith("table"))
    means = [sum(part) / len(part) / run.facts["samples"] for part in (run.losses[:20], run.losses[-20:])]
    print(f"oracle: {label}: largest deviation {loss[0]:.2g} ({loss[1]}), {rows[0]:.2g} ({rows[1]}"
          f" of {len(run.tables)}); loss a sample {means[0]:.3f} -> {means[1]:.3f}"
          + (f"; closest relu {closest:.1g}" if closest < math.inf else ""), flush=True)
    for line in wrong[:10]:
        print(f"oracle: {label}: FAILED with seed {seed}, {line}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description="Compares training with PyTorch's.")
    parser.add_argument("--run", required=True, help="the program oracle_run")
    parser.add_argument("--seed", type=int, default=SEED, help="of samples and first rows")
    parser.add_argument("--double", action="store_true", help="compute in double here")
    parser.add_argument("models", nargs="*", default=list(MODELS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order, and tests beside this one keep their cores
    dtype = torch.float64 if arguments.double else torch.float32
    program = os.path.abspath(arguments.run)
    agree = [check(name, program, arguments.seed, dtype) for name in arguments.models]
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
