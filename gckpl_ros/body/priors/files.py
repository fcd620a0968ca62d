"""Priors on disk: a few hundred kilobytes of safetensors each; those that ship lie in gckpl_ros/weights."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from gckpl_ros.body.priors.networks import PoseDiffusion, PoseNdf, VPoser
from gckpl_ros.body.priors.prior import GaussianMixture, JointLimits, NoPrior, PosePrior
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import Weights, write_weights

FORMAT: Final = "gckpl-prior-1"
# Those without a file, and those that are learnt.
PLAIN: Final[Mapping[str, Callable[[], PosePrior]]] = {"none": NoPrior, "limits": JointLimits}
LEARNT: Final[Mapping[str, Callable[[], PosePrior]]] = {
    "gmm": GaussianMixture,
    "vposer": VPoser,
    "ndf": PoseNdf,
    "diffusion": PoseDiffusion,
}
KINDS: Final = (*PLAIN, *LEARNT)


def save_prior(path: Path, kind: str, prior: PosePrior, provenance: Mapping[str, str]) -> None:
    """Write a learnt prior and where it comes from; raises InputError where it cannot."""
    write_weights(path, prior, {**provenance, "format": FORMAT, "kind": kind})


def load_prior(prior: str | Path) -> PosePrior:
    """One of KINDS, as it ships, or a file of `gckpl train prior`; raises InputError."""
    if plain := PLAIN.get(str(prior)):
        return plain()
    path = Path(str(files("gckpl_ros.weights") / f"prior_{prior}.safetensors")) if prior in LEARNT else Path(prior)
    weights = Weights.read(path)
    if weights.metadata.get("format") != FORMAT:
        raise InputError(f"{path} holds no pose prior; take one of {', '.join(KINDS)} or a file of gckpl train prior")
    found = LEARNT[weights.metadata["kind"]]()
    weights.fill(found)
    return found.eval().requires_grad_(False)
