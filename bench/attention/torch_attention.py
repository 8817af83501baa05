# The layer of `headrace bench attention`, the natural way: PyTorch 1.13 has no fused attention. Stands after torch_layer.py.
batch, seq, dim, heads = sizes
x = read("x", batch, seq, dim).requires_grad_()
w_qkv = read("w_qkv", dim, 3 * dim).requires_grad_()
w_o = read("w_o", dim, dim).requires_grad_()
dy = read("dy", batch, seq, dim)


def step():
    q, k, v = (x @ w_qkv).view(batch, seq, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
    p = torch.softmax((q * (dim // heads) ** -0.5) @ k.transpose(-1, -2), -1)
    y = (p @ v).transpose(1, 2).reshape(batch, seq, dim) @ w_o
    y.backward(dy)
    return y


def outputs(y):
    return {"y": y, "dx": x.grad, "dw_qkv": w_qkv.grad, "dw_o": w_o.grad}


serve(step, outputs, [x, w_qkv, w_o])
