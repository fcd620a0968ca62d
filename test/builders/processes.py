"""Three trainings, as one process or as two by torchrun's rules; writes the losses of each as JSON."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from gckpl_ros.batch import PersonBatch
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.learn.teachers import TemporalConfig
from gckpl_training.data.people import load_people
from gckpl_training.learn.finetune import Finetune, FinetuneConfig
from gckpl_training.learn.run import Parallel, Run
from gckpl_training.learn.stage2 import PseudoLabelled, Stage2, Stage2Config
from gckpl_training.learn.temporal import TemporalTraining, TemporalTrainingConfig, estimated

TINY = TokenConfig(width=16, point_width=8, heads=2, layers=1, free_tokens=2)
STEPS, BREAK = 50, 25


def network() -> TokenNetwork:
    torch.manual_seed(1)
    return TokenNetwork(TINY)


def finetune(people: PersonBatch, out: Path) -> Run:
    return Finetune(FinetuneConfig(out=out, steps=STEPS, batch_size=5, device="cpu"), people, network())


def stage2(people: PersonBatch, out: Path) -> Run:
    labelled = replace(people, confidence=torch.full(people.keypoints.shape[:-1], 0.5), ids=None)
    config = Stage2Config(out=out, steps=STEPS, pairs=3, replay=0, seen=0, device="cpu")
    return Stage2(config, PseudoLabelled(labelled), network())


def temporal(people: PersonBatch, out: Path) -> Run:
    config = TemporalTrainingConfig(
        out=out, steps=STEPS, batch_size=3, device="cpu", network=TemporalConfig(width=16, heads=2, layers=1)
    )
    run = TemporalTraining(config, network())
    run.estimates = estimated(run.keypoint_network, people)
    return run


def losses(run: Run, until: int) -> list[float]:
    """Of each step up to this one; a checkpoint behind it, when all are there."""
    found = []
    while run.step < until:
        found.append(run.train_step()[run.headline])
        run.step += 1
    run.save()
    run.parallel.any(False)
    return found


def main(shard: Path, out: Path) -> dict[str, list[float]]:
    """All losses by name; fine-tuning is resumed half way."""
    torch.set_num_threads(1)
    people, curves = load_people(shard), {}
    for make in (finetune, stage2, temporal):
        curves[make.__name__] = losses(make(people, out / make.__name__), BREAK if make is finetune else STEPS)
    resumed = finetune(people, out / "finetune")
    resumed.resume()
    curves["finetune"] += losses(resumed, STEPS)
    process = Parallel(torch.device("cpu"))
    mean = [torch.full((2,), float(process.rank)), torch.full((1, 3), 4.0 * process.rank)]
    process.average(mean)
    curves["average"] = [*mean[0].tolist(), *mean[1][0].tolist()]
    process.close()
    return curves


if __name__ == "__main__":
    second = os.fork()  # one start for both
    os.environ["RANK"] = "0" if second else "1"
    found = json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2])))
    (Path(sys.argv[2]) / f"{os.environ['RANK']}.json").write_text(found)
    if not second:
        os._exit(0)
    assert os.waitpid(second, 0)[1] == 0
