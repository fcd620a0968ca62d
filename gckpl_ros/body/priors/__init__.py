"""How plausible a pose is: priors of one kind, which a fit takes as energy, and which draw and mend poses."""

from gckpl_ros.body.priors.files import KINDS, load_prior, save_prior
from gckpl_ros.body.priors.networks import PoseDiffusion, PoseNdf, VPoser
from gckpl_ros.body.priors.prior import GaussianMixture, JointLimits, NoPrior, PosePrior

__all__ = [
    "KINDS",
    "GaussianMixture",
    "JointLimits",
    "NoPrior",
    "PoseDiffusion",
    "PoseNdf",
    "PosePrior",
    "VPoser",
    "load_prior",
    "save_prior",
]
