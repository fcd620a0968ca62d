"""Stage II and fine-tuning: two steps and a resume, crop files, people out of a recording, the benchmark when small."""

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gckpl_ros import cli
from gckpl_ros.batch import PersonBatch
from gckpl_ros.errors import InputError
from gckpl_ros.estimate.checkpoint import fingerprint, load_network, save_network
from gckpl_ros.estimate.tokens import TokenConfig, TokenNetwork
from gckpl_ros.learn.learner import LearnerConfig
from gckpl_ros.learn.teachers import load_temporal
from gckpl_ros.skeleton import BACKGROUND
from gckpl_training.data.people import load_labelled, save_people
from gckpl_training.learn import stage2
from gckpl_training.learn.finetune import Finetune, FinetuneConfig
from gckpl_training.learn.stage2 import Stage2, Stage2Config, from_data, pseudo_label
from gckpl_training.learn.temporal import TemporalTraining, TemporalTrainingConfig
from gckpl_training.simulate.maker import CropConfig
from gckpl_training.simulate.people import PasserConfig, PasserSource

TINY = TokenConfig(width=16, point_width=8, heads=2, layers=1, free_tokens=2)
PASSERS = PasserConfig(sensors=("spinner16",), frames=4, seen_frames=3)
CROPS = CropConfig(sensors=("spinner16",), range_m=(4.0, 6.0), views=1)


@pytest.fixture(scope="module")
def people() -> PersonBatch:
    return PasserSource(PASSERS, 1).draw(6)


def unlabelled(people: PersonBatch) -> PersonBatch:
    return replace(people, keypoints=None, parts=None)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_network(tmp_path / "start.safetensors", TokenNetwork(TINY), {"stage": "1"})
    return tmp_path / "start.safetensors"


def config(tmp_path: Path, start: Path, **changes: object) -> Stage2Config:
    settings = Stage2Config(
        data=(tmp_path / "crops.people",), weights=str(start), teacher="smoothing", out=tmp_path / "run", steps=4,
        pairs=3, replay=4, seen=0, device="cpu", crops=CROPS,
    )  # fmt: skip
    return replace(settings, **changes)


def test_crop_files_come_back_as_they_were(tmp_path: Path, people: PersonBatch) -> None:
    save_people(tmp_path / "crops.people", people)
    back = load_labelled(tmp_path / "crops.people")
    torch.testing.assert_close(back.points, people.points, atol=2e-3, rtol=0)
    assert back.required("parts")[back.mask].equal(people.required("parts")[people.mask])
    for name in ("views", "origins", "dt_s", "keypoints", "mask"):
        torch.testing.assert_close(back.required(name), people.required(name))


def test_crop_files_may_miss_keypoints_and_parts(tmp_path: Path, people: PersonBatch) -> None:
    """Those of the mask, and those that are NaN, are unknown."""
    known, keypoints = torch.ones(people.keypoints.shape[:-1], dtype=torch.bool), people.keypoints.clone()
    known[0, 1, 2], keypoints[3, 0, 5, 1] = False, torch.nan
    save_people(tmp_path / "crops.people", replace(people, parts=None, keypoints=keypoints, keypoint_mask=known))
    back = load_labelled(tmp_path / "crops.people")
    assert back.parts is None and (~back.required("keypoint_mask")).nonzero().tolist() == [[0, 1, 2], [3, 0, 5]]
    run = Finetune(FinetuneConfig(steps=1, out=tmp_path / "run", batch_size=4, device="cpu"), back, TokenNetwork(TINY))
    assert 0 < run.train_step()["total"] < float("inf")


def test_crop_files_that_are_none_are_errors(tmp_path: Path, people: PersonBatch) -> None:
    save_people(tmp_path / "crops.people", unlabelled(people))
    with pytest.raises(InputError, match="no keypoints"):
        load_labelled(tmp_path / "crops.people")


