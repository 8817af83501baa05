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
    str(HERE / "every_op.toml"): {},
}
SEED = 16  # of seeds 1 to 22 the one whose closest relus are the farthest from 0: 1e-5 and more

# Of a step's loss, and of a table's values as a vector (L2): what issue 4 asks for. A table counts as at least as large
# as one step of its optimizer makes it: a bias, one value, may end at 0 by steps there and back, and what rounding left
# of it is then relative to nothing.
TOLERANCE = 1e-4
EPSILON = 1e-8  # of both optimizers (kernels/sparse_update/sparse_update.hpp)
LOSSES = ("bce", "esmm")
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
        self.features = self.facts["features"]
        shape = (self.facts["steps"], self.facts["samples"])
        self.keys = self.array(self.facts["keys"]).reshape(*shape, -1)
        self.values = self.array(self.facts["values"]).reshape(*shape, -1)
        self.labels = self.array(self.facts["labels"]).reshape(*shape, -1)
        self.losses = self.facts["losses"]
        self.tables = self.facts["tables"]

    def array(self, file):
        return numpy.fromfile(self.path / file, dtype="<u8" if file.endswith("u64") else "<f4")

    def rows(self, table, which):
        return self.array(self.tables[table][which]).reshape(-1, self.tables[table]["dim"])


class table:
    """The rows of a table as parameters: its first-order columns apart, because they learn at a rate of their own."""

    def __init__(self, run, name, dtype):
        self.facts = run.tables[name]
        self.keys = run.array(self.facts["keys"])
        rows = torch.from_numpy(run.rows(name, "initial").copy()).to(dtype)
        first = self.facts["first_columns"]
        self.first = rows[:, :first].clone().requires_grad_()
        self.vectors = rows[:, first:].clone().requires_grad_()

    def whole(self):
        return torch.cat([self.first, self.vectors], dim=1)

    def places(self, keys):
        at = numpy.searchsorted(self.keys, keys)
        if not numpy.array_equal(self.keys[at], keys):
            sys.exit("oracle: a batch has keys that the run left out")
        return torch.from_numpy(at)

    def optimizers(self):
        made = []
        for part, prefix in ((self.first, "first_"), (self.vectors, "")):
            if part.numel() == 0:
                continue
            if self.facts["optimizer"] == "adagrad":
                made.append(torch.optim.Adagrad([part], lr=self.facts[prefix + "rate"], eps=EPSILON,
                                                initial_accumulator_value=self.facts[prefix + "accumulator"]))
            else:
                made.append(torch.optim.Adam([part], lr=self.facts[prefix + "rate"], betas=(0.9, 0.999), eps=EPSILON))
        return made


class model:
    """A model file, interpreted. A value of a layer is [samples, fields, dim]; of a lookup, what it looks up."""

    def __init__(self, run, dtype):
        self.run = run
        self.dtype = dtype
        self.tables = {name: table(run, name, dtype) for name in run.tables}
        self.optimizers = [one for each in self.tables.values() for one in each.optimizers()]
        self.closest = math.inf
        self.loss_layers = [name for name, layer in run.layers.items() if layer["op"] in LOSSES]

    def step(self, number):
        """The loss before it learns."""
        self.keys = self.run.keys[number]
        self.values = torch.from_numpy(self.run.values[number]).to(self.dtype)
        self.labels = torch.from_numpy(self.run.labels[number]).to(self.dtype)
        self.known = {}
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss = sum(self.value(name) for name in self.loss_layers)
        loss.backward()
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
                if "all" in wanted or feature["name"] in wanted
                or ("numbers" if feature["number"] else "ids") in wanted]

    # ---- the operators ----

    def rows(self, name, layer):
        columns = self.chosen(layer, "all")
        rows = self.tables[layer.get("table", name)]
        at = rows.places(self.keys[:, columns])
        return rows.first[at], rows.vectors[at], self.values[:, columns].unsqueeze(2)

    def fields(self, name, layer, looked_up):
        _, vectors, factors = looked_up
        return vectors * factors

    def factorization(self, name, layer, looked_up):
        first, vectors, factors = looked_up
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

    def label(self, layer, attribute, fallback):
        wanted = layer.get(attribute, fallback)
        at = self.run.facts["label_names"].index(wanted) if isinstance(wanted, str) else wanted - 1
        return self.labels[:, at]

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


def deviation(ours, theirs, step=0.0):
    """Relative to theirs, or to `step` in each value where that is more; infinite where something is not finite."""
    ours, theirs = numpy.asarray(ours, dtype=float), numpy.asarray(theirs, dtype=float)
    size = max(numpy.linalg.norm(theirs), step * math.sqrt(theirs.size))
    found = numpy.linalg.norm(ours - theirs) / size if size > 0 else math.inf
    return found if math.isfinite(found) else math.inf


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
        last = rows.whole().detach().numpy()
        step = rows.facts["rate"]
        found.append((f"table {name}", deviation(run.rows(name, "final"), last, step),
                      deviation(run.rows(name, "initial"), last, step)))
    return found, torch_model.closest


def check(name, program, seed, dtype):
    """Whether the model agrees; says how far it is from not doing so."""
    label = pathlib.Path(name).stem
    overrides = MODELS.get(name, {})
    words = [f"layers.{key}={value}" for key, value in overrides.items()]
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
