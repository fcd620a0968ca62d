"""Data-parallel training under torchrun: every process simulates its own crops, gradients are averaged."""

import os

import torch
from torch import Tensor
from torch import distributed as dist


class Parallel:
    """This process among all; alone when not started by torchrun."""

    def __init__(self, device: torch.device) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        own_gpu = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        self.device = own_gpu if device.type == "cuda" and self.size > 1 else device
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this process writes logs and files."""
        return self.rank == 0

    def average(self, tensors: list[Tensor]) -> None:
        """Replace the tensors, in place, by their mean over all processes."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def any(self, wish: bool) -> bool:
        """Whether any process wishes it: all hear the same."""
        if self.size == 1:
            return wish
        wishes = torch.tensor(float(wish), device=self.device)
        dist.all_reduce(wishes)
        return bool(wishes > 0)

    def close(self) -> None:
        """Leave the group; processes wait for each other."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()
