"""Adam without PyTorch's compiler, which training does not use."""

from inspect import unwrap

import torch


class Adam(torch.optim.Adam):
    """``torch.optim.Adam`` whose methods do not import ``torch._dynamo`` at their first call.

    PyTorch wraps these methods to exclude them from its compiler, which costs seconds of processor
    time in each training process. The wrapped functions are used here, so all results are
    identical.
    """

    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