def test_it_learns_from_crops_and_keeps_the_labels_it_took(tmp_path: Path, start: Path, people: PersonBatch) -> None:
    save_people(tmp_path / "crops.people", unlabelled(people))
    run = from_data(config(tmp_path, start))
    run.run()
    written = {path.name for path in (tmp_path / "run").iterdir()}
    people_file, labels_file = sorted(name for name in written if name.startswith(("people.", "pseudo_labels.")))
    assert written == {
        *(people_file, labels_file, "config.json", "tensorboard"),
        *("last.pt", "last.safetensors", "final.safetensors"),
    }
    began, trained = (load_network(path) for path in (start, tmp_path / "run/final.safetensors"))
    assert trained.origin.metadata["trained_from"] == fingerprint(began)
    before, after = (list(network.parameters()) for network in (began, trained))
    assert any(not a.equal(b) for a, b in zip(before, after, strict=True))


def test_bodies_fitted_to_people_are_simulated_anew(tmp_path: Path, people: PersonBatch) -> None:
    """The crops that are learnt show people who move as those who were seen, with a truth of their own."""
    settings = config(
        tmp_path, Path(), weights="", teacher="fit", pairs=0, seen=6, sensors=("spinner16",), passers=PASSERS
    )
    start = load_network()
    labelled = pseudo_label(settings, start, unlabelled(people))
    assert labelled.fitted is not None and labelled.fitted.pose.shape == (6, 4, 22, 3, 3)
    torch.testing.assert_close(labelled.people.keypoints, labelled.fitted.keypoints)
    run = Stage2(settings, labelled, start)
    batch = run.next_crops()
    assert batch is not None and len(batch) == 6 + 4
    on = batch.mask & (batch.required("parts") != BACKGROUND)
    nearest = (batch.points[:, :, None] - batch.keypoints[:, None]).norm(dim=-1).amin(-1)
    assert nearest[on].median() < 0.2
    assert pseudo_label(settings, start, unlabelled(people)).people.keypoints.equal(labelled.people.keypoints)
    assert run.train_step()["total"] > 0


def test_the_control_learns_from_as_many_crops(tmp_path: Path, start: Path) -> None:
    run = Stage2(config(tmp_path, start, pairs=2, seen=3), None, load_network(start))
    batch = run.next_crops()
    assert batch is not None and len(batch) == 4 + 3 + 2 * 2


def test_artefacts_are_reused_for_what_made_them_alone(tmp_path: Path, start: Path, people: PersonBatch) -> None:
    """Another teacher asks anew, other weights and other data make everything anew, the same make nothing."""

    def made(**changes: object) -> dict[str, int]:
        from_data(config(tmp_path, start, **changes))
        files = (tmp_path / "run").iterdir()
        return {file.name: file.stat().st_mtime_ns for file in files if file.name != "config.json"}

    save_people(tmp_path / "crops.people", unlabelled(people))
    first = made()
    assert len(first) == 2 and made(seed=3, steps=9) == first
    single = made(teacher="single")
    assert len(single) == 3 and first.items() < single.items()
    torch.manual_seed(9)
    save_network(tmp_path / "other.safetensors", TokenNetwork(TINY), {})
    assert len(made(weights=str(tmp_path / "other.safetensors"))) == 5
    save_people(tmp_path / "crops.people", unlabelled(people.rows(torch.arange(3))))
    assert len(made()) == 7 and len(from_data(config(tmp_path, start)).people.people) == 3


def state(run: Stage2 | Finetune | TemporalTraining) -> dict[str, torch.Tensor]:
    return run.learner.network.state_dict() if isinstance(run, Stage2 | Finetune) else run.network.state_dict()


