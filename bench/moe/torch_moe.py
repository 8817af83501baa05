# The layer of `headrace bench moe`, the natural way: a loop over experts, each with matrices of its own, that gathers and
# scatters. Stands after torch_layer.py.
tokens, dim, hidden, experts, top = sizes
x = read("x", tokens, dim).requires_grad_()
w_router = read("w_router", dim, experts).requires_grad_()
w1 = [w.clone().requires_grad_() for w in read("w1", experts, dim, hidden)]
w2 = [w.clone().requires_grad_() for w in read("w2", experts, hidden, dim)]
dy = read("dy", tokens, dim)


def step():
    p, chosen = torch.topk(torch.softmax(x @ w_router, -1), top)
    gates = p / p.sum(-1, keepdim=True)
    y = torch.zeros(tokens, dim)
    for e in range(experts):
        token, slot = torch.where(chosen == e)
        rows = torch.relu(x[token] @ w1[e]) @ w2[e]
        y.index_add_(0, token, rows * gates[token, slot, None])
    y.backward(dy)
    return y


def outputs(y):
    gradients = {"dw1": torch.stack([w.grad for w in w1]), "dw2": torch.stack([w.grad for w in w2])}
    return {"y": y, "dx": x.grad, "dw_router": w_router.grad, **gradients}


serve(step, outputs, [x, w_router, *w1, *w2])
