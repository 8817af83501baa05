# The operators of `headrace bench NAME`, as PyTorch's users write them. Stands after torch_layer.py and a line that says which
# (`op`). Indices come as floats, so they are below 2**24.
import torch.nn.functional as F


def leaf(name, *shape):
    return read(name, *shape).requires_grad_()


def index(name, *shape):
    return read(name, *shape).long()


def gather_pool(bags, length, rows, dim):
    table, inverse = read("rows", rows, dim), index("inverse", bags, length)
    serve(lambda: F.embedding_bag(inverse, table, mode="sum"), lambda out: {"out": out}, [])


def quantize_rows(rows, dim):
    values = read("values", rows, dim)

    def step():
        most = values.abs().amax(1)
        scales = (most / 127).half()
        low = scales.float() * 127 < most  # the next fp16 up, so that nothing is clipped
        scales = torch.where(low, (scales.view(torch.int16) + 1).view(torch.half), scales)
        codes = torch.round(values * (1 / scales.float()).unsqueeze(1)).to(torch.int8)
        return codes, scales

    serve(step, lambda made: {"codes": made[0].float(), "scales": made[1].float()}, [])


def sparse_update(batch, rows, dim):
    first, keys, gradients = read("table", rows, dim), index("keys", batch), read("gradients", batch, dim)
    table = first.clone().requires_grad_()
    optimizer = torch.optim.Adagrad([table], lr=0.01, eps=1e-8)

    def step():
        table.grad = torch.sparse_coo_tensor(keys.unsqueeze(0), gradients, (rows, dim))
        optimizer.step()

    serve(step, lambda _: {"moved": table[keys] - first[keys]}, [])


def dedup(batch):
    keys = index("keys", batch)
    names = ("unique", "inverse", "counts")
    serve(lambda: torch.unique(keys, return_inverse=True, return_counts=True),
          lambda made: {name: one.float() for name, one in zip(names, made)}, [])


def top_k(batch, k):
    values = read("values", batch)

    def step():
        indices = torch.topk(values.abs(), k, sorted=False).indices.sort().values
        return indices, values[indices]

    serve(step, lambda made: {"indices": made[0].float(), "selected": made[1]}, [])


def linear(rows, inputs, outputs):
    x, w, b, dy = leaf("x", rows, inputs), leaf("w", inputs, outputs), leaf("b", outputs), read("dy", rows, outputs)

    def step():
        z = torch.addmm(b, x, w)
        y = F.gelu(z, approximate="tanh")
        y.backward(dy)
        return y

    serve(step, lambda y: {"y": y, "dx": x.grad, "dw": w.grad, "db": b.grad}, [x, w, b])


def cross(rows, dim):
    x0, x, w, b = leaf("x0", rows, dim), leaf("x", rows, dim), leaf("w", dim, dim), leaf("b", dim)
    dy = read("dy", rows, dim)

    def step():
        y = x0 * torch.addmm(b, x, w) + x
        y.backward(dy)
        return y

    serve(step, lambda y: {"y": y, "dx": x.grad, "dx0": x0.grad, "dw": w.grad, "db": b.grad}, [x0, x, w, b])


def layer_norm(rows, dim):
    x, gain, bias, dy = leaf("x", rows, dim), leaf("gain", dim), leaf("bias", dim), read("dy", rows, dim)

    def step():
        y = F.layer_norm(x, (dim,), gain, bias, eps=1e-5)
        y.backward(dy)
        return y

    serve(step, lambda y: {"y": y, "dx": x.grad, "dgain": gain.grad, "dbias": bias.grad}, [x, gain, bias])


def fm(samples, features, rows, width):
    table, inverse, d = leaf("rows", rows, width), index("inverse", samples, features), read("d", samples)

    def step():
        found = F.embedding(inverse, table)
        w, v = found[:, :, 0], found[:, :, 1:]
        logits = w.sum(1) + 0.5 * (v.sum(1).square().sum(1) - v.square().sum((1, 2)))
        logits.backward(d)
        return logits

    serve(step, lambda logits: {"logits": logits, "gradients": table.grad}, [table])


def dot_interaction(samples, fields, dim):
    e, d = leaf("e", samples, fields, dim), read("d", samples, fields * (fields - 1) // 2)
    i, j = torch.tril_indices(fields, fields, offset=-1)

    def step():
        out = torch.bmm(e, e.transpose(1, 2))[:, i, j]
        out.backward(d)
        return out

    serve(step, lambda out: {"out": out, "de": e.grad}, [e])


def adam(rows, dim):
    first, gradients = read("weights", rows, dim), read("gradients", rows, dim)
    weights = first.clone().requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=0.001, betas=(0.9, 0.999), eps=1e-8)

    def step():
        weights.grad = gradients
        optimizer.step()

    serve(step, lambda _: {"moved": weights - first}, [])


globals()[op](*sizes)
