"""People as the losses see them: random, in double precision, with everything that may go wrong left out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

People = dict[str, Tensor]


def random_people(b: int = 3, n: int = 40, seed: int = 0, labels: str = "one-hot") -> People:
    """Keypoints, points, mask, parts (one-hot, soft, or mixed of two), and all that some loss takes besides, metres."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 0.4) -> Tensor:
        return scale * torch.randn(*shape, generator=g, dtype=torch.float64)

    mask = torch.rand(b, n, generator=g) < 0.8
    mask[:, 0] = True
    logits = normal(b, n, 15, scale=2.0)
    likeliest = one_hot(logits.topk(2).indices, 15).double()
    parts = {"one-hot": likeliest[:, :, 0], "soft": logits.softmax(-1), "mixed": likeliest.mean(2)}[labels]
    return {
        "keypoints": normal(b, 14, 3),
        "keypoints_next": normal(b, 14, 3),
        "points": normal(b, n, 3) * mask[..., None],
        "mask": mask,
        "parts": parts * mask[..., None],
        "flow": normal(b, n, 3, scale=0.1) * mask[..., None],
        "confidence": torch.rand(b, n, generator=g, dtype=torch.float64) * mask,
        "part_logits": normal(b, n, 15, scale=2.0),
        "views": normal(b, 3, scale=5.0),
        "teacher": normal(b, 14, 3),
        "teacher_confidence": torch.rand(b, 14, generator=g, dtype=torch.float64),
    }


@pytest.fixture
def people() -> Callable[..., People]:
    return random_people
