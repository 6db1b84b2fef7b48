"""Adam without PyTorch's compiler, which a training does not use."""

from inspect import unwrap

import torch


class Adam(torch.optim.Adam):
    """``torch.optim.Adam`` whose methods do not import ``torch._dynamo`` at their first call.

    PyTorch's own do, to tell its compiler to leave them alone: seconds of processor time in each
    process that trains. They hold the same functions beneath, so every number is the same.
    """

    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