@pytest.mark.parametrize("kind", ["pairs", "simulated", "finetune", "temporal"])
def test_a_stopped_run_goes_on_at_the_same_numbers(
    tmp_path: Path, start: Path, people: PersonBatch, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after three of seven steps, within a pool and within a round of the data."""
    monkeypatch.setattr(stage2, "POOL", 2)
    if kind == "pairs":
        labelled = pseudo_label(config(tmp_path, start), load_network(start), unlabelled(people))

    def made(name: str) -> Stage2 | Finetune | TemporalTraining:
        out, network = tmp_path / name, load_network(start)
        if kind == "pairs":
            return Stage2(config(tmp_path, start, out=out, steps=7), labelled, network)
        if kind == "simulated":
            return Stage2(config(tmp_path, start, out=out, steps=7, pairs=0, replay=3, seen=2), None, network)
        if kind == "finetune":
            return Finetune(FinetuneConfig(steps=7, out=out, batch_size=4, device="cpu"), people, network)
        temporal = replace(TemporalTrainingConfig().network, width=16, layers=1, heads=2, frames=4)
        return TemporalTraining(
            TemporalTrainingConfig(out=out, people=12, steps=7, device="cpu", passers=PASSERS, network=temporal),
            network,
        )

    whole = made("whole")
    whole.run()
    stopped = made("stopped")
    taken, train_step = [], stopped.train_step

    def until_interrupted() -> dict[str, float]:
        taken.append(stopped.step)
        if len(taken) == 3:
            signal.raise_signal(signal.SIGINT)
        return train_step()

    monkeypatch.setattr(stopped, "train_step", until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert taken == [0, 1, 2] and not (tmp_path / "stopped/final.safetensors").exists()
    again = made("stopped")
    again.run()
    for name, value in state(whole).items():
        torch.testing.assert_close(state(again)[name], value, rtol=0, atol=0)


def test_a_run_of_other_settings_is_not_resumed(tmp_path: Path, start: Path) -> None:
    run = Stage2(config(tmp_path, start, pairs=0, steps=1), None, load_network(start))
    run.run()
    with pytest.raises(InputError, match=r"other settings \(seed\): name another folder with --out"):
        Stage2(config(tmp_path, start, pairs=0, steps=2, seed=1), None, load_network(start)).run()


@pytest.mark.parametrize("stage", ["stage1", "stage2", "temporal", "finetune"])
def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(sys, "argv", ["gckpl", "train", stage, "--out", str(tmp_path / "file" / "run")])
    if stage == "finetune":
        people = PasserSource(PASSERS, 1).draw(1)
        save_people(tmp_path / "labelled.people", people)
        sys.argv += ["--labels", str(tmp_path / "labelled.people")]
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2


def test_nobody_to_learn_from_is_an_error(tmp_path: Path, start: Path) -> None:
    with pytest.raises(InputError, match="--data"):
        from_data(config(tmp_path, start, data=()))


def test_fine_tuning_learns_a_few_people_by_heart(tmp_path: Path, people: PersonBatch) -> None:
    settings = FinetuneConfig(
        weights="random", network=TINY, people=2, steps=60, batch_size=4, out=tmp_path, device="cpu", warmup_steps=5,
        learner=LearnerConfig(learning_rate=5e-3, ema_decay=0.9),
    )  # fmt: skip
    run = Finetune(settings, people)
    batch, network = run.batch, run.learner.averaged

    def error() -> float:
        with torch.inference_mode():
            said = network.predict(batch)
        return float((said.keypoints - batch.keypoints).norm(dim=-1).mean())

    before = error()
    run.run()
    assert run.averaged is network and error() < 0.8 * before
    assert len(batch) == int(people.seen[:2].sum())
    again = Finetune(replace(settings, steps=61), people)
    again.run()
    assert again.learner.step_count == 61


def test_a_temporal_network_learns_to_correct(tmp_path: Path) -> None:
    settings = TemporalTrainingConfig(
        out=tmp_path, people=24, steps=40, batch_size=12, learning_rate=3e-3, device="cpu", passers=PASSERS,
        network=replace(TemporalTrainingConfig().network, width=16, layers=1, heads=2, frames=4),
    )  # fmt: skip
    torch.manual_seed(2)
    keypoints = TokenNetwork(TINY).eval()
    TemporalTraining(settings, keypoints).run()
    first, last = (json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines())
    assert (first["step"], last["step"]) == (20, 40) and last["error_m"] < first["error_m"]
    run = TemporalTraining(settings, keypoints)
    run.resume()
    assert run.step == 40
    written = load_temporal(tmp_path / "final.safetensors")
    assert written.understands(keypoints) and written.config.tokens == 16 != TemporalTrainingConfig().network.tokens


def test_a_teacher_that_reads_other_tokens_is_refused_before_anything_is_read(tmp_path: Path, start: Path) -> None:
    """The temporal network that ships reads wider tokens than those of ``start``; ``data`` is not even there."""
    with pytest.raises(InputError, match=r"is loaded: train one with `gckpl train temporal --weights .*start\.safeten"):
        from_data(config(tmp_path, start, data=(tmp_path / "none.mcap",), teacher="temporal"))
    with pytest.raises(InputError, match=r"none\.mcap"):
        from_data(config(tmp_path, start, data=(tmp_path / "none.mcap",), teacher="smoothing"))
